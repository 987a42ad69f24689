"""What routing rules change of a decision, and what they never can."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.intake.decide import decide
from core.intake.decision import AppendArticle, Hold, OpenTicket, Outcome
from core.intake.facts import Facts, RecentTickets, Relation
from core.intake.identify import Match, MatchKind
from core.routing.rule import Actions, Ending, Field, Operator, RoutingRule
from core.words import (
    Evidence,
    Flag,
    FollowUp,
    ForbiddenRule,
    Permission,
    Priority,
    RoutingScope,
    StrangersRule,
    TicketState,
)
from tests.intake.facts import ANNA, BEN, BILLING, FACTS, SALES, SUPPORT, access, with_evidence
from tests.intake.follow_up_rows import answering
from tests.routing.contents import one
from tests.routing.rows import a_rule, under

RW = Permission.RW
BOTH_QUEUES = replace(FACTS, access=access(Vertrieb=RW, Technik=RW))
TO_SUPPORT = Actions(queue_id=SUPPORT.id)
WISHES = Actions(priority=Priority.HIGH, state=TicketState.CLOSED, tags=("eilt", "vip"))
MISFIT = one(Field.SUBJECT, Operator.CONTAINS, "anderes")


def opened(queue_id: int = SALES.id, **more: object) -> OpenTicket:
    return OpenTicket("allowed", queue_id, **more)


def stranger(queue_id: int, rule: StrangersRule) -> Facts:
    """Return a stranger's mail, where one queue has another rule for strangers."""
    facts = replace(FACTS, match=Match(MatchKind.UNKNOWN), access=None)
    queues = {**facts.organisation.queues}
    queues[queue_id] = replace(queues[queue_id], strangers=rule)
    return replace(facts, organisation=replace(facts.organisation, queues=queues))


def invalid_support(facts: Facts) -> Facts:
    queues = {**facts.organisation.queues, SUPPORT.id: replace(SUPPORT, valid=False)}
    return replace(facts, organisation=replace(facts.organisation, queues=queues))


TABLE: list[tuple[str, Facts, Outcome, tuple[int, ...]]] = [
    ("no rule fits", under(FACTS, a_rule(1, WISHES, conditions=MISFIT)), opened(), ()),
    ("another queue, allowed", under(BOTH_QUEUES, a_rule(1, TO_SUPPORT)), opened(SUPPORT.id), (1,)),
    (
        "another queue, forbidden",
        under(FACTS, a_rule(1, TO_SUPPORT)),
        Hold("queue-forbidden", SUPPORT.id),
        (1,),
    ),
    (
        "from a forbidden queue to an allowed one",
        under(replace(FACTS, access=access(Technik=RW)), a_rule(1, TO_SUPPORT)),
        opened(SUPPORT.id),
        (1,),
    ),
    ("a vanished queue", under(FACTS, a_rule(1, Actions(queue_id=99))), opened(), (1,)),
    (
        "an invalid queue",
        under(invalid_support(BOTH_QUEUES), a_rule(1, TO_SUPPORT)),
        opened(),
        (1,),
    ),
    (
        "what the ticket begins with",
        under(FACTS, a_rule(1, WISHES)),
        opened(priority=Priority.HIGH, state=TicketState.CLOSED, tags=("eilt", "vip")),
        (1,),
    ),
    (
        "later rules win, tags unite",
        under(
            BOTH_QUEUES,
            a_rule(1, replace(WISHES, queue_id=BILLING.id)),
            a_rule(2, Actions(SUPPORT.id, Priority.LOW, tags=("vip", "neu"))),
        ),
        opened(
            SUPPORT.id,
            priority=Priority.LOW,
            state=TicketState.CLOSED,
            tags=("eilt", "vip", "neu"),
        ),
        (1, 2),
    ),
    (
        "stop",
        under(FACTS, a_rule(1, Actions(tags=("a",)), stop=True), a_rule(2, WISHES)),
        opened(tags=("a",)),
        (1,),
    ),
    (
        "a rule that does not fit stops nothing",
        under(
            FACTS, a_rule(1, stop=True, conditions=MISFIT), a_rule(2, Actions(tags=("b",)))
        ),
        opened(tags=("b",)),
        (2,),
    ),
    (
        "an ending ends it",
        under(FACTS, a_rule(1, Actions(ending=Ending.HOLD)), a_rule(2, WISHES)),
        Hold("held-by-rule", SALES.id),
        (1,),
    ),
    (
        "a rule for follow-ups",
        under(FACTS, a_rule(1, WISHES, scope=RoutingScope.FOLLOW_UP)),
        opened(),
        (),
    ),
    (
        "a stranger goes where strangers may",
        under(stranger(SUPPORT.id, StrangersRule.ACCEPT), a_rule(1, TO_SUPPORT)),
        OpenTicket("stranger", SUPPORT.id, Flag.STRANGER),
        (1,),
    ),
    (
        "a stranger goes where strangers may not",
        under(stranger(SALES.id, StrangersRule.ACCEPT), a_rule(1, TO_SUPPORT)),
        Hold("stranger", SUPPORT.id),
        (1,),
    ),
    (
        "a follow-up: tags only",
        under(answering(FACTS), a_rule(1, replace(WISHES, queue_id=BILLING.id))),
        AppendArticle("follow-up", 7, SUPPORT.id, tags=("eilt", "vip")),
        (1,),
    ),
    (
        "a follow-up: no rule for new mail",
        under(answering(FACTS), a_rule(1, WISHES, scope=RoutingScope.NEW)),
        AppendArticle("follow-up", 7, SUPPORT.id),
        (),
    ),
    (
        "a follow-up of nobody verified: nothing",
        under(with_evidence(answering(FACTS), Evidence.NEUTRAL), a_rule(1, WISHES)),
        AppendArticle(
            "follow-up", 7, SUPPORT.id, flag=Flag.SENDER_NOT_VERIFIED, answers=False
        ),
        (1,),
    ),
    (
        "a follow-up of a foreigner: nothing",
        under(answering(FACTS, Relation.FOREIGN), a_rule(1, WISHES)),
        AppendArticle(
            "follow-up-foreign", 7, SUPPORT.id, visible=False, flag=Flag.FOREIGN_ADDRESS,
            answers=False,
        ),
        (1,),
    ),
    (
        "a follow-up that makes a new ticket: tags only",
        under(answering(FACTS, closed=FollowUp.NEW_TICKET), a_rule(1, WISHES)),
        OpenTicket("reply-to-closed", SUPPORT.id, linked_to=7, tags=("eilt", "vip")),
        (1,),
    ),
    (
        "a number that proves nothing does not keep a mail from the rules for new ones",
        under(
            answering(BOTH_QUEUES, Relation.FOREIGN, proven=False),
            a_rule(1, TO_SUPPORT, scope=RoutingScope.NEW),
        ),
        opened(SUPPORT.id),
        (1,),
    ),
    (
        "a burst stays open",
        under(replace(FACTS, recent={SALES.id: RecentTickets(99)}), a_rule(1, WISHES)),
        OpenTicket(
            "burst", SALES.id, burst=True, priority=Priority.HIGH, tags=("eilt", "vip")
        ),
        (1,),
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "outcome", "fitted"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_table(facts: Facts, outcome: Outcome, fitted: tuple[int, ...]) -> None:
    decision = decide(facts)
    assert decision.outcome == outcome
    assert decision.fitted == fitted


SKIPPED = [
    (TABLE[4][1], "The queue of the rule is invalid: it is left out."),
    (TABLE[5][1], "The queue of the rule is invalid: it is left out."),
    (TABLE[14][1], "It answers a ticket, whose queue, priority and state stay as they are."),
    (
        under(answering(FACTS, Relation.FOREIGN), a_rule(1, Actions(tags=("a",)))),
        "The tags of the routing rules are left out: the mail may not change the ticket.",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "because"), SKIPPED)
def test_what_is_left_out_is_told(facts: Facts, because: str) -> None:
    steps = [step for step in decide(facts).steps if step.answer == "skipped"]
    assert [step.because for step in steps] == [because]


def test_the_explanation_names_the_rules_and_the_permission_in_the_new_queue() -> None:
    steps = decide(under(BOTH_QUEUES, a_rule(4, TO_SUPPORT))).steps
    assert [(step.rule, step.answer) for step in steps][-4:] == [
        ("routing_rule", "fits"),
        ("routing_rule", "queue"),
        ("permission", "rw"),
        ("file_it", "open-ticket"),
    ]
    assert dict(steps[-4].values) == {"name": "Regel 4"}


MATCHES = [
    Match(MatchKind.ADDRESS, ANNA, candidates=(ANNA,)),
    Match(MatchKind.CONFLICT, candidates=(ANNA,), numbers=("K-2000",)),
    Match(MatchKind.AMBIGUOUS, candidates=(ANNA, BEN)),
    Match(MatchKind.INVALID_ACCOUNT, replace(ANNA, valid=False)),
    Match(MatchKind.UNKNOWN),
]
a_queue = st.sampled_from([None, SALES.id, SUPPORT.id, BILLING.id, 99])
some_rules = st.lists(
    st.builds(
        RoutingRule,
        st.integers(1, 9),
        st.just("Regel"),
        st.sampled_from(RoutingScope),
        st.just(a_rule().conditions),
        st.builds(
            Actions,
            a_queue,
            st.none() | st.sampled_from(Priority),
            st.none() | st.sampled_from(TicketState),
            st.sampled_from([(), ("a",)]),
            st.none() | st.sampled_from(Ending),
        ),
        st.booleans(),
    ),
    max_size=4,
).map(tuple)


@settings(max_examples=400, deadline=None)
@given(
    rules=some_rules,
    match=st.sampled_from(MATCHES),
    evidence=st.sampled_from([Evidence.VERIFIED, Evidence.NEUTRAL]),
    written=st.dictionaries(
        st.sampled_from(["Vertrieb", "Technik", "Rechnung"]), st.sampled_from(Permission)
    ),
    forbidden=st.sampled_from(ForbiddenRule),
    invalid=st.booleans(),
)
def test_a_rule_never_gives_a_permission(
    rules: tuple[RoutingRule, ...],
    match: Match,
    evidence: Evidence,
    written: dict[str, Permission],
    forbidden: ForbiddenRule,
    invalid: bool,
) -> None:
    allowed = access(**written)
    facts = with_evidence(replace(FACTS, match=match), evidence)
    facts = replace(facts, access=allowed if match.kind is MatchKind.ADDRESS else None)
    facts = invalid_support(facts) if invalid else facts
    queues = {
        queue.id: replace(queue, forbidden=forbidden)
        for queue in facts.organisation.queues.values()
    }
    facts = replace(
        facts, queue=queues[SALES.id], organisation=replace(facts.organisation, queues=queues)
    )
    outcome = decide(under(facts, *rules)).outcome
    if isinstance(outcome, OpenTicket):
        assert match.kind is MatchKind.ADDRESS
        assert allowed.may_write(outcome.queue_id)
        assert (outcome.flag is None) is (evidence is Evidence.VERIFIED)
    else:
        assert not isinstance(outcome, AppendArticle)

"""The decision table: table D of the threat model, row by row, and the order of the rules."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from core.intake import replies, rules
from core.intake.blocklist import BlockedEntry
from core.intake.decide import decide, evidence_demanded, too_many_tickets
from core.intake.decision import AppendArticle, Discard, Hold, OpenTicket, Outcome, Reject
from core.intake.facts import Facts, PortalFacts, Relation, ReleaseFacts, TicketFacts
from core.mail.authentication.findings import DmarcPolicy
from core.words import (
    BlockedKind,
    Evidence,
    EvidenceDemand,
    Flag,
    FollowUp,
    ForbiddenRule,
    Permission,
    SenderPolicy,
    StrangersRule,
    TicketState,
)
from tests.intake import follow_up_rows, main_rows
from tests.intake.facts import (
    ANNA,
    BEN,
    FACTS,
    ORGANISATION,
    SALES,
    SUPPORT,
    access,
    with_evidence,
    with_policy,
    with_queue,
)
from tests.intake.main_rows import (
    AMBIGUOUS,
    CONFLICT,
    DEMANDING,
    FORBIDDEN,
    INVALID,
    NEW_ADDRESS,
    NUMBER_ONLY,
    SETTLED,
    STRANGER,
    away,
    doubtful,
    failed,
)
from tests.routing import rows as routing_rows

RW, RO = Permission.RW, Permission.RO
OPEN, BALANCED, STRICT = SenderPolicy.OPEN, SenderPolicy.BALANCED, SenderPolicy.STRICT

FAILED = with_evidence(FACTS, Evidence.FAILED)
NOWHERE = replace(FACTS, access=access())
DISOWNED, SUSPECTED = failed(FACTS, DmarcPolicy.REJECT), failed(FACTS, DmarcPolicy.QUARANTINE)
DOUBTFUL = doubtful(FACTS)
DEMANDING_NEUTRAL = with_evidence(DEMANDING, Evidence.NEUTRAL)
BLOCKED = replace(FACTS, blocked=BlockedEntry(9, BlockedKind.DOMAIN, "muster.example"))
POSTMASTER = replace(FACTS, queue=None, recipient="postmaster")

TICKET = TicketFacts(7, "public", SALES.id, ANNA.customer_user_id, 1, TicketState.OPEN)


def portal(
    facts: Facts = FACTS,
    ticket: TicketFacts | None = None,
    queue: object = None,
    *,
    close: bool = False,
) -> Facts:
    """Return the facts of a portal submission: a reply to a ticket or a new one in a queue."""
    asked = PortalFacts(queue, ticket, close)
    return replace(
        with_evidence(facts, Evidence.PORTAL), queue=None, known_recipient=False, portal=asked
    )


def closed(follow_up: FollowUp, *, close: bool = False) -> Facts:
    """Return a reply to a closed ticket of a queue with this follow-up rule."""
    facts = with_queue(FACTS, follow_up=follow_up)
    return portal(facts, replace(TICKET, state=TicketState.CLOSED), close=close)


def released(facts: Facts, *, chosen: bool = False) -> Facts:
    """Return the facts of a held mail that staff release to its queue."""
    return replace(facts, release=ReleaseFacts(SALES, chosen))


def to_ticket(relation: Relation, **more: object) -> Facts:
    """Return the facts of a held mail that staff add to a ticket."""
    facts = with_evidence(FACTS, Evidence.VERIFIED)
    facts = follow_up_rows.answering(facts, relation, **more)
    return replace(facts, release=ReleaseFacts(SALES, False, to_ticket=True))


def refused(reason: str, reply: object = replies.NOT_PERMITTED) -> Outcome:
    """Return the refusal for the default queue."""
    return Reject(reason, reply, SALES.id)


def demanding_answer(facts: Facts) -> Facts:
    """Return the facts of an answer to a ticket whose queue demands a verified sender."""
    facts = follow_up_rows.answering(facts)
    queue = replace(
        facts.organisation.queues[follow_up_rows.SUPPORT.id], evidence=EvidenceDemand.VERIFIED
    )
    queues = {**facts.organisation.queues, queue.id: queue}
    return replace(facts, organisation=replace(facts.organisation, queues=queues))


def checked(facts: Facts, **found: str) -> Facts:
    """Return the facts of a mail that checkers of content say this about, besides what they did."""
    return replace(facts, checked=replace(facts.checked, **found))


FILED = OpenTicket("allowed", SALES.id)
FLAGGED = OpenTicket("allowed", SALES.id, Flag.SENDER_NOT_VERIFIED)


def held(reason: str) -> Outcome:
    """Return the hold at the default queue."""
    return Hold(reason, SALES.id)


TABLE: list[tuple[str, Facts, Outcome]] = [
    *((name, facts, fate.outcome) for name, facts, fate in main_rows.cells()),
    # known account, queue allowed
    ("unreadable but allowed", replace(FACTS, unreadable=True),
     OpenTicket("allowed", SALES.id, Flag.UNREADABLE)),
    # queue not allowed
    ("read-only is forbidden", replace(FACTS, access=access(Vertrieb=RO)), held("queue-forbidden")),
    ("forbidden=fallback, the queue's choice",
     with_queue(replace(FORBIDDEN, access=access(Technik=RW, Rechnung=RW)),
                forbidden=ForbiddenRule.FALLBACK, fallback_queue_id=3),
     OpenTicket("fallback", 3)),
    ("forbidden=fallback, the queue's choice is forbidden too",
     with_queue(FORBIDDEN, forbidden=ForbiddenRule.FALLBACK, fallback_queue_id=3),
     OpenTicket("fallback", SUPPORT.id)),
    ("forbidden=fallback, nowhere to go", with_queue(NOWHERE, forbidden=ForbiddenRule.FALLBACK),
     held("queue-forbidden")),
    # V0
    ("DMARC reject, answers a ticket", follow_up_rows.answering(DISOWNED),
     refused("spoofed", replies.SPOOFED)),
    ("DMARC quarantine, answers a ticket", follow_up_rows.answering(SUSPECTED), held("spoofed")),
    # a queue that demands verified senders
    ("demand, stranger, neutral",
     with_queue(replace(DEMANDING_NEUTRAL, match=STRANGER.match), strangers=StrangersRule.ACCEPT),
     held("sender-not-verified")),
    ("demand, refused stranger",
     with_queue(replace(DEMANDING_NEUTRAL, match=STRANGER.match), strangers=StrangersRule.REJECT),
     refused("stranger")),
    ("demand, answers a ticket, neutral",
     demanding_answer(with_evidence(FACTS, Evidence.NEUTRAL)),
     Hold("sender-not-verified", follow_up_rows.SUPPORT.id)),
    ("demand, answers a ticket, verified", demanding_answer(FACTS),
     AppendArticle("follow-up", 7, follow_up_rows.SUPPORT.id)),
    # before any sender
    ("50 hops", replace(FACTS, hops=50), FILED),
    ("51 hops", replace(FACTS, hops=51), refused("too-many-hops", replies.LOOP)),
    ("blocked", BLOCKED, refused("blocked")),
    ("blocked, open", with_policy(BLOCKED, OPEN), refused("blocked")),
    ("blocked, answers a ticket", follow_up_rows.answering(BLOCKED), refused("blocked")),
    ("blocked, report on our mail", replace(BLOCKED, delivery_report=True, outgoing_id=5),
     Discard("bounce-without-ticket", SALES.id)),
    ("blocked, other report", replace(BLOCKED, delivery_report=True), refused("blocked")),
    # content
    ("malware", checked(FACTS, malware="Eicar"), held("malware")),
    ("malware, strict", with_policy(checked(FACTS, malware="Eicar"), STRICT), held("malware")),
    ("malware, another check failed", checked(FACTS, malware="Eicar", failed="x"), held("malware")),
    ("malware, blocked", checked(BLOCKED, malware="Eicar"), refused("blocked")),
    ("malware, answers a ticket", follow_up_rows.answering(checked(FACTS, malware="Eicar")),
     held("malware")),
    ("malware, answers a ticket, unclear sender",
     follow_up_rows.answering(checked(FAILED, malware="Eicar")), held("malware")),
    ("malware, report on our mail",
     replace(checked(FACTS, malware="Eicar"), delivery_report=True, outgoing_id=5),
     Discard("bounce-without-ticket", SALES.id)),
    ("malware, to postmaster", checked(POSTMASTER, malware="Eicar"), Hold("malware", None)),
    ("malware, a rule ignores", routing_rows.ended(checked(FACTS, malware="Eicar")),
     held("malware")),
    ("spam", checked(FACTS, spam="reject (17.0)"), held("spam")),
    ("spam of a stranger who would be refused",
     with_policy(checked(STRANGER, spam="reject (17.0)"), STRICT), held("spam")),
    ("not checked", checked(FACTS, failed="clamd: timed out"), held("content-not-checked")),
    ("malware, released by staff", released(checked(FACTS, malware="Eicar")),
     OpenTicket("released", SALES.id)),
    ("delivery report", replace(FACTS, delivery_report=True), held("delivery-report")),
    ("postmaster", POSTMASTER, Hold("postmaster", None)),
    ("source away, a rule ignores", away(routing_rows.ended(STRANGER)), held("source-away")),
    ("source away, answers a ticket", away(follow_up_rows.answering(STRANGER, Relation.FOREIGN)),
     held("source-away")),
    ("source away, a machine answers a ticket",
     away(follow_up_rows.answering(replace(STRANGER, automatic=True), Relation.FOREIGN)),
     held("source-away")),
    ("source away, malware", away(checked(STRANGER, malware="Eicar")), held("malware")),
    ("source away, blocked", away(replace(STRANGER, blocked=BLOCKED.blocked)), refused("blocked")),
    ("source away, report on our mail",
     away(replace(STRANGER, delivery_report=True, outgoing_id=5)),
     Discard("bounce-without-ticket", SALES.id)),
    ("source away, released by staff", released(away(STRANGER)),
     OpenTicket("released", SALES.id, Flag.STRANGER)),
    *routing_rows.ROWS,
    # V3: portal
    ("portal, no such queue", portal(), Reject("queue-forbidden", replies.NOT_PERMITTED)),
    ("portal, invalid account", portal(INVALID, queue=SALES), refused("queue-forbidden")),
    ("portal reply", portal(ticket=TICKET), AppendArticle("reply", 7, SALES.id)),
    ("portal reply and close", portal(ticket=TICKET, close=True),
     AppendArticle("reply", 7, SALES.id, close=True)),
    ("portal reply, read-only", portal(replace(FACTS, access=access(Vertrieb=RO)), TICKET),
     refused("queue-forbidden")),
    ("portal reply, foreign ticket",
     portal(ticket=replace(TICKET, customer_user_id=BEN.customer_user_id)),
     refused("queue-forbidden")),
    ("portal reply, closed, possible", closed(FollowUp.POSSIBLE),
     AppendArticle("reply-reopens", 7, SALES.id, reopen=True)),
    ("portal reply, closed, stays closed", closed(FollowUp.POSSIBLE, close=True),
     AppendArticle("reply-reopens", 7, SALES.id, close=True)),
    ("portal reply, closed, reject", closed(FollowUp.REJECT), refused("ticket-closed")),
    ("portal reply, closed, new ticket", closed(FollowUp.NEW_TICKET),
     OpenTicket("reply-to-closed", SALES.id, linked_to=7)),
    # release by staff: the sender is vouched for, the permission is not
    ("release, allowed", released(FACTS), OpenTicket("released", SALES.id)),
    ("release, forbidden", released(FORBIDDEN), held("queue-forbidden")),
    ("release, stranger", released(STRANGER), OpenTicket("released", SALES.id, Flag.STRANGER)),
    ("release, conflict", released(CONFLICT), held("account-undecided")),
    ("release, ambiguous", released(AMBIGUOUS), held("account-undecided")),
    ("release, account chosen", released(FACTS, chosen=True), OpenTicket("released", SALES.id)),
    ("release, invalid account", released(INVALID), held("account-invalid")),
    ("release to a ticket, own", to_ticket(Relation.PARTICIPANT),
     AppendArticle("follow-up", 7, follow_up_rows.SUPPORT.id)),
    ("release to a ticket, colleague", to_ticket(Relation.COLLEAGUE),
     AppendArticle("follow-up-other", 7, follow_up_rows.SUPPORT.id, visible=False,
                   flag=Flag.OTHER_PERSON, answers=False)),
    ("release to a ticket, foreign", to_ticket(Relation.FOREIGN), held("ticket-foreign")),
    ("release to a ticket, none", replace(to_ticket(Relation.PARTICIPANT), follow_up=None),
     held("ticket-foreign")),
    ("release to a ticket, out of reach", to_ticket(Relation.PARTICIPANT, allowed=False),
     Hold("queue-forbidden", follow_up_rows.SUPPORT.id)),
    ("release to a ticket, closed for good",
     to_ticket(Relation.PARTICIPANT, closed=FollowUp.REJECT),
     Reject("ticket-closed", replies.TICKET_CLOSED, follow_up_rows.SUPPORT.id)),
    *follow_up_rows.rows(),
]  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_table_d(facts: Facts, expected: Outcome) -> None:
    assert decide(facts).outcome == expected


# What makes each rule answer, applied to any facts: for the rows of rule pairs.
TRIGGERS: dict[rules.Rule, Callable[[Facts], Facts]] = {
    rules.released_by_staff: released,
    rules.portal_reply: lambda facts: replace(
        facts, portal=PortalFacts(facts.queue or SALES, TICKET, False)
    ),
    rules.portal_ticket: lambda facts: replace(
        facts, portal=facts.portal or PortalFacts(SALES, None, False)
    ),
    rules.unknown_recipient: lambda facts: replace(facts, known_recipient=False),
    rules.own_mail_back: lambda facts: replace(facts, own_mail=True),
    rules.too_many_hops: lambda facts: replace(facts, hops=51),
    rules.report_on_our_mail: lambda facts: replace(facts, delivery_report=True, outgoing_id=5),
    rules.blocked_sender: lambda facts: replace(facts, blocked=BLOCKED.blocked),
    rules.own_address_from_outside: lambda facts: replace(
        facts, sender=replace(facts.sender, own_address=True)
    ),
    rules.spoofed_sender: lambda facts: replace(
        facts, sender=replace(DISOWNED.sender, own_address=facts.sender.own_address)
    ),
    rules.malware_found: lambda facts: checked(facts, malware="Eicar"),
    rules.spam_found: lambda facts: checked(facts, spam="reject (17.0)"),
    rules.content_not_checked: lambda facts: checked(facts, failed="clamd: timed out"),
    rules.token_of_unclear_sender: lambda facts: follow_up_rows.answering(
        with_evidence(facts, Evidence.FAILED)
    ),
    rules.unclear_sender: lambda facts: with_evidence(facts, Evidence.FAILED),
    rules.delivery_report: lambda facts: replace(facts, delivery_report=True),
    rules.postmaster: lambda facts: replace(facts, queue=None),
    rules.source_away: lambda facts: away(replace(facts, match=STRANGER.match)),
    rules.routing_rule: routing_rows.ended,
    rules.automatic_follow_up: lambda facts: follow_up_rows.answering(
        replace(facts, automatic=True)
    ),
    rules.doubtful_sender: lambda facts: replace(facts, sender=DOUBTFUL.sender),
    rules.number_conflict: lambda facts: replace(facts, match=CONFLICT.match),
    rules.ambiguous_address: lambda facts: replace(facts, match=AMBIGUOUS.match),
    rules.invalid_account: lambda facts: replace(facts, match=INVALID.match),
    rules.unverified_shared_address: lambda facts: with_evidence(
        replace(facts, match=SETTLED.match), Evidence.NEUTRAL
    ),
    rules.ticket_out_of_reach: lambda facts: follow_up_rows.answering(facts, allowed=False),
    rules.own_follow_up: follow_up_rows.answering,
    rules.follow_up_of_colleague: lambda facts: follow_up_rows.answering(facts, Relation.COLLEAGUE),
    rules.follow_up_of_foreigner: lambda facts: follow_up_rows.answering(facts, Relation.FOREIGN),
    rules.stranger: lambda facts: replace(facts, match=STRANGER.match),
    rules.number_from_unknown_address: lambda facts: replace(facts, match=NUMBER_ONLY.match),
    rules.unverified_known_domain: lambda facts: with_evidence(
        replace(facts, match=NEW_ADDRESS.match), Evidence.NEUTRAL
    ),
    rules.queue_forbidden: lambda facts: replace(facts, access=None),
    rules.automatic_with_number: lambda facts: follow_up_rows.answering(
        replace(facts, automatic=True), proven=False
    ),
    rules.file_it: lambda facts: facts,
}

# A message has one match and one relation to a ticket, so nothing makes both rules of these pairs
# answer.
EXCLUSIVE = {
    (rules.number_conflict, rules.ambiguous_address),
    (rules.ambiguous_address, rules.invalid_account),
    (rules.invalid_account, rules.unverified_shared_address),
    (rules.own_follow_up, rules.follow_up_of_colleague),
    (rules.follow_up_of_colleague, rules.follow_up_of_foreigner),
    (rules.stranger, rules.number_from_unknown_address),
    (rules.number_from_unknown_address, rules.unverified_known_domain),
}


def test_every_rule_is_in_the_table() -> None:
    assert tuple(TRIGGERS) == rules.RULES
    answered = {decide(row[1]).steps[-1].rule for row in TABLE}
    asked_afterwards = {too_many_tickets.__name__, evidence_demanded.__name__}
    assert answered == {rule.__name__ for rule in rules.RULES} | asked_afterwards


@pytest.mark.parametrize(
    ("first", "second"),
    [pair for pair in pairwise(rules.RULES) if pair not in EXCLUSIVE],
    ids=lambda rule: rule.__name__,
)
def test_the_earlier_of_two_rules_wins(first: rules.Rule, second: rules.Rule) -> None:
    both = TRIGGERS[first](TRIGGERS[second](FACTS))
    assert first(both) is not None
    assert second(both) is not None
    assert decide(both).steps[-1].rule == first.__name__
    swapped = tuple(
        second if rule is first else first if rule is second else rule for rule in rules.RULES
    )
    assert decide(both, swapped).steps[-1].rule == second.__name__


def test_exclusive_pairs_are_exclusive() -> None:
    """A pair is left out above only because nothing makes both of its rules answer."""
    everything = [row[1] for row in TABLE]
    everything += [trigger(facts) for trigger in TRIGGERS.values() for facts in everything]
    assert set(pairwise(rules.RULES)) >= EXCLUSIVE
    for first, second in EXCLUSIVE:
        assert not [facts for facts in everything if first(facts) and second(facts)]


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_the_table_notices_a_rule_that_is_missing(rule: rules.Rule) -> None:
    left = tuple(other for other in rules.RULES if other is not rule)

    def decided(facts: Facts) -> Outcome | None:
        try:
            return decide(facts, left).outcome
        except AssertionError:
            return None

    assert any(decided(facts) != expected for _what, facts, expected in TABLE)


def test_a_refusal_never_tells_why() -> None:
    texts = {row[2].reply.text for row in TABLE if isinstance(row[2], Reject)}
    assert not any("anna" in text or "K-" in text or "Vertrieb" in text for text in texts)


def test_the_organisation_of_the_rows_is_the_default() -> None:
    assert ORGANISATION.settings.sender_policy is BALANCED

"""The follow-up table of table D as rows: sender and proof, for an open ticket and closed ones.

The ticket lies in another queue than the one that the mail is to, so that no row can mix them up.
"""

from collections.abc import Iterator
from dataclasses import replace

from core.intake import replies
from core.intake.decision import AppendArticle, Discard, Hold, OpenTicket, Outcome, Reject
from core.intake.facts import Facts, FollowUpFacts, RecentTickets, Relation, TicketFacts
from core.intake.identify import Match, MatchKind
from core.words import Evidence, Flag, FollowUp, Permission, SenderPolicy, TicketState
from tests.intake.facts import (
    ANNA,
    BEN,
    FACTS,
    MUSTER,
    SALES,
    SUPPORT,
    access,
    with_evidence,
    with_policy,
)

T1, T2 = False, True
PARTICIPANT, COLLEAGUE, FOREIGN = Relation
CLOSED = (FollowUp.POSSIBLE, FollowUp.REJECT, FollowUp.NEW_TICKET)
Row = tuple[str, Facts, Outcome]
Outcomes = tuple[Outcome, Outcome, Outcome, Outcome]  # for an open ticket, then as CLOSED

TICKET = TicketFacts(
    7, "public", SUPPORT.id, ANNA.customer_user_id, 1, TicketState.OPEN, number=100_007
)


def answering(
    facts: Facts,
    relation: Relation = PARTICIPANT,
    *,
    proven: bool = T2,
    allowed: bool = True,
    may_reply: bool = False,
    closed: FollowUp | None = None,
) -> Facts:
    """Return the facts of a mail that names the ticket; ``closed`` is its queue's rule then."""
    ticket = replace(TICKET, state=TicketState.CLOSED) if closed else TICKET
    queue = replace(SUPPORT, follow_up=closed or FollowUp.POSSIBLE)
    organisation = replace(
        facts.organisation, queues={**facts.organisation.queues, SUPPORT.id: queue}
    )
    found = FollowUpFacts(ticket, proven, relation, allowed, may_reply)
    return replace(facts, organisation=organisation, follow_up=found, outgoing_id=5)


def added(
    reason: str = "follow-up",
    flag: Flag | None = None,
    *,
    visible: bool = True,
    answers: bool = True,
    reopen: bool = False,
) -> AppendArticle:
    """Return the outcome that adds the mail to the ticket."""
    return AppendArticle(reason, 7, SUPPORT.id, visible, flag, answers, reopen)


def internal(reason: str, flag: Flag) -> AppendArticle:
    """Return an article for staff that changes no state."""
    return added(reason, flag, visible=False, answers=False)


def continued(flag: Flag | None = None) -> OpenTicket:
    """Return a new ticket in the queue of the closed one, linked to it."""
    return OpenTicket("reply-to-closed", SUPPORT.id, flag, linked_to=7)


def suggested(flag: Flag | None = None) -> OpenTicket:
    """Return a new ticket where the mail was sent to, with a link as a suggestion."""
    return OpenTicket("allowed", SALES.id, flag, linked_to=7)


def always(outcome: Outcome) -> Outcomes:
    """Return an outcome that does not depend on the ticket's state."""
    return (outcome, outcome, outcome, outcome)


ALLOWED = replace(FACTS, access=access(Vertrieb=Permission.RW, Technik=Permission.RW))
NEUTRAL = with_evidence(ALLOWED, Evidence.NEUTRAL)
STRANGER = replace(FACTS, match=Match(MatchKind.UNKNOWN), access=None)
KNOWN_DOMAIN = replace(ALLOWED, match=Match(MatchKind.KNOWN_DOMAIN, customer=MUSTER))
BENS = replace(ALLOWED, match=Match(MatchKind.ADDRESS, BEN, candidates=(BEN,)))
NUMBER_ONLY = replace(STRANGER, match=Match(MatchKind.NUMBER_ONLY, customer=MUSTER))
CONFLICT = replace(STRANGER, match=Match(MatchKind.CONFLICT, numbers=("K-2000",)))
AMBIGUOUS = replace(STRANGER, match=Match(MatchKind.AMBIGUOUS, candidates=(ANNA, BEN)))
INVALID = replace(STRANGER, match=Match(MatchKind.INVALID_ACCOUNT, ANNA))
SHARED_NEUTRAL = replace(
    NEUTRAL, match=Match(MatchKind.ADDRESS_AND_NUMBER, ANNA, candidates=(ANNA, BEN))
)
FAILED = with_evidence(STRANGER, Evidence.FAILED)
OWN_ADDRESS = replace(FAILED, sender=replace(FAILED.sender, own_address=True))

NOT_VERIFIED = Flag.SENDER_NOT_VERIFIED
TICKET_CLOSED = Reject("ticket-closed", replies.TICKET_CLOSED, SUPPORT.id)
OUT_OF_REACH = Hold("queue-forbidden", SUPPORT.id)
FROM_PARTICIPANT: Outcomes = (
    added(),
    added("follow-up-reopens", reopen=True),
    TICKET_CLOSED,
    continued(),
)
UNVERIFIED_PARTICIPANT: Outcomes = (
    added(flag=NOT_VERIFIED, answers=False),
    added(flag=NOT_VERIFIED, answers=False),
    TICKET_CLOSED,
    continued(NOT_VERIFIED),
)
OTHER_PERSON = internal("follow-up-other", Flag.OTHER_PERSON)

# What is said of the mail besides the ticket's state
Case = dict[str, object]
BY_NUMBER: Case = {"proven": T1}
COLLEAGUES: Case = {"relation": COLLEAGUE}
COLLEAGUES_NUMBER: Case = {"relation": COLLEAGUE, "proven": T1}
FOREIGNERS: Case = {"relation": FOREIGN, "allowed": False}
FOREIGNERS_NUMBER: Case = {**FOREIGNERS, "proven": T1}

TABLE: list[tuple[str, Facts, Case, Outcomes]] = [
    ("V2 participant T2", ALLOWED, {}, FROM_PARTICIPANT),
    ("V2 participant T1", ALLOWED, BY_NUMBER, FROM_PARTICIPANT),
    ("open policy, participant T2", with_policy(NEUTRAL, SenderPolicy.OPEN), {}, FROM_PARTICIPANT),
    ("V2 participant, not fully readable", replace(ALLOWED, unreadable=True), {},
     (added(flag=Flag.UNREADABLE), added("follow-up-reopens", Flag.UNREADABLE, reopen=True),
      TICKET_CLOSED, continued(Flag.UNREADABLE))),
    ("V2 participant without account T2", STRANGER, {},
     (added(flag=Flag.STRANGER), added("follow-up-reopens", Flag.STRANGER, reopen=True),
      TICKET_CLOSED, continued(Flag.STRANGER))),
    ("V2 participant, queue lost T2", ALLOWED, {"allowed": False}, always(OUT_OF_REACH)),
    ("V2 participant, queue lost T1", ALLOWED, {"allowed": False, "proven": T1},
     always(OUT_OF_REACH)),
    # another person of the same customer
    ("V2 colleague, shared view T2", ALLOWED, {**COLLEAGUES, "may_reply": True},
     (added("follow-up-other", Flag.OTHER_PERSON),
      added("follow-up-other", Flag.OTHER_PERSON, reopen=True), TICKET_CLOSED, continued())),
    ("V2 colleague T2", ALLOWED, COLLEAGUES,
     (OTHER_PERSON, OTHER_PERSON, TICKET_CLOSED, continued())),
    ("V2 new address of the domain T2", KNOWN_DOMAIN, COLLEAGUES,
     (OTHER_PERSON, OTHER_PERSON, TICKET_CLOSED, continued(Flag.NEW_ADDRESS))),
    ("V2 colleague, queue not allowed T2", ALLOWED, {**COLLEAGUES, "allowed": False},
     always(OUT_OF_REACH)),
    ("V2 colleague T1", ALLOWED, COLLEAGUES_NUMBER, always(suggested())),
    ("V2 colleague, queue not allowed T1", ALLOWED, {**COLLEAGUES_NUMBER, "allowed": False},
     always(OpenTicket("allowed", SALES.id))),
    # a foreign or unknown address
    ("V2 other customer T2", BENS, FOREIGNERS,
     always(internal("follow-up-foreign", Flag.FOREIGN_ADDRESS))),
    ("V2 stranger T2", STRANGER, FOREIGNERS,
     always(internal("follow-up-foreign", Flag.FOREIGN_ADDRESS))),
    ("V2 number from unknown address T2", NUMBER_ONLY, FOREIGNERS,
     always(internal("follow-up-foreign", Flag.FOREIGN_ADDRESS))),
    ("V1 stranger T2", with_evidence(STRANGER, Evidence.NEUTRAL), FOREIGNERS,
     always(internal("follow-up-foreign", Flag.FOREIGN_ADDRESS))),
    ("V2 other customer T1", BENS, FOREIGNERS_NUMBER, always(OpenTicket("allowed", SALES.id))),
    ("V2 stranger T1", STRANGER, FOREIGNERS_NUMBER, always(Hold("stranger", SALES.id))),
    # not verified
    ("V1 participant T2", NEUTRAL, {}, UNVERIFIED_PARTICIPANT),
    ("V1 participant T1", NEUTRAL, BY_NUMBER, always(suggested(NOT_VERIFIED))),
    ("V1 participant, queue lost T2", NEUTRAL, {"allowed": False}, always(OUT_OF_REACH)),
    ("V1 participant, queue lost T1", NEUTRAL, {"allowed": False, "proven": T1},
     always(OpenTicket("allowed", SALES.id, NOT_VERIFIED))),
    ("V1 colleague T2", NEUTRAL, {**COLLEAGUES, "may_reply": True},
     always(internal("follow-up-other", NOT_VERIFIED))),
    ("V1 colleague T1", NEUTRAL, COLLEAGUES_NUMBER, always(suggested(NOT_VERIFIED))),
    # V0, machines, reports
    ("V0 T2", FAILED, FOREIGNERS, always(internal("follow-up-unclear", Flag.SENDER_UNCLEAR))),
    ("V0 T2, strict", with_policy(FAILED, SenderPolicy.STRICT), FOREIGNERS,
     always(Reject("sender-unclear", replies.NOT_PERMITTED, SALES.id))),
    ("V0 own address T2", OWN_ADDRESS, FOREIGNERS,
     always(Reject("own-address", replies.NOT_PERMITTED, SALES.id))),
    ("V0 T1", FAILED, FOREIGNERS_NUMBER, always(Hold("sender-unclear", SALES.id))),
    ("automatic T2", replace(ALLOWED, automatic=True), {},
     always(internal("follow-up-automatic", Flag.AUTOMATIC))),
    ("automatic, foreign T2", replace(BENS, automatic=True), FOREIGNERS,
     always(internal("follow-up-automatic", Flag.AUTOMATIC))),
    ("automatic T1", replace(ALLOWED, automatic=True), BY_NUMBER,
     always(Hold("automatic", SALES.id))),
    ("automatic, foreign T1", replace(BENS, automatic=True), FOREIGNERS_NUMBER,
     always(OpenTicket("allowed", SALES.id))),
    ("report T2", replace(FAILED, automatic=True, delivery_report=True), FOREIGNERS,
     always(internal("bounce", Flag.DELIVERY_REPORT))),
    ("report from our own domain T2", replace(OWN_ADDRESS, delivery_report=True), FOREIGNERS,
     always(internal("bounce", Flag.DELIVERY_REPORT))),
    # what is undecided stays undecided
    ("conflict T2", CONFLICT, FOREIGNERS, always(Hold("number-conflict", SALES.id))),
    ("ambiguous T2", AMBIGUOUS, FOREIGNERS, always(Hold("ambiguous-address", SALES.id))),
    ("invalid account T2", INVALID, {}, always(Hold("account-invalid", SALES.id))),
    ("V1 shared address T2", SHARED_NEUTRAL, {}, always(Hold("sender-not-verified", SALES.id))),
]  # fmt: skip


def in_a_storm(facts: Facts, opened: int, burst: TicketFacts | None = None) -> Facts:
    """Return the facts of an account that has just opened so many tickets in the sales queue."""
    return replace(facts, recent={SALES.id: RecentTickets(opened, burst)})


BURST = TicketFacts(9, "burst", SALES.id, ANNA.customer_user_id, 1, TicketState.NEW)

ALONE: list[Row] = [
    ("report without a ticket", replace(FAILED, delivery_report=True, outgoing_id=5),
     Discard("bounce-without-ticket", SALES.id)),
    ("report that proves nothing", replace(FACTS, delivery_report=True),
     Hold("delivery-report", SALES.id)),
    ("report with a number", replace(
        answering(FACTS, proven=T1), delivery_report=True, outgoing_id=None),
     Hold("delivery-report", SALES.id)),
    ("own mail", replace(FACTS, own_mail=True), Reject("own-mail", replies.OWN_MAIL, SALES.id)),
    ("to postmaster T2", replace(answering(ALLOWED), queue=None), Hold("postmaster", None)),
    ("20th ticket", in_a_storm(FACTS, 19), OpenTicket("allowed", SALES.id)),
    ("21st ticket", in_a_storm(FACTS, 20), OpenTicket("burst", SALES.id, burst=True)),
    ("22nd ticket", in_a_storm(FACTS, 21, BURST),
     AppendArticle("burst", 9, SALES.id, flag=Flag.BURST)),
    ("22nd ticket, not verified", in_a_storm(NEUTRAL, 21, BURST),
     AppendArticle("burst", 9, SALES.id, flag=NOT_VERIFIED, answers=False)),
    ("22nd ticket, automatic", in_a_storm(replace(FACTS, automatic=True), 21, BURST),
     AppendArticle("burst", 9, SALES.id, flag=Flag.BURST, answers=False)),
    ("storm in another queue", replace(FACTS, recent={SUPPORT.id: RecentTickets(20)}),
     OpenTicket("allowed", SALES.id)),
    ("follow-up in a storm", in_a_storm(answering(ALLOWED), 20), added()),
]  # fmt: skip


def rows() -> Iterator[Row]:
    """Yield each row for an open ticket and for the three rules of closed ones."""
    for what, facts, case, outcomes in TABLE:
        for closed, outcome in zip((None, *CLOSED), outcomes, strict=True):
            state = f"closed, {closed}" if closed else "open"
            yield f"{what}, {state}", answering(facts, closed=closed, **case), outcome  # type: ignore[arg-type]
    yield from ALONE

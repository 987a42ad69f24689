"""The main table of table D as rows: each line with what happens under each sender policy.

The table of follow-ups is in ``follow_up_rows``.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from core.intake import replies
from core.intake.decision import Hold, OpenTicket, Outcome, Reject
from core.intake.facts import Facts, PortalFacts
from core.intake.identify import Match, MatchKind
from core.mail.authentication.findings import DmarcPolicy
from core.organisation import QueueFacts
from core.words import (
    Evidence,
    EvidenceDemand,
    Flag,
    ForbiddenRule,
    Permission,
    SenderPolicy,
    StrangersRule,
)
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
    with_queue,
)

RW = Permission.RW
POLICIES = (SenderPolicy.OPEN, SenderPolicy.BALANCED, SenderPolicy.STRICT)


def matched(facts: Facts, kind: MatchKind, **fields: object) -> Facts:
    """Return the facts with another match; nobody's access unless it is Anna's."""
    match = Match(kind, **fields)
    own = facts.access if match.account is ANNA and kind is not MatchKind.INVALID_ACCOUNT else None
    return replace(facts, match=match, access=own)


def neutral(facts: Facts) -> Facts:
    """Return the facts of a mail that nothing proves or disproves (V1)."""
    return with_evidence(facts, Evidence.NEUTRAL)


def doubtful(facts: Facts) -> Facts:
    """Return the facts of a mail about which name servers did not answer (V1)."""
    facts = neutral(facts)
    return replace(facts, sender=replace(facts.sender, doubt=True))


def failed(facts: Facts, policy: DmarcPolicy | None = None, *, own: bool = False) -> Facts:
    """Return the facts of a mail that is not from whom it says (V0)."""
    facts = with_evidence(facts, Evidence.FAILED)
    return replace(facts, sender=replace(facts.sender, policy=policy, own_address=own))


def away(facts: Facts) -> Facts:
    """Return the facts of a mail whose sender a customer source that is away may know."""
    return replace(facts, source_away=("crm",))


def in_portal(queue: QueueFacts) -> Facts:
    """Return the facts of a new ticket that Anna writes in the portal (V3)."""
    facts = replace(with_evidence(FACTS, Evidence.PORTAL), queue=None, known_recipient=False)
    return replace(facts, portal=PortalFacts(queue, None, close=False))


KNOWN = FACTS  # M1
FORBIDDEN = replace(FACTS, access=access(Technik=RW))
WITH_NUMBER = matched(FACTS, MatchKind.ADDRESS_AND_NUMBER, account=ANNA)  # M2
NEW_ADDRESS = replace(  # M3
    matched(FACTS, MatchKind.KNOWN_DOMAIN, customer=MUSTER), access=access(Vertrieb=RW)
)
NUMBER_ONLY = matched(FACTS, MatchKind.NUMBER_ONLY, customer=MUSTER, numbers=("K-1000",))  # M4
CONFLICT = matched(FACTS, MatchKind.CONFLICT, candidates=(ANNA,), numbers=("K-2000",))  # M5
STRANGER = matched(FACTS, MatchKind.UNKNOWN)  # M6
AMBIGUOUS = matched(FACTS, MatchKind.AMBIGUOUS, candidates=(ANNA, BEN))  # M7
SETTLED = matched(FACTS, MatchKind.ADDRESS_AND_NUMBER, account=ANNA, candidates=(ANNA, BEN))  # M7
INVALID = matched(FACTS, MatchKind.INVALID_ACCOUNT, account=replace(ANNA, valid=False))  # M8
KNOWN_INVALID = matched(  # M8, as it is found by address
    FACTS, MatchKind.INVALID_ACCOUNT, candidates=(replace(ANNA, valid=False),)
)
INVALID_CUSTOMER = matched(  # M8, by number
    FACTS, MatchKind.INVALID_ACCOUNT, customer=replace(MUSTER, valid=False), numbers=("K-1000",)
)
TWO_NUMBERS = matched(FACTS, MatchKind.CONFLICT, numbers=("K-1000", "K-2000"))  # M5

REFUSES_STRANGERS = with_queue(STRANGER, strangers=StrangersRule.REJECT)
TAKES_STRANGERS = with_queue(STRANGER, strangers=StrangersRule.ACCEPT)
REFUSES_FORBIDDEN = with_queue(FORBIDDEN, forbidden=ForbiddenRule.REJECT)
DIVERTS_FORBIDDEN = with_queue(FORBIDDEN, forbidden=ForbiddenRule.FALLBACK)
NEW_ADDRESS_FORBIDDEN = with_queue(
    replace(NEW_ADDRESS, access=access()), forbidden=ForbiddenRule.REJECT
)
DEMANDING = with_queue(FACTS, evidence=EvidenceDemand.VERIFIED)


@dataclass(frozen=True)
class Fate:
    """What becomes of a mail, what its server is told, and whether its sender gets an answer."""

    outcome: Outcome
    reply: str = "250 2.0.0"
    answered: bool = False


def filed(
    reason: str = "allowed",
    flag: Flag | None = None,
    queue: int = SALES.id,
    *,
    answered: bool = False,
) -> Fate:
    """Return that a ticket is opened."""
    return Fate(OpenTicket(reason, queue, flag), answered=answered)


def held(reason: str) -> Fate:
    """Return that the mail is held, and nobody told."""
    return Fate(Hold(reason, SALES.id))


def refused(reason: str, reply: str = "550 5.7.1", queue: int | None = SALES.id) -> Fate:
    """Return that the mail is refused."""
    return Fate(Reject(reason, _REPLIES[reply], queue), reply)


_REPLIES = {
    "550 5.7.1": replies.NOT_PERMITTED,
    "550 5.7.26": replies.SPOOFED,
    "550 5.1.1": replies.UNKNOWN_RECIPIENT,
    "554 5.4.6": replies.OWN_MAIL,
}

ANSWERED = filed(answered=True)
FLAGGED = filed(flag=Flag.SENDER_NOT_VERIFIED)
FILED_IN_PORTAL = filed("portal", answered=True)
DIVERTED = filed("fallback", queue=SUPPORT.id, answered=True)
DIVERTED_FLAGGED = filed("fallback", Flag.SENDER_NOT_VERIFIED, SUPPORT.id)
NEW_ANSWERED = filed(flag=Flag.NEW_ADDRESS, answered=True)
NEW_FLAGGED = filed(flag=Flag.NEW_ADDRESS)
GUEST_ANSWERED = filed("stranger", Flag.STRANGER, answered=True)
GUEST = filed("stranger", Flag.STRANGER)

NOT_VERIFIED = held("sender-not-verified")
NOT_ALLOWED = held("queue-forbidden")
NUMBER = held("number-from-unknown-address")
CONTRADICTION = held("number-conflict")
SEVERAL = held("ambiguous-address")
NOBODY = held("stranger")
NOT_LOOKED_UP = held("source-away")
ENDED = held("account-invalid")
SPOOFED = held("spoofed")
UNCLEAR = held("sender-unclear")

NO_QUEUE = refused("queue-forbidden")
NO_STRANGER = refused("stranger")
NO_ACCOUNT = refused("account-invalid")
NO_SPOOF = refused("spoofed")
DISOWNED = refused("spoofed", "550 5.7.26")
NO_SENDER = refused("sender-unclear")
OURS = refused("own-address")
CAME_BACK = refused("own-mail", "554 5.4.6")
NO_ADDRESS = refused("unknown-recipient", "550 5.1.1", None)

Line = tuple[str, Facts, Fate, Fate, Fate]

# What the line is, the facts, and its fate under the policies open, balanced and strict.
LINES: list[Line] = [
    ("V3, queue allowed", in_portal(SALES),
     FILED_IN_PORTAL, FILED_IN_PORTAL, FILED_IN_PORTAL),
    ("V3, queue not allowed", in_portal(SUPPORT),
     *3 * (refused("queue-forbidden", queue=SUPPORT.id),)),
    # verified
    ("V2 M1, queue allowed", KNOWN, ANSWERED, ANSWERED, ANSWERED),
    ("V2 M2, queue allowed", WITH_NUMBER, ANSWERED, ANSWERED, ANSWERED),
    ("V2 M7 and number, queue allowed", SETTLED, ANSWERED, ANSWERED, ANSWERED),
    ("V2 M1, queue that demands that", DEMANDING, ANSWERED, ANSWERED, ANSWERED),
    ("V2 M1, queue not allowed", FORBIDDEN, NOT_ALLOWED, NOT_ALLOWED, NO_QUEUE),
    ("V2 M1, queue not allowed, it refuses", REFUSES_FORBIDDEN, NO_QUEUE, NO_QUEUE, NO_QUEUE),
    ("V2 M1, queue not allowed, it diverts", DIVERTS_FORBIDDEN, DIVERTED, DIVERTED, DIVERTED),
    ("V2 M3, queue allowed", NEW_ADDRESS, NEW_ANSWERED, NEW_ANSWERED, NEW_ANSWERED),
    ("V2 M3, queue not allowed", NEW_ADDRESS_FORBIDDEN, NOT_ALLOWED, NOT_ALLOWED, NOT_ALLOWED),
    ("V2 M4", NUMBER_ONLY, NUMBER, NUMBER, NUMBER),
    ("V2 M5", CONFLICT, CONTRADICTION, CONTRADICTION, CONTRADICTION),
    ("V2 M6, queue holds", STRANGER, NOBODY, NOBODY, NOBODY),
    ("V2 M6, queue refuses", REFUSES_STRANGERS, NO_STRANGER, NO_STRANGER, NO_STRANGER),
    ("V2 M6, queue takes them", TAKES_STRANGERS, GUEST_ANSWERED, GUEST_ANSWERED, GUEST_ANSWERED),
    ("V2 M7", AMBIGUOUS, SEVERAL, SEVERAL, SEVERAL),
    ("V2 M8", INVALID, ENDED, ENDED, NO_ACCOUNT),
    # neither proven nor disproven
    ("V1 M1, queue allowed", neutral(KNOWN), ANSWERED, FLAGGED, FLAGGED),
    ("V1 M2, queue allowed", neutral(WITH_NUMBER), ANSWERED, FLAGGED, FLAGGED),
    ("V1 M7 and number, queue allowed", neutral(SETTLED), ANSWERED, NOT_VERIFIED, NOT_VERIFIED),
    ("V1 M1, queue that demands V2", neutral(DEMANDING), ANSWERED, NOT_VERIFIED, NOT_VERIFIED),
    ("V1 M1, queue not allowed", neutral(FORBIDDEN), NOT_ALLOWED, NOT_ALLOWED, NOT_ALLOWED),
    ("V1 M1, queue not allowed, it refuses", neutral(REFUSES_FORBIDDEN),
     NO_QUEUE, NO_QUEUE, NO_QUEUE),
    ("V1 M1, queue not allowed, it diverts", neutral(DIVERTS_FORBIDDEN),
     DIVERTED, DIVERTED_FLAGGED, DIVERTED_FLAGGED),
    ("V1 M3, queue allowed", neutral(NEW_ADDRESS), NEW_FLAGGED, NOT_VERIFIED, NOT_VERIFIED),
    ("V1 M3, queue not allowed", neutral(NEW_ADDRESS_FORBIDDEN),
     NOT_ALLOWED, NOT_VERIFIED, NOT_VERIFIED),
    ("V1 M4", neutral(NUMBER_ONLY), NUMBER, NUMBER, NUMBER),
    ("V1 M5", neutral(CONFLICT), CONTRADICTION, CONTRADICTION, CONTRADICTION),
    ("V1 M6, queue holds", neutral(STRANGER), NOBODY, NOBODY, NO_STRANGER),
    ("V1 M6, queue refuses", neutral(REFUSES_STRANGERS), NO_STRANGER, NO_STRANGER, NO_STRANGER),
    ("V1 M6, queue takes them", neutral(TAKES_STRANGERS), GUEST, GUEST, GUEST),
    ("V1 M7", neutral(AMBIGUOUS), SEVERAL, SEVERAL, SEVERAL),
    ("V1 M8", neutral(INVALID), ENDED, ENDED, NO_ACCOUNT),
    # not proven because name servers did not answer
    ("V1 M1, doubt", doubtful(KNOWN), ANSWERED, NOT_VERIFIED, NOT_VERIFIED),
    ("V1 M6, doubt", doubtful(STRANGER), NOBODY, NOT_VERIFIED, NOT_VERIFIED),
    ("V1 M8, doubt", doubtful(INVALID), ENDED, NOT_VERIFIED, NOT_VERIFIED),
    # a customer source is away: known here, if only from a copy
    ("V2 M1, source away", away(KNOWN), ANSWERED, ANSWERED, ANSWERED),
    ("V2 M2, source away", away(replace(WITH_NUMBER, match=SETTLED.match)),
     ANSWERED, ANSWERED, ANSWERED),
    ("V1 M1, source away", away(neutral(KNOWN)), ANSWERED, FLAGGED, FLAGGED),
    ("V2 M5, source away", away(CONFLICT), CONTRADICTION, CONTRADICTION, CONTRADICTION),
    ("V2 M7, source away", away(AMBIGUOUS), SEVERAL, SEVERAL, SEVERAL),
    ("V2 M8, source away", away(KNOWN_INVALID), ENDED, ENDED, NO_ACCOUNT),
    # ... and perhaps known only there
    ("V2 M3, source away", away(NEW_ADDRESS), NOT_LOOKED_UP, NOT_LOOKED_UP, NOT_LOOKED_UP),
    ("V2 M4, source away", away(NUMBER_ONLY), NOT_LOOKED_UP, NOT_LOOKED_UP, NOT_LOOKED_UP),
    ("V2 M5 by numbers alone, source away", away(TWO_NUMBERS),
     NOT_LOOKED_UP, NOT_LOOKED_UP, NOT_LOOKED_UP),
    ("V2 M6, source away", away(STRANGER), NOT_LOOKED_UP, NOT_LOOKED_UP, NOT_LOOKED_UP),
    ("V2 M6, queue refuses, source away", away(REFUSES_STRANGERS),
     NOT_LOOKED_UP, NOT_LOOKED_UP, NOT_LOOKED_UP),
    ("V2 M6, queue takes them, source away", away(TAKES_STRANGERS),
     NOT_LOOKED_UP, NOT_LOOKED_UP, NOT_LOOKED_UP),
    ("V2 M8 by number alone, source away", away(INVALID_CUSTOMER),
     NOT_LOOKED_UP, NOT_LOOKED_UP, NOT_LOOKED_UP),
    ("V1 M6, source away", away(neutral(STRANGER)), NOT_LOOKED_UP, NOT_LOOKED_UP, NOT_LOOKED_UP),
    ("V1 M6, doubt, source away", away(doubtful(STRANGER)),
     NOT_LOOKED_UP, NOT_LOOKED_UP, NOT_LOOKED_UP),
    ("V0, p=reject, source away", away(failed(STRANGER, DmarcPolicy.REJECT)),
     DISOWNED, DISOWNED, DISOWNED),
    ("unknown recipient, source away",
     away(replace(STRANGER, known_recipient=False, queue=None)),
     NO_ADDRESS, NO_ADDRESS, NO_ADDRESS),
    # disproven
    ("V0, p=reject", failed(KNOWN, DmarcPolicy.REJECT), DISOWNED, DISOWNED, DISOWNED),
    ("V0, p=quarantine", failed(KNOWN, DmarcPolicy.QUARANTINE), SPOOFED, SPOOFED, NO_SPOOF),
    ("V0, p unknown", failed(KNOWN, DmarcPolicy.UNKNOWN), SPOOFED, SPOOFED, NO_SPOOF),
    ("V0, malformed From", failed(KNOWN), UNCLEAR, UNCLEAR, NO_SENDER),
    ("V0, our own domain", failed(KNOWN, own=True), OURS, OURS, OURS),
    ("V0, our own mail", replace(failed(KNOWN, own=True), own_mail=True),
     CAME_BACK, CAME_BACK, CAME_BACK),
    # before any sender
    ("unknown recipient", replace(FACTS, known_recipient=False, queue=None),
     NO_ADDRESS, NO_ADDRESS, NO_ADDRESS),
]  # fmt: skip


def cells() -> Iterator[tuple[str, Facts, Fate]]:
    """Yield each line under each policy."""
    for name, facts, *fates in LINES:
        for policy, fate in zip(POLICIES, fates, strict=True):
            yield f"{name}: {policy}", with_policy(facts, policy), fate

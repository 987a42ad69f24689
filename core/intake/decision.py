"""What can become of a mail for one recipient: one frozen value per outcome."""

from dataclasses import dataclass
from typing import ClassVar

from core.intake.incoming import Reply
from core.intake.replies import accepted
from core.words import DecisionKind, Flag


@dataclass(frozen=True, slots=True)
class OpenTicket:
    """Open a ticket in a queue; the customer is the one that the facts matched.

    ``linked_to`` is a closed ticket that this one continues.
    """

    kind: ClassVar[DecisionKind] = DecisionKind.OPEN_TICKET

    reason: str
    queue_id: int
    flag: Flag | None = None
    linked_to: int | None = None


@dataclass(frozen=True, slots=True)
class AppendArticle:
    """Add an article to a ticket of the sender's."""

    kind: ClassVar[DecisionKind] = DecisionKind.APPEND_ARTICLE

    reason: str
    ticket_id: int
    queue_id: int
    reopen: bool = False
    close: bool = False


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep the mail where staff decide; it is filed nowhere until then."""

    kind: ClassVar[DecisionKind] = DecisionKind.HOLD

    reason: str
    queue_id: int | None


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse the mail for this recipient with a permanent reply."""

    kind: ClassVar[DecisionKind] = DecisionKind.REJECT

    reason: str
    reply: Reply
    queue_id: int | None = None


Outcome = OpenTicket | AppendArticle | Hold | Reject

# What a rule can answer; the contract has more words than there are rules for.
FATES = (OpenTicket.kind, AppendArticle.kind, Hold.kind, Reject.kind)


def reply_to(outcome: Outcome, reference: str) -> Reply:
    """Return what is answered to the mail with this reference: one that is kept names it."""
    return outcome.reply if isinstance(outcome, Reject) else accepted(reference)


@dataclass(frozen=True, slots=True)
class Step:
    """One line of an explanation: which rule, what it answered, and why.

    ``because`` is a message id with ``%(name)s`` places, filled from ``values`` when it is shown,
    so that staff read it in their language.
    """

    rule: str
    answer: str
    because: str
    values: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """An outcome with the steps that led to it, for one recipient."""

    outcome: Outcome
    steps: tuple[Step, ...]

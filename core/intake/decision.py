"""What can become of a mail for one recipient: one frozen value per outcome."""

from dataclasses import dataclass
from typing import ClassVar

from core.intake.incoming import Reply
from core.intake.replies import accepted
from core.words import DecisionKind, Flag, Priority, TicketState


@dataclass(frozen=True, slots=True)
class OpenTicket:
    """Open a ticket in a queue; the customer is the one that the facts matched.

    ``linked_to`` is a ticket that this one continues, or may belong to. ``burst`` makes it the
    ticket that gathers what its account goes on to send. ``priority``, ``state`` and ``tags`` are
    what routing rules want it to have.
    """

    kind: ClassVar[DecisionKind] = DecisionKind.OPEN_TICKET

    reason: str
    queue_id: int
    flag: Flag | None = None
    linked_to: int | None = None
    burst: bool = False
    priority: Priority = Priority.NORMAL
    state: TicketState = TicketState.NEW
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AppendArticle:
    """Add an article to a ticket, for its customer to see or (``visible`` False) for staff only.

    ``answers`` says that the customer has answered: a ticket that waited for that is open again.
    ``reopen`` opens a closed one. Without either, the ticket's state stays what it is. ``tags`` are
    those that routing rules add to the ticket's.
    """

    kind: ClassVar[DecisionKind] = DecisionKind.APPEND_ARTICLE

    reason: str
    ticket_id: int
    queue_id: int
    visible: bool = True
    flag: Flag | None = None
    answers: bool = True
    reopen: bool = False
    close: bool = False
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep the mail where staff decide; it is filed nowhere until then."""

    kind: ClassVar[DecisionKind] = DecisionKind.HOLD

    reason: str
    queue_id: int | None


@dataclass(frozen=True, slots=True)
class Discard:
    """Keep the mail's bytes and do nothing.

    A report about a mail that belongs to no ticket, or what a routing rule ignores.
    """

    kind: ClassVar[DecisionKind] = DecisionKind.DISCARD

    reason: str
    queue_id: int | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse the mail for this recipient with a permanent reply."""

    kind: ClassVar[DecisionKind] = DecisionKind.REJECT

    reason: str
    reply: Reply
    queue_id: int | None = None


@dataclass(frozen=True, slots=True)
class Defer:
    """Keep nothing of the mail: its server comes again later. No rule answers this."""

    kind: ClassVar[DecisionKind] = DecisionKind.DEFER

    reason: str
    reply: Reply
    queue_id: int | None = None


Outcome = OpenTicket | AppendArticle | Hold | Discard | Reject | Defer

# What a rule can answer, and so what a mail that was taken in can have become.
FATES = (OpenTicket.kind, AppendArticle.kind, Hold.kind, Discard.kind, Reject.kind)


def reply_to(outcome: Outcome, reference: str) -> Reply:
    """Return what is answered to the mail with this reference: one that is kept names it."""
    return outcome.reply if isinstance(outcome, Reject | Defer) else accepted(reference)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a rule answers, and why, as a message id with its values."""

    outcome: Outcome
    because: str
    values: tuple[tuple[str, str], ...] = ()


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
    """An outcome with the steps that led to it, for one recipient.

    ``fitted`` are the ids of the routing rules that the mail fitted, in their order.
    """

    outcome: Outcome
    steps: tuple[Step, ...]
    fitted: tuple[int, ...] = ()

"""The facts that a decision is made from, for one message and one recipient."""

from dataclasses import dataclass

from core.accounts.permissions import Access
from core.intake.identify import Match
from core.organisation import Organisation, QueueFacts
from core.words import Evidence, FollowUp, SenderPolicy, TicketState


@dataclass(frozen=True, slots=True)
class SenderFacts:
    """Who the message says it is from, and how far that is proven."""

    address: str  # comparison key of the one From mailbox, "" when there is none
    evidence: Evidence
    why: str  # message id
    own_address: bool = False  # From is in a domain of ours although the mail is from outside


@dataclass(frozen=True, slots=True)
class TicketFacts:
    """A ticket that is written to."""

    id: int
    public_id: str
    queue_id: int
    customer_user_id: int | None
    customer_id: int | None
    state: TicketState


@dataclass(frozen=True, slots=True)
class PortalFacts:
    """What a signed-in customer user asked for; ``ticket`` is None for a new one."""

    queue: QueueFacts | None
    ticket: TicketFacts | None
    close: bool


@dataclass(frozen=True, slots=True)
class ReleaseFacts:
    """Staff release the mail to this queue; ``chosen`` when they named the account."""

    queue: QueueFacts
    chosen: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a rule may look at. No rule looks at anything else."""

    organisation: Organisation
    recipient: str
    known_recipient: bool
    queue: QueueFacts | None  # that the recipient names; None for postmaster
    sender: SenderFacts
    match: Match
    access: Access | None  # of the matched account, or of its customer alone
    hops: int = 0
    delivery_report: bool = False
    unreadable: bool = False
    portal: PortalFacts | None = None
    release: ReleaseFacts | None = None

    @property
    def policy(self) -> SenderPolicy:
        """The sender policy in force."""
        return self.organisation.settings.sender_policy

    @property
    def verified(self) -> bool:
        """Whether the sender counts as verified: the ``open`` policy takes neutral for it."""
        if self.sender.evidence is Evidence.NEUTRAL:
            return self.policy is SenderPolicy.OPEN
        return self.sender.evidence in {Evidence.PORTAL, Evidence.VERIFIED}

    @property
    def strict(self) -> bool:
        """Whether the ``strict`` policy is in force."""
        return self.policy is SenderPolicy.STRICT

    def follow_up_of(self, ticket: TicketFacts) -> FollowUp:
        """Return what the ticket's queue says about writing to a closed ticket."""
        return self.organisation.queues[ticket.queue_id].follow_up

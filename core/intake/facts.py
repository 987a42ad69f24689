"""The facts that a decision is made from, for one message and one recipient."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from core.accounts.permissions import Access
from core.intake.blocklist import BlockedEntry
from core.intake.identify import Match
from core.intake.sources_asked import NOBODY_ASKED, SourcesAsked
from core.mail.authentication.findings import DmarcPolicy
from core.mail.content_check import CLEAN, ContentVerdict
from core.organisation import Organisation, QueueFacts
from core.routing.content import Content
from core.words import Evidence, FollowUp, SenderPolicy, TicketState


@dataclass(frozen=True, slots=True)
class SenderFacts:
    """Who the message says it is from, and how far that is proven."""

    address: str  # comparison key of the one From mailbox, "" when there is none
    evidence: Evidence
    why: str  # message id
    own_address: bool = False  # From is in a domain of ours although the mail is from outside
    policy: DmarcPolicy | None = None  # what the domain asks for that does not confirm the mail
    doubt: bool = False  # neutral perhaps only because name servers did not answer


@dataclass(frozen=True, slots=True)
class Reader:
    """The account that a ticket belongs to, as far as mail to it is concerned."""

    address: str
    language: str
    notices: bool


@dataclass(frozen=True, slots=True)
class TicketFacts:
    """A ticket that is written to.

    ``reader`` is None without a valid account; ``customer_valid`` is False without a customer.
    """

    id: int
    public_id: str
    queue_id: int
    customer_user_id: int | None
    customer_id: int | None
    state: TicketState
    requester: str = ""
    reader: Reader | None = None
    customer_valid: bool = False
    number: int = 0


class TicketClue(StrEnum):
    """By what a mail names the ticket that it answers, as the step of an explanation says it."""

    NUMBER = "number"
    OURS = "token"  # in the address or the fields, and only we can make one
    CONTRADICTION = "contradiction"  # a token of ours, beside the number of another ticket


class Relation(StrEnum):
    """What the sender of a mail is to a ticket."""

    PARTICIPANT = "participant"  # whose ticket it is
    COLLEAGUE = "colleague"  # another person of the same customer
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class FollowUpFacts:
    """The ticket that a mail says it belongs to, and whether the sender has a part in it.

    ``proven`` is true for a token of ours (T2 in table D), false for a number in the subject (T1).
    ``allowed`` says that the sender may still write to the ticket's queue, ``may_reply`` that they
    may also see and answer this ticket in the portal. ``contradicted_by`` are the numbers in the
    subject where all of them name other tickets than the token.
    """

    ticket: TicketFacts
    proven: bool
    relation: Relation
    allowed: bool
    may_reply: bool = False
    contradicted_by: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class RecentTickets:
    """What an account that sends much has opened in a queue during the last ten minutes.

    ``burst`` is the ticket that gathers what is too much, if there is one that is not closed.
    """

    opened: int
    burst: TicketFacts | None = None


@dataclass(frozen=True, slots=True)
class PortalFacts:
    """What a signed-in customer user asked for; ``ticket`` is None for a new one."""

    queue: QueueFacts | None
    ticket: TicketFacts | None
    close: bool


@dataclass(frozen=True, slots=True)
class ReleaseFacts:
    """Staff release the mail to this queue; ``chosen`` when they named the account.

    With ``to_ticket`` it is added to a ticket of the queue: that of ``Facts.follow_up``.
    """

    queue: QueueFacts
    chosen: bool
    to_ticket: bool = False


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
    automatic: bool = False  # written by a machine, or sent with the null reverse-path
    wants_no_answer: bool = False  # by a machine; so also mail that can be unsubscribed from
    delivery_report: bool = False
    unreadable: bool = False
    own_mail: bool = False  # one of ours that has come back
    blocked: BlockedEntry | None = None  # what the blocklist has against a mail
    checked: ContentVerdict = CLEAN  # what clamd and rspamd say, if anybody asks them
    outgoing_id: int | None = None  # the mail of ours that a token in this one names
    follow_up: FollowUpFacts | None = None
    recent: Mapping[int, RecentTickets] = field(default_factory=dict)  # by queue
    portal: PortalFacts | None = None
    release: ReleaseFacts | None = None
    content: Content | None = None  # for routing rules: None without any, and for no mail
    asked: SourcesAsked = NOBODY_ASKED
    source_away: tuple[str, ...] = ()  # customer sources that could not say whose mail it is

    @property
    def policy(self) -> SenderPolicy:
        """The sender policy in force."""
        return self.organisation.settings.sender_policy

    @property
    def verified(self) -> bool:
        """Whether the sender counts as verified."""
        return counts_as_verified(self.sender.evidence, self.policy)

    @property
    def strict(self) -> bool:
        """Whether the ``strict`` policy is in force."""
        return self.policy is SenderPolicy.STRICT

    def ticket(self, ticket_id: int) -> TicketFacts:
        """Return one of the tickets that an article can be added to."""
        known = (
            self.portal.ticket if self.portal else None,
            self.follow_up.ticket if self.follow_up else None,
            *(recent.burst for recent in self.recent.values()),
        )
        return next(ticket for ticket in known if ticket is not None and ticket.id == ticket_id)

    def follow_up_of(self, ticket: TicketFacts) -> FollowUp:
        """Return what the ticket's queue says about writing to a closed ticket."""
        return self.organisation.queues[ticket.queue_id].follow_up


def counts_as_verified(evidence: Evidence, policy: SenderPolicy) -> bool:
    """Whether this is evidence enough: the ``open`` policy takes neutral for verified."""
    if evidence is Evidence.NEUTRAL:
        return policy is SenderPolicy.OPEN
    return evidence in {Evidence.PORTAL, Evidence.VERIFIED}

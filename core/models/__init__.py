"""The tables, by subject; import every class from here."""

from core.models.accounts import (
    Customer,
    CustomerDomain,
    CustomerGroup,
    CustomerUser,
    CustomerUserAddress,
    CustomerUserGroup,
    Group,
    Staff,
    StaffGroup,
)
from core.models.audit import AuditEvent
from core.models.base import MAX_ID, Base, now
from core.models.mails import Delivery, IntakeSeen, Mail, RawMail
from core.models.organisation import OrganisationVersion, Queue, QueueAddress, Setting
from core.models.outgoing import (
    AccountToken,
    AddressLink,
    AutoResponseText,
    BouncingAddress,
    NumberClaim,
    OutgoingMail,
    PasswordRequest,
    ReplyTemplate,
    TicketMute,
)
from core.models.routing import BlockedSender, RoutingRule
from core.models.sessions import SignInThrottle, WebSession
from core.models.sources import CustomerSource, RecordConflict
from core.models.tickets import (
    Article,
    Attachment,
    Ticket,
    TicketLink,
    TicketSeen,
    TicketTag,
    ticket_id_of,
    ticket_number,
)

__all__ = [
    "MAX_ID",
    "AccountToken",
    "AddressLink",
    "Article",
    "Attachment",
    "AuditEvent",
    "AutoResponseText",
    "Base",
    "BlockedSender",
    "BouncingAddress",
    "Customer",
    "CustomerDomain",
    "CustomerGroup",
    "CustomerSource",
    "CustomerUser",
    "CustomerUserAddress",
    "CustomerUserGroup",
    "Delivery",
    "Group",
    "IntakeSeen",
    "Mail",
    "NumberClaim",
    "OrganisationVersion",
    "OutgoingMail",
    "PasswordRequest",
    "Queue",
    "QueueAddress",
    "RawMail",
    "RecordConflict",
    "ReplyTemplate",
    "RoutingRule",
    "Setting",
    "SignInThrottle",
    "Staff",
    "StaffGroup",
    "Ticket",
    "TicketLink",
    "TicketMute",
    "TicketSeen",
    "TicketTag",
    "WebSession",
    "now",
    "ticket_id_of",
    "ticket_number",
]

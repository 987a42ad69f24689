"""The words of the product as they are stored: one enumeration per closed vocabulary."""

from enum import StrEnum


class Validity(StrEnum):
    """*Gültig* of a customer user (handbook: "ungültig" bzw. "ungültig-temporär")."""

    VALID = "valid"
    INVALID = "invalid"
    INVALID_TEMPORARILY = "invalid-temporarily"


class Permission(StrEnum):
    """What a group grants: ``ro`` sees, ``rw`` sees, writes and creates."""

    RO = "ro"
    RW = "rw"


class Role(StrEnum):
    """What a member of staff may do: an agent works queues, an admin also configures."""

    AGENT = "agent"
    ADMIN = "admin"


class FollowUp(StrEnum):
    """What happens when somebody writes to a closed ticket of a queue."""

    POSSIBLE = "possible"
    REJECT = "reject"
    NEW_TICKET = "new-ticket"


class ForbiddenRule(StrEnum):
    """What happens to mail of a customer who may not write to the queue."""

    HOLD = "hold"
    REJECT = "reject"
    FALLBACK = "fallback"


class StrangersRule(StrEnum):
    """What happens to mail whose sender is no customer."""

    HOLD = "hold"
    REJECT = "reject"
    ACCEPT = "accept"


class SenderPolicy(StrEnum):
    """How much evidence of the sender is asked for (table D of the threat model)."""

    OPEN = "open"
    BALANCED = "balanced"
    STRICT = "strict"


class Evidence(StrEnum):
    """How sure we are who sent a mail, from best to worst."""

    PORTAL = "portal"
    VERIFIED = "verified"
    NEUTRAL = "neutral"
    FAILED = "failed"


class EvidenceDemand(StrEnum):
    """How much evidence of the sender a queue asks for, beyond what the sender policy does."""

    ANY = "any"
    VERIFIED = "verified"


class MatchedBy(StrEnum):
    """By what a mail was matched to a customer."""

    ADDRESS = "address"
    NUMBER = "number"
    ADDRESS_AND_NUMBER = "address+number"
    DOMAIN = "domain"
    NONE = "none"


class DecisionKind(StrEnum):
    """What became of a mail for one recipient."""

    OPEN_TICKET = "open-ticket"
    APPEND_ARTICLE = "append-article"
    HOLD = "hold"
    DISCARD = "discard"
    REJECT = "reject"
    DEFER = "defer"


class HeldState(StrEnum):
    """Where a held mail stands."""

    WAITING = "waiting"
    RELEASED = "released"
    DISCARDED = "discarded"


class Protocol(StrEnum):
    """By which way a message came in."""

    SMTP = "smtp"
    LMTP = "lmtp"
    DELIVER = "deliver"
    PORTAL = "portal"


class TicketState(StrEnum):
    """Where a ticket stands; ``waiting`` waits for the customer."""

    NEW = "new"
    OPEN = "open"
    WAITING = "waiting"
    CLOSED = "closed"


class Priority(StrEnum):
    """How urgent a ticket is."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"


class Author(StrEnum):
    """Who wrote an article: ``unknown`` is a sender without an account."""

    CUSTOMER = "customer"
    STAFF = "staff"
    UNKNOWN = "unknown"


class Flag(StrEnum):
    """What staff should know about an article or its ticket before trusting it."""

    SENDER_NOT_VERIFIED = "sender-not-verified"
    NEW_ADDRESS = "new-address"
    STRANGER = "stranger"
    UNREADABLE = "unreadable"
    OTHER_PERSON = "other-person"  # of the same customer
    FOREIGN_ADDRESS = "foreign-address"  # with a token of the ticket: a forwarded mail
    AUTOMATIC = "automatic"  # a machine wrote it: no state changes, nobody is answered
    SENDER_UNCLEAR = "sender-unclear"
    DELIVERY_REPORT = "delivery-report"
    BURST = "burst"  # a ticket that gathers what came too fast for tickets of its own


class RoutingScope(StrEnum):
    """Which mail a routing rule is asked about: what names a ticket of ours is a follow-up."""

    NEW = "new"
    FOLLOW_UP = "follow-up"
    BOTH = "both"


class BlockedKind(StrEnum):
    """What an entry of the blocklist names."""

    ADDRESS = "address"
    DOMAIN = "domain"  # and all below it
    PEER = "peer"  # an IP address or a network, of the client


class SourceConflict(StrEnum):
    """Why a record of a customer source needs somebody to look at it."""

    LOGIN = "login"  # an earlier source, or an account kept here, has it: not brought in
    ADDRESS = "address"  # another account has it, too: mail from it is ambiguous
    KEY = "key"  # a second record with one key: not brought in
    FAULTY = "faulty"  # something in it cannot be stored: not brought in


class AccountKind(StrEnum):
    """Which kind of account signed in or acted."""

    CUSTOMER = "customer"
    STAFF = "staff"


class ActorKind(StrEnum):
    """Who caused an audit event."""

    CUSTOMER = "customer"
    STAFF = "staff"
    MAIL = "mail"
    SYSTEM = "system"


class AutoResponse(StrEnum):
    """The answers that a queue gives by itself; the values are kinds of outgoing mail, too."""

    RECEIVED = "received"
    FOLLOW_UP = "follow-up-received"
    REJECTED = "follow-up-rejected"
    NEW_TICKET = "new-ticket"  # from a reply to a closed one


class OutgoingKind(StrEnum):
    """What an outgoing mail is."""

    REPLY = "reply"  # what staff wrote to a customer
    NOTICE = "notice"  # a visible article of somebody else
    RECEIVED = AutoResponse.RECEIVED.value
    FOLLOW_UP = AutoResponse.FOLLOW_UP.value
    REJECTED = AutoResponse.REJECTED.value
    NEW_TICKET = AutoResponse.NEW_TICKET.value
    PASSWORD_RESET = "password-reset"  # noqa: S105 - a kind, not a password
    INVITATION = "invitation"
    ADDRESS_LINK = "address-link"  # to an address that is to be proven
    ADDRESS_CHANGED = "address-changed"  # to the one that is not the main one any more
    HELD_REFUSED = "held-refused"  # to the sender of held mail that staff refuse
    NUMBER_CLAIM = "number-claim"  # to a registered contact: did you write this?
    DIGEST = "digest"  # to staff: what waits for a decision


class OutgoingState(StrEnum):
    """Where an outgoing mail stands; only ``waiting`` changes by itself.

    ``suppressed`` was never tried: a cap or a rule against loops stopped it.
    """

    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"
    BOUNCED = "bounced"
    CANCELLED = "cancelled"
    SUPPRESSED = "suppressed"


class TokenPurpose(StrEnum):
    """What a link with a secret in it lets its holder do, once."""

    RESET = "reset"
    INVITATION = "invitation"

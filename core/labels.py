"""The stored words as people read them: one vocabulary for pages, console and mails.

Words are keyed by their enumeration, for "hold" as a rule of a queue reads differently from
"hold" as the fate of a mail. Reasons of decisions and names of rules are no enumerations: a rule
is added without changing a table of the database.
"""

from collections.abc import Mapping
from enum import StrEnum

from core.i18n import N_, gettext
from core.intake.assumed import Assumed
from core.intake.facts import TicketClue
from core.intake.identify import MatchKind
from core.intake.sources_asked import SourcesAnswer
from core.mail.authentication.findings import Result
from core.routing.rule import Ending, Field, Join, Operator
from core.words import (
    Author,
    AutoResponse,
    BlockedKind,
    DecisionKind,
    Evidence,
    EvidenceDemand,
    Flag,
    FollowUp,
    ForbiddenRule,
    HeldState,
    MatchedBy,
    OutgoingKind,
    OutgoingState,
    Permission,
    Priority,
    Protocol,
    Role,
    RoutingScope,
    SenderPolicy,
    SourceConflict,
    StrangersRule,
    TicketState,
    Validity,
)

_WORDS: Mapping[type[StrEnum], Mapping[StrEnum, str]] = {
    SourceConflict: {
        SourceConflict.LOGIN: N_("Login already taken"),
        SourceConflict.ADDRESS: N_("Address of several accounts"),
        SourceConflict.KEY: N_("Key not unique"),
        SourceConflict.FAULTY: N_("Faulty record"),
    },
    TicketState: {
        TicketState.NEW: N_("New"),
        TicketState.OPEN: N_("Open"),
        TicketState.WAITING: N_("Waiting for customer"),
        TicketState.CLOSED: N_("Closed"),
    },
    Priority: {
        Priority.LOW: N_("Low"),
        Priority.NORMAL: N_("Normal"),
        Priority.HIGH: N_("High"),
        Priority.URGENT: N_("Urgent"),
    },
    Validity: {
        Validity.VALID: N_("valid"),
        Validity.INVALID: N_("invalid"),
        Validity.INVALID_TEMPORARILY: N_("invalid temporarily"),
    },
    Role: {Role.AGENT: N_("Agent"), Role.ADMIN: N_("Admin")},
    Permission: {Permission.RO: N_("Read"), Permission.RW: N_("Read and write")},
    DecisionKind: {
        DecisionKind.OPEN_TICKET: N_("New ticket"),
        DecisionKind.APPEND_ARTICLE: N_("Added to a ticket"),
        DecisionKind.HOLD: N_("Held"),
        DecisionKind.DISCARD: N_("Discarded"),
        DecisionKind.REJECT: N_("Rejected"),
        DecisionKind.DEFER: N_("Deferred"),
    },
    HeldState: {
        HeldState.WAITING: N_("Waiting for a decision"),
        HeldState.RELEASED: N_("Released"),
        HeldState.DISCARDED: N_("Discarded"),
    },
    Evidence: {
        Evidence.PORTAL: N_("Signed in to the portal"),
        Evidence.VERIFIED: N_("Sender verified"),
        Evidence.NEUTRAL: N_("Sender neither verified nor refuted"),
        Evidence.FAILED: N_("Sender refuted or unclear"),
    },
    MatchedBy: {
        MatchedBy.ADDRESS: N_("by the mail address"),
        MatchedBy.NUMBER: N_("by the Kunden# only"),
        MatchedBy.ADDRESS_AND_NUMBER: N_("by mail address and Kunden#"),
        MatchedBy.DOMAIN: N_("by Kunden# and mail domain"),
        MatchedBy.NONE: N_("not matched"),
    },
    SourcesAnswer: {
        SourcesAnswer.ANSWERED: N_("answered"),
        SourcesAnswer.AWAY: N_("not reachable"),
    },
    TicketClue: {
        TicketClue.NUMBER: N_("Number in the subject"),
        TicketClue.OURS: N_("Token of ours"),
        TicketClue.CONTRADICTION: N_("Token and number disagree"),
    },
    MatchKind: {
        MatchKind.ADDRESS: N_("Address known"),
        MatchKind.ADDRESS_AND_NUMBER: N_("Address and Kunden# agree"),
        MatchKind.KNOWN_DOMAIN: N_("New address of a known domain"),
        MatchKind.NUMBER_ONLY: N_("Only the Kunden# known"),
        MatchKind.CONFLICT: N_("Contradiction"),
        MatchKind.UNKNOWN: N_("Unknown"),
        MatchKind.AMBIGUOUS: N_("Ambiguous"),
        MatchKind.INVALID_ACCOUNT: N_("Account invalid"),
    },
    Flag: {
        Flag.SENDER_NOT_VERIFIED: N_("Sender not verified"),
        Flag.NEW_ADDRESS: N_("New address of a known domain"),
        Flag.STRANGER: N_("Unknown sender"),
        Flag.UNREADABLE: N_("Not fully readable"),
        Flag.OTHER_PERSON: N_("Another person of the customer"),
        Flag.FOREIGN_ADDRESS: N_("From an address that is not the customer's"),
        Flag.AUTOMATIC: N_("Automatic mail"),
        Flag.SENDER_UNCLEAR: N_("Sender unclear"),
        Flag.DELIVERY_REPORT: N_("Delivery report"),
        Flag.BURST: N_("Many mails at once"),
    },
    OutgoingKind: {
        OutgoingKind.REPLY: N_("Reply to the customer"),
        OutgoingKind.NOTICE: N_("Notice"),
        OutgoingKind.RECEIVED: N_("Confirmation: received"),
        OutgoingKind.FOLLOW_UP: N_("Confirmation: reply received"),
        OutgoingKind.REJECTED: N_("Reply to a closed ticket refused"),
        OutgoingKind.NEW_TICKET: N_("Confirmation: new ticket from a closed one"),
        OutgoingKind.PASSWORD_RESET: N_("New password"),
        OutgoingKind.INVITATION: N_("Invitation"),
        OutgoingKind.HELD_REFUSED: N_("Held mail refused"),
        OutgoingKind.NUMBER_CLAIM: N_("Question about a Kunden#"),
        OutgoingKind.DIGEST: N_("Digest of held mail"),
        OutgoingKind.ADDRESS_LINK: N_("Confirmation of a mail address"),
        OutgoingKind.ADDRESS_CHANGED: N_("Notice of another main address"),
    },
    OutgoingState: {
        OutgoingState.WAITING: N_("Waiting to be sent"),
        OutgoingState.SENT: N_("Sent"),
        OutgoingState.FAILED: N_("Not sent"),
        OutgoingState.BOUNCED: N_("Came back"),
        OutgoingState.CANCELLED: N_("Cancelled"),
        OutgoingState.SUPPRESSED: N_("Not wanted"),
    },
    AutoResponse: {
        AutoResponse.RECEIVED: N_("Confirmation: received"),
        AutoResponse.FOLLOW_UP: N_("Confirmation: reply received"),
        AutoResponse.REJECTED: N_("Reply to a closed ticket refused"),
        AutoResponse.NEW_TICKET: N_("Confirmation: new ticket from a closed one"),
    },
    Author: {
        Author.CUSTOMER: N_("Customer"),
        Author.STAFF: N_("Support"),
        Author.UNKNOWN: N_("Unknown sender"),
    },
    Protocol: {
        Protocol.SMTP: N_("Mail (SMTP)"),
        Protocol.LMTP: N_("Mail (LMTP)"),
        Protocol.DELIVER: N_("Mail (schalter deliver)"),
        Protocol.PORTAL: N_("Portal"),
    },
    SenderPolicy: {
        SenderPolicy.OPEN: N_("Open: unproven senders count as verified"),
        SenderPolicy.BALANCED: N_("Balanced: unproven senders are marked or held"),
        SenderPolicy.STRICT: N_("Strict: what is held otherwise is mostly refused"),
    },
    FollowUp: {
        FollowUp.POSSIBLE: N_("opens the ticket again"),
        FollowUp.REJECT: N_("is refused"),
        FollowUp.NEW_TICKET: N_("makes a new ticket"),
    },
    ForbiddenRule: {
        ForbiddenRule.HOLD: N_("Hold for staff"),
        ForbiddenRule.REJECT: N_("Refuse"),
        ForbiddenRule.FALLBACK: N_("File in a queue that the customer may use"),
    },
    StrangersRule: {
        StrangersRule.HOLD: N_("Hold for staff"),
        StrangersRule.REJECT: N_("Refuse"),
        StrangersRule.ACCEPT: N_("Accept and mark"),
    },
    Result: {
        Result.PASS: N_("passed"),
        Result.FAIL: N_("not passed"),
        Result.SOFTFAIL: N_("rather not passed"),
        Result.NEUTRAL: N_("says nothing"),
        Result.NONE: N_("does not count"),
        Result.POLICY: N_("too weak"),
        Result.TEMPERROR: N_("no answer"),
        Result.PERMERROR: N_("faulty"),
    },
    Assumed: {
        Assumed.SIGNED: N_("Verified: signed by the sender's domain (DKIM)"),
        Assumed.NOTHING: N_("Not verified: nothing speaks for or against the sender"),
        Assumed.QUARANTINE: N_("Refuted: DMARC fails, and the domain asks to suspect such mail"),
        Assumed.REJECT: N_("Refuted: DMARC fails, and the domain asks to refuse such mail"),
        Assumed.HEADER: N_("As the header says, if a relay of ours hands the mail over"),
        Assumed.FOUND: N_("As it was found when the mail came in"),
    },
    RoutingScope: {
        RoutingScope.NEW: N_("New mail"),
        RoutingScope.FOLLOW_UP: N_("Replies to tickets"),
        RoutingScope.BOTH: N_("New mail and replies"),
    },
    Join: {Join.ALL: N_("All of these hold"), Join.ANY: N_("Any of these holds")},
    Field: {
        Field.SUBJECT: N_("Subject of the mail"),
        Field.TEXT: N_("Text of the mail"),
        Field.FROM: N_("Address of the sender (From)"),
        Field.MAIL_FROM: N_("Envelope sender"),
        Field.RECIPIENT: N_("Envelope recipient"),
        Field.HEADER: N_("Header field"),
        Field.ATTACHMENT: N_("Name of an attachment"),
        Field.SIZE: N_("Size in bytes"),
        Field.EVIDENCE: N_("Evidence of the sender"),
        Field.CUSTOMER_NUMBER: N_("Kunden# of the sender"),
        Field.CUSTOMER_USER: N_("Login of the sender"),
        Field.PEER: N_("IP address of the sending server"),
    },
    Operator: {
        Operator.CONTAINS: N_("contains"),
        Operator.EQUALS: N_("is exactly"),
        Operator.BEGINS: N_("begins with"),
        Operator.ENDS: N_("ends with"),
        Operator.MATCHES: N_("matches the regular expression"),
        Operator.EXISTS: N_("is there"),
        Operator.MORE: N_("is more than"),
        Operator.WITHIN: N_("is within the domain or network"),
    },
    Ending: {
        Ending.HOLD: N_("Hold the mail for staff"),
        Ending.REJECT: N_("Refuse the mail"),
        Ending.IGNORE: N_("Ignore the mail"),
    },
    BlockedKind: {
        BlockedKind.ADDRESS: N_("Mail address"),
        BlockedKind.DOMAIN: N_("Domain"),
        BlockedKind.PEER: N_("Server"),
    },
    EvidenceDemand: {
        EvidenceDemand.ANY: N_("As much evidence as the trust in senders asks for"),
        EvidenceDemand.VERIFIED: N_("A verified sender, else hold for staff"),
    },
}

REASONS: Mapping[str, str] = {
    "allowed": N_("Account may write to the queue"),
    "fallback": N_("Queue not permitted, filed in another"),
    "portal": N_("Written in the portal"),
    "released": N_("Released by staff"),
    "reply": N_("Reply in the portal"),
    "reply-reopens": N_("Reply opened the ticket again"),
    "reply-to-closed": N_("Reply to a closed ticket made a new one"),
    "same-queue": N_("Second address of the same queue"),
    "same-ticket": N_("Second address with the same ticket"),
    "follow-up": N_("Reply to a ticket"),
    "follow-up-reopens": N_("Reply by mail opened the ticket again"),
    "follow-up-other": N_("Reply of another person of the customer"),
    "follow-up-foreign": N_("Reply from an address that is not the customer's"),
    "follow-up-unclear": N_("Reply of an unclear sender"),
    "follow-up-automatic": N_("Automatic reply to a ticket"),
    "burst": N_("Too many tickets at once"),
    "stranger": N_("Unknown sender"),
    "queue-forbidden": N_("Queue not permitted"),
    "ticket-closed": N_("Ticket is closed"),
    "account-invalid": N_("Account invalid"),
    "ticket-foreign": N_("Ticket of somebody else"),
    "account-undecided": N_("Several accounts in question"),
    "ambiguous-address": N_("Address of several accounts"),
    "number-conflict": N_("Kunden# contradicts the address"),
    "number-from-unknown-address": N_("Kunden# from an unknown address"),
    "number-confirmed": N_("Kunden# confirmed by the customer"),
    "sender-not-verified": N_("Sender not verified"),
    "sender-unclear": N_("Sender unclear"),
    "spoofed": N_("Sender probably forged"),
    "blocked": N_("Sender blocked"),
    "own-address": N_("Own address from outside"),
    "delivery-report": N_("Delivery report"),
    "bounce": N_("Delivery report about a mail of ours"),
    "bounce-without-ticket": N_("Delivery report without a ticket"),
    "automatic": N_("Automatic mail with a ticket number"),
    "postmaster": N_("Mail to postmaster"),
    "held-by-rule": N_("Held by a routing rule"),
    "rejected-by-rule": N_("Refused by a routing rule"),
    "ignored-by-rule": N_("Ignored by a routing rule"),
    "own-mail": N_("Mail of ours that came back"),
    "too-many-hops": N_("Mail goes in circles"),
    "unknown-recipient": N_("Unknown recipient"),
    "malware": N_("Malware"),
    "spam": N_("Probably spam"),
    "content-not-checked": N_("Not checked for malware and spam"),
    "source-away": N_("Customer source did not answer"),
    "unreadable": N_("Could not be handled"),
}

RULES: Mapping[str, str] = {
    "recipient": N_("Recipient"),
    "sender": N_("Sender"),
    "sources": N_("Customer sources"),
    "identify": N_("Account"),
    "permission": N_("Permission"),
    "thread": N_("Ticket that it answers"),
    "released_by_staff": N_("Released by staff"),
    "portal_reply": N_("Reply in the portal"),
    "portal_ticket": N_("Ticket from the portal"),
    "unknown_recipient": N_("Unknown recipient"),
    "own_mail_back": N_("Mail of ours that came back"),
    "too_many_hops": N_("Mail goes in circles"),
    "report_on_our_mail": N_("Delivery report about a mail of ours"),
    "blocked_sender": N_("Blocklist"),
    "own_address_from_outside": N_("Own address from outside"),
    "token_of_unclear_sender": N_("Reply of an unclear sender"),
    "unclear_sender": N_("Sender unclear"),
    "spoofed_sender": N_("Sender probably forged"),
    "malware_found": N_("Malware"),
    "spam_found": N_("Probably spam"),
    "content_not_checked": N_("Not checked for malware and spam"),
    "source_away": N_("Customer source did not answer"),
    "doubtful_sender": N_("Sender could not be checked"),
    "evidence_demanded": N_("Queue demands a verified sender"),
    "delivery_report": N_("Delivery report"),
    "postmaster": N_("Mail to postmaster"),
    "routing_rule": N_("Routing rule"),
    "automatic_follow_up": N_("Automatic reply to a ticket"),
    "number_conflict": N_("Kunden# contradicts the address"),
    "ambiguous_address": N_("Address of several accounts"),
    "invalid_account": N_("Account invalid"),
    "unverified_shared_address": N_("Shared address, sender not verified"),
    "ticket_out_of_reach": N_("Queue of the ticket not permitted"),
    "own_follow_up": N_("Reply to an own ticket"),
    "follow_up_of_colleague": N_("Reply of another person of the customer"),
    "follow_up_of_foreigner": N_("Reply from an address that is not the customer's"),
    "stranger": N_("Unknown sender"),
    "number_from_unknown_address": N_("Kunden# from an unknown address"),
    "number_confirmed": N_("Kunden# confirmed by the customer"),
    "number_denied": N_("The customer does not know the sender"),
    "unverified_known_domain": N_("New address, sender not verified"),
    "queue_forbidden": N_("Queue not permitted"),
    "automatic_with_number": N_("Automatic mail with a ticket number"),
    "file_it": N_("Account may write to the queue"),
    "too_many_tickets": N_("Too many tickets at once"),
    "unreadable": N_("Could not be handled"),
}


def label(word: StrEnum) -> str:
    """Return a stored word in the reader's language. Raises ``KeyError`` for one without text."""
    return gettext(_WORDS[type(word)][word])


def reason_label(reason: str) -> str:
    """Return the reason of a decision in the reader's language; an old one as it is stored."""
    return gettext(REASONS[reason]) if reason in REASONS else reason


def rule_label(rule: str) -> str:
    """Return the name of a rule in the reader's language; an old one as it is stored."""
    return gettext(RULES[rule]) if rule in RULES else rule

"""The rules of intake, in order: the first answer wins.

Each rule is a function of the facts that answers with an outcome, or with None when it has
nothing to say. Together they are table D of the threat model; a row of the table is named where
its rule is.
"""

from collections.abc import Callable
from typing import assert_never

from core.i18n import N_
from core.intake import replies
from core.intake.decision import (
    Answer,
    AppendArticle,
    Hold,
    OpenTicket,
    Reject,
)
from core.intake.facts import Facts
from core.intake.follow_ups import (
    automatic_follow_up,
    automatic_with_number,
    follow_up_of_colleague,
    follow_up_of_foreigner,
    own_follow_up,
    own_mail_back,
    released_to_ticket,
    report_on_our_mail,
    suggested_link,
    ticket_out_of_reach,
    token_of_unclear_sender,
)
from core.intake.identify import MatchKind
from core.intake.routing import Routed, routing_rule
from core.mail.authentication.findings import DmarcPolicy
from core.words import (
    Evidence,
    Flag,
    FollowUp,
    ForbiddenRule,
    StrangersRule,
    TicketState,
)

MAX_HOPS = 50  # Received fields; threat L5


Rule = Callable[[Facts], Answer | Routed | None]


def released_by_staff(facts: Facts) -> Answer | None:
    """Staff vouch for the sender; what the account may write to still holds."""
    if facts.release is None:
        return None
    queue = facts.release.queue
    name = (("queue", queue.name),)
    undecided = facts.match.kind in {MatchKind.CONFLICT, MatchKind.AMBIGUOUS}
    if undecided and not facts.release.chosen:
        return Answer(
            Hold("account-undecided", queue.id),
            N_("Several accounts come into question: choose the one that the mail is from."),
        )
    if facts.match.kind is MatchKind.INVALID_ACCOUNT:
        return Answer(
            Hold("account-invalid", queue.id),
            N_("The account is invalid: make it valid, or choose another one."),
        )
    if facts.release.to_ticket:
        return released_to_ticket(facts, queue.id)
    if facts.access is None:
        return Answer(
            OpenTicket("released", queue.id, Flag.STRANGER),
            N_("Released by staff to %(queue)s, without a customer."),
            name,
        )
    if not facts.access.may_write(queue.id):
        return Answer(
            Hold("queue-forbidden", queue.id),
            N_(
                "The account may not write to %(queue)s: "
                "give it the right, or choose another queue."
            ),
            name,
        )
    return Answer(OpenTicket("released", queue.id), N_("Released by staff to %(queue)s."), name)


def portal_reply(facts: Facts) -> Answer | None:
    """A reply in the portal to a ticket that may be seen and written to (row V3)."""
    if facts.portal is None or facts.portal.ticket is None:
        return None
    ticket = facts.portal.ticket
    if facts.access is None or not facts.access.may_reply(ticket):
        return Answer(
            Reject("queue-forbidden", replies.NOT_PERMITTED, ticket.queue_id),
            N_("The account may not write to this ticket."),
        )
    if ticket.state is not TicketState.CLOSED:
        return Answer(
            AppendArticle("reply", ticket.id, ticket.queue_id, close=facts.portal.close),
            N_("A reply to an open ticket of the account."),
        )
    return _reply_to_closed(facts)


def _reply_to_closed(facts: Facts) -> Answer:
    assert facts.portal is not None and facts.portal.ticket is not None
    ticket = facts.portal.ticket
    follow_up = facts.follow_up_of(ticket)
    match follow_up:
        case FollowUp.POSSIBLE:
            return Answer(
                AppendArticle(
                    "reply-reopens",
                    ticket.id,
                    ticket.queue_id,
                    reopen=not facts.portal.close,
                    close=facts.portal.close,
                ),
                N_("A reply to a closed ticket; its queue lets it be opened again."),
            )
        case FollowUp.REJECT:
            return Answer(
                Reject("ticket-closed", replies.NOT_PERMITTED, ticket.queue_id),
                N_("The ticket is closed, and its queue takes no replies to closed tickets."),
            )
        case FollowUp.NEW_TICKET:
            return Answer(
                OpenTicket("reply-to-closed", ticket.queue_id, linked_to=ticket.id),
                N_("The ticket is closed; its queue wants a new ticket, linked to it."),
            )
        case _:
            assert_never(follow_up)


def portal_ticket(facts: Facts) -> Answer | None:
    """A new ticket from the portal, only in a queue that may be written to (row V3)."""
    if facts.portal is None:
        return None
    queue = facts.portal.queue
    if queue is None or facts.access is None or not facts.access.may_write(queue.id):
        return Answer(
            Reject("queue-forbidden", replies.NOT_PERMITTED, queue.id if queue else None),
            N_("The account may not write to this queue."),
        )
    return Answer(
        OpenTicket("portal", queue.id),
        N_("Written in the portal; the account may write to %(queue)s."),
        (("queue", queue.name),),
    )


def unknown_recipient(facts: Facts) -> Answer | None:
    """No queue has this address (any more)."""
    if facts.known_recipient:
        return None
    return Answer(
        Reject("unknown-recipient", replies.UNKNOWN_RECIPIENT),
        N_("No valid queue has the address %(recipient)s."),
        (("recipient", facts.recipient),),
    )


def too_many_hops(facts: Facts) -> Answer | None:
    """A mail that goes in circles (threat L5)."""
    if facts.hops <= MAX_HOPS:
        return None
    return Answer(
        Reject("too-many-hops", replies.LOOP, _queue_id(facts)),
        N_("%(hops)s servers have passed the mail on, more than %(limit)s: it goes in circles."),
        (("hops", str(facts.hops)), ("limit", str(MAX_HOPS))),
    )


def blocked_sender(facts: Facts) -> Answer | None:
    """Admins have blocked the sender or the client, for new mail and replies alike.

    The reply is that to strangers, so it tells nobody that there is a list. Reports about mail of
    ours come first: refusing them would only let us write on to addresses that are gone.
    """
    if facts.blocked is None:
        return None
    return Answer(
        Reject("blocked", replies.NOT_PERMITTED, _queue_id(facts)),
        N_("%(entry)s is on the blocklist."),
        (("entry", facts.blocked.value),),
    )


def own_address_from_outside(facts: Facts) -> Answer | None:
    """Nobody outside writes with an address of ours (row V0, our own domain)."""
    if not facts.sender.own_address:
        return None
    return Answer(
        Reject("own-address", replies.NOT_PERMITTED, _queue_id(facts)),
        N_("The sender %(address)s is an address of ours, but the mail comes from outside."),
        (("address", facts.sender.address),),
    )


def spoofed_sender(facts: Facts) -> Answer | None:
    """The domain of the sender disowns the mail (row V0, DMARC): never attached to a ticket.

    ``strict`` refuses also what the domain only suspects.
    """
    policy = facts.sender.policy
    if policy is None:
        return None
    if policy is DmarcPolicy.REJECT:
        return Answer(Reject("spoofed", replies.SPOOFED, _queue_id(facts)), facts.sender.why)
    if facts.strict:
        return Answer(Reject("spoofed", replies.NOT_PERMITTED, _queue_id(facts)), facts.sender.why)
    return Answer(Hold("spoofed", _queue_id(facts)), facts.sender.why)


def malware_found(facts: Facts) -> Answer | None:
    """A checker found malware: nothing of it gets to a ticket, not even for staff alone."""
    if not facts.checked.malware:
        return None
    return Answer(
        Hold("malware", _queue_id(facts)),
        N_("The mail contains malware: %(name)s."),
        (("name", facts.checked.malware),),
    )


def spam_found(facts: Facts) -> Answer | None:
    """A checker takes the mail for spam: staff decide, for checkers err."""
    if not facts.checked.spam:
        return None
    return Answer(
        Hold("spam", _queue_id(facts)),
        N_("The mail is probably spam: %(found)s."),
        (("found", facts.checked.spam),),
    )


def content_not_checked(facts: Facts) -> Answer | None:
    """A checker that is asked about mail could not tell: what it would say is not known."""
    if not facts.checked.failed:
        return None
    return Answer(
        Hold("content-not-checked", _queue_id(facts)),
        N_("The mail could not be checked for malware and spam (%(why)s)."),
        (("why", facts.checked.failed),),
    )


def unclear_sender(facts: Facts) -> Answer | None:
    """Not exactly one clean From mailbox (row V0, malformed or multiple From)."""
    if facts.sender.evidence is not Evidence.FAILED:
        return None
    if facts.strict:
        return Answer(
            Reject("sender-unclear", replies.NOT_PERMITTED, _queue_id(facts)), facts.sender.why
        )
    return Answer(Hold("sender-unclear", _queue_id(facts)), facts.sender.why)


def delivery_report(facts: Facts) -> Answer | None:
    """A report of a mail server (RFC 3464) opens no ticket."""
    if not facts.delivery_report:
        return None
    return Answer(
        Hold("delivery-report", _queue_id(facts)),
        N_("A mail server's report about a mail that was sent, not a customer's mail."),
    )


def postmaster(facts: Facts) -> Answer | None:
    """Mail to postmaster where no queue has that address: staff decide."""
    if facts.queue is not None:
        return None
    return Answer(
        Hold("postmaster", None), N_("Mail to postmaster, which no queue has as an address.")
    )


def source_away(facts: Facts) -> Answer | None:
    """No account has the address, and a source that may have one did not answer.

    Which of the rows M1 to M8 it is cannot be told then. Before routing rules, which may ask who
    the sender is. Who is known, if only from the last good copy of a record, is decided as always.
    """
    if not facts.source_away or facts.match.candidates:
        return None
    return Answer(
        Hold("source-away", _queue_id(facts)),
        N_(
            "Nobody here has the address of the sender; the customer source that may know it "
            "did not answer: %(sources)s."
        ),
        (("sources", ", ".join(facts.source_away)),),
    )


def doubtful_sender(facts: Facts) -> Answer | None:
    """Name servers did not answer: a doubt is held, whatever the sender would be refused for."""
    if not facts.sender.doubt or facts.verified:
        return None
    return Answer(Hold("sender-not-verified", _queue_id(facts)), facts.sender.why)


def number_conflict(facts: Facts) -> Answer | None:
    """The Kunden# contradicts the account of the address, or itself (row M5)."""
    if facts.match.kind is not MatchKind.CONFLICT:
        return None
    return Answer(
        Hold("number-conflict", _queue_id(facts)),
        N_("The Kunden# in the mail (%(numbers)s) and the sender's account contradict each other."),
        (("numbers", ", ".join(facts.match.numbers)),),
    )


def ambiguous_address(facts: Facts) -> Answer | None:
    """Several accounts have the address, and no Kunden# settles it (row M7)."""
    if facts.match.kind is not MatchKind.AMBIGUOUS:
        return None
    return Answer(
        Hold("ambiguous-address", _queue_id(facts)),
        N_("Several accounts have this address: %(logins)s."),
        (("logins", ", ".join(account.login for account in facts.match.candidates)),),
    )


def invalid_account(facts: Facts) -> Answer | None:
    """The account, or its customer, is not valid (row M8)."""
    if facts.match.kind is not MatchKind.INVALID_ACCOUNT:
        return None
    because = N_("The account that the mail is from is invalid.")
    if facts.strict:
        return Answer(Reject("account-invalid", replies.NOT_PERMITTED, _queue_id(facts)), because)
    return Answer(Hold("account-invalid", _queue_id(facts)), because)


def stranger(facts: Facts) -> Answer | None:
    """Nobody we know: the queue's rule for strangers (row M6).

    The ``strict`` policy refuses what would be held, unless the sender is verified (row V1, M6).
    """
    if facts.match.kind is not MatchKind.UNKNOWN or facts.queue is None:
        return None
    queue = facts.queue
    match queue.strangers:
        case StrangersRule.HOLD:
            because = N_("Nobody we know has the address of the sender.")
            if facts.strict and not facts.verified:
                return Answer(Reject("stranger", replies.NOT_PERMITTED, queue.id), because)
            return Answer(Hold("stranger", queue.id), because)
        case StrangersRule.REJECT:
            return Answer(
                Reject("stranger", replies.NOT_PERMITTED, queue.id),
                N_("Nobody we know has the address of the sender; %(queue)s refuses strangers."),
                (("queue", queue.name),),
            )
        case StrangersRule.ACCEPT:
            return Answer(
                OpenTicket("stranger", queue.id, Flag.STRANGER),
                N_("Nobody we know has the address of the sender, but %(queue)s takes strangers."),
                (("queue", queue.name),),
            )
        case _:
            assert_never(queue.strangers)


def number_from_unknown_address(facts: Facts) -> Answer | None:
    """A Kunden# alone proves nothing (row M4)."""
    if facts.match.kind is not MatchKind.NUMBER_ONLY:
        return None
    return Answer(
        Hold("number-from-unknown-address", _queue_id(facts)),
        N_("The mail names the Kunden# %(numbers)s, but the address is unknown there."),
        (("numbers", ", ".join(facts.match.numbers)),),
    )


def unverified_known_domain(facts: Facts) -> Answer | None:
    """A new address of a customer's domain must be verified (row M3 with V1)."""
    if facts.match.kind is not MatchKind.KNOWN_DOMAIN or facts.verified:
        return None
    return Answer(
        Hold("sender-not-verified", _queue_id(facts)),
        N_("A new address in a domain of the customer, and the sender could not be verified."),
    )


def unverified_shared_address(facts: Facts) -> Answer | None:
    """A number chose among the accounts of an address; that proves nothing (row M7 with V1)."""
    shared = len(facts.match.candidates) > 1
    if facts.match.kind is not MatchKind.ADDRESS_AND_NUMBER or not shared or facts.verified:
        return None
    return Answer(
        Hold("sender-not-verified", _queue_id(facts)),
        N_("The Kunden# chose one of several accounts, and the sender could not be verified."),
    )


def queue_forbidden(facts: Facts) -> Answer | None:
    """The account may not write to the queue: the queue's rule for that (rows M1, M2, M3: no)."""
    queue = facts.queue
    if queue is None or (facts.access is not None and facts.access.may_write(queue.id)):
        return None
    name = (("queue", queue.name),)
    forbidden = N_("The account may not write to %(queue)s.")
    if facts.match.kind is MatchKind.KNOWN_DOMAIN:
        return Answer(Hold("queue-forbidden", queue.id), forbidden, name)
    match queue.forbidden:
        case ForbiddenRule.HOLD:
            if facts.strict and facts.verified:
                return Answer(
                    Reject("queue-forbidden", replies.NOT_PERMITTED, queue.id), forbidden, name
                )
            return Answer(Hold("queue-forbidden", queue.id), forbidden, name)
        case ForbiddenRule.REJECT:
            return Answer(
                Reject("queue-forbidden", replies.NOT_PERMITTED, queue.id), forbidden, name
            )
        case ForbiddenRule.FALLBACK:
            return _fall_back(facts)
        case _:
            assert_never(queue.forbidden)


def _fall_back(facts: Facts) -> Answer:
    assert facts.queue is not None
    organisation, wanted = facts.organisation, facts.queue
    writable = facts.access.writable_queues if facts.access else ()
    chosen = wanted.fallback_queue_id
    target = chosen if chosen in writable else next(iter(writable), None)
    if target is None:
        return Answer(
            Hold("queue-forbidden", wanted.id),
            N_("The account may not write to %(queue)s, nor to any other queue."),
            (("queue", wanted.name),),
        )
    return Answer(
        OpenTicket("fallback", target, _flag(facts), linked_to=suggested_link(facts)),
        N_("The account may not write to %(queue)s; filed in %(fallback)s, which it may write to."),
        (("queue", wanted.name), ("fallback", organisation.queues[target].name)),
    )


def file_it(facts: Facts) -> Answer | None:
    """A known sender, an allowed queue (rows M1, M2, M3: yes)."""
    if facts.queue is None:
        return None
    return Answer(
        OpenTicket("allowed", facts.queue.id, _flag(facts), linked_to=suggested_link(facts)),
        N_("The account may write to %(queue)s."),
        (("queue", facts.queue.name),),
    )


RULES: tuple[Rule, ...] = (
    released_by_staff,
    portal_reply,
    portal_ticket,
    unknown_recipient,
    own_mail_back,
    too_many_hops,
    report_on_our_mail,
    blocked_sender,
    own_address_from_outside,
    spoofed_sender,
    malware_found,
    spam_found,
    content_not_checked,
    token_of_unclear_sender,
    unclear_sender,
    delivery_report,
    postmaster,
    source_away,
    routing_rule,
    automatic_follow_up,
    doubtful_sender,
    number_conflict,
    ambiguous_address,
    invalid_account,
    unverified_shared_address,
    ticket_out_of_reach,
    own_follow_up,
    follow_up_of_colleague,
    follow_up_of_foreigner,
    stranger,
    number_from_unknown_address,
    unverified_known_domain,
    queue_forbidden,
    automatic_with_number,
    file_it,
)


def _queue_id(facts: Facts) -> int | None:
    return facts.queue.id if facts.queue else None


def _flag(facts: Facts) -> Flag | None:
    if facts.match.kind is MatchKind.KNOWN_DOMAIN:
        return Flag.NEW_ADDRESS
    if facts.unreadable:
        return Flag.UNREADABLE
    return None if facts.verified else Flag.SENDER_NOT_VERIFIED

"""What became of the mails of a customer user, as they read it themselves, and what they can do.

Only mail that was matched to the account by its own address is here: a Kunden# is no secret, so
mail that merely names it may be anybody's. An address can be forged, too. Where the sender was
refuted, nothing is shown; where nothing proves the sender, only that there was a mail, when and
to which address. Its subject is then shown with the ticket it was filed in, for there it is read
anyway (threat model, table D, row V1). What staff wrote about a mail is theirs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, contains_eager

from core.accounts.permissions import Access
from core.audit import Actor
from core.errors import Forbidden, NotFound, Stale
from core.i18n import N_
from core.i18n import gettext as _
from core.intake.decide import decide
from core.intake.decision import OpenTicket
from core.intake.facts import counts_as_verified
from core.intake.gather import gather
from core.intake.held import original, set_ticket, settle
from core.intake.incoming import PortalSubmission, RecipientReceipt
from core.intake.prepare import prepare
from core.intake.record import record_release
from core.intake.refuse import is_refusal, told_why
from core.intake.rows import SAME_QUEUE, SAME_TICKET, Part, trace
from core.models import MAX_ID, Delivery, Mail, Ticket, now
from core.organisation import Organisation, load_organisation
from core.paging import Page, read_page
from core.words import DecisionKind, Evidence, HeldState, MatchedBy, Protocol

MAX_PAGE = 200
BY_OWN_ADDRESS = (MatchedBy.ADDRESS, MatchedBy.ADDRESS_AND_NUMBER)

# What another queue settles. All else is held for reasons that only staff can judge.
FILEABLE = frozenset({"queue-forbidden", "account-invalid"})


class Fate(StrEnum):
    """What became of a mail, as its sender is told."""

    FILED = "filed"
    ADDED = "added"
    PASSED_ON = "passed-on"  # in a ticket that the account may not see
    WAITING = "waiting"
    REFUSED = "refused"
    PUT_ASIDE = "put-aside"


@dataclass(frozen=True, slots=True)
class OwnMail:
    """A mail of an account with its fate; ``why`` is a sentence, "" where nothing is to be said.

    ``subject`` is None where it is not shown, because somebody else may have written it;
    ``doubtful`` says that nothing proves the sender. ``may_file`` says that the account can make
    a ticket of it in another queue.
    """

    id: int
    received_at: datetime
    recipient: str
    subject: str | None
    fate: Fate
    why: str
    ticket: Ticket | None
    doubtful: bool
    may_file: bool


def own_mails(
    session: Session, access: Access, *, cursor: str | None = None, limit: int = 25
) -> Page[OwnMail]:
    """Return a page of the mails of an account, the newest first."""
    page = read_page(
        session,
        _own(access),
        (Delivery.id,),
        descending=True,
        cursor=cursor,
        limit=min(limit, MAX_PAGE),
    )
    return Page(_shown(session, access, page.items), page.previous, page.next)


def own_mail(session: Session, access: Access, delivery_id: int) -> OwnMail:
    """Return one of the mails of an account. Raises ``NotFound`` as if it did not exist."""
    return _shown(session, access, [_delivery(session, access, delivery_id)])[0]


def file_own_mail(
    session: Session, actor: Actor, access: Access, delivery_id: int, queue_id: int
) -> RecipientReceipt:
    """Make a ticket of a mail that its account could not send to where it did.

    The pipeline runs again with the original envelope and bytes, and with the evidence of the
    portal: the account has signed in, and its mail was verified. Raises ``NotFound``, ``Stale``
    for a mail that has been dealt with, and ``Forbidden`` for a queue that may not be written to.
    """
    delivery = _delivery(session, access, delivery_id, lock=True)
    organisation = load_organisation(session, lock=True)
    if not _may_file(organisation, access, delivery):
        raise Stale(_("This mail has been dealt with in the meantime."))
    assert access.customer_user_id is not None  # _delivery finds nothing without an account
    asked = PortalSubmission(access.customer_user_id, queue_id=queue_id)
    prepared = prepare(replace(original(delivery), portal=asked), reference=delivery.mail.reference)
    facts = gather(session, organisation, [prepared])[0][0]
    decision = decide(facts)
    if not isinstance(decision.outcome, OpenTicket):
        raise Forbidden(_("Your account may no longer write there. Nothing was sent."))
    part = Part(
        prepared,
        facts,
        decision,
        b"",
        delivery_id=delivery.id,
        released_by=actor,
        released_at=now(),
    )
    record_release(session, part, delivery.mail_id)
    set_ticket(session, delivery, part)
    delivery.trace = [*delivery.trace, *trace(decision)]
    if delivery.held is HeldState.WAITING:
        settle(session, actor, delivery, HeldState.RELEASED, "")
    return part.receipt()


def _own(access: Access) -> Select[Delivery]:
    """Select the deliveries that are an account's own mail; a second address tells nothing new."""
    return (
        select(Delivery)
        .join(Mail, Mail.id == Delivery.mail_id)
        .where(
            Delivery.customer_user_id == access.customer_user_id,
            Delivery.customer_user_id.is_not(None),
            Delivery.matched_by.in_(BY_OWN_ADDRESS),
            Delivery.reason.not_in((SAME_QUEUE, SAME_TICKET)),
            Mail.protocol != Protocol.PORTAL,
            Mail.evidence != Evidence.FAILED,
        )
        .options(contains_eager(Delivery.mail))
    )


def _delivery(
    session: Session, access: Access, delivery_id: int, *, lock: bool = False
) -> Delivery:
    statement = _own(access).where(Delivery.id == min(delivery_id, MAX_ID))
    if lock:
        statement = statement.with_for_update(of=Delivery)
    delivery = session.scalars(statement).one_or_none()
    if delivery is None:
        raise NotFound(_("There is no such mail."))
    return delivery


def _shown(session: Session, access: Access, deliveries: Sequence[Delivery]) -> tuple[OwnMail, ...]:
    organisation = load_organisation(session)
    named = {each.ticket_id for each in deliveries if each.ticket_id is not None}
    tickets: dict[int, Ticket] = {}
    if named:
        visible = select(Ticket).where(Ticket.id.in_(named), access.visible_tickets())
        tickets = {ticket.id: ticket for ticket in session.scalars(visible)}
    return tuple(
        _as_read(organisation, access, each, tickets.get(each.ticket_id or 0))
        for each in deliveries
    )


def _as_read(
    organisation: Organisation, access: Access, delivery: Delivery, ticket: Ticket | None
) -> OwnMail:
    mail, fate = delivery.mail, _fate(delivery, ticket)
    # Staff may have filed a mail as that of another account than the one it was matched to.
    by_staff = delivery.held is HeldState.RELEASED and delivery.settled_by_id is not None
    is_theirs = _is_verified(organisation, delivery) and not by_staff
    return OwnMail(
        id=delivery.id,
        received_at=mail.received_at,
        recipient=delivery.recipient,
        subject=mail.subject if is_theirs or ticket is not None else None,
        fate=fate,
        why=told_why(delivery.settled_why) or _why(fate, delivery.reason),
        ticket=ticket,
        doubtful=not _is_verified(organisation, delivery),
        may_file=_may_file(organisation, access, delivery),
    )


def _fate(delivery: Delivery, ticket: Ticket | None) -> Fate:
    if delivery.ticket_id is not None:
        if ticket is None:
            return Fate.PASSED_ON
        return Fate.ADDED if delivery.decision is DecisionKind.APPEND_ARTICLE else Fate.FILED
    if delivery.decision is DecisionKind.REJECT or is_refusal(delivery.settled_why):
        return Fate.REFUSED
    return Fate.WAITING if delivery.held is HeldState.WAITING else Fate.PUT_ASIDE


def _is_verified(organisation: Organisation, delivery: Delivery) -> bool:
    return counts_as_verified(delivery.mail.evidence, organisation.settings.sender_policy)


def _may_file(organisation: Organisation, access: Access, delivery: Delivery) -> bool:
    is_open = delivery.held is HeldState.WAITING or (
        delivery.decision is DecisionKind.REJECT and delivery.ticket_id is None
    )
    return (
        is_open
        and delivery.reason in FILEABLE
        and delivery.mail.raw_id is not None
        and _is_verified(organisation, delivery)
        and bool(access.writable_queues)
    )


_NOT_SURE = N_("We could not make sure that this mail came from you.")
_MACHINE = N_("The mail looks as if a machine had sent it.")
_WHY: Mapping[str, str] = {
    "account-invalid": N_("Your account was not valid when the mail arrived."),
    "automatic": _MACHINE,
    "burst": N_("Many mails of yours came within minutes; they are together in one ticket."),
    "delivery-report": _MACHINE,
    "fallback": N_("Your account may not write to this address: the mail went to another queue."),
    "own-address": _NOT_SURE,
    "postmaster": N_("Mail to this address is for those who look after our mail server."),
    "queue-forbidden": N_("Your account may not write to this address."),
    "sender-not-verified": _NOT_SURE,
    "ticket-closed": N_(
        "This ticket is closed and takes no more replies. Please write a new ticket."
    ),
    "too-many-hops": N_("The mail went in circles between mail servers."),
    "unknown-recipient": N_("We do not have this address."),
    "unreadable": N_("Our program could not read the mail."),
}
_OTHERWISE: Mapping[Fate, str] = {
    Fate.WAITING: N_("Our staff look at such mails before they become tickets."),
    Fate.REFUSED: N_("Our rules do not let such mails in."),
}


def _why(fate: Fate, reason: str) -> str:
    """Return why in words for customers: of other reasons, no more than what they come to."""
    sentence = _WHY.get(reason) or _OTHERWISE.get(fate, "")
    return _(sentence) if sentence else ""

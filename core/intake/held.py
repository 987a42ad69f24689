"""What staff do with held mail: release it to a queue, or discard it with a reason."""

from sqlalchemy import select, update
from sqlalchemy.orm import Session, joinedload

from core import audit
from core.accounts.customer_users import add_address
from core.accounts.staff import staff_queue_ids
from core.audit import Actor
from core.errors import Forbidden, Invalid, NotFound, Stale
from core.i18n import gettext as _
from core.intake.decision import OpenTicket
from core.intake.gather import StaffChoice, gather_release
from core.intake.incoming import Envelope, Incoming, RecipientReceipt
from core.intake.prepare import prepare
from core.intake.record import record_release
from core.intake.rows import SAME_QUEUE, Part, trace
from core.intake.rules import decide
from core.models import CustomerUser, Delivery, Mail, Staff, now, ticket_number
from core.organisation import load_organisation
from core.words import ActorKind, HeldState


def held_mail(session: Session, staff: Staff, delivery_id: int, *, lock: bool = True) -> Delivery:
    """Return a held mail that this member of staff may work on.

    An agent works those for the queues they may write to; mail for no queue is the admins'.
    Without ``lock`` it is only looked at. Raises ``NotFound`` for every other.
    """
    statement = (
        select(Delivery)
        .where(Delivery.id == delivery_id, Delivery.held.is_not(None))
        .options(joinedload(Delivery.mail).joinedload(Mail.raw))
    )
    if lock:
        statement = statement.with_for_update(of=Delivery)
    delivery = session.scalars(statement).one_or_none()
    if delivery is None or not _may_work(session, staff, delivery.queue_id):
        raise NotFound(_("There is no such held mail."))
    return delivery


def release(
    session: Session,
    actor: Actor,
    staff: Staff,
    delivery_id: int,
    queue_id: int,
    customer_user_id: int | None = None,
    *,
    remember_address: bool = False,
) -> RecipientReceipt:
    """File a held mail in a queue, as mail of an account where one is named.

    The pipeline runs again with the original envelope, peer and bytes; staff vouch for the
    sender, but the account must be allowed to write to the queue. ``remember_address`` adds the
    From address to the account. Raises ``NotFound``, ``Stale`` when somebody was faster, and
    ``Forbidden`` with the reason when the rules say no.
    """
    delivery = held_mail(session, staff, delivery_id)
    _still_waiting(delivery)
    organisation = load_organisation(session, lock=True)
    queue = organisation.queues.get(queue_id)
    if queue is None or not queue.valid or not _may_work(session, staff, queue_id):
        raise Forbidden(_("You may not file mail in this queue."))
    prepared = prepare(original(delivery), reference=delivery.mail.reference)
    choice = StaffChoice(queue_id, customer_user_id)
    facts = gather_release(session, organisation, prepared, choice)
    decision = decide(facts)
    if not isinstance(decision.outcome, OpenTicket):
        last = decision.steps[-1]
        raise Forbidden(_(last.because, **dict(last.values)))
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
    if facts.match.account is not None:
        delivery.customer_user_id = facts.match.account.customer_user_id
        delivery.customer_id = facts.match.account.customer_id
    delivery.trace = [*delivery.trace, *trace(decision)]
    settle(session, actor, delivery, HeldState.RELEASED, "")
    if remember_address:
        _remember(session, actor, customer_user_id, delivery.mail.from_address)
    return part.receipt()


def discard(session: Session, actor: Actor, staff: Staff, delivery_id: int, why: str) -> None:
    """Put a held mail aside for good; its bytes and the reason are kept.

    Raises ``Invalid`` without a reason, ``NotFound``, and ``Stale`` when somebody was faster.
    """
    if not why.strip():
        raise Invalid("why", _("Please give a reason."))
    delivery = held_mail(session, staff, delivery_id)
    _still_waiting(delivery)
    settle(session, actor, delivery, HeldState.DISCARDED, why.strip())


def original(delivery: Delivery) -> Incoming:
    """Return a held mail as it came in, for its recipient. Raises ``NotFound`` without bytes."""
    mail = delivery.mail
    if mail.raw is None:
        raise NotFound(_("The bytes of this mail are gone."))
    envelope = Envelope(
        mail_from=mail.mail_from,
        recipients=(delivery.recipient,),
        protocol=mail.protocol,
        peer=mail.peer,
        helo=mail.helo,
        tls=mail.tls,
        trusted=mail.trusted,
    )
    return Incoming(envelope, mail.raw.content, mail.received_at)


def set_ticket(session: Session, delivery: Delivery, part: Part) -> None:
    """Say what became of the mail, for every address of the queue that it was sent to."""
    delivery.ticket_id, delivery.article_id = part.ticket_id, part.article_id
    session.execute(
        update(Delivery)
        .where(
            Delivery.mail_id == delivery.mail_id,
            Delivery.queue_id == delivery.queue_id,
            Delivery.reason == SAME_QUEUE,
        )
        .values(ticket_id=part.ticket_id, article_id=part.article_id)
    )


def _may_work(session: Session, staff: Staff, queue_id: int | None) -> bool:
    return staff_queue_ids(session, load_organisation(session), staff).may_work(queue_id)


def _still_waiting(delivery: Delivery) -> None:
    if delivery.held is not HeldState.WAITING:
        raise Stale(_("Somebody else has already dealt with this mail."))


def settle(session: Session, actor: Actor, delivery: Delivery, state: HeldState, why: str) -> None:
    """Say where a held mail stands now, with its audit event; its sender may have done it."""
    delivery.held = state
    delivery.settled_at = now()
    delivery.settled_by_id = actor.id if actor.kind is ActorKind.STAFF else None
    delivery.settled_why = why
    ticket = ticket_number(delivery.ticket_id) if delivery.ticket_id is not None else None
    after = {"held": state, "ticket": ticket, "why": why}
    audit.record(
        session,
        actor,
        state.value,
        "held-mail",
        delivery.id,
        delivery.mail.subject,
        {"held": HeldState.WAITING},
        {key: value for key, value in after.items() if value},
    )


def _remember(session: Session, actor: Actor, customer_user_id: int | None, address: str) -> None:
    if customer_user_id is None or not address:
        raise Invalid("customer_user", _("Choose the account that gets the address."))
    account = session.get_one(CustomerUser, customer_user_id)
    add_address(session, actor, account, address)

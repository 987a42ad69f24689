"""What staff do with held mail: release it, or discard it with a reason.

A release runs the pipeline again, with the original envelope, peer and bytes. Staff vouch for the
sender; whether the account may write there is decided by the same rules as for mail that comes in.
"""

from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session, joinedload

from core import audit
from core.accounts.customer_users import add_address
from core.accounts.managed import decided_there, groups_of_source
from core.accounts.matrix import CellChange, customer_user_cells, save_customer_user_cells
from core.accounts.staff import staff_queue_ids
from core.audit import Actor
from core.errors import Forbidden, Invalid, NotFound, Stale
from core.i18n import gettext as _
from core.intake.again import as_it_came
from core.intake.decide import decide
from core.intake.decision import AppendArticle, Decision, Hold, OpenTicket
from core.intake.facts import Facts
from core.intake.gather import StaffChoice, gather_release
from core.intake.incoming import Incoming, RecipientReceipt
from core.intake.prepare import Prepared, prepare
from core.intake.record import record_release
from core.intake.rows import SAME_QUEUE, Part, trace
from core.models import CustomerUser, Delivery, Group, Mail, Staff, now, ticket_number
from core.organisation import Organisation, QueueFacts, load_organisation
from core.tickets.view import ticket_with_number
from core.words import ActorKind, HeldState, Permission

REFUSED = "refused:"  # stored before the reason that the sender of a mail was told
EXPIRED = "expired"  # stored as the reason where nobody has decided in time
UNDO = timedelta(seconds=30)  # in which a discard can be taken back by who did it


class RightMissing(Forbidden):
    """The account may not write to the queue; an admin can give it the right with the release."""

    def __init__(self, because: str, customer_user_id: int, login: str, queue: QueueFacts) -> None:
        super().__init__(because)
        self.customer_user_id = customer_user_id
        self.login = login
        self.queue = queue


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
    give_right: bool = False,
    only_clear: bool = False,
) -> RecipientReceipt:
    """File a held mail in a queue as a new ticket, as mail of an account where one is named.

    ``remember_address`` adds the From address to the account. With ``give_right`` an admin gives
    the account the permission that is missing, in the same transaction. ``only_clear`` refuses
    what would be filed without an account. Raises ``NotFound``, ``Stale`` when somebody was
    faster, ``RightMissing``, and ``Forbidden`` with the reason when the rules say no.
    """
    delivery = held_mail(session, staff, delivery_id)
    still_waiting(delivery)
    organisation = load_organisation(session, lock=True)
    queue = organisation.queues.get(queue_id)
    if queue is None or not queue.valid or not _may_work(session, staff, queue_id):
        raise Forbidden(_("You may not file mail in this queue."))
    part = _decided(
        session, actor, staff, delivery, StaffChoice(queue_id, customer_user_id), give_right
    )
    if only_clear and part.facts.match.account is None:
        raise Forbidden(_("No account has the address: open the mail and choose whose it is."))
    return _file(session, actor, delivery, part, customer_user_id, remember_address)


def release_to_ticket(
    session: Session,
    actor: Actor,
    staff: Staff,
    delivery_id: int,
    number: int,
    customer_user_id: int | None = None,
    *,
    remember_address: bool = False,
    give_right: bool = False,
) -> RecipientReceipt:
    """Add a held mail to a ticket, as ``release`` otherwise; a merged ticket leads on.

    The account, or its customer, must have a part in the ticket. A closed one is opened again or
    continued by a new one as its queue says. Raises as ``release`` does, and ``Invalid`` for the
    number of no ticket that this member of staff may work on.
    """
    delivery = held_mail(session, staff, delivery_id)
    still_waiting(delivery)
    queues = staff_queue_ids(session, load_organisation(session, lock=True), staff)
    ticket = ticket_with_number(session, queues, number)
    if ticket is None or ticket.queue_id not in queues.writable:
        raise Invalid("ticket", _("There is no ticket with this number that you may work on."))
    choice = StaffChoice(ticket.queue_id, customer_user_id, ticket.id)
    part = _decided(session, actor, staff, delivery, choice, give_right)
    receipt = _file(session, actor, delivery, part, customer_user_id, remember_address)
    session.expire(ticket)  # its row was changed beside it
    return receipt


def discard(session: Session, actor: Actor, staff: Staff, delivery_id: int, why: str) -> None:
    """Put a held mail aside; its bytes and the reason are kept.

    Raises ``Invalid`` without a reason, ``NotFound``, and ``Stale`` when somebody was faster.
    """
    if not why.strip():
        raise Invalid("why", _("Please give a reason."))
    delivery = held_mail(session, staff, delivery_id)
    still_waiting(delivery)
    settle(session, actor, delivery, HeldState.DISCARDED, why.strip())


def may_undo(staff: Staff, delivery: Delivery) -> bool:
    """Whether this member of staff has discarded a mail so lately that it can be taken back.

    What its sender was told cannot be.
    """
    return (
        delivery.held is HeldState.DISCARDED
        and not delivery.settled_why.startswith(REFUSED)
        and delivery.settled_by_id == staff.id
        and delivery.settled_at is not None
        and now() - delivery.settled_at <= UNDO
    )


def undo_discard(session: Session, actor: Actor, staff: Staff, delivery_id: int) -> None:
    """Let a mail wait again that this member of staff has just discarded.

    Raises ``NotFound``, and ``Stale`` once that is too late.
    """
    delivery = held_mail(session, staff, delivery_id)
    if not may_undo(staff, delivery):
        raise Stale(
            _(
                "This can be taken back for %(seconds)d seconds only.",
                seconds=int(UNDO.total_seconds()),
            )
        )
    before = {"held": delivery.held, "why": delivery.settled_why}
    delivery.held = HeldState.WAITING
    delivery.settled_at = delivery.settled_by_id = None
    delivery.settled_why = ""
    audit.record(
        session,
        actor,
        "discard-undone",
        "held-mail",
        delivery.id,
        delivery.mail.subject,
        before,
        {"held": HeldState.WAITING},
    )


def original(delivery: Delivery) -> Incoming:
    """Return a held mail as it came in, for its recipient. Raises ``NotFound`` without bytes."""
    return as_it_came(delivery.mail, [delivery.recipient])


def _decided(
    session: Session,
    actor: Actor,
    staff: Staff,
    delivery: Delivery,
    choice: StaffChoice,
    give_right: bool,
) -> Part:
    """Return what the rules say to a release that they allow. Raises ``Forbidden``."""
    organisation = load_organisation(session)
    prepared = prepare(original(delivery), reference=delivery.mail.reference)
    facts = gather_release(session, organisation, prepared, choice)
    decision = decide(facts)
    if _misses_right(facts, decision):
        _check_given_here(session, facts, decision)
    if give_right and _misses_right(facts, decision):
        _give_right(session, organisation, actor, staff, facts)
        facts = gather_release(session, organisation, prepared, choice)
        decision = decide(facts)
    _check(facts, decision)
    return _part(prepared, facts, decision, delivery, actor)


def _misses_right(facts: Facts, decision: Decision) -> bool:
    """Whether only a permission of an account stands against a release."""
    outcome = decision.outcome
    is_forbidden = isinstance(outcome, Hold) and outcome.reason == "queue-forbidden"
    return is_forbidden and facts.match.account is not None


def _check_given_here(session: Session, facts: Facts, decision: Decision) -> None:
    """Raise ``Forbidden`` where the right that is missing can only be given in a source."""
    assert facts.match.account is not None and facts.release is not None
    account = session.get_one(CustomerUser, facts.match.account.customer_user_id)
    group = session.get_one(Group, facts.release.queue.group_id).name
    if group in groups_of_source(session, account):
        raise Forbidden(f"{_because(decision)} {decided_there(account, group).message}")


def _because(decision: Decision) -> str:
    last = decision.steps[-1]
    return _(last.because, **dict(last.values))


def _give_right(
    session: Session, organisation: Organisation, actor: Actor, staff: Staff, facts: Facts
) -> None:
    """Give the account of a release the group of its queue. Raises ``Forbidden`` for agents."""
    assert facts.match.account is not None and facts.release is not None
    if not staff_queue_ids(session, organisation, staff).everything:
        raise Forbidden(_("Only an admin can give permissions."))
    account = session.get_one(CustomerUser, facts.match.account.customer_user_id)
    group_id = facts.release.queue.group_id
    cell = customer_user_cells(session, organisation, account)[group_id]
    change = CellChange(account.id, group_id, cell.direct, Permission.RW)
    save_customer_user_cells(session, actor, [change])


def _check(facts: Facts, decision: Decision) -> None:
    if isinstance(decision.outcome, OpenTicket | AppendArticle):
        return
    because = _because(decision)
    if _misses_right(facts, decision):
        account, queue = facts.match.account, facts.release.queue if facts.release else None
        assert account is not None and queue is not None
        raise RightMissing(because, account.customer_user_id, account.login, queue)
    raise Forbidden(because)


def _part(
    prepared: Prepared, facts: Facts, decision: Decision, delivery: Delivery, actor: Actor
) -> Part:
    return Part(
        prepared,
        facts,
        decision,
        b"",
        delivery_id=delivery.id,
        released_by=actor,
        released_at=now(),
    )


def _file(
    session: Session,
    actor: Actor,
    delivery: Delivery,
    part: Part,
    customer_user_id: int | None,
    remember_address: bool,
) -> RecipientReceipt:
    record_release(session, part, delivery.mail_id)
    set_ticket(session, delivery, part)
    if part.facts.match.account is not None:
        delivery.customer_user_id = part.facts.match.account.customer_user_id
        delivery.customer_id = part.facts.match.account.customer_id
    delivery.trace = [*delivery.trace, *trace(part.decision)]
    settle(session, actor, delivery, HeldState.RELEASED, "")
    if remember_address:
        _remember(session, actor, customer_user_id, delivery.mail.from_address)
    return part.receipt()


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


def still_waiting(delivery: Delivery) -> None:
    """Raise ``Stale`` when somebody was faster."""
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

"""Merging two tickets of one customer, and splitting a message off into a ticket of its own.

A merged ticket is closed and empty: its articles, mails and links are the target's, and every
number, address and token that names it leads there. Merging is flat: what a ticket was merged
into is itself never merged. Neither merging nor splitting shows a message to somebody who could
not read it before, except to its own author, and to those who see the author's tickets anyway.
"""

from collections import defaultdict
from datetime import datetime

from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.orm import Session

from core import audit
from core.accounts.permissions import (
    Subject,
    access_of,
    customer_user_access,
    valid_account,
)
from core.accounts.staff import StaffQueues, staff_queue_ids
from core.audit import Actor
from core.errors import Invalid, NotFound
from core.i18n import gettext as _
from core.ids import new_public_id
from core.mail.addresses import address_key
from core.models import (
    Article,
    Customer,
    CustomerUser,
    Delivery,
    OutgoingMail,
    Staff,
    Ticket,
    TicketLink,
    TicketMute,
    TicketSeen,
    now,
)
from core.organisation import Organisation, load_organisation
from core.outgoing.compose import subject_of_reply
from core.tickets.changing import record_change, set_state, workable_ticket
from core.tickets.tags import unite_tags
from core.tickets.view import ticket_for_staff, ticket_with_number
from core.words import Author, Flag, TicketState

# What a machine wrote waits for no answer.
_NOBODY_WAITS = frozenset({Flag.AUTOMATIC, Flag.DELIVERY_REPORT})


def merge(
    session: Session,
    actor: Actor,
    staff: Staff,
    public_id: str,
    into_number: int,
    version: int,
) -> Ticket:
    """Merge a ticket into the one with a number; return that.

    ``version`` is that of the merged ticket as it was read. The target keeps its state, so a
    closed one is not opened; its customer has waited as long as that of either. Raises
    ``NotFound``, ``Forbidden``, ``Stale``, and ``Invalid`` for what ``check_merge`` refuses.
    """
    organisation = load_organisation(session, lock=True)
    queues = staff_queue_ids(session, organisation, staff)
    target = merge_target(session, queues, public_id, into_number)
    source = _lock_both(session, queues, public_id, target, version)
    check_merge(session, organisation, source, target)
    _merge_seen(session, source, target)
    _merge_mutes(session, source, target)
    unite_tags(session, source.id, target.id)
    articles = _move_contents(session, source, target)
    target.waiting_since = _older(source.waiting_since, target.waiting_since)
    set_state(source, TicketState.CLOSED)
    source.waiting_since, source.merged_into_id = None, target.id
    record_change(session, actor, source, "merged", {}, {"ticket": target.number})
    record_change(
        session, actor, target, "merged-in", {}, {"ticket": source.number, "articles": articles}
    )
    return target


def merge_target(session: Session, queues: StaffQueues, public_id: str, into_number: int) -> Ticket:
    """Return the ticket that a number names, to be merged into.

    Raises ``NotFound`` for the ticket that is to be merged, and ``Invalid`` for a number that
    names no other one that staff can read.
    """
    source = ticket_for_staff(session, queues, public_id)
    target = ticket_with_number(session, queues, into_number)
    if target is None or target.id == source.id:
        raise Invalid("number", _("There is no other ticket with this number."))
    return target


def check_merge(
    session: Session, organisation: Organisation, source: Ticket, target: Ticket
) -> None:
    """Refuse tickets of different customers, and what would show messages to somebody new.

    Raises ``Invalid`` with what to do first.
    """
    if not _of_one_customer(source, target):
        raise Invalid(
            "number",
            _("The tickets are from different customers. Say first that both are from the same."),
        )
    reader = _new_reader(session, organisation, source, target)
    if reader is not None:
        text = _(
            "%(name)s could then read messages that they cannot read now. Move the ticket to the "
            "queue %(queue)s first, if they may.",
            name=reader,
            queue=organisation.queues[target.queue_id].name,
        )
        raise Invalid("number", text)


def split(session: Session, actor: Actor, staff: Staff, public_id: str, article_id: int) -> Ticket:
    """Make a message the first one of a new ticket in the same queue; return that.

    It belongs to the message's author where that is an account that may write there, else to
    nobody. Raises ``NotFound``, ``Forbidden``, and ``Invalid`` for a message that must stay.
    """
    organisation = load_organisation(session, lock=True)
    queues = staff_queue_ids(session, organisation, staff)
    ticket = workable_ticket(session, queues, public_id)
    article = session.scalars(
        select(Article).where(Article.id == article_id, Article.ticket_id == ticket.id)
    ).one_or_none()
    if article is None:
        raise NotFound(_("There is no such message."))
    _check_split(session, ticket, article)
    account = _author_with_access(session, organisation, ticket, article)
    new = _split_off(session, ticket, article, account)
    ticket.waiting_since = _waiting_since(session, ticket)
    audit.record(
        session,
        actor,
        "created",
        "ticket",
        new.id,
        new.subject,
        None,
        {"article": article.id, "split_from": ticket.number},
    )
    after = {"article": article.id, "ticket": new.number}
    record_change(session, actor, ticket, "split", {}, after)
    return new


def _lock_both(
    session: Session, queues: StaffQueues, public_id: str, target: Ticket, version: int
) -> Ticket:
    """Lock two tickets in the order of their ids, so that no two mergers wait for each other."""
    both = select(Ticket.id).where(or_(Ticket.public_id == public_id, Ticket.id == target.id))
    session.execute(both.order_by(Ticket.id).with_for_update())
    source = workable_ticket(session, queues, public_id, version)
    workable_ticket(session, queues, target.public_id)
    return source


def _of_one_customer(source: Ticket, target: Ticket) -> bool:
    if source.customer_id != target.customer_id:
        return False
    if source.customer_user_id is not None or target.customer_user_id is not None:
        return source.customer_user_id == target.customer_user_id
    key = address_key(source.requester)
    return key is not None and key == address_key(target.requester)


def _new_reader(
    session: Session, organisation: Organisation, source: Ticket, target: Ticket
) -> str | None:
    """Return the name of somebody who reads the target and not the source, None without any."""
    rows = session.execute(
        select(
            CustomerUser.id,
            CustomerUser.customer_id,
            CustomerUser.sees_customer_tickets,
            CustomerUser.first_name,
            CustomerUser.last_name,
        )
        .join(Customer, Customer.id == CustomerUser.customer_id)
        .where(
            valid_account(),
            or_(
                CustomerUser.id == target.customer_user_id,
                and_(
                    CustomerUser.customer_id == target.customer_id,
                    CustomerUser.sees_customer_tickets,
                ),
            ),
        )
        .order_by(CustomerUser.id)
    ).all()
    names = {Subject(*row[:3]): f"{row.first_name} {row.last_name}".strip() for row in rows}
    for subject, access in access_of(session, organisation, names.keys()).items():
        if access.may_see_ticket(target) and not access.may_see_ticket(source):
            return names[subject]
    return None


def _move_contents(session: Session, source: Ticket, target: Ticket) -> int:
    """Make everything of one ticket another's; return how many articles there were."""
    _move_links(session, source, target)
    for model in (Delivery, OutgoingMail):
        session.execute(
            update(model).where(model.ticket_id == source.id).values(ticket_id=target.id)
        )
    session.execute(
        update(Ticket)
        .where(Ticket.merged_into_id == source.id)
        .values(merged_into_id=target.id)
        .execution_options(synchronize_session="fetch")
    )
    moved = session.scalars(
        update(Article)
        .where(Article.ticket_id == source.id)
        .values(ticket_id=target.id)
        .returning(Article.id)
    ).all()
    session.expire(source, ["articles"])
    session.expire(target, ["articles"])
    return len(moved)


def _move_links(session: Session, source: Ticket, target: Ticket) -> None:
    tied = {source.id, target.id}
    rows = session.scalars(
        select(TicketLink).where(or_(TicketLink.ticket_id.in_(tied), TicketLink.other_id.in_(tied)))
    ).all()
    others: dict[int, set[int]] = {source.id: set(), target.id: set()}
    for row in rows:
        for mine, other in ((row.ticket_id, row.other_id), (row.other_id, row.ticket_id)):
            if mine in others:
                others[mine].add(other)
    for row in rows:
        if source.id in (row.ticket_id, row.other_id):
            session.delete(row)
    for other in others[source.id] - others[target.id] - tied:
        session.add(TicketLink(ticket_id=min(target.id, other), other_id=max(target.id, other)))
    session.flush()


def _merge_seen(session: Session, source: Ticket, target: Ticket) -> None:
    """Keep as news what somebody had not looked at in either ticket.

    What was looked at is known by its newest article only, so it ends before the first one that
    was not; what stands behind that is shown as new once more.
    """
    looks: dict[int, dict[int, int]] = defaultdict(dict)  # article by ticket, by customer user
    both = (source.id, target.id)
    for row in session.scalars(select(TicketSeen).where(TicketSeen.ticket_id.in_(both))):
        looks[row.customer_user_id][row.ticket_id] = row.article_id
        session.delete(row)
    if not looks:
        return
    session.flush()  # rows with the same keys may follow
    articles = session.execute(
        select(Article.id, Article.ticket_id, Article.customer_user_id)
        .where(Article.ticket_id.in_(both), Article.visible)
        .order_by(Article.id)
    ).all()
    for customer_user_id, look in looks.items():
        seen = 0
        for article_id, ticket_id, author in articles:
            if author != customer_user_id and article_id > look.get(ticket_id, 0):
                break
            seen = article_id
        if seen:
            session.add(
                TicketSeen(customer_user_id=customer_user_id, ticket_id=target.id, article_id=seen)
            )


def _merge_mutes(session: Session, source: Ticket, target: Ticket) -> None:
    """Keep the ticket muted for those only who have muted both: nobody misses an answer."""
    both = (source.id, target.id)
    muted = session.execute(
        select(TicketMute.customer_user_id)
        .where(TicketMute.ticket_id.in_(both))
        .group_by(TicketMute.customer_user_id)
        .having(func.count() == len(both))
    )
    keep = list(muted.scalars())
    session.execute(
        delete(TicketMute).where(
            or_(
                TicketMute.ticket_id == source.id,
                and_(TicketMute.ticket_id == target.id, TicketMute.customer_user_id.not_in(keep)),
            )
        )
    )


def _older(one: datetime | None, other: datetime | None) -> datetime | None:
    return min(filter(None, (one, other)), default=None)


def _check_split(session: Session, ticket: Ticket, article: Article) -> None:
    if article.author is Author.STAFF:
        text = _("What staff wrote stays in its ticket: only messages that came in can be split.")
        raise Invalid("article", text)
    if article.flag is Flag.DELIVERY_REPORT:
        raise Invalid("article", _("A delivery report stays with the mail that it is about."))
    is_note = and_(Article.author == Author.STAFF, ~Article.visible)
    other = select(Article.id).where(
        Article.ticket_id == ticket.id, Article.id != article.id, ~is_note
    )
    if session.scalars(other.limit(1)).first() is None:
        raise Invalid("article", _("This is the only message of the ticket."))


def _author_with_access(
    session: Session, organisation: Organisation, ticket: Ticket, article: Article
) -> CustomerUser | None:
    if article.customer_user_id is None:
        return None
    account = session.get_one(CustomerUser, article.customer_user_id)
    access = customer_user_access(session, organisation, account)
    return account if access.may_write(ticket.queue_id) else None


def _split_off(
    session: Session, ticket: Ticket, article: Article, account: CustomerUser | None
) -> Ticket:
    """Store the new ticket, give it the article, and tie it to the old one.

    The article is visible now: only its author's ticket shows it.
    """
    new = Ticket(
        public_id=new_public_id(),
        queue_id=ticket.queue_id,
        customer_id=account.customer_id if account is not None else None,
        customer_user_id=account.id if account is not None else None,
        requester=article.from_address,
        subject=_own_subject(ticket, article),
        state=TicketState.NEW,
        priority=ticket.priority,
        flag=article.flag,
        created_at=article.created_at,
        changed_at=now(),
        waiting_since=None if article.flag in _NOBODY_WAITS else article.created_at,
    )
    session.add(new)
    session.flush()  # everything else needs the id
    article.ticket_id, article.visible = new.id, True
    for model in (Delivery, OutgoingMail):
        session.execute(
            update(model).where(model.article_id == article.id).values(ticket_id=new.id)
        )
    session.add(TicketLink(ticket_id=ticket.id, other_id=new.id))
    session.flush()
    session.expire(ticket, ["articles"])
    session.expire(new, ["articles"])
    return new


def _own_subject(ticket: Ticket, article: Article) -> str:
    """Return the subject of a message without the number of the ticket that it leaves."""
    tagged = subject_of_reply(article.subject, ticket.number)
    return tagged.removeprefix(f"[Ticket#{ticket.number}]").strip() or ticket.subject


def _waiting_since(session: Session, ticket: Ticket) -> datetime | None:
    """Return since when the customer waits, one message less being there to be answered."""
    if ticket.waiting_since is None:
        return None
    oldest = select(func.min(Article.created_at)).where(
        Article.ticket_id == ticket.id,
        Article.author != Author.STAFF,
        or_(Article.flag.is_(None), Article.flag.not_in(_NOBODY_WAITS)),
        Article.created_at >= ticket.waiting_since,
    )
    return session.scalar(oldest)

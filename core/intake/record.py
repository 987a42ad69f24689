"""Writing decisions down: for a whole batch, one statement per table.

The ids are reserved first, so that rows can refer to each other before they are written.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    BindParameter,
    Boolean,
    and_,
    bindparam,
    case,
    exists,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.orm import Session

from core.bulk import insert_rows
from core.db import reserve_ids
from core.ids import new_public_id
from core.intake.blocklist import BlockedEntry
from core.intake.decision import AppendArticle, OpenTicket, Reject
from core.intake.hits import count_hits
from core.intake.raw_store import store_raw
from core.intake.responses import outgoing_rows
from core.intake.rows import Part, Rows, add_article, delivery_row, known, link, links_of, mail_row
from core.models import (
    Article,
    Attachment,
    AuditEvent,
    BlockedSender,
    Delivery,
    IntakeSeen,
    Mail,
    OutgoingMail,
    RawMail,
    RoutingRule,
    Ticket,
    TicketLink,
    TicketTag,
)
from core.tickets.search import index_articles
from core.words import TicketState


def record(session: Session, mails: Sequence[Sequence[Part]]) -> None:
    """Write mails with their decisions; each inner sequence is one mail's recipients.

    The ids of what was made are set in the parts.
    """
    parts = [part for mail in mails for part in mail]
    kept = [any(part.kept for part in mail) for mail in mails]
    raw_ids, mail_ids, delivery_ids, ticket_ids, article_ids = (
        iter(ids)
        for ids in reserve_ids(
            session,
            [
                (RawMail, sum(kept)),
                (Mail, len(mails)),
                (Delivery, len(parts)),
                (Ticket, sum(part.opens_ticket for part in parts)),
                (Article, sum(part.writes_article for part in parts)),
            ],
        )
    )
    rows = Rows()
    for mail, is_kept in zip(mails, kept, strict=True):
        raw_id = next(raw_ids) if is_kept else None
        mail_id = next(mail_ids)
        prepared = mail[0].prepared
        if raw_id is not None:
            rows.raw_mails.append({"id": raw_id, "content": prepared.incoming.raw})
        rows.mails.append(mail_row(prepared, mail[0].facts, mail_id, raw_id))
        for part in mail:
            part.delivery_id = next(delivery_ids)
            _set_ids(part, ticket_ids, article_ids)
            if part.writes_article:
                add_article(rows, part, mail_id)
            rows.deliveries.append(delivery_row(part, mail_id))
            rows.outgoing.extend(outgoing_rows(part))
            if part.kept and not part.is_further_address:
                rows.seen.append({"key": part.key, "delivery_id": part.delivery_id})
        rows.links.extend(links_of(mail))
    _write(session, rows)
    _count_blocked(session, mails)
    _count_fitted(session, parts)


def record_release(session: Session, part: Part, mail_id: int) -> None:
    """Write the article of a held mail that was released, and its ticket if that is a new one.

    The mail is there already. A new ticket is tied to those that it opened in other queues.
    """
    ticket_ids, article_ids = (
        iter(ids) for ids in reserve_ids(session, [(Ticket, int(part.opens_ticket)), (Article, 1)])
    )
    _set_ids(part, ticket_ids, article_ids)
    rows = Rows()
    add_article(rows, part, mail_id)
    if part.opens_ticket:
        links = [link(known(part.ticket_id), other) for other in _tickets_of(session, mail_id)]
        rows.links.extend(each for each in links if each not in rows.links)
    _write(session, rows)


def _count_blocked(session: Session, mails: Sequence[Sequence[Part]]) -> None:
    """Count each mail once for the entry of the blocklist that it was refused for."""
    hits: Counter[int] = Counter()
    for mail in mails:
        hits.update({entry.id for part in mail if (entry := _refused_for(part))})
    if hits:
        at = mails[-1][0].prepared.incoming.received_at
        count_hits(session.connection(), BlockedSender, hits, at)


def _refused_for(part: Part) -> BlockedEntry | None:
    outcome = part.decision.outcome
    is_refused = isinstance(outcome, Reject) and outcome.reason == "blocked"
    return part.facts.blocked if is_refused else None


def _count_fitted(session: Session, parts: Sequence[Part]) -> None:
    """Count the routing rules that mails have fitted, once for each ticket or fate."""
    counted = [part for part in parts if part.same_as is None and part.decision.fitted]
    if counted:
        hits = Counter(rule for part in counted for rule in part.decision.fitted)
        at = max(part.prepared.incoming.received_at for part in counted)
        count_hits(session.connection(), RoutingRule, hits, at)


def _tickets_of(session: Session, mail_id: int) -> Iterable[int]:
    """Return the tickets that a mail is in."""
    statement = (
        select(Delivery.ticket_id)
        .where(Delivery.mail_id == mail_id, Delivery.ticket_id.is_not(None))
        .distinct()
    )
    return map(known, session.scalars(statement))


def _set_ids(part: Part, ticket_ids: Any, article_ids: Any) -> None:
    if part.same_as is not None:
        part.ticket_id = part.same_as.ticket_id
        part.ticket_public_id = part.same_as.ticket_public_id
        part.article_id = part.same_as.article_id
        return
    match part.decision.outcome:
        case OpenTicket():
            part.ticket_id = next(ticket_ids)
            part.ticket_public_id = new_public_id()
            part.article_id = next(article_ids)
        case AppendArticle(ticket_id=ticket_id):
            part.ticket_id = ticket_id
            part.ticket_public_id = part.facts.ticket(ticket_id).public_id
            part.article_id = next(article_ids)


def _write(session: Session, rows: Rows) -> None:
    connection = session.connection()
    store_raw(connection, rows.raw_mails)
    for model, inserted in (
        (Mail, rows.mails),
        (Ticket, rows.tickets),
        (Article, rows.articles),
        (Delivery, rows.deliveries),
        (IntakeSeen, rows.seen),
        (Attachment, rows.attachments),
        (TicketLink, rows.links),
        (AuditEvent, rows.audit_events),
        (OutgoingMail, rows.outgoing),
    ):
        insert_rows(connection, model, inserted)
    if rows.tags:
        connection.execute(_TAG, rows.tags)
    for change, changed in ((_REPLY, rows.replies), (_ADDITION, rows.additions)):
        if changed:
            connection.execute(change, changed)
    if rows.articles:
        index_articles(session, [(row["id"], row["subject"], row["text"]) for row in rows.articles])


_TICKET_ID: BindParameter[int] = bindparam("ticket_id", type_=TicketTag.ticket_id.type)
_NEW_TAG: BindParameter[str] = bindparam("tag", type_=TicketTag.tag.type)
_TAG = insert(TicketTag).from_select(  # a ticket that is answered may have the tag already
    ["ticket_id", "tag"],
    select(_TICKET_ID, _NEW_TAG).where(
        ~exists().where(TicketTag.ticket_id == _TICKET_ID, TicketTag.tag == _NEW_TAG)
    ),
)
_TICKETS: Any = Ticket.__table__
_REPLY = (
    update(_TICKETS)
    .where(_TICKETS.c.id == bindparam("ticket"))
    .values(
        changed_at=bindparam("at"),
        state=bindparam("new_state"),
        waiting_since=case(
            (bindparam("closing", type_=Boolean), None),
            else_=func.coalesce(_TICKETS.c.waiting_since, bindparam("since")),
        ),
        closed_at=bindparam("closed"),
        version=_TICKETS.c.version + 1,
    )
)

_ADDITION = (
    update(_TICKETS)
    .where(_TICKETS.c.id == bindparam("ticket"))
    .values(
        changed_at=bindparam("at"),
        waiting_since=case(
            (
                and_(bindparam("waits", type_=Boolean), _TICKETS.c.state != TicketState.CLOSED),
                func.coalesce(_TICKETS.c.waiting_since, bindparam("since")),
            ),
            else_=_TICKETS.c.waiting_since,
        ),
        version=_TICKETS.c.version + 1,
    )
)

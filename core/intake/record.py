"""Writing decisions down: for a whole batch, one statement per table.

The ids are reserved first, so that rows can refer to each other before they are written.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import combinations
from typing import Any

from sqlalchemy import Boolean, Insert, Table, bindparam, case, func, insert, select, update
from sqlalchemy.orm import Session

from core.audit import Actor
from core.db import reserve_ids
from core.ids import new_public_id
from core.intake import replies
from core.intake.decision import AppendArticle, Decision, Hold, OpenTicket, Reject
from core.intake.facts import Facts
from core.intake.incoming import RecipientReceipt, Reply
from core.intake.prepare import Prepared
from core.intake.raw_store import store_raw
from core.mail.text import one_line
from core.models import (
    Article,
    Attachment,
    AuditEvent,
    Base,
    Delivery,
    IntakeSeen,
    Mail,
    RawMail,
    Ticket,
    TicketLink,
)
from core.tickets.search import index_articles
from core.words import (
    ActorKind,
    Author,
    DecisionKind,
    HeldState,
    Priority,
    Protocol,
    TicketState,
)

KINDS: Mapping[type, DecisionKind] = {
    OpenTicket: DecisionKind.OPEN_TICKET,
    AppendArticle: DecisionKind.APPEND_ARTICLE,
    Hold: DecisionKind.HOLD,
    Reject: DecisionKind.REJECT,
}

SAME_QUEUE = "same-queue"  # reason of a further address of a queue that the mail reached already


@dataclass(slots=True)
class Part:
    """A decision for one recipient on its way into the tables.

    ``key`` recognises redeliveries. ``same_as`` is an earlier part of the same mail for the same
    queue: one ticket serves both addresses. ``released_by`` and ``released_at`` are set when staff
    file a mail that was held.
    """

    prepared: Prepared
    facts: Facts
    decision: Decision
    key: bytes
    same_as: "Part | None" = None
    released_by: Actor | None = None
    released_at: datetime | None = None
    delivery_id: int = 0
    ticket_id: int | None = None
    ticket_public_id: str | None = None
    article_id: int | None = None

    @property
    def filed_at(self) -> datetime:
        """When it gets into a ticket: as it comes in, or when staff release it."""
        return self.released_at or self.prepared.incoming.received_at

    @property
    def kept(self) -> bool:
        """Whether the mail is filed or held for this recipient."""
        return not isinstance(self.decision.outcome, Reject)

    @property
    def writes_article(self) -> bool:
        """Whether this part makes an article."""
        return self.same_as is None and isinstance(
            self.decision.outcome, OpenTicket | AppendArticle
        )

    @property
    def opens_ticket(self) -> bool:
        """Whether this part makes a ticket."""
        return self.same_as is None and isinstance(self.decision.outcome, OpenTicket)

    @property
    def reply(self) -> Reply:
        """The reply for this recipient."""
        outcome = self.decision.outcome
        if isinstance(outcome, Reject):
            return outcome.reply
        return replies.accepted(self.prepared.reference)

    def receipt(self) -> RecipientReceipt:
        """Return what the edge is told."""
        return RecipientReceipt(
            recipient=self.facts.recipient,
            decision=KINDS[type(self.decision.outcome)],
            reason=self.decision.outcome.reason,
            reply=self.reply,
            ticket_id=self.ticket_id,
            ticket_public_id=self.ticket_public_id,
            article_id=self.article_id,
        )


@dataclass(slots=True)
class _Rows:
    """The rows of a batch, by table."""

    raw_mails: list[dict[str, Any]] = field(default_factory=list)
    mails: list[dict[str, Any]] = field(default_factory=list)
    deliveries: list[dict[str, Any]] = field(default_factory=list)
    seen: list[dict[str, Any]] = field(default_factory=list)
    tickets: list[dict[str, Any]] = field(default_factory=list)
    articles: list[dict[str, Any]] = field(default_factory=list)
    attachments: list[dict[str, Any]] = field(default_factory=list)
    links: list[dict[str, Any]] = field(default_factory=list)
    audit_events: list[dict[str, Any]] = field(default_factory=list)
    replies: list[dict[str, Any]] = field(default_factory=list)


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
    rows = _Rows()
    for mail, is_kept in zip(mails, kept, strict=True):
        raw_id = next(raw_ids) if is_kept else None
        mail_id = next(mail_ids)
        prepared = mail[0].prepared
        if raw_id is not None:
            rows.raw_mails.append({"id": raw_id, "content": prepared.incoming.raw})
        rows.mails.append(_mail_row(prepared, mail[0].facts, mail_id, raw_id))
        for part in mail:
            part.delivery_id = next(delivery_ids)
            _set_ids(part, ticket_ids, article_ids)
            if part.writes_article:
                _add_article(rows, part, mail_id)
            rows.deliveries.append(_delivery_row(part, mail_id))
            if part.kept and part.same_as is None:
                rows.seen.append({"key": part.key, "delivery_id": part.delivery_id})
        rows.links.extend(_links(mail))
    _write(session, rows)


def record_release(session: Session, part: Part, mail_id: int) -> None:
    """Write the ticket of a held mail that was released; the mail is there already.

    The ticket is tied to those that the same mail opened in other queues.
    """
    ticket_ids, article_ids = (
        iter(ids) for ids in reserve_ids(session, [(Ticket, 1), (Article, 1)])
    )
    _set_ids(part, ticket_ids, article_ids)
    rows = _Rows()
    _add_article(rows, part, mail_id)
    others = session.scalars(
        select(Delivery.ticket_id)
        .where(Delivery.mail_id == mail_id, Delivery.ticket_id.is_not(None))
        .distinct()
    )
    rows.links.extend(_link(_known(part.ticket_id), _known(other)) for other in others)
    _write(session, rows)


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
            if part.facts.portal is not None and part.facts.portal.ticket is not None:
                part.ticket_public_id = part.facts.portal.ticket.public_id
            part.article_id = next(article_ids)


def _add_article(rows: _Rows, part: Part, mail_id: int) -> None:
    """Add the rows of an article and of the ticket that it opens or is added to."""
    prepared, outcome = part.prepared, part.decision.outcome
    if isinstance(outcome, OpenTicket):
        rows.tickets.append(_ticket_row(part, outcome))
        if outcome.linked_to is not None:
            rows.links.append(_link(outcome.linked_to, _known(part.ticket_id)))
    elif isinstance(outcome, AppendArticle):
        rows.replies.append(_reply_row(part, outcome))
    rows.articles.append(_article_row(part, mail_id))
    rows.attachments.extend(
        {
            "article_id": part.article_id,
            "part": attachment.part,
            "filename": attachment.filename,
            "content_type": attachment.content_type[:100],
            "size": attachment.size,
            "content_id": attachment.content_id[:300],
            "inline": attachment.inline,
        }
        for attachment in prepared.message.attachments
    )
    rows.audit_events.append(_audit_row(part))


def _mail_row(prepared: Prepared, facts: Facts, mail_id: int, raw_id: int | None) -> dict[str, Any]:
    incoming, message = prepared.incoming, prepared.message
    envelope = incoming.envelope
    return {
        "id": mail_id,
        "reference": prepared.reference,
        "raw_id": raw_id,
        "received_at": incoming.received_at,
        "protocol": envelope.protocol,
        "peer": envelope.peer[:64],
        "helo": one_line(envelope.helo)[:255],
        "tls": envelope.tls,
        "trusted": envelope.trusted,
        "mail_from": one_line(envelope.mail_from)[:320],
        "size": len(incoming.raw),
        "from_address": (message.from_.address or "")[:320],
        "from_display": message.from_.display[:500],
        "subject": message.subject[:500],
        "message_id": message.message_id[:500],
        "evidence": facts.sender.evidence,
        "evidence_why": facts.sender.why,
        "defects": [*message.defects, *([message.parse_error] if message.parse_error else [])],
    }


def _delivery_row(part: Part, mail_id: int) -> dict[str, Any]:
    outcome, match = part.decision.outcome, part.facts.match
    customer_id = match.account.customer_id if match.account else None
    if customer_id is None and match.customer is not None:
        customer_id = match.customer.customer_id
    return {
        "id": part.delivery_id,
        "mail_id": mail_id,
        "recipient": one_line(part.facts.recipient)[:320],
        "queue_id": outcome.queue_id,
        "decision": KINDS[type(outcome)],
        "reason": SAME_QUEUE if part.same_as else outcome.reason,
        "reply": str(part.reply),
        "matched_by": match.matched_by,
        "customer_user_id": match.account.customer_user_id if match.account else None,
        "customer_id": customer_id,
        "ticket_id": part.ticket_id,
        "article_id": part.article_id,
        "trace": trace(part.decision),
        "held": HeldState.WAITING if isinstance(outcome, Hold) and not part.same_as else None,
    }


def trace(decision: Decision) -> list[dict[str, Any]]:
    """Return the steps of a decision as they are stored and handed out."""
    return [
        {
            "rule": step.rule,
            "answer": step.answer,
            "because": step.because,
            "values": dict(step.values),
        }
        for step in decision.steps
    ]


def _ticket_row(part: Part, outcome: OpenTicket) -> dict[str, Any]:
    incoming, match = part.prepared.incoming, part.facts.match
    requester = part.prepared.message.from_.address or one_line(incoming.envelope.mail_from)
    account, customer = match.account, match.customer
    if account is not None:
        customer_id: int | None = account.customer_id
    else:
        customer_id = customer.customer_id if customer else None
    return {
        "id": part.ticket_id,
        "public_id": part.ticket_public_id,
        "queue_id": outcome.queue_id,
        "customer_id": customer_id,
        "customer_user_id": account.customer_user_id if account else None,
        "requester": requester[:320],
        "subject": part.prepared.message.subject[:500],
        "state": TicketState.NEW,
        "priority": Priority.NORMAL,
        "owner_id": None,
        "flag": outcome.flag,
        "created_at": incoming.received_at,
        "changed_at": part.filed_at,
        "waiting_since": incoming.received_at,
        "closed_at": None,
        "version": 1,
    }


def _reply_row(part: Part, outcome: AppendArticle) -> dict[str, Any]:
    """Return what a customer's reply changes of its ticket, as parameters of ``_REPLY``."""
    at = part.prepared.incoming.received_at
    return {
        "ticket": outcome.ticket_id,
        "at": at,
        "new_state": _state_after(part, outcome),
        "closing": outcome.close,
        "closed": at if outcome.close else None,
    }


def _state_before(part: Part) -> TicketState:
    assert part.facts.portal is not None and part.facts.portal.ticket is not None
    return part.facts.portal.ticket.state


def _state_after(part: Part, outcome: AppendArticle) -> TicketState:
    before = _state_before(part)
    if outcome.close:
        return TicketState.CLOSED
    if outcome.reopen or before is TicketState.WAITING:
        return TicketState.OPEN
    return before


_TICKETS: Any = Ticket.__table__
_REPLY = (
    update(_TICKETS)
    .where(_TICKETS.c.id == bindparam("ticket"))
    .values(
        changed_at=bindparam("at"),
        state=bindparam("new_state"),
        waiting_since=case(
            (bindparam("closing", type_=Boolean), None),
            else_=func.coalesce(_TICKETS.c.waiting_since, bindparam("at")),
        ),
        closed_at=bindparam("closed"),
        version=_TICKETS.c.version + 1,
    )
)


def _article_row(part: Part, mail_id: int) -> dict[str, Any]:
    incoming, message, match = part.prepared.incoming, part.prepared.message, part.facts.match
    outcome = part.decision.outcome
    known = match.account is not None or match.customer is not None
    return {
        "id": part.article_id,
        "ticket_id": part.ticket_id,
        "mail_id": mail_id,
        "author": Author.CUSTOMER if known else Author.UNKNOWN,
        "channel": incoming.envelope.protocol,
        "customer_user_id": match.account.customer_user_id if match.account else None,
        "staff_id": None,
        "from_address": (message.from_.address or "")[:320],
        "from_name": message.from_.name[:500],
        "subject": message.subject[:500],
        "text": message.text,
        "has_html": message.has_html,
        "visible": True,
        "flag": outcome.flag if isinstance(outcome, OpenTicket) else None,
        "created_at": incoming.received_at,
    }


def _audit_row(part: Part) -> dict[str, Any]:
    actor, outcome = part.released_by or _sender(part), part.decision.outcome
    before: dict[str, Any] = {}
    after: dict[str, Any] = {"article": part.article_id, "reason": outcome.reason}
    if isinstance(outcome, AppendArticle) and _state_after(part, outcome) != _state_before(part):
        before["state"], after["state"] = _state_before(part), _state_after(part, outcome)
    return {
        "at": part.filed_at,
        "actor_kind": actor.kind,
        "actor_id": actor.id,
        "actor_name": actor.name[:320],
        "peer": actor.peer[:64],
        "action": "created" if isinstance(outcome, OpenTicket) else "article-added",
        "object_kind": "ticket",
        "object_id": part.ticket_id,
        "object_name": part.prepared.message.subject[:500],
        "before": before or None,
        "after": after,
    }


def _sender(part: Part) -> Actor:
    """Return who caused what is recorded: an account only where it signed in itself."""
    envelope, account = part.prepared.incoming.envelope, part.facts.match.account
    account_id = account.customer_user_id if account else None
    if envelope.protocol is Protocol.PORTAL and account is not None:
        return Actor(ActorKind.CUSTOMER, account_id, account.login, envelope.peer)
    return Actor(ActorKind.MAIL, account_id, part.facts.sender.address, envelope.peer)


def _links(mail: Sequence[Part]) -> Iterable[dict[str, Any]]:
    """Tie together the tickets that one mail opened in several queues."""
    opened = [_known(part.ticket_id) for part in mail if part.opens_ticket]
    return [_link(one, other) for one, other in combinations(opened, 2)]


def _link(one: int, other: int) -> dict[str, Any]:
    return {"ticket_id": min(one, other), "other_id": max(one, other)}


def _known(value: int | None) -> int:
    assert value is not None
    return value


def _write(session: Session, rows: _Rows) -> None:
    connection = session.connection()
    store_raw(connection, rows.raw_mails)
    for insertion, values in (
        (_INSERT_MAIL, rows.mails),
        (_INSERT_TICKET, rows.tickets),
        (_INSERT_ARTICLE, rows.articles),
        (_INSERT_DELIVERY, rows.deliveries),
        (_INSERT_SEEN, rows.seen),
        (_INSERT_ATTACHMENT, rows.attachments),
        (_INSERT_LINK, rows.links),
        (_INSERT_AUDIT, rows.audit_events),
        (_REPLY, rows.replies),
    ):
        if values:
            connection.execute(insertion, values)
    if rows.articles:
        index_articles(session, [(row["id"], row["subject"], row["text"]) for row in rows.articles])


def _insert(model: type[Base]) -> Insert:
    table = model.__table__
    assert isinstance(table, Table)
    return insert(table)


_INSERT_MAIL = _insert(Mail)
_INSERT_TICKET = _insert(Ticket)
_INSERT_ARTICLE = _insert(Article)
_INSERT_DELIVERY = _insert(Delivery)
_INSERT_SEEN = _insert(IntakeSeen)
_INSERT_ATTACHMENT = _insert(Attachment)
_INSERT_LINK = _insert(TicketLink)
_INSERT_AUDIT = _insert(AuditEvent)

"""What is written of a decision: the rows of each table, made before anything is stored."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import combinations
from typing import Any

from core.audit import Actor
from core.intake.decision import (
    AppendArticle,
    Decision,
    Discard,
    Hold,
    OpenTicket,
    Reject,
    reply_to,
)
from core.intake.facts import Facts
from core.intake.incoming import RecipientReceipt, Reply
from core.intake.prepare import Prepared
from core.mail.addresses import FromResult
from core.mail.text import one_line
from core.words import ActorKind, Author, Flag, HeldState, Protocol, TicketState

# Reasons of a further address, of a queue or with a ticket that the mail has reached already
SAME_QUEUE = "same-queue"
SAME_TICKET = "same-ticket"


# Flags of articles in a customer's ticket that were not written by that customer
_NOT_THE_CUSTOMER = frozenset({Flag.FOREIGN_ADDRESS, Flag.SENDER_UNCLEAR, Flag.DELIVERY_REPORT})

# In these states of a ticket its customer waits for an answer.
_NOT_ANSWERED = frozenset({TicketState.NEW, TicketState.OPEN})


@dataclass(slots=True)
class Part:
    """A decision for one recipient on its way into the tables.

    ``key`` recognises redeliveries. ``same_as`` is an earlier part of the same mail for the same
    queue, or added to the same ticket: one ticket serves both addresses. ``released_by`` and
    ``released_at`` are set when staff file a mail that was held, the time alone when it is
    decided again.
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
    def opens_burst(self) -> bool:
        """Whether this part makes the ticket that gathers what comes too fast."""
        outcome = self.decision.outcome
        return self.opens_ticket and isinstance(outcome, OpenTicket) and outcome.burst

    @property
    def is_report(self) -> bool:
        """Whether this is a mail server's report that was understood as one, not a copy of it."""
        outcome = self.decision.outcome
        is_filed = isinstance(outcome, AppendArticle) and outcome.flag is Flag.DELIVERY_REPORT
        is_put_away = isinstance(outcome, Discard) and self.facts.delivery_report
        return self.same_as is None and (is_filed or is_put_away)

    def is_added_to(self, ticket_id: int) -> bool:
        """Whether this part adds an article to that ticket."""
        outcome = self.decision.outcome
        return self.same_as is None and (
            isinstance(outcome, AppendArticle) and outcome.ticket_id == ticket_id
        )

    def opens_in(self, queue_id: int) -> bool:
        """Whether this part opens a ticket in that queue."""
        return self.opens_ticket and self.decision.outcome.queue_id == queue_id

    @property
    def is_further_address(self) -> bool:
        """Whether an earlier part of the mail stands for the same queue."""
        return self.same_as is not None and self.same_as.key == self.key

    @property
    def reply(self) -> Reply:
        """The reply for this recipient."""
        return reply_to(self.decision.outcome, self.prepared.reference)

    def receipt(self) -> RecipientReceipt:
        """Return what the edge is told."""
        return RecipientReceipt(
            recipient=self.facts.recipient,
            decision=self.decision.outcome.kind,
            reason=self.decision.outcome.reason,
            reply=self.reply,
            ticket_id=self.ticket_id,
            ticket_public_id=self.ticket_public_id,
            article_id=self.article_id,
        )


@dataclass(slots=True)
class Rows:
    """The rows of a batch, by table."""

    raw_mails: list[dict[str, Any]] = field(default_factory=list)
    mails: list[dict[str, Any]] = field(default_factory=list)
    deliveries: list[dict[str, Any]] = field(default_factory=list)
    seen: list[dict[str, Any]] = field(default_factory=list)
    tickets: list[dict[str, Any]] = field(default_factory=list)
    articles: list[dict[str, Any]] = field(default_factory=list)
    attachments: list[dict[str, Any]] = field(default_factory=list)
    links: list[dict[str, Any]] = field(default_factory=list)
    tags: list[dict[str, Any]] = field(default_factory=list)
    audit_events: list[dict[str, Any]] = field(default_factory=list)
    replies: list[dict[str, Any]] = field(default_factory=list)
    additions: list[dict[str, Any]] = field(default_factory=list)
    outgoing: list[dict[str, Any]] = field(default_factory=list)


def add_article(rows: Rows, part: Part, mail_id: int) -> None:
    """Add the rows of an article and of the ticket that it opens or is added to."""
    prepared, outcome = part.prepared, part.decision.outcome
    if isinstance(outcome, OpenTicket):
        rows.tickets.append(_ticket_row(part, outcome))
        if outcome.linked_to is not None:
            rows.links.append(link(outcome.linked_to, known(part.ticket_id)))
    elif isinstance(outcome, AppendArticle):
        _change_ticket(rows, part, outcome)
    if isinstance(outcome, OpenTicket | AppendArticle):
        rows.tags.extend({"ticket_id": part.ticket_id, "tag": tag} for tag in outcome.tags)
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


def mail_row(prepared: Prepared, facts: Facts, mail_id: int, raw_id: int | None) -> dict[str, Any]:
    """Return the row of a mail; ``raw_id`` None where its bytes are not kept."""
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
        "authentication": prepared.findings.as_json() if prepared.findings else None,
        "defects": list(message.problems),
    }


def delivery_row(part: Part, mail_id: int) -> dict[str, Any]:
    """Return the row of what became of a mail for one recipient."""
    outcome, match = part.decision.outcome, part.facts.match
    return {
        "id": part.delivery_id,
        "mail_id": mail_id,
        "recipient": one_line(part.facts.recipient)[:320],
        "queue_id": outcome.queue_id,
        "decision": outcome.kind,
        "reason": _reason(part),
        "reply": str(part.reply),
        "matched_by": match.matched_by,
        "customer_user_id": match.account.customer_user_id if match.account else None,
        "customer_id": match.customer_id,
        "ticket_id": part.ticket_id,
        "article_id": part.article_id,
        "trace": trace(part.decision),
        "held": HeldState.WAITING if isinstance(outcome, Hold) and not part.same_as else None,
    }


def _reason(part: Part) -> str:
    if part.same_as is None:
        return part.decision.outcome.reason
    return SAME_QUEUE if part.is_further_address else SAME_TICKET


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
    return {
        "id": part.ticket_id,
        "public_id": part.ticket_public_id,
        "queue_id": outcome.queue_id,
        "customer_id": match.customer_id,
        "customer_user_id": match.account.customer_user_id if match.account else None,
        "requester": requester[:320],
        "subject": part.prepared.message.subject[:500],
        "state": outcome.state,
        "priority": outcome.priority,
        "owner_id": None,
        "flag": Flag.BURST if outcome.burst else outcome.flag,
        "created_at": incoming.received_at,
        "changed_at": part.filed_at,
        "waiting_since": incoming.received_at if outcome.state in _NOT_ANSWERED else None,
        "closed_at": part.filed_at if outcome.state is TicketState.CLOSED else None,
        "version": 1,
    }


def _change_ticket(rows: Rows, part: Part, outcome: AppendArticle) -> None:
    """Add what a mail changes of the ticket that it is added to.

    What only staff may read, or comes from somebody who is not verified, leaves the state as it
    is, and nobody waits for an answer to a machine. What a machine wrote for staff changes nothing.
    """
    at, since = part.filed_at, part.prepared.incoming.received_at
    if outcome.answers or outcome.close:
        rows.replies.append(
            {
                "ticket": outcome.ticket_id,
                "at": at,
                "since": since,
                "new_state": _state_after(part, outcome),
                "closing": outcome.close,
                "closed": at if outcome.close else None,
            }
        )
        return
    is_machine = part.facts.automatic or part.facts.delivery_report
    if outcome.visible or not is_machine:
        waits = outcome.visible and not is_machine
        rows.additions.append(
            {"ticket": outcome.ticket_id, "at": at, "since": since, "waits": waits}
        )


def _state_before(part: Part, outcome: AppendArticle) -> TicketState:
    return part.facts.ticket(outcome.ticket_id).state


def _state_after(part: Part, outcome: AppendArticle) -> TicketState:
    before = _state_before(part, outcome)
    if outcome.close:
        return TicketState.CLOSED
    if outcome.reopen or (outcome.answers and before is TicketState.WAITING):
        return TicketState.OPEN
    return before


def _article_row(part: Part, mail_id: int) -> dict[str, Any]:
    incoming, message, match = part.prepared.incoming, part.prepared.message, part.facts.match
    outcome = part.decision.outcome
    assert isinstance(outcome, OpenTicket | AppendArticle)
    flag = Flag.BURST if isinstance(outcome, OpenTicket) and outcome.burst else None
    is_customer = match.customer_id is not None and outcome.flag not in _NOT_THE_CUSTOMER
    return {
        "id": part.article_id,
        "ticket_id": part.ticket_id,
        "mail_id": mail_id,
        "author": Author.CUSTOMER if is_customer else Author.UNKNOWN,
        "channel": incoming.envelope.protocol,
        "customer_user_id": match.account.customer_user_id
        if is_customer and match.account
        else None,
        "staff_id": None,
        "from_address": (message.from_.address or "")[:320],
        "from_name": _writer(message.from_)[:500],
        "subject": message.subject[:500],
        "text": message.text,
        "has_html": message.has_html,
        "visible": outcome.visible if isinstance(outcome, AppendArticle) else True,
        "flag": outcome.flag or flag,
        "created_at": incoming.received_at,
    }


def _writer(found: FromResult) -> str:
    """Return who wrote, for people: what stands in a From field of which nobody is sure, as well.

    Mail servers sign their reports with names that are no clean mailbox.
    """
    return found.name if found.address else found.display


def _audit_row(part: Part) -> dict[str, Any]:
    actor, outcome = part.released_by or _sender(part), part.decision.outcome
    before: dict[str, Any] = {}
    after: dict[str, Any] = {"article": part.article_id, "reason": outcome.reason}
    if isinstance(outcome, OpenTicket | AppendArticle) and outcome.tags:
        after["tags"] = list(outcome.tags)
    if isinstance(outcome, AppendArticle):
        states = _state_before(part, outcome), _state_after(part, outcome)
        if states[0] is not states[1]:
            before["state"], after["state"] = states
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


def links_of(mail: Sequence[Part]) -> Iterable[dict[str, Any]]:
    """Tie together the tickets that one mail opened in several queues."""
    opened = [known(part.ticket_id) for part in mail if part.opens_ticket]
    return [link(one, other) for one, other in combinations(opened, 2)]


def link(one: int, other: int) -> dict[str, Any]:
    """Return the row that ties two tickets together, the smaller id first."""
    return {"ticket_id": min(one, other), "other_id": max(one, other)}


def known(value: int | None) -> int:
    """Return an id that was handed out before."""
    assert value is not None
    return value

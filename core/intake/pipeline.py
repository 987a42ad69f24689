"""``take_in``: the unit of work that brings messages from the edge into the tables.

A batch is one transaction. It is written as a whole; if that fails, each message gets a savepoint
of its own, so that a bad one fails alone. What cannot even be decided is held for staff as it is:
nothing that a sender's server hands over is lost, or retried for days.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import bindparam, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from core.i18n import N_
from core.intake.bursts import Opened
from core.intake.decide import decide
from core.intake.decision import AppendArticle, Decision, Hold, OpenTicket, Step
from core.intake.facts import Facts, SenderFacts
from core.intake.gather import gather
from core.intake.identify import Match, MatchKind
from core.intake.incoming import Incoming, Receipt, RecipientReceipt, Reply
from core.intake.prepare import Prepared, intake_key, prepare
from core.intake.record import record
from core.intake.rows import Part
from core.mail.message import unreadable
from core.mail.threads import NO_THREAD
from core.models import Delivery, IntakeSeen, Mail, Ticket
from core.organisation import Organisation, load_organisation
from core.outgoing.bounces import record_bounce
from core.words import Evidence

log = logging.getLogger(__name__)

_REPLY_PARTS = re.compile(r"(\d{3}) (\S+) (.*)", re.DOTALL)


def take_in(
    session: Session, incoming: Sequence[Incoming], keys: Sequence[bytes] = ()
) -> list[Receipt]:
    """Take messages in, in the caller's writing transaction; return a receipt for each.

    ``keys`` are those whose tokens are believed. Nothing is promised until that transaction is
    committed. Raises what the database raises when it cannot be written.
    """
    return take_in_prepared(session, [prepare(message, keys) for message in incoming])


def take_in_prepared(session: Session, batch: Sequence[Prepared]) -> list[Receipt]:
    """Take in messages that were parsed before the transaction began."""
    organisation = load_organisation(session, lock=True)
    try:
        with session.begin_nested():
            return _take_in_together(session, organisation, batch)
    except OperationalError:
        raise  # the database is locked, full or gone: that is no message's fault
    except Exception as error:  # noqa: BLE001 - one bad message must not hurt the others
        log.warning("batch of %d failed (%s): one by one", len(batch), type(error).__name__)
        return [_take_in_alone(session, organisation, prepared) for prepared in batch]


def _take_in_alone(session: Session, organisation: Organisation, prepared: Prepared) -> Receipt:
    try:
        with session.begin_nested():
            return _take_in_together(session, organisation, [prepared])[0]
    except OperationalError:
        raise
    except Exception:  # a message that cannot be handled is held, never lost
        log.exception("mail %s cannot be handled: held as it is", prepared.reference)
        with session.begin_nested():
            return _hold_as_it_is(session, organisation, prepared)


@dataclass(slots=True)
class _Work:
    """What messages come to: new mails to record, and deliveries that came again."""

    mails: list[list[Part]] = field(default_factory=list)
    results: list[list["Part | _Earlier"]] = field(default_factory=list)
    repeated: list["Part | _Earlier"] = field(default_factory=list)


def _take_in_together(
    session: Session, organisation: Organisation, batch: Sequence[Prepared]
) -> list[Receipt]:
    receipts: list[Receipt] = []
    while len(receipts) < len(batch):
        receipts += _take_in_first(session, organisation, batch[len(receipts) :])
    return receipts


def _take_in_first(
    session: Session, organisation: Organisation, batch: Sequence[Prepared]
) -> list[Receipt]:
    """Take in a batch, up to a message that opens a ticket to which those behind it belong."""
    facts = gather(session, organisation, batch)
    keys = [
        [intake_key(prepared, _queue_id(part)) for part in parts]
        for prepared, parts in zip(batch, facts, strict=True)
    ]
    seen = _earlier(session, {key for group in keys for key in group})
    work = _decide(batch, facts, keys, seen)
    if work.mails:
        record(session, work.mails)
        _note_bounces(session, work.mails)
    if work.repeated:
        _count_duplicates(session, [part.delivery_id for part in work.repeated])
    return [
        _receipt(prepared, results) for prepared, results in zip(batch, work.results, strict=False)
    ]


def _decide(
    batch: Sequence[Prepared],
    facts: Sequence[Sequence[Facts]],
    keys: Sequence[Sequence[bytes]],
    seen: dict[bytes, "_Earlier"],
) -> _Work:
    """Decide each recipient of each message, unless the same was taken in before."""
    work = _Work()
    first: dict[bytes, Part] = {}
    opened = Opened()
    for prepared, parts, part_keys in zip(batch, facts, keys, strict=True):
        mail: list[Part] = []
        results: list[Part | _Earlier] = []
        for part_facts, key in zip(parts, part_keys, strict=True):
            before = seen.get(key) or first.get(key)
            if before is None or (isinstance(before, Part) and before.prepared is prepared):
                part = _decide_part(prepared, opened.seen_by(part_facts), key, before, mail)
                if part.kept:
                    first.setdefault(key, part)
                if part.same_as is None:
                    opened.add(part_facts, part.decision.outcome)
                mail.append(part)
                results.append(part)
            else:
                work.repeated.append(before)
                results.append(before)
        if mail:
            work.mails.append(mail)
        work.results.append(results)
        if any(part.opens_burst for part in mail):
            break
    return work


def _decide_part(
    prepared: Prepared, facts: Facts, key: bytes, same_queue: Part | None, mail: Sequence[Part]
) -> Part:
    """Decide one recipient; a ticket that the mail was added to for another gets it only once.

    So does one that it opened for another where a routing rule has led both to one queue.
    """
    part = Part(prepared, facts, decide(facts), key, same_as=same_queue)
    if same_queue is not None:
        return part
    match part.decision.outcome:
        case AppendArticle(ticket_id=ticket_id):
            part.same_as = next((other for other in mail if other.is_added_to(ticket_id)), None)
        case OpenTicket(queue_id=queue_id) if part.decision.fitted:
            part.same_as = next((other for other in mail if other.opens_in(queue_id)), None)
    return part


def _note_bounces(session: Session, mails: Sequence[Sequence[Part]]) -> None:
    """Note what delivery reports say at the mails of ours that they are about."""
    for part in (part for mail in mails for part in mail):
        report, outgoing_id = part.prepared.report, part.facts.outgoing_id
        if report is None or outgoing_id is None or not part.is_report:
            continue
        at = part.prepared.incoming.received_at
        record_bounce(session, outgoing_id, report, at, part.article_id)


def _queue_id(facts: Facts) -> int | None:
    """Return the queue that a message is for, as far as telling redeliveries apart needs it."""
    if facts.portal is not None:
        portal = facts.portal
        return (
            portal.ticket.queue_id if portal.ticket else portal.queue.id if portal.queue else None
        )
    return facts.queue.id if facts.queue else None


@dataclass(frozen=True, slots=True)
class _Earlier:
    """A delivery that was recorded in an earlier transaction."""

    delivery_id: int
    reference: str
    receipt_before: RecipientReceipt

    def receipt(self) -> RecipientReceipt:
        """Return the receipt of the first copy."""
        return self.receipt_before


_SEEN = select(IntakeSeen.delivery_id, IntakeSeen.key).where(
    IntakeSeen.key.in_(bindparam("keys", expanding=True))
)


def _earlier(session: Session, keys: set[bytes]) -> dict[bytes, _Earlier]:
    ids: dict[int, bytes] = dict(session.connection().execute(_SEEN, {"keys": list(keys)}).all())
    if not ids:
        return {}
    rows = session.execute(
        select(Delivery, Mail.reference, Ticket.public_id)
        .join(Mail, Mail.id == Delivery.mail_id)
        .outerjoin(Ticket, Ticket.id == Delivery.ticket_id)
        .where(Delivery.id.in_(ids))
    )
    return {
        ids[delivery.id]: _Earlier(
            delivery.id,
            reference,
            RecipientReceipt(
                recipient=delivery.recipient,
                decision=delivery.decision,
                reason=delivery.reason,
                reply=_parse_reply(delivery.reply),
                ticket_id=delivery.ticket_id,
                ticket_public_id=public_id,
                article_id=delivery.article_id,
            ),
        )
        for delivery, reference, public_id in rows
    }


def _parse_reply(stored: str) -> Reply:
    found = _REPLY_PARTS.fullmatch(stored)
    if found is None:
        raise ValueError(f"not an SMTP reply: {stored!r}")
    return Reply(int(found[1]), found[2], found[3])


def _count_duplicates(session: Session, delivery_ids: Sequence[int]) -> None:
    session.execute(
        update(Delivery)
        .where(Delivery.id.in_(delivery_ids))
        .values(duplicates=Delivery.duplicates + 1)
    )


def _receipt(prepared: Prepared, results: Sequence[Part | _Earlier]) -> Receipt:
    """Return the receipt of a message; a redelivery carries the reference of its first copy."""
    reference = prepared.reference
    parts = []
    for result in results:
        repeated = isinstance(result, _Earlier) or result.prepared is not prepared
        if repeated:
            first = result.reference if isinstance(result, _Earlier) else result.prepared.reference
            reference = first if len(results) == 1 else reference
        parts.append(replace(result.receipt(), duplicate=repeated))
    return Receipt(reference, tuple(parts))


def _hold_as_it_is(session: Session, organisation: Organisation, prepared: Prepared) -> Receipt:
    """Hold a message for every recipient without looking at what is in it."""
    bare = replace(
        prepared, message=unreadable(prepared.incoming.raw), from_key="", thread=NO_THREAD
    )
    because = N_("The mail could not be handled; its bytes are kept as they came.")
    parts: list[Part] = []
    for recipient in prepared.incoming.envelope.recipients:
        route = organisation.route(recipient)
        queue = route.queue if route else None
        facts = Facts(
            organisation=organisation,
            recipient=recipient,
            known_recipient=route is not None,
            queue=queue,
            sender=SenderFacts("", Evidence.FAILED, because),
            match=Match(MatchKind.UNKNOWN),
            access=None,
            unreadable=True,
        )
        hold = Hold("unreadable", queue.id if queue else None)
        decision = Decision(hold, (Step("unreadable", "hold", because),))
        key = intake_key(bare, hold.queue_id)
        same = next((part for part in parts if part.key == key), None)
        parts.append(Part(bare, facts, decision, key, same_as=same))
    seen = _earlier(session, {part.key for part in parts})
    new = [part for part in parts if part.key not in seen]
    if new:
        record(session, [new])
    return _receipt(prepared, [seen.get(part.key, part) for part in parts])

"""Held mail is decided again when the customer sources answer that could not say who it is from.

By the same rules as when it came in, with its envelope, bytes and evidence of that time. What may
be filed is filed, and nobody is answered, as with a release. Anything else stays held, now for its
own reason: its server was told long ago that it is accepted.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, joinedload

from core.audit import Actor
from core.db import Database
from core.intake.decide import decide
from core.intake.decision import AppendArticle, OpenTicket
from core.intake.gather import gather
from core.intake.held import original, set_ticket, settle
from core.intake.look_up import look_up
from core.intake.prepare import Prepared, prepare
from core.intake.record import record_release
from core.intake.rows import Part, trace
from core.intake.writer import MAX_BATCH_BYTES, MAX_BATCH_MAILS
from core.models import Delivery, Mail, now
from core.organisation import load_organisation
from core.portions import in_loads
from core.sources.asking.live import LiveSources
from core.words import ActorKind, HeldState

log = logging.getLogger(__name__)

REASON = "source-away"
MAX_AT_ONCE = 1000  # mails that are decided in one go

_BY = Actor(ActorKind.SYSTEM, None, "customer sources")


def decide_again(database: Database, sources: LiveSources, keys: Sequence[bytes]) -> int:
    """Decide held mail again, the oldest first, until a source turns out to be still away.

    ``keys`` are those whose tokens are believed. Returns for how many mails the sources have
    answered. They are asked about the oldest, and then about as many at once as when mail comes
    in; each is a transaction of its own.
    """
    with database.read() as session:
        waiting = session.execute(
            select(Delivery.id, Mail.size)
            .join(Mail, Mail.id == Delivery.mail_id)
            .where(Delivery.held == HeldState.WAITING, Delivery.reason == REASON)
            .order_by(Delivery.id)
            .limit(MAX_AT_ONCE)
        ).all()
    decided = 0
    first, rest = waiting[:1], waiting[1:]  # while the source is away, one is read and no more
    loads = in_loads(rest, MAX_BATCH_MAILS, lambda row: row.size, MAX_BATCH_BYTES)
    for some in filter(None, chain([first], loads)):
        answered = _decide_some(database, sources, keys, [row.id for row in some])
        decided += answered
        if answered < len(some) and sources.away():
            break
    return decided


def _decide_some(
    database: Database, sources: LiveSources, keys: Sequence[bytes], delivery_ids: Sequence[int]
) -> int:
    """Decide as many as can be in memory at once, and return how many could be."""
    prepared: dict[int, Prepared] = {}
    for delivery_id in delivery_ids:
        with _left_to_staff(database, delivery_id), database.read() as session:
            prepared[delivery_id] = _prepared(session, delivery_id, keys)
    decided = 0
    looked_up = look_up(database, sources, list(prepared.values()))
    for delivery_id, mail in zip(prepared, looked_up, strict=True):
        if not isinstance(mail, Prepared) or mail.away:
            continue
        with _left_to_staff(database, delivery_id), database.write() as session:
            decided += _decide(session, delivery_id, mail)
    return decided


@contextmanager
def _left_to_staff(database: Database, delivery_id: int) -> Iterator[None]:
    """Leave a mail to staff where the block fails because of it."""
    try:
        yield
    except OperationalError:
        raise  # the database is locked, full or gone: that is no mail's fault
    except Exception:  # one that cannot be handled is for staff, and hinders no other
        log.exception("held mail %d cannot be decided again", delivery_id)
        with database.write() as session:
            session.get_one(Delivery, delivery_id).reason = "unreadable"


def _prepared(session: Session, delivery_id: int, keys: Sequence[bytes]) -> Prepared:
    statement = (
        select(Delivery)
        .where(Delivery.id == delivery_id)
        .options(joinedload(Delivery.mail).joinedload(Mail.raw))
    )
    delivery = session.scalars(statement).one()
    return prepare(original(delivery), keys, reference=delivery.mail.reference)


def _decide(session: Session, delivery_id: int, prepared: Prepared) -> bool:
    """Decide a mail again, unless staff were faster."""
    delivery = session.scalars(
        select(Delivery)
        .where(Delivery.id == delivery_id, Delivery.held == HeldState.WAITING)
        .options(joinedload(Delivery.mail))
        .with_for_update(of=Delivery)
    ).one_or_none()
    if delivery is None:
        return False
    organisation = load_organisation(session, lock=True)
    facts = gather(session, organisation, [prepared])[0][0]
    decision = decide(facts)
    match = facts.match
    delivery.matched_by, delivery.customer_id = match.matched_by, match.customer_id
    delivery.customer_user_id = match.account.customer_user_id if match.account else None
    delivery.trace = [*delivery.trace, *trace(decision)]
    if not isinstance(decision.outcome, OpenTicket | AppendArticle):
        delivery.reason = decision.outcome.reason
        return True
    part = Part(prepared, facts, decision, b"", delivery_id=delivery.id, released_at=now())
    record_release(session, part, delivery.mail_id)
    set_ticket(session, delivery, part)
    settle(session, _BY, delivery, HeldState.RELEASED, "")
    return True

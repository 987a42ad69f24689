"""Queues: where tickets lie, by which addresses mail reaches them, and for which group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import flag_modified

from core.accounts.addresses import address_holders, belongs_to_another
from core.accounts.groups import group_named
from core.accounts.saving import (
    Problems,
    check_version,
    clean_texts,
    holder_of_name,
    store,
)
from core.audit import Actor
from core.errors import Duplicate, Holder, Invalid, NotFound
from core.i18n import gettext as _
from core.mail.addresses import address_key, check_new_address
from core.mail.text import one_line
from core.models import Group, Queue, QueueAddress
from core.outgoing.placeholders import PLACEHOLDERS, check_placeholders
from core.words import EvidenceDemand, FollowUp, ForbiddenRule, StrangersRule


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueValues:
    """What can be entered for a queue; ``group`` and ``fallback_queue`` are names.

    The group has no default, so that nothing is open by accident. ``purpose`` is shown to
    customers, ``comment`` to admins. The ``signature`` stands below what staff
    write, with placeholders of ``core.outgoing.placeholders``.
    """

    name: str
    group: str
    addresses: tuple[str, ...] = ()
    purpose: str = ""
    comment: str = ""
    follow_up: FollowUp = FollowUp.POSSIBLE
    forbidden: ForbiddenRule = ForbiddenRule.HOLD
    fallback_queue: str = ""
    strangers: StrangersRule = StrangersRule.HOLD
    evidence: EvidenceDemand = EvidenceDemand.ANY
    signature: str = ""
    valid: bool = True


_PLAIN_FIELDS = (
    "name",
    "purpose",
    "comment",
    "follow_up",
    "forbidden",
    "strangers",
    "evidence",
    "signature",
    "valid",
)
_LONG_FIELDS = ("comment", "signature")


def queue_values(queue: Queue) -> QueueValues:
    """Return what is stored of a queue."""
    return QueueValues(
        **{field: getattr(queue, field) for field in _PLAIN_FIELDS},
        group=queue.group.name,
        addresses=tuple(row.address for row in queue.addresses),
        fallback_queue=queue.fallback_queue.name if queue.fallback_queue is not None else "",
    )


def save_queue(
    session: Session,
    actor: Actor,
    values: QueueValues,
    current: Queue | None = None,
    version: int | None = None,
) -> Queue:
    """Create a queue, or change ``current`` where it differs.

    Raises ``InvalidFields``, and ``Stale`` when ``version`` is not the stored one.
    """
    check_version(session, current, version)
    problems = Problems()
    values = clean_texts(values, Queue, problems, required=("name", "group"), long=_LONG_FIELDS)
    with problems.gathered():
        _check_name(session, values.name, current)
    with problems.gathered():
        check_placeholders(values.signature, PLACEHOLDERS, "signature")
    group: Group | None = None
    with problems.gathered():
        group = _group(session, values.group)
    keys = _checked_addresses(session, values.addresses, current, problems)
    values = replace(values, addresses=tuple(keys.values()))
    if values.forbidden is not ForbiddenRule.FALLBACK:
        values = replace(values, fallback_queue="")
    fallback: Queue | None = None
    with problems.gathered():
        fallback = _fallback(session, values, current)
    problems.raise_any()
    assert group is not None  # or there was a problem
    before = queue_values(current) if current is not None else None
    queue = current if current is not None else Queue()
    if values == before:
        return queue
    for field in _PLAIN_FIELDS:
        setattr(queue, field, getattr(values, field))
    queue.group, queue.fallback_queue = group, fallback
    if before is None or values.addresses != before.addresses:
        _set_addresses(queue, keys)
    flag_modified(queue, "name")  # a change of addresses alone counts as one of the queue, too
    store(session, actor, "queue", queue, queue.name, before, values)
    return queue


def queue_named(session: Session, name: str) -> Queue:
    """Return the queue with exactly this name. Raises ``NotFound``."""
    queue = session.scalars(select(Queue).where(Queue.name == one_line(name))).one_or_none()
    if queue is None:
        raise NotFound(_('There is no queue "%(name)s".', name=name))
    return queue


def _check_name(session: Session, name: str, current: Queue | None) -> None:
    holder = holder_of_name(session, Queue, name, current)
    if holder is not None:
        text = _('There is already a queue "%(name)s".', name=holder.name)
        raise Duplicate("name", text, holder)


def _group(session: Session, name: str) -> Group | None:
    if not name:
        return None
    try:
        return group_named(session, name)
    except NotFound as missing:
        raise Invalid("group", str(missing)) from None


def _fallback(session: Session, values: QueueValues, current: Queue | None) -> Queue | None:
    if values.forbidden is not ForbiddenRule.FALLBACK:
        return None
    if not values.fallback_queue:
        raise Invalid("fallback_queue", _("Please choose the queue to fall back to."))
    if values.fallback_queue == values.name:
        raise Invalid("fallback_queue", _("A queue cannot fall back to itself."))
    try:
        found = queue_named(session, values.fallback_queue)
    except NotFound as missing:
        raise Invalid("fallback_queue", str(missing)) from None
    if found is current:
        raise Invalid("fallback_queue", _("A queue cannot fall back to itself."))
    return found


def _checked_addresses(
    session: Session, entered: Sequence[str], current: Queue | None, problems: Problems
) -> dict[str, str]:
    """Return the addresses by their keys, in order; gather what is wrong with them."""
    checked: dict[str, str] = {}
    for text in entered:
        if text.strip():
            with problems.gathered():
                address = check_new_address(text, "addresses")
                key = address_key(address)
                assert key is not None  # check_new_address has made sure
                _check_free(session, key, address, current)
                checked.setdefault(key, address)
    return checked


def _check_free(session: Session, key: str, address: str, current: Queue | None) -> None:
    """Refuse an address of another queue, or of somebody who writes to us."""
    row = session.scalars(select(QueueAddress).where(QueueAddress.address_key == key)).one_or_none()
    if row is not None and row.queue is not current:
        raise Duplicate(
            "addresses",
            _(
                '%(address)s is an address of the queue "%(queue)s".',
                address=address,
                queue=row.queue.name,
            ),
            Holder("queue", row.queue_id, row.queue.name),
        )
    holder = address_holders(session, [key]).get(key)
    if holder is not None:
        raise belongs_to_another("addresses", address, holder)


def _set_addresses(queue: Queue, wanted: Mapping[str, str]) -> None:
    rows = {row.address_key: row for row in queue.addresses}
    addresses = []
    for key, address in wanted.items():
        row = rows.get(key) or QueueAddress(address_key=key)
        row.address = address
        addresses.append(row)
    queue.addresses = addresses

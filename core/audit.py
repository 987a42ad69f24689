"""The audit log: every change beside the event that tells of it, in one transaction."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from typing import Any

from sqlalchemy.orm import Session

from core.bulk import insert_rows
from core.models import AuditEvent, CustomerUser, Staff, now
from core.words import ActorKind

SECRET_FIELDS = frozenset({"password", "password_hash"})


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something, and from which network address."""

    kind: ActorKind
    id: int | None
    name: str
    peer: str = ""


SYSTEM = Actor(ActorKind.SYSTEM, None, "Schalter")


def staff_actor(staff: Staff, peer: str = "") -> Actor:
    """Return the actor for a member of staff."""
    return Actor(ActorKind.STAFF, staff.id, staff.login, peer)


def customer_actor(customer_user: CustomerUser, peer: str = "") -> Actor:
    """Return the actor for a customer user."""
    return Actor(ActorKind.CUSTOMER, customer_user.id, customer_user.login, peer)


@dataclass(frozen=True, slots=True)
class Event:
    """What was done to an object, as in ``record``."""

    action: str
    object_kind: str
    object_id: int | None
    object_name: str = ""
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


def record(
    session: Session,
    actor: Actor,
    action: str,
    object_kind: str,
    object_id: int | None,
    object_name: str = "",
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Write that ``actor`` did ``action`` (``created``, ``changed``, …) to an object.

    ``before`` and ``after`` hold only the fields that differ; a secret field is named without
    its value.
    """
    event = Event(action, object_kind, object_id, object_name, before, after)
    session.add(AuditEvent(**_row(actor, event)))


def record_all(session: Session, actor: Actor, events: Iterable[Event]) -> None:
    """Write several events at once."""
    insert_rows(session.connection(), AuditEvent, [_row(actor, event) for event in events])


def _row(actor: Actor, event: Event) -> dict[str, Any]:
    return {
        "at": now(),
        "actor_kind": actor.kind,
        "actor_id": actor.id,
        "actor_name": actor.name,
        "peer": actor.peer,
        "action": event.action,
        "object_kind": event.object_kind,
        "object_id": event.object_id,
        "object_name": event.object_name[:500],
        "before": _storable(event.before),
        "after": _storable(event.after),
    }


def differences(
    before: dict[str, Any], after: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parts of two descriptions of one thing in which they differ."""
    changed = [key for key in after if before.get(key) != after[key]]
    return {key: before.get(key) for key in changed}, {key: after[key] for key in changed}


def _storable(values: dict[str, Any] | None) -> dict[str, Any] | None:
    if values is None:
        return None
    return {
        key: "***" if key in SECRET_FIELDS and value else _plain(value)
        for key, value in values.items()
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return value

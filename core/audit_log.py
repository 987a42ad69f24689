"""Reading the audit log: the history of one thing, or what was done at all."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, select, true
from sqlalchemy.orm import Session

from core.mail.text import one_line
from core.models import AuditEvent
from core.paging import Page, read_page
from core.words import ActorKind

MAX_PAGE = 200
MAX_QUERY = 200  # characters that count


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which events a list shows; the default is all of them.

    ``actor`` is a part of the name of who did it, ``query`` a part of the name of what it was
    done to, no character in them is a wildcard. ``since`` counts, ``until`` does not.
    """

    object_kind: str = ""
    object_id: int | None = None
    actor_kind: ActorKind | None = None
    actor: str = ""
    action: str = ""
    since: datetime | None = None
    until: datetime | None = None
    query: str = ""


def audit_events(
    session: Session, wanted: AuditFilter, *, cursor: str | None = None, limit: int = 50
) -> Page[AuditEvent]:
    """Return a page of events, the newest first."""
    return read_page(
        session,
        select(AuditEvent).where(_matches(wanted)),
        (AuditEvent.id,),
        descending=True,
        cursor=cursor,
        limit=min(limit, MAX_PAGE),
    )


def _matches(wanted: AuditFilter) -> ColumnElement[bool]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.object_kind:
        conditions.append(AuditEvent.object_kind == wanted.object_kind)
    if wanted.object_id is not None:
        conditions.append(AuditEvent.object_id == wanted.object_id)
    if wanted.actor_kind is not None:
        conditions.append(AuditEvent.actor_kind == wanted.actor_kind)
    if wanted.action:
        conditions.append(AuditEvent.action == wanted.action)
    if wanted.since is not None:
        conditions.append(AuditEvent.at >= wanted.since)
    if wanted.until is not None:
        conditions.append(AuditEvent.at < wanted.until)
    for column, text in (
        (AuditEvent.actor_name, wanted.actor),
        (AuditEvent.object_name, wanted.query),
    ):
        if sought := one_line(text[:MAX_QUERY]):
            conditions.append(column.icontains(sought, autoescape=True))
    return and_(true(), *conditions)

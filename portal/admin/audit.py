"""The audit log: who did what to what, when, from where. It can only be read."""

from datetime import date, datetime, time, timedelta

from flask import render_template, request

from core.audit_log import AuditFilter, audit_events
from core.i18n import gettext as _
from core.words import ActorKind
from portal.admin.history import ACTIONS, ACTOR_KINDS, OBJECT_KINDS, entries
from portal.areas import Area, Audience
from portal.database import reading
from portal.languages import time_zone

PER_PAGE = 50

area = Area("admin_audit", __name__, Audience.ADMIN, "/admin/audit")


@area.get("")
def index() -> str:
    """List events: filtered, page by page."""
    wanted = _filter_of_request()
    page = audit_events(reading(), wanted, cursor=request.args.get("page"), limit=PER_PAGE)
    names = ("q", "actor", "actor_kind", "kind", "action", "since", "until")
    values = {name: request.args.get(name, "").strip() for name in names}
    return render_template(
        "admin/audit.html",
        actions=sorted((value, _(text)) for value, text in ACTIONS.items()),
        actor_kinds=[(kind.value, _(text)) for kind, text in ACTOR_KINDS.items()],
        kinds=[(kind, _(text)) for kind, text in OBJECT_KINDS.items()],
        page=entries(page),
        parameters={name: value for name, value in values.items() if value},
        values=values,
    )


def _filter_of_request() -> AuditFilter:
    text = request.args.get
    until = _day("until")
    return AuditFilter(
        object_kind=text("kind", "") if text("kind") in OBJECT_KINDS else "",
        actor_kind=next((kind for kind in ActorKind if kind == text("actor_kind")), None),
        actor=text("actor", ""),
        action=text("action", "") if text("action") in ACTIONS else "",
        since=_begin(_day("since")),
        until=_begin(until + timedelta(days=1)) if until is not None else None,
        query=text("q", ""),
    )


def _day(name: str) -> date | None:
    """Return a day from the address of the page; what is none is as if it were not there."""
    try:
        found = date.fromisoformat(request.args.get(name, ""))
    except ValueError:
        return None
    return found if 2000 <= found.year <= 2999 else None  # no clock of ours tells others


def _begin(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, time.min, tzinfo=time_zone())

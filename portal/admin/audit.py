"""The audit log: who did what to what, when, from where. It can only be read."""

from flask import render_template, request

from core.audit_log import AuditFilter, audit_events
from core.i18n import gettext as _
from core.words import ActorKind
from portal.areas import Area, Audience
from portal.database import reading
from portal.history import ACTIONS, ACTOR_KINDS, OBJECT_KINDS, entries
from portal.parameters import begin, day_of_request, end, text_of_request, word_of_request

PER_PAGE = 50

area = Area("admin_audit", __name__, Audience.ADMIN, "/admin/audit")


@area.get("")
def index() -> str:
    """List events: filtered, page by page."""
    wanted = _filter_of_request()
    page = audit_events(reading(), wanted, cursor=request.args.get("page"), limit=PER_PAGE)
    names = ("q", "actor", "actor_kind", "kind", "action", "since", "until")
    values = {name: text_of_request(name) for name in names}
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
    kind, action = text_of_request("kind"), text_of_request("action")
    return AuditFilter(
        object_kind=kind if kind in OBJECT_KINDS else "",
        actor_kind=word_of_request("actor_kind", ActorKind),
        actor=text_of_request("actor"),
        action=action if action in ACTIONS else "",
        since=begin(day_of_request("since")),
        until=end(day_of_request("until")),
        query=text_of_request("q"),
    )

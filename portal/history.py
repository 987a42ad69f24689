"""Audit events as people read them: who, when, what, and each field before and after."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from flask import render_template, request, url_for
from sqlalchemy.orm import Session

from core.audit_log import AuditFilter, audit_events
from core.i18n import N_
from core.i18n import gettext as _
from core.labels import label, reason_label
from core.models import AuditEvent, ticket_number
from core.paging import Page
from core.routing.rule import actions_from_json, conditions_from_json
from core.words import (
    ActorKind,
    AutoResponse,
    BlockedKind,
    EvidenceDemand,
    FollowUp,
    ForbiddenRule,
    HeldState,
    OutgoingState,
    Permission,
    Priority,
    Role,
    RoutingScope,
    SenderPolicy,
    StrangersRule,
    TicketState,
    Validity,
)
from portal.account import THEMES
from portal.database import reading
from portal.rule_words import actions_in_words, conditions_in_words
from portal.visitors import organisation
from portal.vocabulary import LANGUAGE_NAMES

PER_PAGE = 25
MAX_SINCE = 200  # events that are looked through for what happened since a form was read

OBJECT_KINDS: Mapping[str, str] = {
    "customer-user": N_("Customer user"),
    "customer": N_("Customer"),
    "group": N_("Group"),
    "queue": N_("Queue"),
    "reply-template": N_("Reply template"),
    "routing-rule": N_("Routing rule"),
    "settings": N_("Settings"),
    "staff": N_("Staff account"),
    "ticket": N_("Ticket"),
    "held-mail": N_("Held mail"),
    "outgoing-mail": N_("Outgoing mail"),
    "mail-address": N_("Mail address"),
    "blocked-sender": N_("Entry of the blocklist"),
    "customer-source": N_("Customer source"),
}
ACTIONS: Mapping[str, str] = {
    "created": N_("created"),
    "changed": N_("changed"),
    "deleted": N_("deleted"),
    "auto-response-changed": N_("automatic answer changed"),
    "permissions-changed": N_("permissions changed"),
    "password-set": N_("password set"),
    "password-link-asked": N_("new password asked for"),
    "invited": N_("invited"),
    "matched-up": N_("matched up with its new record"),
    "dissolved": N_("dissolved into another account"),
    "kept-here": N_("kept here from now on"),
    "directory-refused": N_("sign-in from the directory refused"),
    "address-link-asked": N_("confirmation of a mail address asked for"),
    "sign-in-tested": N_("sign-in tested"),
    "signed-in": N_("signed in"),
    "signed-out": N_("signed out"),
    "session-ended": N_("session ended"),
    "sessions-ended": N_("sessions ended"),
    "released": N_("released"),
    "discarded": N_("discarded"),
    "discard-undone": N_("discarding taken back"),
    "refusal-sent": N_("sender told of the refusal"),
    "number-denied": N_("sender not known to the customer"),
    "read": N_("read"),
    "article-added": N_("message added"),
    "noted": N_("internal note added"),
    "replied": N_("replied"),
    "merged": N_("merged into another ticket"),
    "merged-in": N_("another ticket merged into this one"),
    "split": N_("message split off"),
    "assigned": N_("assigned"),
    "linked": N_("linked"),
    "unlinked": N_("link removed"),
    "came-back": N_("mail came back"),
    "not-sent": N_("mail not sent"),
    "retried": N_("tried again"),
    "cancelled": N_("called off"),
    "bounces-cleared": N_("returned mails cleared"),
    "imported": N_("imported from a file"),
    "exported": N_("exported to a file"),
    "blocked": N_("blocked"),
    "unblocked": N_("no longer blocked"),
    "reading-asked": N_("reading asked for"),
}
ACTOR_KINDS: Mapping[ActorKind, str] = {
    ActorKind.STAFF: N_("Staff"),
    ActorKind.CUSTOMER: N_("Customer user"),
    ActorKind.MAIL: N_("Mail"),
    ActorKind.SYSTEM: N_("Schalter itself"),
}
FIELDS: Mapping[str, str] = {
    "tags": N_("Tags"),
    "actions": N_("Actions"),
    "addresses": N_("Mail addresses"),
    "articles": N_("Messages"),
    "auto_response": N_("Automatic answer"),
    "auto_responses_per_address": N_("Automatic answers to one address a day"),
    "auto_responses_per_hour": N_("Automatic answers an hour, in all"),
    "bounces": N_("Returned mails"),
    "burst_tickets": N_("Tickets of one account in ten minutes"),
    "cc": N_("Copy to"),
    "city": N_("City"),
    "comment": N_("Comment"),
    "conditions": N_("Conditions"),
    "country": N_("Country"),
    "customer_group_always_groups": N_("Groups for everybody"),
    "customer_group_support": N_("Customer groups"),
    "customer_number": N_("Kunden#"),
    "customer_user": N_("Customer user"),
    "digest": N_("Digest of held mail"),
    "domains": N_("Mail domains"),
    "email": N_("E-mail"),
    "enabled": N_("Send this answer"),
    "entry": N_("Entry in the directory"),
    "failed_attempts": N_("Failed attempts before"),
    "provider": N_("Signed in with"),
    "evidence": N_("Demand on the sender"),
    "fallback_queue": N_("Queue to fall back to"),
    "first_name": N_("First name"),
    "follow_up": N_("Replies to a closed ticket"),
    "forbidden": N_("Mail of customers who may not write here"),
    "group": N_("Group"),
    "groups": N_("Permissions"),
    "held": N_("Held mail"),
    "held_days": N_("Days that held mail waits"),
    "invalid_reason": N_("Reason"),
    "invalid_until": N_("Invalid until"),
    "kind": N_("Kind"),
    "key": N_("Key in the source"),
    "language": N_("Language"),
    "last_name": N_("Last name"),
    "login": N_("Login"),
    "mails": N_("Mails taken over"),
    "mails_different": N_("Mails decided differently"),
    "mails_tried": N_("Mails decided again"),
    "mobile": N_("Mobile"),
    "more_addresses": N_("More mail addresses"),
    "name": N_("Name"),
    "notices": N_("Mail about new answers"),
    "number": N_("Kunden#"),
    "number_headers": N_("Header fields with a Kunden#"),
    "number_labels": N_("Words before a Kunden#"),
    "organisation_name": N_("Name of the organisation"),
    "owner_id": N_("Owner"),
    "phone": N_("Phone"),
    "position": N_("Position"),
    "postcode": N_("Postcode"),
    "priority": N_("Priority"),
    "purpose": N_("Purpose"),
    "queue_id": N_("Queue"),
    "reason": N_("Reason"),
    "relay_authenticates": N_("Domains that our relays vouch for"),
    "recipient": N_("Recipient"),
    "role": N_("Role"),
    "rows_changed": N_("Changed by the file"),
    "rows_new": N_("New by the file"),
    "sees_customer_tickets": N_("Sees all tickets of the customer"),
    "sender_address": N_("Sender of mail that belongs to no queue"),
    "sender_policy": N_("Trust in senders"),
    "scope": N_("Applies to"),
    "session_hours": N_("Longest session"),
    "session_idle_minutes": N_("Session ends when idle for"),
    "share_address": N_("Share addresses"),
    "signature": N_("Signature"),
    "source": N_("Customer source"),
    "signs_in": N_("Would be signed in"),
    "split_from": N_("Split off from"),
    "state": N_("State"),
    "stop": N_("Ask no further rule when this one fits"),
    "strangers": N_("Mail of unknown senders"),
    "street": N_("Street"),
    "subject_de": N_("Subject in German"),
    "subject_en": N_("Subject in English"),
    "support_contact": N_("Support contact"),
    "text": N_("Text"),
    "text_de": N_("Text in German"),
    "text_en": N_("Text in English"),
    "theme": N_("Appearance"),
    "ticket": N_("Ticket"),
    "tickets": N_("Tickets taken over"),
    "tickets_per_page": N_("Tickets per page"),
    "time_zone": N_("Time zone"),
    "title": N_("Title"),
    "to": N_("To"),
    "value": N_("Value"),
    "upload_max_bytes": N_("Size of all files of a message"),
    "upload_max_files": N_("Files in a message"),
    "url": N_("Web page"),
    "valid": N_("Valid"),
    "why": N_("Reason"),
}
_INTERNAL = frozenset({"article"})  # ids that say nothing to people
_WORDS: Mapping[str, type[StrEnum]] = {
    "auto_response": AutoResponse,
    "evidence": EvidenceDemand,
    "follow_up": FollowUp,
    "forbidden": ForbiddenRule,
    "held": HeldState,
    "priority": Priority,
    "role": Role,
    "sender_policy": SenderPolicy,
    "scope": RoutingScope,
    "state": TicketState,
    "strangers": StrangersRule,
    "valid": Validity,
}
_WORDS_OF_KIND: Mapping[tuple[str, str], type[StrEnum]] = {
    ("blocked-sender", "kind"): BlockedKind,
    ("outgoing-mail", "state"): OutgoingState,
}
_PAGES: Mapping[str, str] = {
    "customer-user": "admin_customer_users.edit",
    "customer": "admin_customers.edit",
    "group": "admin_groups.edit",
    "queue": "admin_queues.edit",
    "reply-template": "admin_templates.edit",
    "routing-rule": "admin_rules.edit",
    "staff": "admin_staff.edit",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One field of an event; ``before`` is empty where there was nothing.

    ``is_new`` is what the event only tells, without saying that it was anything before.
    """

    field: str
    before: str
    after: str
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """An event in words; ``url`` leads to what it happened to, "" where that has no page."""

    event: AuditEvent
    action: str
    actor_kind: str
    object_kind: str
    url: str
    changes: tuple[Change, ...]


def entry_of(event: AuditEvent) -> Entry:
    """Return an event in words of the reader's language; unknown words stay as they are stored."""
    return Entry(
        event=event,
        action=_(ACTIONS.get(event.action, event.action)),
        actor_kind=_(ACTOR_KINDS[event.actor_kind]),
        object_kind=_(OBJECT_KINDS.get(event.object_kind, event.object_kind)),
        url=page_of(event.object_kind, event.object_id),
        changes=tuple(_changes(event)),
    )


def page_of(object_kind: str, object_id: int | None) -> str:
    """Return the address of the page of a thing, "" where there is none."""
    if object_kind == "settings":
        return url_for("admin_settings.show")
    if object_id is None:
        return ""
    if object_kind == "ticket":
        return url_for("staff_tickets.by_number", number=ticket_number(object_id))
    if object_kind == "held-mail":
        return url_for("staff_held.show", delivery_id=object_id)
    if object_kind == "outgoing-mail":
        return url_for("staff_outgoing.show", outgoing_id=object_id)
    return url_for(_PAGES[object_kind], object_id=object_id) if object_kind in _PAGES else ""


def history_page(template: str, object_kind: str, object_id: int | None, **context: object) -> str:
    """Return the page of what happened to one thing, the newest first."""
    wanted = AuditFilter(object_kind=object_kind, object_id=object_id)
    events = audit_events(reading(), wanted, cursor=request.args.get("page"), limit=PER_PAGE)
    return render_template(template, page=entries(events), **context)


def last_events(
    session: Session, object_kind: str, object_id: int, limit: int
) -> tuple[Entry, ...]:
    """Return what happened to one thing last, the newest first."""
    wanted = AuditFilter(object_kind=object_kind, object_id=object_id)
    return entries(audit_events(session, wanted, limit=limit)).items


def entries(page: Page[AuditEvent]) -> Page[Entry]:
    """Return a page of events in words."""
    return Page(tuple(entry_of(event) for event in page.items), page.previous, page.next)


def newest_event(session: Session, object_kind: str, object_id: int | None) -> int:
    """Return the id of the last event of a thing, 0 for none."""
    wanted = AuditFilter(object_kind=object_kind, object_id=object_id)
    return max((e.id for e in audit_events(session, wanted, limit=1).items), default=0)


def events_since(
    session: Session, object_kind: str, object_id: int | None, event_id: int
) -> list[AuditEvent]:
    """Return what happened to a thing after an event, the oldest first."""
    wanted = AuditFilter(object_kind=object_kind, object_id=object_id)
    found = audit_events(session, wanted, limit=MAX_SINCE).items
    return [event for event in reversed(found) if event.id > event_id]


def _changes(event: AuditEvent) -> Iterator[Change]:
    before, after = event.before or {}, event.after or {}
    for key in dict.fromkeys((*after, *before)):
        if key in _INTERNAL:
            continue
        name = _(FIELDS.get(key, key))
        old, new = before.get(key), after.get(key)
        if event.object_kind == "routing-rule" and key in _PARTS_OF_RULE:
            in_words = _PARTS_OF_RULE[key]
            yield Change(name, in_words(old), in_words(new), key not in before)
        elif isinstance(old, dict) or isinstance(new, dict):
            yield from _permissions(old or {}, new or {}, is_new=event.before is None)
        else:
            kind, is_new = event.object_kind, key not in before
            change = Change(name, _value(kind, key, old), _value(kind, key, new), is_new)
            if change.after or not is_new:
                yield change


def _permissions(
    before: Mapping[str, Any], after: Mapping[str, Any], *, is_new: bool
) -> Iterator[Change]:
    """A permission in a group is a field of its own."""
    for group in sorted({*before, *after}):
        old, new = before.get(group), after.get(group)
        if old != new:
            name = _('Permission in "%(group)s"', group=group)
            yield Change(name, _permission(old), _permission(new), is_new)


def _permission(value: Any) -> str:
    return _word(Permission, value) if value else _("none")


def _value(kind: str, key: str, value: Any) -> str:
    if value in (None, "", []):
        return ""
    if isinstance(value, bool):
        return _validity(value) if key == "valid" else _("yes") if value else _("no")
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    words = _WORDS_OF_KIND.get((kind, key)) or _WORDS.get(key)
    if words is not None:
        return _word(words, value)
    shown = _SHOWN.get(key)
    return shown(str(value)) if shown else str(value)


def _validity(value: bool) -> str:
    return label(Validity.VALID if value else Validity.INVALID)


def _word(words: type[StrEnum], value: Any) -> str:
    """Return the label of a stored word; one that is no longer in use as it was stored."""
    known = next((word for word in words if word == value), None)
    return label(known) if known is not None else str(value)


def _theme(value: str) -> str:
    return str(dict(THEMES).get(value, value))


_SHOWN: Mapping[str, Callable[[str], str]] = {
    "reason": reason_label,
    "language": lambda value: LANGUAGE_NAMES.get(value, value),
    "theme": _theme,
}


def _conditions(stored: Mapping[str, Any] | None) -> str:
    return conditions_in_words(conditions_from_json(stored)) if stored else ""


def _actions(stored: Mapping[str, Any] | None) -> str:
    queues = {queue.id: queue.name for queue in organisation().queues.values()}
    return actions_in_words(actions_from_json(stored), queues) if stored else ""


_PARTS_OF_RULE: Mapping[str, Callable[[Mapping[str, Any] | None], str]] = {
    "conditions": _conditions,
    "actions": _actions,
}

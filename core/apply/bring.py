"""Bringing an organisation to what a file says, in the caller's transaction."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core import audit
from core.accounts.customer_users import (
    customer_user_values,
    customer_user_with_login,
    save_customer_user,
)
from core.accounts.customers import customer_numbered, customer_values, save_customer
from core.accounts.groups import group_named, group_values, save_group
from core.accounts.logins import login_key
from core.accounts.matrix import (
    CellChange,
    customer_changes,
    customer_user_changes,
    save_customer_cells,
    save_customer_user_cells,
)
from core.accounts.passwords import hash_password, set_password, verify_password
from core.accounts.queues import queue_named, queue_values, save_queue
from core.accounts.staff import save_staff, staff_values, staff_with_login
from core.apply.wanted import (
    CUSTOMER,
    CUSTOMER_USER,
    GROUP,
    KINDS,
    QUEUE,
    SECRETS,
    STAFF,
    Entry,
    Kind,
    Problem,
    Wanted,
)
from core.audit import Actor
from core.errors import Invalid, InvalidFields, NotFound
from core.models import Customer, CustomerUser, Group, Queue, Staff
from core.outgoing.auto_responses import save_auto_response, texts_of
from core.settings import change_settings, load_settings
from core.words import AutoResponse, Permission

Saved = Any  # Group | Queue | Customer | CustomerUser | Staff: each kind has its own functions


@dataclass(frozen=True, slots=True)
class Change:
    """What was done to one thing: ``fields`` are the old and the new value of each.

    Of something that was created the old values are None. A password shows neither.
    """

    action: str  # created or changed
    kind: str
    name: str
    fields: Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class _Functions:
    """How one kind of thing is found, read and saved."""

    find: Callable[[Session, str], Saved]
    read: Callable[[Saved], Any]
    save: Callable[[Session, Actor, Any, Saved | None], Saved]


_FUNCTIONS: Mapping[Kind, _Functions] = {
    GROUP: _Functions(group_named, group_values, save_group),
    QUEUE: _Functions(queue_named, queue_values, save_queue),
    CUSTOMER: _Functions(customer_numbered, customer_values, save_customer),
    CUSTOMER_USER: _Functions(customer_user_with_login, customer_user_values, save_customer_user),
    STAFF: _Functions(staff_with_login, staff_values, save_staff),
}

NewPasswords = Mapping[tuple[Kind, str], str]  # hashes by kind and key of the entry


def new_passwords(session: Session, wanted: Wanted) -> Iterator[tuple[Kind, str, str | None]]:
    """Give the hash of each password in the file, None for one that the account has already.

    Hashing takes long, so it is done before the writing transaction, and one at a time for
    whoever shows progress.
    """
    for entry in _with_password(wanted):
        account = Staff if entry.kind is STAFF else CustomerUser
        stored = session.scalars(
            select(account.password_hash).where(account.login_key == login_key(entry.key))
        ).one_or_none()
        yield entry.kind, entry.key, _new_hash(entry, stored)


def password_count(wanted: Wanted) -> int:
    """Return how many passwords a file has."""
    return len(_with_password(wanted))


def _with_password(wanted: Wanted) -> Sequence[Entry]:
    entries = [*wanted.entries[CUSTOMER_USER], *wanted.entries[STAFF]]
    return [entry for entry in entries if entry.given.keys() & set(SECRETS)]


def _new_hash(entry: Entry, stored: str | None) -> str | None:
    if "password_hash" in entry.given:
        wanted: str = entry.given["password_hash"]
        return wanted if wanted != stored else None
    password: str = entry.given["password"]
    return None if stored and verify_password(password, stored) else hash_password(password)


def bring_about(
    session: Session, actor: Actor, wanted: Wanted, passwords: NewPasswords
) -> Iterator[Change | None]:
    """Bring everything to what the file says; give what was done, an entry at a time.

    Entries that need nothing give None. Raises ``ApplyError`` for the first thing that cannot be
    done, when the transaction must be undone; and what the database raises.
    """
    for kind in KINDS:
        yield from _bring_kind(session, actor, wanted, kind, passwords)
    yield _bring_settings(session, actor, wanted)


def _bring_kind(
    session: Session, actor: Actor, wanted: Wanted, kind: Kind, passwords: NewPasswords
) -> Iterator[Change | None]:
    """Bring the entries of one kind, in rounds: what one gives up in a round another may take.

    So an address or a fallback queue may be moved in whatever order the file has. A refused save
    has changed nothing.
    """
    groups = {group.name: group.id for group in session.scalars(select(Group))}
    pending: Sequence[Entry] = wanted.entries[kind]
    without_fallback: Sequence[Entry] = ()
    while pending:
        problems: list[tuple[Entry, Problem]] = []
        for entry in (*without_fallback, *pending):
            try:
                yield _bring(session, actor, entry, groups, passwords)
            except InvalidFields as several:
                problems.extend((entry, entry.problem(e.field, e.message)) for e in several.errors)
            except Invalid as error:
                problems.append((entry, entry.problem(error.field, error.message)))
        refused = [entry for entry in pending if any(entry is each for each, _text in problems)]
        if len(refused) == len(pending):
            waiting = [entry for entry in refused if _falls_back_to(entry, refused)]
            if without_fallback or not waiting:
                raise wanted.error(_causes(problems, waiting))
            without_fallback = [_without_fallback(entry) for entry in waiting]
        else:
            without_fallback = ()
        pending = refused


def _falls_back_to(entry: Entry, others: Sequence[Entry]) -> bool:
    return entry.given.get("fallback_queue") in {other.key for other in others}


def _without_fallback(entry: Entry) -> Entry:
    """Return a queue without its fallback: two that fall back to each other begin so."""
    left_out = ("forbidden", "fallback_queue")
    given = {name: value for name, value in entry.given.items() if name not in left_out}
    return replace(entry, given=given)


def _causes(
    problems: Sequence[tuple[Entry, Problem]], waiting: Sequence[Entry]
) -> Sequence[Problem]:
    """Return the problems without those that only follow from another queue's."""
    causes = [problem for entry, problem in problems if entry not in waiting]
    return causes or [problem for _entry, problem in problems]


def _bring(
    session: Session,
    actor: Actor,
    entry: Entry,
    groups: Mapping[str, int],
    passwords: NewPasswords,
) -> Change | None:
    functions = _FUNCTIONS[entry.kind]
    current = _found(session, entry)
    before = functions.read(current) if current is not None else None
    values = _values(entry, before)
    permissions = _permissions(entry, groups)
    saved = functions.save(session, actor, values, current)
    changed = _differences(entry.kind, before, functions.read(saved))
    if permissions is not None:
        changed.update(_give(session, actor, saved, permissions, groups))
    if "auto_responses" in entry.given:
        changed.update(_switch(session, actor, saved, entry.given["auto_responses"]))
    password_hash = passwords.get((entry.kind, entry.key))
    if password_hash is not None:
        set_password(session, actor, saved, password_hash)
        changed["password"] = (None, "***")
    if current is not None and not changed:
        return None
    action = "created" if current is None else "changed"
    return Change(action, entry.kind.name, entry.key, changed)


def _found(session: Session, entry: Entry) -> Saved | None:
    try:
        return _FUNCTIONS[entry.kind].find(session, entry.key)
    except NotFound:
        return None


def _values(entry: Entry, before: Any | None) -> Any:
    """Return the values that an entry comes to; raise ``Invalid`` where a new one lacks some."""
    known = {field.name for field in fields(entry.kind.values)}
    given = {name: value for name, value in entry.given.items() if name in known}
    if "emails" in entry.given:
        given["email"], *more = entry.given["emails"]
        given["more_addresses"] = tuple(more)
    if before is not None:
        return replace(before, **given)
    for field in fields(entry.kind.values):
        if (
            field.default is MISSING
            and field.default_factory is MISSING
            and field.name not in given
        ):
            raise Invalid(field.name, f"is missing, and the {entry.kind.name} is new")
    return entry.kind.values(**given)


def _permissions(entry: Entry, groups: Mapping[str, int]) -> Mapping[int, Permission] | None:
    """Return the permissions of a customer or customer user by group id; None where not given."""
    if entry.kind is STAFF or "groups" not in entry.given:
        return None  # those of staff are part of their values
    given: Mapping[str, Permission] = entry.given["groups"]
    for name in given:
        if name not in groups:
            raise Invalid("groups", f'there is no group "{name}"')
    return {groups[name]: permission for name, permission in given.items()}


def _give(
    session: Session,
    actor: Actor,
    holder: Saved,
    wanted: Mapping[int, Permission],
    groups: Mapping[str, int],
) -> Mapping[str, tuple[Any, Any]]:
    """Give exactly these permissions; return the groups that changed as one field."""
    changes: Sequence[CellChange]
    if isinstance(holder, Customer):
        changes = customer_changes(session, holder, wanted)
        save_customer_cells(session, actor, changes)
    else:
        changes = customer_user_changes(session, holder, wanted)
        save_customer_user_cells(session, actor, changes)
    if not changes:
        return {}
    names = {group_id: name for name, group_id in groups.items()}
    old = {names[change.group_id]: change.old for change in changes if change.old}
    new = {names[change.group_id]: change.new for change in changes if change.new}
    return {"groups": (old or None, new)}


def _switch(
    session: Session, actor: Actor, queue: Queue, wanted: Mapping[AutoResponse, bool]
) -> Mapping[str, tuple[Any, Any]]:
    """Switch automatic answers of a queue on or off; return those that changed as one field.

    Those that are not named stay as they are, and so do all texts.
    """
    stored = {kind: texts_of(session, queue.id, kind) for kind in wanted}
    new = {kind: on for kind, on in wanted.items() if stored[kind].enabled is not on}
    for kind, on in new.items():
        save_auto_response(session, actor, queue.id, replace(stored[kind], enabled=on))
    return {"auto_responses": ({kind: not on for kind, on in new.items()}, new)} if new else {}


def _differences(kind: Kind, before: Any | None, after: Any) -> dict[str, tuple[Any, Any]]:
    """Return what is different now; of a new thing, what is not as it is by default."""
    if before is not None:
        old, new = audit.differences(asdict(before), asdict(after))
        return {name: (old[name], new[name]) for name in new}
    defaults = {field.name: field.default for field in fields(kind.values)}
    return {
        name: (None, value)
        for name, value in asdict(after).items()
        if name != kind.key and value not in (defaults[name], {})
    }


def _bring_settings(session: Session, actor: Actor, wanted: Wanted) -> Change | None:
    if not wanted.settings:
        return None
    known = set(session.scalars(select(Group.name)))
    always = wanted.settings.get("customer_group_always_groups", ())
    unknown = [name for name in always if name not in known]
    if unknown:
        key = "customer_group_always_groups"
        text = f'[settings] {key}: there is no group "{unknown[0]}"'
        raise wanted.error([Problem(("settings", key), text)])
    before = load_settings(session).model_dump(mode="json")
    after = change_settings(session, actor, wanted.settings)
    if not after:
        return None
    changed = {name: (before[name], value) for name, value in after.items()}
    return Change("changed", "settings", "", changed)

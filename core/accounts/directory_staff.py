"""Staff from a directory: their rows here, which follow what it says.

A row is known by the key of its entry, so that who is renamed there keeps tickets and history.
Who leaves the directory or its groups becomes invalid here, and their sessions end: at once where
they try to sign in, else when the worker reviews everybody. The directory is asked before a
transaction, never in one.
"""

import logging
from collections.abc import Collection, Mapping
from dataclasses import replace

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core import audit
from core.accounts.managed import managed_groups
from core.accounts.staff import StaffValues, save_staff, staff_values
from core.accounts.staff_directory import DirectoryMember, StaffDirectory
from core.audit import Actor
from core.config import STAFF_DIRECTORY
from core.db import Database
from core.errors import InvalidFields, Stale
from core.models import Group, Staff, now
from core.words import ActorKind, Permission

log = logging.getLogger(__name__)

ACTOR_NAME = "staff directory"


def bring_in(session: Session, member: DirectoryMember, peer: str = "") -> Staff | None:
    """Make the row of somebody agree with the directory, a new one where there is none.

    None where that is no member of staff: without a role, or with something that cannot be kept
    here, such as the login of somebody else. A row that was there is invalid then.
    """
    current = _with_key(session, member.key)
    if member.role is None:
        _make_invalid(session, current, peer)
        return None
    values = StaffValues(
        login=member.login,
        email=member.email or (current.email if current is not None else ""),
        role=member.role,
        first_name=member.first_name,
        last_name=member.last_name,
        groups=_groups(session, member, current),
    )
    try:
        staff = save_staff(session, _actor(peer), values, current, directory_key=member.key)
    except InvalidFields as problems:
        if current is None and _with_key(session, member.key) is not None:
            return bring_in(session, member, peer)  # somebody else was faster, at this moment
        _note_refused(session, member, current, problems, peer)
        _make_invalid(session, current, peer)
        return None
    _note_seen(session, member.key)
    return staff


def follow(
    session: Session, key: str, member: DirectoryMember | None, peer: str = ""
) -> Staff | None:
    """Make the row with this key agree with its entry; without one it becomes invalid."""
    if member is not None:
        return bring_in(session, member, peer)
    _make_invalid(session, _with_key(session, key), peer)
    return None


def review(database: Database, directory: StaffDirectory | None) -> Collection[str]:
    """Read all valid staff from the directory again; return the logins of those who have left.

    Without a directory nobody says any more who they are, so all have left. One that answers and
    knows none of several is misconfigured, most likely, and changes nothing. Raises
    ``DirectoryAway``, then nothing is changed either.
    """
    with database.read() as session:
        rows = session.execute(
            select(Staff.directory_key, Staff.login).where(
                Staff.directory_key.is_not(None), Staff.valid
            )
        )
        known = {key: login for key, login in rows if key is not None}
    if not known:
        return []
    members = directory.read(known) if directory is not None else {}
    if directory is not None and not members and len(known) > 1:
        log.warning("staff directory: it knows none of %d members of staff: ignored", len(known))
        return []
    return [login for key, login in known.items() if not _still_here(database, key, members)]


def _still_here(database: Database, key: str, members: Mapping[str, DirectoryMember]) -> bool:
    try:
        with database.write() as session:
            return follow(session, key, members.get(key)) is not None
    except Stale:  # somebody changes the account at this moment: next time
        return True


def _with_key(session: Session, key: str) -> Staff | None:
    return session.scalars(select(Staff).where(Staff.directory_key == key)).one_or_none()


def _groups(
    session: Session, member: DirectoryMember, current: Staff | None
) -> Mapping[str, Permission]:
    """Return what somebody has: what the directory decides as it says, the rest as it is here."""
    decided = managed_groups(session).get(STAFF_DIRECTORY, frozenset())
    kept = staff_values(current).groups if current is not None else {}
    groups = {name: each for name, each in kept.items() if name not in decided}
    known = set(session.scalars(select(Group.name).where(Group.name.in_(member.groups))))
    for name in member.groups.keys() - known:
        log.warning("staff directory: there is no group %s, which %s gives", name, member.dn)
    return groups | {name: each for name, each in member.groups.items() if name in known}


def _make_invalid(session: Session, staff: Staff | None, peer: str) -> None:
    if staff is not None and staff.valid:
        values = replace(staff_values(staff), valid=False)
        save_staff(session, _actor(peer), values, staff, directory_key=staff.directory_key)


def _note_seen(session: Session, key: str) -> None:
    """Write down that an entry is there, past the version: nobody has changed anything."""
    session.execute(update(Staff).where(Staff.directory_key == key).values(directory_seen_at=now()))


def _note_refused(
    session: Session,
    member: DirectoryMember,
    current: Staff | None,
    problems: InvalidFields,
    peer: str,
) -> None:
    """Write down why somebody from the directory cannot be kept here, for admins to see."""
    reason = "; ".join(f"{each.field}: {each.message}" for each in problems.errors)
    log.warning("staff directory: %s is refused: %s", member.dn, reason)
    audit.record(
        session,
        _actor(peer),
        "directory-refused",
        "staff",
        current.id if current is not None else None,
        member.login,
        None,
        {"entry": member.dn, "reason": reason},
    )


def _actor(peer: str) -> Actor:
    return Actor(ActorKind.SYSTEM, None, ACTOR_NAME, peer)

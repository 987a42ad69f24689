"""Signing in with login and password, and changing the password.

Both open short transactions of their own, for hashing (some 50 ms) must not happen inside a
writing one. An unknown login, an invalid account and a wrong password get the same answer for the
same work. Threat model, W5 and W7.

Customer sources are asked about the login before anything else, whoever it may be: who is new in
one signs in at once, who has left it cannot, and neither time nor text tells which logins exist.

Staff who are kept in a directory (``core.accounts.directory_staff``) are looked up there. It never
gets the password of somebody who is kept here, and they wait for it only where that was wrong.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import literal, select, union_all, update
from sqlalchemy.orm import Session, joinedload

from core import audit
from core.accounts.account import Account, actor_of, kind_of, object_kind_of
from core.accounts.copies import check_no_copy, is_copy
from core.accounts.directory_staff import bring_in, follow
from core.accounts.logins import login_key
from core.accounts.passwords import (
    check_password_rules,
    hash_password,
    needs_new_hash,
    set_password,
    verify_password,
)
from core.accounts.permissions import is_valid_account
from core.accounts.sessions import Visit, start_session
from core.accounts.staff import is_kept_here
from core.accounts.staff_directory import DirectoryAway, DirectoryMember, StaffDirectory
from core.accounts.throttle import Attempt, Wait, count_attempt, forget_attempt
from core.db import Database
from core.errors import Invalid, SchalterError, Stale
from core.i18n import gettext as _
from core.i18n import ngettext
from core.mail.addresses import address_key
from core.mail.text import one_line
from core.models import CustomerUser, CustomerUserAddress, Staff
from core.sources.asking.live import LiveSources
from core.sources.source import By, SourceAway
from core.words import AccountKind

log = logging.getLogger(__name__)

MAX_NAME = 400  # characters of a login or address that are looked at; none is longer


class SignInFailed(SchalterError):
    """Nobody is signed in; the text does not tell why.

    ``wait_seconds`` is how long to wait before another attempt is looked at, 0 for none.
    """

    def __init__(self, message: str, wait_seconds: int = 0) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session: the token for the cookie, and whose it is."""

    token: str
    account: Account

    @property
    def must_change_password(self) -> bool:
        """Whether a new password comes before anything else."""
        return isinstance(self.account, Staff) and self.account.must_change_password


def sign_in(
    database: Database,
    kind: AccountKind,
    login: str,
    password: str,
    *,
    peer: str,
    agent: str,
    sources: LiveSources | None = None,
    directory: StaffDirectory | None = None,
) -> SignedIn:
    """Sign in a customer user or a member of staff and begin a session.

    ``login`` may also be a mail address that only this account has. ``peer`` is the browser's
    network address, ``agent`` what it calls itself. Customer users are looked up in the
    ``sources``, staff who are not kept here in the ``directory``, outside any transaction. Raises
    ``SignInFailed``.
    """
    entered = one_line(login[:MAX_NAME])
    attempt = _attempt(database, kind, login_key(entered), peer)
    is_known = kind is AccountKind.STAFF or look_up(database, sources, entered)
    found = account_with_password(database, kind, entered, password, sources)
    member = None
    if found is None and kind is AccountKind.STAFF and directory is not None:
        member = _member_with_password(database, directory, entered, password, peer)
    signed_in = None
    if member is not None:
        signed_in = _begin_as_member(database, member, attempt, peer, agent)
    elif found is not None:
        hashed = _hash_to_store(found, password, sources)
        signed_in = _begin(database, found, hashed, attempt, peer, agent)
    if signed_in is None:
        log.info("sign-in refused: %s from %s", kind, peer)  # a login may be a mistyped password
        raise SignInFailed(refusal(is_known=is_known))
    return signed_in


def look_up(database: Database, sources: LiveSources | None, entered: str) -> bool:
    """Bring in whom the sources have with this login or address; whether all of them answered.

    ``entered`` is one clean line. Takes about three seconds at most.
    """
    if sources is None:
        return True
    addresses = [entered, address_key(entered) or ""] if address_key(entered) else []
    wanted = {By.LOGIN: [entered], By.ADDRESS: addresses}
    return not sources.look_up(database, wanted, fresh=True).unanswered


def refusal(*, is_known: bool) -> str:
    """Return what somebody is told who is not signed in; ``is_known`` as ``look_up`` tells."""
    if is_known:
        return _("Login or password is not correct.")
    return _(
        "Login or password is not correct, or it cannot be checked: not every account can be "
        "looked up at the moment. Please try again later."
    )


def account_with_password(
    database: Database,
    kind: AccountKind,
    entered: str,
    password: str,
    sources: LiveSources | None = None,
) -> Account | None:
    """Return the account that signing in with this would be for, None for nobody.

    ``entered`` is one clean line. Whoever calls this counts the attempts.
    """
    with database.read() as session:
        found = find_account(session, kind, entered)
        if found is not None and not may_sign_in(found):
            found = None
    return found if _is_right(password, found, sources) else None


def change_password(database: Database, visit: Visit, old: str, new: str, *, peer: str) -> None:
    """Give the account of a visit a new password; its other sessions end.

    Raises ``Invalid`` for the field ``old_password`` or ``password``, ``SignInFailed`` when the
    old one was wrong too often, and ``Stale`` when it was changed elsewhere at this moment.
    """
    account = visit.account
    check_no_copy(account, "password")
    check_password_rules(new, account.login)
    if new == old:
        raise Invalid("password", _("Please choose another password than the old one."))
    attempt = _attempt(database, kind_of(account), account.login_key, peer)
    with database.read() as session:
        stored = reread(session, account).password_hash
    if not verify_password(old, stored):
        raise Invalid("old_password", _("This is not the password that you have now."))
    assert stored is not None  # or nothing could be verified
    hashed = hash_password(new)
    with database.write() as session:
        current = _locked(session, account, stored)
        if current is None:
            raise Stale(_("Somebody else has changed this in the meantime. Nothing was saved."))
        forget_attempt(session, attempt)
        actor = actor_of(current, peer)
        set_password(session, actor, current, hashed, keep_session=visit.token_hash)


def _is_right(password: str, found: Account | None, sources: LiveSources | None) -> bool:
    """Whether this is the password of an account; ours is looked at even where there is none."""
    ours = None if found is None or is_copy(found) else found.password_hash
    is_ours = verify_password(password, ours)
    if isinstance(found, CustomerUser) and is_copy(found):
        return _is_theirs(password, found, sources)
    return is_ours


def _is_theirs(password: str, copy: CustomerUser, sources: LiveSources | None) -> bool:
    """Whether the source of a copy says so; one that is away or gone says nothing."""
    if sources is None:
        return False
    try:
        return sources.check_password(copy.source or "", copy.source_key or "", password)
    except SourceAway as error:
        log.warning("sign-in: %s", error)
        return False


def _hash_to_store(account: Account, password: str, sources: LiveSources | None) -> str | None:
    """Return what is to be stored of a password that was right: mostly what is stored already.

    A copy keeps it only where its source wants that, for the day on which the account is adopted;
    until then the source alone says whether a password is right.
    """
    stored = account.password_hash
    if isinstance(account, CustomerUser) and is_copy(account):
        if sources is None or not sources.keeps_passwords(account.source or ""):
            return None
        if not verify_password(password, stored):
            return hash_password(password)
    return hash_password(password) if stored is None or needs_new_hash(stored) else stored


def _begin(
    database: Database, found: Account, hashed: str | None, attempt: Attempt, peer: str, agent: str
) -> SignedIn | None:
    """Begin a session of an account whose password was right, unless it has changed meanwhile."""
    with database.write() as session:
        account = _locked(session, found, found.password_hash)
        if account is None:
            return None
        if hashed != account.password_hash:
            _renew_hash(session, account, hashed)
        return _signed_in(session, account, attempt, peer, agent)


def _begin_as_member(
    database: Database, member: DirectoryMember, attempt: Attempt, peer: str, agent: str
) -> SignedIn | None:
    """Begin a session of somebody from the directory, who need not have an account yet."""

    def begin() -> SignedIn | None:
        with database.write() as session:
            account = bring_in(session, member, peer)
            if account is None:
                return None
            return _signed_in(session, account, attempt, peer, agent)

    try:
        return begin()
    except Stale:  # they sign in elsewhere at this moment, for the first time
        return begin()


def _signed_in(
    session: Session, account: Account, attempt: Attempt, peer: str, agent: str
) -> SignedIn:
    forget_attempt(session, attempt)
    token = start_session(session, account, peer=peer, agent=agent)
    failures = attempt.failures
    record_signed_in(session, account, peer, {"failed_attempts": failures} if failures else None)
    return SignedIn(token, account)


def _member_with_password(
    database: Database, directory: StaffDirectory, entered: str, password: str, peer: str
) -> DirectoryMember | None:
    """Return whom the directory knows by this name and password.

    For a name that is kept here it is asked about nobody, so that neither the time nor, while it
    is away, the text tells which names are. Raises ``SignInFailed`` while it is away.
    """
    key, address = login_key(entered), address_key(entered)
    with database.read() as session:
        is_here = is_kept_here(session, key, address)
        known = _staff(session, key, address)
    try:
        if is_here:
            directory.pretend()
            return None
        checked = directory.check(entered, password)
        if known is not None and known.directory_key is not None:
            _follow(database, directory, known.directory_key, checked.member, peer)
    except DirectoryAway as error:
        log.warning("sign-in refused: the directory of staff is away: %s", error.reason)
        raise SignInFailed(
            _(
                "Login or password is not correct, or it cannot be checked: the directory of staff "
                "does not answer at the moment. Only accounts that are kept here can sign in."
            )
        ) from None
    return checked.member if checked.is_password else None


def _follow(
    database: Database,
    directory: StaffDirectory,
    key: str,
    member: DirectoryMember | None,
    peer: str,
) -> None:
    """Shut somebody out at once who tries to sign in and has left the directory or its groups."""
    if member is None or member.key != key:
        member = directory.read([key]).get(key)
    if member is None or member.role is None:
        with database.write() as session:
            follow(session, key, member, peer)


def _attempt(database: Database, kind: AccountKind, name: str, peer: str) -> Attempt:
    with database.write() as session:
        counted = count_attempt(session, kind, name, peer)
    if isinstance(counted, Wait):
        raise SignInFailed(too_many_attempts(counted), counted.seconds)
    return counted


def too_many_attempts(wait: Wait) -> str:
    """Return the text that asks somebody to wait."""
    return ngettext(
        "Too many attempts. Please wait %(num)d second.",
        "Too many attempts. Please wait %(num)d seconds.",
        wait.seconds,
    )


def find_account(session: Session, kind: AccountKind, entered: str) -> Account | None:
    """Return the account with this login, else the one that alone has this mail address.

    ``entered`` is one clean line. Whether the account is valid is asked with ``may_sign_in``.
    """
    return find_by_keys(session, kind, login_key(entered), address_key(entered))


def find_by_keys(
    session: Session, kind: AccountKind, login: str, address: str | None
) -> Account | None:
    """Return the account whose login has this key, else the one that alone has this address.

    "" and None are nobody's.
    """
    if kind is AccountKind.CUSTOMER:
        return _customer_user(session, login, address)
    return _staff(session, login, address)


def _customer_user(session: Session, key: str, address: str | None) -> CustomerUser | None:
    """Return the account with this login, else the one that alone has this mail address."""
    named = union_all(
        select(CustomerUser.id, literal(0).label("rank")).where(CustomerUser.login_key == key),
        select(CustomerUserAddress.customer_user_id, literal(1).label("rank")).where(
            CustomerUserAddress.address_key == (address or ""),
            CustomerUserAddress.exclusive,
        ),
    ).subquery()
    first = select(named.c.id).order_by(named.c.rank).limit(1).scalar_subquery()
    return session.scalars(
        select(CustomerUser)
        .where(CustomerUser.id == first)
        .options(joinedload(CustomerUser.customer))
    ).one_or_none()


def _staff(session: Session, key: str, address: str | None) -> Staff | None:
    """Return the member of staff with this login, else the one who alone has this address."""
    everybody = session.scalars(select(Staff).where(Staff.valid)).all()  # tens, not thousands
    by_login = [staff for staff in everybody if staff.login_key == key]
    by_address = [staff for staff in everybody if address and address_key(staff.email) == address]
    found = by_login or by_address
    return found[0] if len(found) == 1 else None


def may_sign_in(account: Account) -> bool:
    """Whether an account is valid today."""
    return account.valid if isinstance(account, Staff) else is_valid_account(account)


def _locked(session: Session, found: Account, verified: str | None) -> Account | None:
    """Return the account as it is now, None if it or its password has changed meanwhile.

    The password of a copy is not here, whatever ``verified`` is; it must be a copy still.
    """
    account = reread(session, found, lock=True)
    if is_copy(account) != is_copy(found):
        return None
    if not is_copy(account) and account.password_hash != verified:
        return None
    return account if may_sign_in(account) else None


def reread(session: Session, account: Account, *, lock: bool = False) -> Account:
    """Return an account as it is now; with ``lock`` it stays so until the transaction ends."""
    if isinstance(account, CustomerUser):
        return session.get_one(CustomerUser, account.id, with_for_update=lock)
    return session.get_one(Staff, account.id, with_for_update=lock)


def _renew_hash(session: Session, account: Account, password_hash: str | None) -> None:
    """Store the same password hashed anew, past the version: nobody has changed the account."""
    model = type(account)
    session.execute(update(model).where(model.id == account.id).values(password_hash=password_hash))


def record_signed_in(
    session: Session, account: Account, peer: str, told: Mapping[str, object] | None
) -> None:
    """Write down in the audit log that somebody has signed in, with what is to be told of it."""
    kind, after = object_kind_of(account), dict(told) if told else None
    actor = actor_of(account, peer)
    audit.record(session, actor, "signed-in", kind, account.id, account.login, None, after)

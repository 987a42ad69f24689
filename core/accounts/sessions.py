"""Web sessions: who is signed in with which browser.

The cookie holds a random token of 256 bits, the table only its SHA-256: who reads the database
can sign in as nobody. Every use asks anew whether the account is valid. A session that an identity
provider has vouched for is told by its token, which nobody can change: its hash is of the whole.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import ColumnElement, Date, and_, bindparam, delete, or_, select, true, update
from sqlalchemy.orm import Session, contains_eager

from core import audit
from core.accounts.account import Account, actor_of, object_kind_of
from core.accounts.permissions import valid_account
from core.audit import Actor
from core.mail.text import one_line
from core.models import Customer, CustomerUser, Staff, WebSession, now
from core.models.base import UTCDateTime
from core.settings import Settings

TOKEN_BYTES = 32
MAX_TOKEN = 64  # characters; ours have 43, and what stands before
VOUCHED_FOR = "p."  # before the token of a session that began at an identity provider
TOUCH_EVERY = timedelta(minutes=1)
MAX_SESSIONS = 50  # per account; the one unused for longest makes room
MAX_PEER = 64
MAX_AGENT = 200


@dataclass(frozen=True, slots=True)
class Visit:
    """A request of somebody who is signed in.

    ``vouched_for`` says that they signed in through an identity provider.
    """

    account: Account
    token_hash: bytes
    seen_at: datetime
    vouched_for: bool = False

    @property
    def needs_touch(self) -> bool:
        """Whether it is time to write down that the session is in use (``touch``)."""
        return now() - self.seen_at >= TOUCH_EVERY

    @property
    def must_change_password(self) -> bool:
        """Whether a new password comes before anything else; who used none needs none."""
        must = isinstance(self.account, Staff) and self.account.must_change_password
        return must and not self.vouched_for


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """One of an account's sessions, for a list of them; ``handle`` names it and opens nothing."""

    handle: str
    created_at: datetime
    seen_at: datetime
    peer: str
    agent: str
    is_current: bool


def start_session(
    session: Session, account: Account, *, peer: str, agent: str, vouched_for: bool = False
) -> str:
    """Begin a session of an account and return its token, which is stored nowhere.

    ``vouched_for`` says that an identity provider has said who this is.
    """
    token = (VOUCHED_FOR if vouched_for else "") + secrets.token_urlsafe(TOKEN_BYTES)
    moment = now()
    _make_room(session, account)
    session.add(
        WebSession(
            token_hash=_hash(token),
            customer_user_id=account.id if isinstance(account, CustomerUser) else None,
            staff_id=account.id if isinstance(account, Staff) else None,
            created_at=moment,
            seen_at=moment,
            peer=peer[:MAX_PEER],
            agent=one_line(agent)[:MAX_AGENT],
        )
    )
    return token


def visit_of(session: Session, settings: Settings, token: str) -> Visit | None:
    """Return whose session this token opens; None when it is unknown, has ended or may not.

    A session ends when it is idle for ``session_idle_minutes``, after ``session_hours`` in any
    case, and as soon as its account (or the account's customer) is no longer valid.
    """
    if not token or len(token) > MAX_TOKEN:
        return None
    moment, key = now(), _hash(token)
    values = {
        "token_hash": key,
        "seen_since": moment - _idle(settings),
        "created_since": moment - _longest(settings),
        "today": moment.date(),
    }
    row = session.execute(_VISIT, values).one_or_none()
    if row is None:
        return None
    seen_at, customer_user, staff = row
    return Visit(_either(customer_user, staff), key, seen_at, token.startswith(VOUCHED_FOR))


def touch(session: Session, visit: Visit) -> None:
    """Write down that a session is in use, so that it does not count as idle."""
    session.execute(
        update(WebSession).where(WebSession.token_hash == visit.token_hash).values(seen_at=now())
    )


def sign_out(session: Session, visit: Visit, peer: str = "") -> None:
    """End the session of this browser."""
    _end(session, WebSession.token_hash == visit.token_hash)
    _record(session, actor_of(visit.account, peer), "signed-out", visit.account)


def sessions_of(
    session: Session, settings: Settings, account: Account, current: Visit | None = None
) -> Sequence[SessionInfo]:
    """Return the sessions of an account that can still be used, the last used first."""
    rows = session.scalars(
        select(WebSession)
        .where(_owned_by(account), *_in_time(settings))
        .order_by(WebSession.seen_at.desc(), WebSession.token_hash)
    )
    return [
        SessionInfo(
            handle=row.token_hash.hex(),
            created_at=row.created_at,
            seen_at=row.seen_at,
            peer=row.peer,
            agent=row.agent,
            is_current=current is not None and row.token_hash == current.token_hash,
        )
        for row in rows
    ]


def end_sessions_of(session: Session, customer_user_ids: Sequence[int]) -> None:
    """End every session of these customer users; what was changed of them is stored already."""
    _end(session, WebSession.customer_user_id.in_(customer_user_ids))


def end_session(session: Session, actor: Actor, account: Account, handle: str) -> bool:
    """End one session of an account by its handle; return whether there was one."""
    try:
        key = bytes.fromhex(handle)
    except ValueError:
        return False
    ended = _end(session, _owned_by(account), WebSession.token_hash == key)
    if ended:
        _record(session, actor, "session-ended", account)
    return ended > 0


def end_sessions(session: Session, account: Account, *, keep: bytes | None = None) -> int:
    """End every session of an account but the one with the token hash ``keep``.

    Returns how many there were. What was changed of the account is sent to the database before,
    for who signs in locks the account first, too.
    """
    session.flush()
    others = WebSession.token_hash != keep if keep is not None else true()
    return _end(session, _owned_by(account), others)


def end_other_sessions(session: Session, actor: Actor, visit: Visit) -> int:
    """End every session of the account but this one; return how many there were."""
    ended = end_sessions(session, visit.account, keep=visit.token_hash)
    if ended:
        _record(session, actor, "sessions-ended", visit.account)
    return ended


def remove_expired(session: Session, settings: Settings) -> int:
    """Delete the sessions that nobody can use any more; return how many there were."""
    ended = _end(session, WebSession.seen_at < now() - _idle(settings))
    return ended + _end(session, WebSession.created_at < now() - _longest(settings))


_SEEN_SINCE: ColumnElement[datetime] = bindparam("seen_since", type_=UTCDateTime)
_CREATED_SINCE: ColumnElement[datetime] = bindparam("created_since", type_=UTCDateTime)
_TODAY: ColumnElement[date] = bindparam("today", type_=Date)

_VISIT = (  # built once: building it costs as much as running it, and every page asks
    select(WebSession.seen_at, CustomerUser, Staff)
    .outerjoin(CustomerUser, CustomerUser.id == WebSession.customer_user_id)
    .outerjoin(Customer, Customer.id == CustomerUser.customer_id)
    .outerjoin(Staff, Staff.id == WebSession.staff_id)
    .where(
        WebSession.token_hash == bindparam("token_hash"),
        WebSession.seen_at >= _SEEN_SINCE,
        WebSession.created_at >= _CREATED_SINCE,
        or_(and_(CustomerUser.id.is_not(None), valid_account(_TODAY)), Staff.valid),
    )
    .options(contains_eager(CustomerUser.customer))
)


def _either(customer_user: CustomerUser | None, staff: Staff | None) -> Account:
    account = customer_user if customer_user is not None else staff
    assert account is not None  # a constraint asks for one of them
    return account


def _make_room(session: Session, account: Account) -> None:
    oldest = session.scalars(
        select(WebSession.token_hash)
        .where(_owned_by(account))
        .order_by(WebSession.seen_at.desc(), WebSession.token_hash)
        .offset(MAX_SESSIONS - 1)
    ).all()
    if oldest:
        _end(session, WebSession.token_hash.in_(oldest))


def _in_time(settings: Settings) -> tuple[ColumnElement[bool], ...]:
    return (
        WebSession.seen_at >= now() - _idle(settings),
        WebSession.created_at >= now() - _longest(settings),
    )


def _idle(settings: Settings) -> timedelta:
    return timedelta(minutes=settings.session_idle_minutes)


def _longest(settings: Settings) -> timedelta:
    return timedelta(hours=settings.session_hours)


def _owned_by(account: Account) -> ColumnElement[bool]:
    if isinstance(account, CustomerUser):
        return WebSession.customer_user_id == account.id
    return WebSession.staff_id == account.id


def _end(session: Session, *conditions: ColumnElement[bool]) -> int:
    """Delete sessions at once, and return how many."""
    return session.connection().execute(delete(WebSession).where(*conditions)).rowcount


def _record(session: Session, actor: Actor, action: str, account: Account) -> None:
    audit.record(session, actor, action, object_kind_of(account), account.id, account.login)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()

"""Slowing down who guesses passwords: a growing delay per account and peer, and per peer.

Nobody is locked out: a delay ends by itself, and attempts made meanwhile neither count nor prolong
it. Threat model, W7.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil

from sqlalchemy import Insert, case, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from core.models import SignInThrottle, now
from core.words import AccountKind

MAX_DELAY = timedelta(minutes=5)
FORGET_AFTER = timedelta(hours=1)  # without a further failure
PEER_PREFIX_V6 = 64  # one customer of a provider has as many addresses as it likes


@dataclass(frozen=True, slots=True)
class Limit:
    """How many failures cost nothing; each further one doubles the delay, from one second."""

    free: int

    def delay(self, failures: int) -> timedelta:
        """Return how long to wait after the last of so many failures."""
        if failures < self.free:
            return timedelta()
        doublings = min(failures - self.free, 20)  # far beyond the most there is
        return min(timedelta(seconds=2**doublings), MAX_DELAY)


ACCOUNT_LIMIT = Limit(free=5)
PEER_LIMIT = Limit(free=30)  # an office behind one address mistypes together


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that was let through and counted; ``failures`` are those of before."""

    account_key: bytes
    peer_key: bytes
    failures: int


@dataclass(frozen=True, slots=True)
class Wait:
    """No attempt is let through yet; try again in so many seconds, at least one."""

    seconds: int


def count_attempt(
    session: Session, kind: AccountKind, name: str, peer: str, *, what: str = ""
) -> Attempt | Wait:
    """Let an attempt through and count it, or say how long to wait.

    It counts as failed until ``forget_attempt`` is called, so that many at the same time cannot
    slip through. ``name`` is what was entered, not the account found by it: a delay that an
    account's login and address share would tell that they belong together. ``what`` tells
    attempts at something else from signing in: the two do not delay each other.
    """
    account_key = _key(what + kind.value, name, network_of(peer))
    peer_key = _key(what + "peer", network_of(peer))
    limits = {account_key: ACCOUNT_LIMIT, peer_key: PEER_LIMIT}
    moment = now()
    known = _failures(session, sorted(limits), moment)
    seconds = _seconds_left(limits, known, moment)
    if seconds > 0:
        return Wait(ceil(seconds))
    for key in sorted(limits):
        session.execute(_count(session, key, moment))
    before = known.get(account_key)
    return Attempt(account_key, peer_key, before.failures if before else 0)


def forget_attempt(session: Session, attempt: Attempt) -> None:
    """The attempt was no failure: forget those of the account, and this one of the peer.

    The others of the peer stay, or somebody with one account could reset them at will.
    """
    session.execute(delete(SignInThrottle).where(SignInThrottle.key == attempt.account_key))
    session.execute(
        update(SignInThrottle)
        .where(SignInThrottle.key == attempt.peer_key, SignInThrottle.failures > 0)
        .values(failures=SignInThrottle.failures - 1)
    )


def remove_forgotten(session: Session) -> None:
    """Delete what is too old to count."""
    session.execute(
        delete(SignInThrottle).where(SignInThrottle.last_failure_at < now() - FORGET_AFTER)
    )


@dataclass(frozen=True, slots=True)
class _Failures:
    failures: int
    last_at: datetime


def _failures(session: Session, keys: Sequence[bytes], moment: datetime) -> dict[bytes, _Failures]:
    rows = session.execute(
        select(SignInThrottle.key, SignInThrottle.failures, SignInThrottle.last_failure_at)
        .where(SignInThrottle.key.in_(keys), SignInThrottle.last_failure_at > moment - FORGET_AFTER)
        .order_by(SignInThrottle.key)  # locked in one order, so that nobody waits in a circle
        .with_for_update()
    )
    return {key: _Failures(failures, last_at) for key, failures, last_at in rows}


def _seconds_left(
    limits: Mapping[bytes, Limit], known: Mapping[bytes, _Failures], moment: datetime
) -> float:
    ends = [each.last_at + limits[key].delay(each.failures) for key, each in known.items()]
    return max(((end - moment).total_seconds() for end in ends), default=0.0)


def _count(session: Session, key: bytes, moment: datetime) -> Insert:
    """Return the statement that counts one failure more, or the first after a long time."""
    on_sqlite = session.get_bind().dialect.name == "sqlite"
    insert = (sqlite.insert if on_sqlite else postgresql.insert)(SignInThrottle)
    forgotten = SignInThrottle.last_failure_at <= moment - FORGET_AFTER
    return insert.values(key=key, failures=1, last_failure_at=moment).on_conflict_do_update(
        index_elements=[SignInThrottle.key],
        set_={
            "failures": case((forgotten, 1), else_=SignInThrottle.failures + 1),
            "last_failure_at": moment,
        },
    )


def network_of(peer: str) -> str:
    """Return what stands for a peer: its address, of an IPv6 address the network."""
    try:
        address = ip_address(peer)
    except ValueError:
        return peer
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((address, PEER_PREFIX_V6), strict=False))


def _key(*parts: str) -> bytes:
    """Return a key that tells nobody who reads the table which names were tried."""
    return hashlib.sha256("\0".join(parts).encode()).digest()

"""A directory with its servers: asked with a deadline, whichever of them answers."""

import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from threading import BoundedSemaphore, Lock
from typing import TypeVar

from ldap3.core.exceptions import LDAPExceptionError
from ldap3.operation.search import parse_filter

from core.config import DirectorySection
from core.directory.connection import (
    SIZE_LIMIT_EXCEEDED,
    SUCCESS,
    Answer,
    Connection,
    Scope,
    Search,
    ServerAway,
    tls_context,
)
from core.directory.entries import Entry
from core.directory.names import DnKey, dn_key, escape
from core.errors import ConfigError, SchalterError
from core.i18n import gettext as _

__all__ = ["Directory", "DirectoryAway", "DnKey", "Entry", "Scope", "dn_key", "escape"]

T = TypeVar("T")

SECONDS = 3.0  # for an answer, connecting and trying further servers included
PAGE_SECONDS = 10.0  # the same for each page where everything is read
PAGE = 500  # entries of a page; Active Directory gives 1,000 at most
AWAY_SECONDS = 30.0  # that a server which failed is asked last
IDLE_SECONDS = 60.0  # after which a connection is not trusted: firewalls forget it in silence
CONNECTIONS = 8  # at most, all servers together

# Results (RFC 4511 appendix A) that are about what was asked, so that no other server knows better
_NO_SUCH_OBJECT = 32
_FINAL = {10, 16, 17, 18, 21, 32, 34, 50}
# and those of a bind that are about who binds: locked, expired, deleted or just a wrong password.
_NOT_THEM = {19, 32, 48, 49, 50, 53}

log = logging.getLogger(__name__)


class DirectoryAway(SchalterError):
    """A directory does not answer, or not as it was configured; ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _NoSuchEntry(DirectoryAway):
    """The base of a search is not there."""


class Directory:
    """The directory of a section of the configuration; making one opens no connection.

    A method takes some seconds at most, whatever the servers do, and may be called from any
    thread; all but ``close`` may raise ``DirectoryAway``. Referrals are not followed: they would
    carry the password of ``bind_dn`` to whomever the directory names.
    """

    def __init__(self, section: DirectorySection, password: str | None, name: str) -> None:
        """``name`` is what the log calls it. Raises ``ConfigError`` for ``ca_file``, ``filter``."""
        _check_filter(section.filter, name)
        self._name = name
        self._section = section
        self._password = password or ""
        self._servers = [_Server(host, port) for host, port in section.server_addresses]
        self._places = BoundedSemaphore(CONNECTIONS)
        try:
            self._context = tls_context(section.ca_file) if section.tls != "none" else None
        except OSError as error:
            reason = error.strerror or "is no certificate"
            raise ConfigError(f"{name}: ca_file {section.ca_file}: {reason}") from None

    def search(
        self,
        wanted: str,
        attributes: Sequence[str],
        *,
        base: str | None = None,
        scope: Scope = Scope.SUBTREE,
        limit: int | None = None,
    ) -> Iterator[Entry]:
        """Yield the entries that a filter matches, below the section's base or another one.

        Without ``limit`` all are yielded, 500 in memory at once (RFC 2696): the connection is
        kept until the last one is taken.
        """
        page = PAGE if limit is None or limit > PAGE else 0
        search = Search(
            self._section.base if base is None else base,
            scope,
            wanted,
            attributes,
            limit or 0,
            page,
        )
        end = time.monotonic() + (SECONDS if limit is not None else PAGE_SECONDS)
        with self._place(end):
            server, connection, answer = self._ask(
                lambda connection, deadline: _found(connection, search, b"", deadline), end
            )
            is_idle = False
            try:
                is_idle = yield from self._pages(server, connection, search, answer)
            finally:
                if is_idle:
                    server.keep(connection)
                else:
                    connection.close()

    def read(self, dn: str, attributes: Sequence[str]) -> Entry | None:
        """Return the entry with a DN, None where there is none."""
        everything = "(objectClass=*)"
        try:
            found = list(self.search(everything, attributes, base=dn, scope=Scope.BASE, limit=1))
        except _NoSuchEntry:
            return None
        return found[0] if found else None

    def bind_as(self, dn: str, password: str) -> bool:
        """Whether somebody has this password, shown by a bind in a connection of its own.

        Many servers let everybody in who gives a name and no password (RFC 4513 5.1.2), so that
        is refused here.
        """
        if not dn or not password or not _is_utf8(password):
            return False
        end = time.monotonic() + SECONDS
        with self._place(end):
            _server, connection, answer = self._ask(
                lambda connection, deadline: _bound(connection, dn, password, deadline),
                end,
                as_reader=False,
            )
            connection.close()
        return answer.code == SUCCESS

    def close(self) -> None:
        """Close the connections that nobody uses at the moment."""
        for server in self._servers:
            server.close()

    def _pages(
        self, server: "_Server", connection: Connection, search: Search, answer: Answer
    ) -> Generator[Entry, None, bool]:
        """Yield the entries of the first answer and of those that follow it, and then: was it all?

        A search that has more pages would be in the way of the next one.
        """
        left = search.limit
        while True:
            yield from answer.entries[:left] if search.limit else answer.entries
            left -= len(answer.entries)
            if not answer.cookie or (search.limit and left <= 0):
                return not answer.cookie
            try:
                deadline = time.monotonic() + PAGE_SECONDS
                answer = _found(connection, search, answer.cookie, deadline)
            except ServerAway as error:
                self._failed(server, str(error))
                raise DirectoryAway(f"{server}: {error}") from None

    def _ask(
        self,
        question: Callable[[Connection, float], T],
        end: float,
        *,
        as_reader: bool = True,
    ) -> tuple["_Server", Connection, T]:
        """Return the first answer of a server, and the connection that it came by.

        Each has an equal share of the time until ``end``. A server that failed lately comes last.
        """
        servers = sorted(self._servers, key=_Server.is_away)
        reasons = []
        for left, server in zip(range(len(servers), 0, -1), servers, strict=True):
            now = time.monotonic()
            deadline = now + (end - now) / left
            try:
                connection, answer = self._ask_one(server, question, deadline, as_reader)
            except ServerAway as error:
                self._failed(server, str(error))
                reasons.append(f"{server}: {error}")
            else:
                server.away_until = 0.0
                return server, connection, answer
        raise DirectoryAway("; ".join(reasons))

    def _ask_one(
        self,
        server: "_Server",
        question: Callable[[Connection, float], T],
        deadline: float,
        as_reader: bool,
    ) -> tuple[Connection, T]:
        """Ask by an idle connection, and by a new one where there is none or it is dead."""
        idle = server.take() if as_reader else None
        if idle is not None:
            try:
                return idle, _asked(idle, question, deadline)
            except ServerAway:
                if time.monotonic() >= deadline:
                    raise
        connection = self._connect(server, deadline, as_reader)
        return connection, _asked(connection, question, deadline)

    def _connect(self, server: "_Server", deadline: float, as_reader: bool) -> Connection:
        """Return a new connection, secured and bound; no password goes before TLS."""
        connection = Connection(server.host, server.port, deadline)
        with _closed_on_error(connection):
            if self._context is not None and self._section.tls == "ldaps":
                connection.secure(self._context, server.host, deadline)
            elif self._context is not None:
                connection.start_tls(self._context, server.host, deadline)
            if as_reader and self._section.bind_dn:
                answer = connection.bind(self._section.bind_dn, self._password, deadline)
                if answer.code != SUCCESS:
                    raise _bind_fails(self._section.bind_dn, answer)
        return connection

    def _failed(self, server: "_Server", reason: str) -> None:
        if not server.is_away():
            log.warning("%s: server %s is away: %s", self._name, server, reason)
        server.away_until = time.monotonic() + AWAY_SECONDS

    @contextmanager
    def _place(self, end: float) -> Iterator[None]:
        """Hold one of the places for connections while the block lasts."""
        if not self._places.acquire(timeout=max(0.0, end - time.monotonic())):
            raise DirectoryAway(_("all connections to it are in use"))
        try:
            yield
        finally:
            self._places.release()


class _Server:
    """One server: its idle connections, and until when it counts as away."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.away_until = 0.0
        self._idle: list[Connection] = []
        self._lock = Lock()
        self._is_closed = False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def is_away(self) -> bool:
        """Whether it failed lately."""
        return time.monotonic() < self.away_until

    def take(self) -> Connection | None:
        """Return the connection that was used last, None where all are too old."""
        with self._lock:
            fresh = [each for each in self._idle if time.monotonic() - each.used_at < IDLE_SECONDS]
            old = [each for each in self._idle if each not in fresh]
            taken = fresh.pop() if fresh else None
            self._idle = fresh
        for connection in old:
            connection.close()
        return taken

    def keep(self, connection: Connection) -> None:
        """Take a connection back that works."""
        with self._lock:
            is_kept = not self._is_closed
            if is_kept:
                self._idle.append(connection)
        if not is_kept:
            connection.close()

    def close(self) -> None:
        """Close the idle connections, and those that come back."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


def _check_filter(text: str, name: str) -> None:
    """Raise ``ConfigError`` for what is not one filter, so that it cannot end another one."""
    try:
        parse_filter(text, None, False, False, None, False)
    except (LDAPExceptionError, AttributeError):  # the latter for more that closes than opens
        raise ConfigError(f"{name}: filter {text} is not a filter of LDAP (RFC 4515)") from None


def _is_utf8(text: str) -> bool:
    """Whether a text can be sent: a single surrogate cannot, and is nobody's password."""
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False


def _asked(
    connection: Connection, question: Callable[[Connection, float], T], deadline: float
) -> T:
    with _closed_on_error(connection):
        return question(connection, deadline)


@contextmanager
def _closed_on_error(connection: Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


def _found(connection: Connection, search: Search, cookie: bytes, deadline: float) -> Answer:
    """Return a page of a search. Raises ``DirectoryAway`` for what no server would answer."""
    answer = connection.search(search, cookie, deadline)
    if answer.code == SUCCESS:
        return answer
    if answer.code == SIZE_LIMIT_EXCEEDED:
        if search.limit and len(answer.entries) >= search.limit:
            return answer
        count = len(answer.entries)
        raise DirectoryAway(
            _("its size limit ends the answer after %(count)d entries", count=count)
        )
    reason = f"{search.base}: {answer.text}"
    if answer.code == _NO_SUCH_OBJECT:
        raise _NoSuchEntry(reason)
    if answer.code in _FINAL:
        raise DirectoryAway(reason)
    raise ServerAway(reason)


def _bound(connection: Connection, dn: str, password: str, deadline: float) -> Answer:
    """Return what a server says to a bind, where that is about the person."""
    answer = connection.bind(dn, password, deadline)
    if answer.code == SUCCESS or answer.code in _NOT_THEM:
        return answer
    raise _bind_fails(dn, answer)


def _bind_fails(dn: str, answer: Answer) -> ServerAway:
    return ServerAway(_("the bind as %(dn)s fails: %(answer)s", dn=dn, answer=answer.text))

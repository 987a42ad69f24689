"""One connection to one server of a directory.

ldap3 speaks LDAP here, and no more. Its own timeouts are for each packet, and its own ``Tls``
verifies nothing unless it is told to; so the socket that it speaks through is ours.
"""

import math
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import ldap3
from ldap3.core.exceptions import LDAPExceptionError

from core.directory.entries import Attributes, Entry
from core.directory.resolving import resolve
from core.i18n import gettext as _

SUCCESS = 0
SIZE_LIMIT_EXCEEDED = 4

_START_TLS = "1.3.6.1.4.1.1466.20037"  # RFC 4511 4.14.1
_PAGED_RESULTS = "1.2.840.113556.1.4.319"  # RFC 2696
_CHUNK = 65_536  # octets read at once
_MOST_OCTETS = 64 * 1024 * 1024  # of one answer
_GOODBYE_SECONDS = 0.2

_LDAP3_PREFIX = re.compile(r"^socket connection error while opening: (\[Errno \d+\] )?")


class ServerAway(Exception):
    """A server does not answer, or not as it should; the text says why. Another one may."""


class Scope(StrEnum):
    """How far below its base a search looks."""

    BASE = "BASE"
    LEVEL = "LEVEL"
    SUBTREE = "SUBTREE"


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for: ``limit`` entries at most (0: all), ``page`` at a time (0: at once)."""

    base: str
    scope: Scope
    filter: str
    attributes: Sequence[str]
    limit: int
    page: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said: a result code with its text, and entries.

    Where ``cookie`` is not empty there is more.
    """

    code: int
    text: str
    entries: Sequence[Entry] = ()
    cookie: bytes = b""


class Connection:
    """A connection that is open, and secured as it was asked for; nobody is bound yet.

    For one thread at a time. ``deadline`` is a time of ``time.monotonic``. Every method but
    ``close`` may raise ``ServerAway``, and then the connection is of no further use.
    """

    def __init__(self, host: str, port: int, deadline: float) -> None:
        """Connect, trying the addresses of the host one after the other."""
        self.used_at = time.monotonic()
        addresses = _resolve(host, port, deadline)
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            try:
                self._open(address, port, (deadline - time.monotonic()) / left)
            except LDAPExceptionError as error:
                reason = _told(error)
                if self._ldap.socket is not None:  # which ldap3 leaves open
                    self._ldap.socket.close()
            else:
                self._wire = _Wire(self._ldap.socket)
                self._ldap.socket = self._wire
                return
        raise ServerAway(reason)

    def start_tls(self, context: ssl.SSLContext, host: str, deadline: float) -> None:
        """Secure the connection by StartTLS."""
        with self._speaking(deadline):
            self._ldap.extended(_START_TLS)
            answer = self._answer()
        if answer.code != SUCCESS:
            raise ServerAway(_("StartTLS is refused: %(answer)s", answer=answer.text))
        self.secure(context, host, deadline)

    def secure(self, context: ssl.SSLContext, host: str, deadline: float) -> None:
        """Secure the connection by TLS, from its first octet where that is LDAPS."""
        with self._speaking(deadline):
            self._wire.secure(context, host)

    def bind(self, dn: str, password: str, deadline: float) -> Answer:
        """Bind with a name and a password; neither may be empty.

        The password is sent as it is, in UTF-8: what SASLprep makes of it is not what was set in
        most directories, and may be empty.
        """
        self._ldap.authentication = ldap3.SIMPLE
        self._ldap.user = dn
        self._ldap.password = password.encode()
        with self._speaking(deadline):
            self._ldap.bind(read_server_info=False)
            return self._answer()

    def search(self, search: Search, cookie: bytes, deadline: float) -> Answer:
        """Return the entries of a search, of its next page where it has pages."""
        with self._speaking(deadline):
            self._ldap.search(
                search.base,
                search.filter,
                search.scope.value,
                dereference_aliases=ldap3.DEREF_NEVER,
                attributes=list(search.attributes),
                size_limit=0 if search.page else search.limit,
                time_limit=max(1, math.ceil(deadline - time.monotonic())),
                paged_size=search.page or None,
                paged_cookie=cookie or None,
            )
            return self._answer()

    def close(self) -> None:
        """Say goodbye, which nobody has to hear, and close the socket."""
        with suppress(ServerAway), self._speaking(time.monotonic() + _GOODBYE_SECONDS):
            self._ldap.unbind()
        self._wire.close()

    def _open(self, address: str, port: int, seconds: float) -> None:
        server = ldap3.Server(
            address, port, use_ssl=False, get_info=ldap3.NONE, connect_timeout=max(0.01, seconds)
        )
        self._ldap = ldap3.Connection(
            server,
            check_names=False,
            auto_referrals=False,
            auto_escape=False,
            read_only=True,
            return_empty_attributes=False,
        )
        self._ldap.open(read_server_info=False)

    @contextmanager
    def _speaking(self, deadline: float) -> Iterator[None]:
        """Give the block until the deadline, and raise ``ServerAway`` for whatever fails in it."""
        self._wire.begin(deadline)
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever ldap3's decoders meet in broken octets
            self._wire.close()
            raise ServerAway(self._wire.failure or _told(error)) from None
        self.used_at = time.monotonic()

    def _answer(self) -> Answer:
        """Return what ldap3 received last."""
        result: Mapping[str, Any] = self._ldap.result
        control = result.get("controls", {}).get(_PAGED_RESULTS, {}).get("value") or {}
        text = ": ".join(filter(None, [result["description"], result["message"].strip("\0 ")]))
        entries = [
            Entry(each["dn"], Attributes(each["raw_attributes"]))
            for each in self._ldap.response or ()
            if each["type"] == "searchResEntry"  # and none of the references to other servers
        ]
        return Answer(result["result"], text, entries, control.get("cookie", b""))


class _Wire:
    """The socket that ldap3 speaks through: it knows the deadline, and why it failed."""

    def __init__(self, plain: socket.socket) -> None:
        self._socket = plain
        self._deadline = 0.0
        self._octets = 0
        self.failure = ""

    def begin(self, deadline: float) -> None:
        """Give what comes now until this time."""
        self._deadline = deadline
        self._octets = 0

    def secure(self, context: ssl.SSLContext, host: str) -> None:
        """Shake hands; the certificate must be for ``host``, by an authority that is trusted."""
        with self._limited():
            self._socket = context.wrap_socket(self._socket, server_hostname=host)

    def recv(self, _size: int) -> bytes:
        """Return some octets."""
        with self._limited():
            octets = self._socket.recv(_CHUNK)
        self._octets += len(octets)
        if self._octets > _MOST_OCTETS:
            self.failure = _("its answer is too long")
            raise OSError(self.failure)
        return octets

    def sendall(self, octets: bytes) -> None:
        """Send octets."""
        with self._limited():
            self._socket.sendall(octets)

    def shutdown(self, how: int) -> None:
        """Tell the other side that nothing more comes."""
        self._socket.shutdown(how)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    @contextmanager
    def _limited(self) -> Iterator[None]:
        try:
            self._socket.settimeout(max(0.001, self._deadline - time.monotonic()))
            yield
        except OSError as error:
            self.failure = _told(error)
            raise


def tls_context(ca_file: str) -> ssl.SSLContext:
    """Return what verifies a server: its name, and an authority of the file, else of the system.

    Raises ``OSError`` for a file that cannot be used.
    """
    return ssl.create_default_context(cafile=ca_file or None)


def _resolve(host: str, port: int, deadline: float) -> Sequence[str]:
    try:
        return resolve(host, port, deadline)
    except TimeoutError:
        raise ServerAway(_("the look-up of its name takes too long")) from None
    except OSError:
        raise ServerAway(_("its name is not known")) from None


def _told(error: Exception) -> str:
    """Return in one line why something failed."""
    match error:
        case TimeoutError():
            return _("no answer in time")
        case ssl.SSLCertVerificationError():
            return _("its certificate is not accepted: %(reason)s", reason=error.verify_message)
        case ssl.SSLError():
            return f"TLS: {error.reason or 'failed'}"
        case OSError() if error.strerror:
            return error.strerror
        case LDAPExceptionError():
            lines = str(error).splitlines()
            return _LDAP3_PREFIX.sub("", lines[0]) if lines else type(error).__name__
    return _("its answer is malformed (%(kind)s)", kind=type(error).__name__)

"""The firm's mail server for outgoing mail: one SMTP session with it (RFC 5321).

Where it is, and how to sign in there, is in the configuration and nowhere else (threat A4). With
TLS its certificate and name are verified; a relay that does not offer the encryption that was
configured gets nothing, neither password nor mail.
"""

import ipaddress
import re
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from core.config import RelaySection
from core.i18n import N_
from core.mail.addresses import is_valid_envelope_address
from core.outgoing.compose import needs_smtputf8
from core.outgoing.wire import ConnectionFault, Reply, Wire, reason_of

QUIT_SECONDS = 1.0
MAX_PASSWORD = 1000  # bytes of the password file
# Replies to MAIL, RCPT and DATA that mean us and not the mail (RFC 3207 4, RFC 4954 6).
_MEAN_US = frozenset({421, 454, 530, 534, 535, 538})

NO_ADDRESS = N_("The recipient is not a mail address.")
NEEDS_SMTPUTF8 = N_("The relay does not take addresses that are not ASCII (SMTPUTF8).")
NEEDS_8BITMIME = N_("The relay takes 7-bit messages only.")
TOO_BIG = N_("The relay does not take messages of this size.")


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds that the relay gets: to connect and greet, for a command, for a whole message.

    RFC 5321 4.5.3.2 would wait up to ten minutes for the reply to a message. A relay of one's own
    answers in seconds; waiting less risks a second copy, waiting more delays all other mail.
    """

    connect: float = 30.0
    command: float = 60.0
    message: float = 300.0


DEADLINES = Deadlines()


class RelayFault(Exception):
    """The relay cannot be used as it is configured; ``str()`` says why, without secrets.

    Nothing about a single mail: all of them wait.
    """


class RelaySession:
    """A session that is ready for mail. Made by ``relay_session``."""

    def __init__(
        self, wire: Wire, place: str, extensions: Mapping[str, str], deadlines: Deadlines
    ) -> None:
        self._wire = wire
        self._place = place
        self._extensions = extensions
        self._deadlines = deadlines
        self.is_usable = True  # for a further message

    def send(self, mail_from: str, recipient: str, content: bytes) -> Reply:
        """Hand a message over for one recipient; return the reply that decides its fate.

        A positive reply is the relay's promise. Raises ``ConnectionFault`` when the session ended
        before it came: the message counts as not sent, though the relay may have it, which SMTP
        cannot exclude (RFC 5321 4.5.3.2.6); and ``RelayFault`` when the relay wants none of our
        mail.
        """
        try:
            return self._send(mail_from, recipient, crlf(content))
        except ConnectionFault:
            self.is_usable = False
            raise

    def close(self) -> None:
        """Say goodbye, without waiting long for an answer."""
        if self.is_usable:
            with suppress(ConnectionFault):
                self._wire.ask("QUIT", self._from_now(QUIT_SECONDS))

    def _send(self, mail_from: str, recipient: str, content: bytes) -> Reply:
        whole = self._from_now(self._deadlines.message)
        options = self._mail_options(mail_from, recipient, content)
        if isinstance(options, Reply):
            return options
        for command in (f"MAIL FROM:<{mail_from}>{options}", f"RCPT TO:<{recipient}>", "DATA"):
            reply = self._ask(command, whole)
            if not reply.is_positive:
                self._reset(whole)
                return reply
        if reply.code != 354:
            raise ConnectionFault(f"it answers DATA with {reply.line}")
        self._wire.write(stuffed(content), whole)
        return self._checked(self._wire.read_reply(whole)[0])

    def _reset(self, whole: float) -> None:
        """Forget a transaction that failed; what the relay said of it stays its reply."""
        try:
            self.is_usable = self._ask("RSET", whole).is_positive
        except (ConnectionFault, RelayFault):
            self.is_usable = False

    def _ask(self, command: str, whole: float) -> Reply:
        deadline = min(whole, self._from_now(self._deadlines.command))
        return self._checked(self._wire.ask(command, deadline)[0])

    def _checked(self, reply: Reply) -> Reply:
        if reply.code == 421:  # RFC 5321 3.8: it closes the connection
            raise ConnectionFault(reply.line)
        if reply.code in _MEAN_US:
            raise RelayFault(f"{self._place}: {reply.line}")
        return reply

    def _mail_options(self, mail_from: str, recipient: str, content: bytes) -> str | Reply:
        """Return the parameters of MAIL, or the refusal that the message would get."""
        options = ""
        if not is_valid_envelope_address(recipient):  # nothing else gets into a command
            return Reply(553, "5.1.3", NO_ADDRESS)
        if "SIZE" in self._extensions:  # RFC 1870
            limit = self._extensions["SIZE"]
            if limit.isdigit() and 0 < int(limit) < len(content):
                return Reply(552, "5.3.4", TOO_BIG)
            options += f" SIZE={len(content)}"
        needs_utf8 = needs_smtputf8(content, mail_from, recipient)
        if not content.isascii() or needs_utf8:
            if "8BITMIME" not in self._extensions:  # RFC 6152
                return Reply(554, "5.6.3", NEEDS_8BITMIME)
            options += " BODY=8BITMIME"
        if needs_utf8:
            if "SMTPUTF8" not in self._extensions:  # RFC 6531 3.2
                return Reply(553, "5.6.7", NEEDS_SMTPUTF8)
            options += " SMTPUTF8"
        return options

    @staticmethod
    def _from_now(seconds: float) -> float:
        return time.monotonic() + seconds


@contextmanager
def relay_session(
    relay: RelaySection,
    hostname: str,
    deadlines: Deadlines = DEADLINES,
    on_socket: Callable[[socket.socket], None] = lambda _socket: None,
) -> Iterator[RelaySession]:
    """Connect, greet, encrypt and sign in as configured; give a session while the block lasts.

    ``hostname`` is what we call ourselves. ``on_socket`` is told each socket that is used, so that
    another thread can cut the connection. Raises ``RelayFault``.
    """
    place = f"{relay.host}:{relay.port}"
    try:
        connection = socket.create_connection((relay.host, relay.port), deadlines.connect)
    except OSError as error:
        raise RelayFault(f"{place}: {reason_of(error)}") from None
    with _Opening(relay, hostname, deadlines, connection, on_socket) as opening:
        try:
            session = opening.open(place)
        except ConnectionFault as error:
            raise RelayFault(f"{place}: {error}") from None
        yield session
        session.close()


class _Opening:
    """The way from a connected socket to a session; closes the socket whatever happens."""

    def __init__(
        self,
        relay: RelaySection,
        hostname: str,
        deadlines: Deadlines,
        connection: socket.socket,
        on_socket: Callable[[socket.socket], None],
    ) -> None:
        self._relay = relay
        self._hostname = hostname
        self._deadlines = deadlines
        self._deadline = time.monotonic() + deadlines.connect
        self._on_socket = on_socket
        self._wire = Wire(connection)
        on_socket(connection)

    def __enter__(self) -> "_Opening":
        return self

    def __exit__(self, *_exception: object) -> None:
        self._wire.socket.close()

    def open(self, place: str) -> RelaySession:
        """Return the session. Raises ``ConnectionFault``."""
        if self._relay.tls == "none":
            self._check_nearness()
        if self._relay.tls == "tls":
            self._encrypt()
        self._expect(220, self._wire.read_reply(self._deadline)[0], "it greets with")
        extensions = self._greet()
        if self._relay.tls == "starttls":
            self._start_tls(extensions)
            extensions = self._greet()  # RFC 3207 4.2: what was said before is forgotten
        if self._relay.username:
            self._sign_in(extensions.get("AUTH", "").upper().split())
        return RelaySession(self._wire, place, extensions, self._deadlines)

    def _check_nearness(self) -> None:
        """Without encryption mail goes to this machine or network only."""
        address = ipaddress.ip_address(str(self._wire.socket.getpeername()[0]).partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        if not (mapped or address).is_private:
            raise ConnectionFault(
                f"{address} is outside this network: relay.tls must be starttls or tls"
            )

    def _greet(self) -> dict[str, str]:
        """Say EHLO and return the extensions with their parameters."""
        reply, lines = self._wire.ask(f"EHLO {self._hostname}", self._deadline)
        self._expect(250, reply, "it answers EHLO with")
        words = (line.partition(" ") for line in lines[1:])
        return {name.upper(): parameters.strip() for name, _blank, parameters in words}

    def _start_tls(self, extensions: Mapping[str, str]) -> None:
        if "STARTTLS" not in extensions:
            raise ConnectionFault("it does not offer STARTTLS, so nothing is sent to it")
        reply = self._wire.ask("STARTTLS", self._deadline)[0]
        self._expect(220, reply, "it answers STARTTLS with")
        if self._wire.has_unread:
            # Somebody on the way would have us take it for the encrypted relay's words.
            raise ConnectionFault("something was sent in plain text after STARTTLS")
        self._encrypt()

    def _encrypt(self) -> None:
        """Shake hands, with a certificate that is valid for the configured name."""
        try:
            context = tls_context(self._relay)
        except OSError as error:  # ssl.SSLError is one
            raise ConnectionFault(
                f"relay.ca_file: {self._relay.ca_file}: {reason_of(error)}"
            ) from None
        plain = self._wire.socket
        try:
            plain.settimeout(max(self._deadline - time.monotonic(), 0.001))
            encrypted = context.wrap_socket(plain, server_hostname=self._relay.host)
        except ssl.SSLCertVerificationError as error:
            raise ConnectionFault(f"its certificate: {error.verify_message}") from None
        except OSError as error:
            raise ConnectionFault(f"TLS: {reason_of(error)}") from None
        self._wire = Wire(encrypted)
        self._on_socket(encrypted)

    def _sign_in(self, mechanisms: list[str]) -> None:
        """Sign in by PLAIN (RFC 4616) or the older LOGIN, whichever the relay offers."""
        name, password = self._relay.username, _password(self._relay.password_file)
        if "PLAIN" in mechanisms:
            first, *more = [f"AUTH PLAIN {_base64(chr(0).join(('', name, password)))}"]
        elif "LOGIN" in mechanisms:
            first, *more = ["AUTH LOGIN", _base64(name), _base64(password)]
        else:
            raise ConnectionFault("it offers no way to sign in that we know (PLAIN, LOGIN)")
        reply = self._wire.ask(first, self._deadline)[0]
        for answer in more:
            if reply.code == 334:
                reply = self._wire.ask(answer, self._deadline)[0]
        if reply.code != 235:
            secrets = (password, first.rpartition(" ")[2], *more)
            raise ConnectionFault(f"it refuses our sign-in: {_without(reply, secrets)}")

    @staticmethod
    def _expect(code: int, reply: Reply, what: str) -> None:
        if reply.code != code:
            raise ConnectionFault(f"{what} {reply.line}")


def tls_context(relay: RelaySection) -> ssl.SSLContext:
    """Return how the relay is verified: by its own CA file, else by those of the system.

    Raises ``OSError`` for a file that cannot be used.
    """
    context = ssl.create_default_context(cafile=relay.ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def crlf(content: bytes) -> bytes:
    """Return a message with CRLF as its only line ends, one at its end."""
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", content)
    return lines if lines.endswith(b"\r\n") else lines + b"\r\n"


def stuffed(content: bytes) -> bytes:
    """Return what follows DATA: each dot that begins a line is doubled (RFC 5321 4.5.2).

    The message has passed ``crlf``, so no server finds another end in it (threat P2).
    """
    return re.sub(rb"(?m)^\.", b"..", content) + b".\r\n"


def _password(file: str) -> str:
    """Return the password, read at each connection, so that a new one needs no restart."""
    try:
        with Path(file).open("rb") as opened:
            password = opened.read(MAX_PASSWORD).rstrip(b"\r\n").decode()
    except OSError as error:
        raise ConnectionFault(f"relay.password_file: {file}: {reason_of(error)}") from None
    except UnicodeDecodeError:
        raise ConnectionFault(f"relay.password_file: {file}: is not text") from None
    if not password:
        raise ConnectionFault(f"relay.password_file: {file}: is empty")
    return password


def _without(reply: Reply, secrets: Iterable[str]) -> str:
    """Return the line of a reply; only its codes where it repeats what nobody may read."""
    if any(secret in reply.line for secret in secrets):
        return Reply(reply.code, reply.status, "").line
    return reply.line


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode("ascii")

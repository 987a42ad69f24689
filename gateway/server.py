"""The gateway as a whole: made from a configuration, started, stopped."""

import asyncio
import logging
import ssl
from pathlib import Path

from core.config import UNIX, Config
from core.db import Database
from core.errors import ConfigError
from core.intake.writer import IntakeWriter
from core.secret_key import Keys
from core.sources.asking.live import make_live_sources
from gateway.connections import Client, Connections
from gateway.disk import DiskGuard, FreeBytes, free_bytes
from gateway.intake import Intake
from gateway.limits import Limits
from gateway.listeners import MakeSession, listen
from gateway.lmtp import LmtpSession
from gateway.replies import SHUTTING_DOWN
from gateway.sender_rates import SenderLimits, SenderRates
from gateway.session import Service, Session
from gateway.smtp import SmtpSession

log = logging.getLogger(__name__)


class Gateway:
    """The listeners of one process with all they need. Belongs to one event loop.

    ``free_space`` tells how many bytes are free in a folder. Raises ``ConfigError`` without the
    key file: an answer to our mail could not be told from a forged one. Also for the password
    file of a customer source that cannot be read.
    """

    def __init__(
        self,
        config: Config,
        database: Database,
        limits: Limits | None = None,
        free_space: FreeBytes = free_bytes,
    ) -> None:
        self._smtp = config.smtp
        self._limits = limits or Limits()
        self._sources = make_live_sources(config)
        self._writer = IntakeWriter(database, Keys(config.secret_key_file), self._sources)
        folder = database.file.absolute().parent if database.file else None
        self._service = Service(
            hostname=config.smtp.hostname,
            max_message_bytes=config.smtp.max_message_bytes,
            intake=Intake(database, self._writer, self._limits, config),
            limits=self._limits,
            rates=SenderRates(
                SenderLimits(
                    per_address=config.smtp.mails_per_sender,
                    per_domain=config.smtp.mails_per_domain,
                    per_client=config.smtp.mails_per_client,
                )
            ),
            disk=DiskGuard(folder, config.smtp.max_message_bytes, free_space) if folder else None,
            tls=_tls_context(config.smtp.tls_cert, config.smtp.tls_key),
            spool_folder=folder,
        )
        self._connections = Connections(self._limits, config.smtp.relay_networks)
        self.sessions: set[Session] = set()
        self._servers: list[asyncio.Server] = []

    async def start(self) -> None:
        """Listen; raise ``ConfigError`` when an address cannot be had."""
        listeners = [("smtp.listen", self._smtp.listen, SmtpSession)]
        if self._smtp.lmtp_listen:
            listeners.append(("smtp.lmtp_listen", self._smtp.lmtp_listen, LmtpSession))
        for key, address, kind in listeners:
            server = await listen(key, address, self._connections, self._session_maker(kind))
            self._servers.append(server)
            log.info("listening: %s %s", key, address)
        self._writer.start()

    async def stop(self) -> None:
        """Take no new mail, finish what is on its way, and return when all is committed."""
        for server in self._servers:
            server.close()
        for session in list(self.sessions):
            session.stop()
        deadline = asyncio.get_running_loop().time() + self._limits.shutdown_seconds
        while self.sessions and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)
        for session in list(self.sessions):
            session.cut(SHUTTING_DOWN)
        await asyncio.to_thread(self._service.intake.stop)
        await asyncio.to_thread(self._writer.stop)
        await asyncio.to_thread(self._sources.close)
        self._remove_socket_file()

    def _session_maker(self, kind: type[Session]) -> MakeSession:
        def make(client: Client) -> Session:
            session = kind(self._service, client, self._ended)
            self.sessions.add(session)
            return session

        return make

    def _ended(self, session: Session) -> None:
        self.sessions.discard(session)
        self._connections.release(session.client)

    def _remove_socket_file(self) -> None:
        if self._smtp.lmtp_listen.startswith(UNIX):
            Path(self._smtp.lmtp_listen.removeprefix(UNIX)).unlink(missing_ok=True)


def _tls_context(certificate: str, key: str) -> ssl.SSLContext | None:
    if not certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        reason = error.reason or str(error)
        raise ConfigError(f"smtp.tls_cert {certificate}, smtp.tls_key {key}: {reason}") from None
    except OSError as error:
        raise ConfigError(
            f"smtp.tls_cert {certificate}, smtp.tls_key {key}: {error.strerror}"
        ) from None
    return context

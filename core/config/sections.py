"""The tables of the configuration that every installation has."""

import ipaddress
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from core.config.fields import (
    Domain,
    HostName,
    HostPort,
    Listener,
    NameServer,
    Network,
    PublicUrl,
    RelayHost,
    RspamdUrl,
    own_host_name,
    server_address,
)


class Section(BaseModel):
    """A table of the file; unknown keys are errors, and nothing changes after the start."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DatabaseSection(Section):
    """``[database]``: an SQLAlchemy address of SQLite or PostgreSQL."""

    url: str = "sqlite:///var/schalter.db"


class SmtpSection(Section):
    """``[smtp]``: how mail comes in."""

    listen: HostPort = "127.0.0.1:8025"
    lmtp_listen: Listener = ""
    hostname: HostName = Field(default_factory=lambda: own_host_name())
    max_message_bytes: int = Field(default=26_214_400, ge=10_000, le=1_073_741_824)
    tls_cert: str = ""
    tls_key: str = ""
    trusted_relays: list[Network] = []
    mails_per_sender: int = Field(default=300, ge=0)  # in ten minutes; 0 is without a limit
    mails_per_domain: int = Field(default=3_000, ge=0)
    mails_per_client: int = Field(default=1_000, ge=0)  # that is no trusted relay
    authserv_id: str = ""
    sender_checks: Literal["direct", "all", "off"] = "direct"
    name_servers: list[NameServer] = []
    arc_sealers: list[Domain] = []  # whose seals on mail that they passed on are believed

    @property
    def name_server_addresses(self) -> list[tuple[str, int]]:
        """The addresses and ports of ``name_servers``; none for those of the system."""
        return [server_address(text) for text in self.name_servers]

    def checks_sender(self, peer: str, *, trusted: bool) -> bool:
        """Whether mail of this client is checked here; of a relay's, only what it found counts.

        ``direct`` means clients with a global address: nothing can be proven for others.
        """
        if trusted or not peer or self.sender_checks == "off":
            return False
        return self.sender_checks == "all" or ipaddress.ip_address(peer).is_global

    @property
    def relay_networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """The networks of ``trusted_relays``."""
        return tuple(ipaddress.ip_network(text, strict=False) for text in self.trusted_relays)

    @model_validator(mode="after")
    def _certificate_with_key(self) -> "SmtpSection":
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ValueError("tls_cert and tls_key belong together: set both or neither")
        return self


class ContentChecksSection(Section):
    """``[content_checks]``: whom to ask about malware and spam; nobody by default.

    ``timeout_seconds`` is what all checks of a mail get together.
    """

    clamd: Listener = ""
    rspamd: RspamdUrl = ""
    timeout_seconds: int = Field(default=10, ge=1, le=60)


class WebSection(Section):
    """``[web]``: where the pages are."""

    listen: HostPort = "127.0.0.1:8080"
    public_url: PublicUrl = ""
    trusted_proxies: int = Field(default=0, ge=0, le=10)


class RelaySection(Section):
    """``[relay]``: the firm's mail server for outgoing mail; no host, no sending.

    ``ca_file`` holds the certificates that vouch for a private relay, instead of the system's.
    """

    host: RelayHost = ""
    port: int = Field(default=587, ge=1, le=65_535)
    tls: Literal["starttls", "tls", "none"] = "starttls"
    username: str = ""
    password_file: str = ""
    ca_file: str = ""

    @model_validator(mode="after")
    def _name_with_password(self) -> "RelaySection":
        if bool(self.username) != bool(self.password_file):
            raise ValueError("username and password_file belong together: set both or neither")
        if self.username and self.tls == "none":
            raise ValueError('a password is not sent in plain text: tls must not be "none"')
        return self

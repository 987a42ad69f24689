"""The configuration: defaults, then a TOML file, then the environment.

The file is named by ``--config`` or ``SCHALTER_CONFIG``, else it is ``schalter.toml`` in the
current directory where that exists. ``SCHALTER_<SECTION>__<KEY>`` overrides a key. An unknown key
or a bad value stops the start with its name, the reason and where it was found.
"""

import ipaddress
import os
import re
import socket
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from core.errors import ConfigError
from core.mail.addresses import domain_key

DEFAULT_FILE = "schalter.toml"
ENVIRONMENT_PREFIX = "SCHALTER_"
UNIX = "unix:"  # before the path of a socket file
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_RSPAMD = re.compile(r"http://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]+")


def _host_port(value: str) -> str:
    host, separator, port = value.rpartition(":")
    if not separator or not host or not port.isdigit() or int(port) > 65_535:
        raise ValueError('must be "host:port"')
    return value


def _listener(value: str) -> str:
    if not value or (value.startswith(UNIX) and len(value) > len(UNIX)):
        return value
    try:
        return _host_port(value)
    except ValueError:
        raise ValueError('must be "host:port", "unix:PATH" or ""') from None


def _rspamd(value: str) -> str:
    if value and not _RSPAMD.fullmatch(value):
        raise ValueError('must be "http://host:port" or ""')
    return value and "http://" + _host_port(value.removeprefix("http://"))


def _network(value: str) -> str:
    ipaddress.ip_network(value, strict=False)
    return value


def _server_address(value: str) -> tuple[str, int]:
    """Split ``address`` or ``address:port``; an IPv6 address with a port stands in brackets."""
    try:
        return str(ipaddress.ip_address(value)), 53
    except ValueError:
        host, port = split_host_port(_host_port(value))
        return str(ipaddress.ip_address(host)), port


def _name_server(value: str) -> str:
    try:
        _server_address(value)
    except ValueError:
        raise ValueError('must be an IP address, or "address:port"') from None
    return value


def _host_name(value: str) -> str:
    if not _HOST_NAME.fullmatch(value):
        raise ValueError("must be a host name")
    return value


def _domain(value: str) -> str:
    key = domain_key(value)
    if not key:
        raise ValueError("must be a domain")
    return key


def _relay_host(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value)) if ":" in value else value and _host_name(value)
    except ValueError:
        raise ValueError("must be a host name or an address") from None


def _public_url(value: str) -> str:
    if value and not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", value):
        raise ValueError("must start with http:// or https:// and name a host")
    return value.rstrip("/")


def split_host_port(address: str) -> tuple[str, int]:
    """Split a checked ``host:port``; an IPv6 address stands in brackets."""
    host, _colon, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


HostPort = Annotated[str, AfterValidator(_host_port)]
Listener = Annotated[str, AfterValidator(_listener)]
RspamdUrl = Annotated[str, AfterValidator(_rspamd)]
Network = Annotated[str, AfterValidator(_network)]
NameServer = Annotated[str, AfterValidator(_name_server)]
Domain = Annotated[str, AfterValidator(_domain)]
HostName = Annotated[str, AfterValidator(_host_name)]
RelayHost = Annotated[str, AfterValidator(_relay_host)]
PublicUrl = Annotated[str, AfterValidator(_public_url)]


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
    hostname: HostName = Field(default_factory=lambda: _own_host_name())
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
        return [_server_address(text) for text in self.name_servers]

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


class SourceColumns(Section):
    """``columns``: which column of a source holds what; "" for what it does not know.

    ``key`` identifies a row for as long as it exists; without it that is the login. ``password``
    holds hashes (``core.sources.hashes``); without it nobody of the source can sign in.
    """

    login: str = Field(min_length=1)
    customer_number: str = Field(min_length=1)
    email: str = Field(min_length=1)
    more_addresses: list[str] = []
    key: str = ""
    customer_name: str = ""
    title: str = ""
    first_name: str = ""
    last_name: str = ""
    phone: str = ""
    mobile: str = ""
    street: str = ""
    postcode: str = ""
    city: str = ""
    country: str = ""
    valid: str = ""
    password: str = ""


class SqlSourceSection(Section):
    """``[[customer_sources]]``: a table or view of an SQL database with one row per account.

    A row is valid when its column ``valid`` holds one of ``valid_values``, or there is none.
    """

    name: str
    kind: Literal["sql"]
    url: str
    password_file: str = ""
    table: str = Field(min_length=1)
    table_schema: str = ""
    columns: SourceColumns
    valid_values: list[str] = ["1", "true"]

    @model_validator(mode="after")
    def _usable(self) -> "SqlSourceSection":
        """Here, not at the key: the message of a key shows its value, and this may be secret."""
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,49}", self.name):
            raise ValueError("name must be 1 to 50 of a-z, 0-9, - and _")
        try:
            url = make_url(self.url)
        except ArgumentError:
            raise ValueError("url must be an SQLAlchemy address") from None
        if url.get_backend_name() not in ("sqlite", "postgresql"):
            raise ValueError("url must be of sqlite or postgresql")
        if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
            raise ValueError("url must name a file, as in sqlite:///crm.db")
        if url.password is not None:
            raise ValueError("url must not hold the password: name its file in password_file")
        return self


class Config(BaseSettings):
    """Everything that is fixed at the start of a process."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter="__",
    )

    database: DatabaseSection = DatabaseSection()
    smtp: SmtpSection = Field(default_factory=SmtpSection)
    content_checks: ContentChecksSection = ContentChecksSection()
    web: WebSection = WebSection()
    relay: RelaySection = RelaySection()
    secret_key_file: str = "var/secret.key"
    customer_sources: list[SqlSourceSection] = []

    @field_validator("customer_sources")
    @classmethod
    def _names_differ(cls, sources: list[SqlSourceSection]) -> list[SqlSourceSection]:
        names = [source.name for source in sources]
        for name in names:
            if names.count(name) > 1:
                raise PydanticCustomError("twice", "two sources are called {name}", {"name": name})
        return sources

    @property
    def public_url(self) -> str:
        """The address under which browsers reach the pages, without a slash at its end."""
        return self.web.public_url or f"http://{self.web.listen}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file, which comes in as initial values."""
        return env_settings, init_settings


def load_config(path: str | None = None) -> Config:
    """Read the configuration; raise ``ConfigError`` naming key, reason and place."""
    chosen = path or os.environ.get("SCHALTER_CONFIG")
    file = Path(chosen or DEFAULT_FILE)
    values: dict[str, Any] = {}
    if chosen or file.exists():
        values = _read_file(file)
    _refuse_unknown_variables()
    try:
        return Config(**values)
    except ValidationError as error:
        raise ConfigError(_first_problem(error, file)) from None


def _read_file(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not valid TOML: {error}") from None


def _refuse_unknown_variables() -> None:
    """pydantic-settings ignores what it does not know; a typo must not pass in silence."""
    for name in os.environ:
        if not name.startswith(ENVIRONMENT_PREFIX) or name == "SCHALTER_CONFIG":
            continue
        parts = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        fields: Any = Config.model_fields
        for part in parts:
            field = fields.get(part) if fields else None
            if field is None:
                raise ConfigError(f"environment: {name}: unknown key {'.'.join(parts)}")
            fields = getattr(field.annotation, "model_fields", None)


def _first_problem(error: ValidationError, file: Path) -> str:
    problem = error.errors(include_url=False)[0]
    location = [str(part) for part in problem["loc"]]
    key = ".".join(location)
    variable = ENVIRONMENT_PREFIX + "__".join(location).upper()
    place = f"environment: {variable}" if variable in os.environ else str(file)
    if problem["type"] == "extra_forbidden":
        return f"{place}: unknown key {key}"
    reason = problem["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(problem["input"], dict | list) else f" (got {problem['input']!r})"
    return f"{place}: {key}: {reason}{shown}"


def _own_host_name() -> str:
    name = socket.gethostname()
    return name if _HOST_NAME.fullmatch(name) else "localhost"

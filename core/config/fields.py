"""The kinds of values that keys of the configuration have, each with its check."""

import ipaddress
import re
import socket
from typing import Annotated

from pydantic import AfterValidator

from core.mail.addresses import domain_key

UNIX = "unix:"  # before the path of a socket file
HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
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


def server_address(value: str) -> tuple[str, int]:
    """Split ``address`` or ``address:port``; an IPv6 address with a port stands in brackets."""
    try:
        return str(ipaddress.ip_address(value)), 53
    except ValueError:
        host, port = split_host_port(_host_port(value))
        return str(ipaddress.ip_address(host)), port


def _name_server(value: str) -> str:
    try:
        server_address(value)
    except ValueError:
        raise ValueError('must be an IP address, or "address:port"') from None
    return value


def _host_name(value: str) -> str:
    if not HOST_NAME.fullmatch(value):
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


def own_host_name() -> str:
    """Return what this machine calls itself, where that can be a host name."""
    name = socket.gethostname()
    return name if HOST_NAME.fullmatch(name) else "localhost"

"""Where an LDAP directory is and how it is asked; and the one that staff are in."""

import ipaddress
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from core.config.fields import split_host_port
from core.config.sections import Section
from core.words import Permission, Role

LDAP_PORT = 389
LDAPS_PORT = 636

GroupMap = Mapping[str, Mapping[str, Permission]]  # by DN of a group there: groups here


class DirectorySection(Section):
    """What every use of a directory says about it.

    ``servers`` are tried in their order, each ``host`` or ``host:port``. Certificates are always
    verified: against ``ca_file``, else against the system's. Without ``bind_dn`` the directory is
    read anonymously. ``member_of`` is the attribute of a person that names their groups; "" reads
    the attribute ``member`` of those groups that ``groups`` names.
    """

    servers: list[str] = Field(min_length=1)
    tls: Literal["starttls", "ldaps", "none"] = "starttls"
    ca_file: str = ""
    bind_dn: str = ""
    password_file: str = ""
    base: str = Field(min_length=1)
    filter: str = "(objectClass=person)"
    member_of: str = "memberOf"
    groups: GroupMap = Field(default_factory=dict)

    @property
    def given_groups(self) -> frozenset[str]:
        """The names of the groups here that ``groups`` gives to anybody."""
        return frozenset(name for given in self.groups.values() for name in given)

    @property
    def server_addresses(self) -> list[tuple[str, int]]:
        """Host and port of each server, in their order."""
        port = LDAPS_PORT if self.tls == "ldaps" else LDAP_PORT
        return [_host_and_port(server, port) for server in self.servers]

    @model_validator(mode="after")
    def _usable(self) -> "DirectorySection":
        hosts = [host for host, _port in self.server_addresses]
        if bool(self.bind_dn) != bool(self.password_file):
            raise ValueError("bind_dn and password_file belong together: set both or neither")
        if self.tls == "none" and not all(_is_loopback(host) for host in hosts):
            raise ValueError(
                'a password is not sent in plain text: tls "none" is for servers on this machine'
            )
        if not (self.filter.startswith("(") and self.filter.endswith(")")):
            raise ValueError("filter must stand in parentheses, as in (objectClass=person)")
        return self


class StaffAttributes(Section):
    """``attributes``: which attribute of an entry holds what of a member of staff.

    ``key`` identifies an entry for as long as it exists: ``objectGUID`` in Active Directory.
    """

    key: str = "entryUUID"
    login: str = "uid"
    email: str = "mail"
    first_name: str = "givenName"
    last_name: str = "sn"


class StaffDirectorySection(DirectorySection):
    """``[staff_directory]``: staff who sign in with their password of a directory.

    ``roles`` gives the role by the DN of a group; who is in none of them is no member of staff.
    """

    attributes: StaffAttributes = StaffAttributes()
    roles: Mapping[str, Role] = Field(min_length=1)


def _host_and_port(server: str, port: int) -> tuple[str, int]:
    """Split ``host`` or ``host:port``; an IPv6 address with a port stands in brackets."""
    try:
        return str(ipaddress.ip_address(server.strip("[]"))), port
    except ValueError:
        pass
    if ":" not in server:
        host = server
    else:
        if not server.rpartition(":")[2].isdigit():
            raise ValueError('servers must be "host" or "host:port"')
        host, port = split_host_port(server)
    if not host or not 0 < port <= 65_535 or "/" in host:
        raise ValueError('servers must be "host" or "host:port"')
    return host, port


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

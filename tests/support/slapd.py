"""A slapd of our own: a real directory in a temporary folder, on free ports, with and without TLS.

Entries are given as ``{dn: {attribute: value or values}}``. Those that a server begins with are
loaded by slapadd, which takes 100,000 in seconds; later ones go over LDAP. ``bind_dn`` may read
everything but passwords and is held to the size limit, as a real service account is.
"""

import base64
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import ldap3
import pytest

from tests.support.certificates import Certificate, make_certificate
from tests.support.processes import (
    START_SECONDS,
    STOP_SECONDS,
    ProcessFailed,
    accepts_connections,
    free_port,
)

Value = str | bytes
Attributes = Mapping[str, Value | Sequence[Value]]
Entries = Mapping[str, Attributes]

HOST = "127.0.0.1"
BASE = "dc=firm,dc=example"
PEOPLE = f"ou=people,{BASE}"
GROUPS = f"ou=groups,{BASE}"
READER = f"cn=reader,{BASE}"
READER_PASSWORD = "reads everything but passwords"
_ROOT = f"cn=root,{BASE}"
_ROOT_PASSWORD = "may do everything"
_SCHEMA = Path("/etc/ldap/schema")
_BIG = 1 << 20  # bytes of log that a message about a failure shows at most


def person_dn(uid: str) -> str:
    """Return the DN of a person below ``PEOPLE``."""
    return f"uid={uid},{PEOPLE}"


def person(
    uid: str, email: str | Sequence[str], password: str = "", *, first: str = "", last: str = ""
) -> Attributes:
    """Return a person that may have every attribute of Active Directory that ``_OWN`` names."""
    names = {"givenName": first} if first else {}
    secret = {"userPassword": password} if password else {}
    return {
        "objectClass": ["inetOrgPerson", "firmPerson"],
        "uid": uid,
        "cn": f"{first} {last or uid}".strip(),
        "sn": last or uid,
        "mail": email,
        **names,
        **secret,
    }


def group_dn(name: str) -> str:
    """Return the DN of a group below ``GROUPS``."""
    return f"cn={name},{GROUPS}"


def group(*members: str) -> Attributes:
    """Return a group of the DNs ``members``; the schema asks for one at least, so the reader is."""
    return {"objectClass": "groupOfNames", "member": [READER, *members]}


class Slapd:
    """A directory that runs, or that was stopped and can be started again on the same ports."""

    base = BASE
    host = HOST
    bind_dn = READER
    password = READER_PASSWORD

    def __init__(self, folder: Path, certificate: Certificate) -> None:
        self.folder = folder
        self.port = free_port()
        self.ldaps_port = free_port()
        self.ca_file = str(certificate.file)
        self.password_file = str(folder / "reader-password")
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address in plain text, where StartTLS is offered, too."""
        return f"ldap://{HOST}:{self.port}"

    @property
    def ldaps_url(self) -> str:
        return f"ldaps://{HOST}:{self.ldaps_port}"

    @property
    def server(self) -> str:
        """Host and port as the configuration names them, for StartTLS and for plain text."""
        return f"{HOST}:{self.port}"

    @property
    def ldaps_server(self) -> str:
        return f"{HOST}:{self.ldaps_port}"

    @property
    def log(self) -> str:
        """What slapd has written so far: a line for each connection, operation and result."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    @property
    def pid(self) -> int:
        return self._running.pid

    def add(self, entries: Entries) -> None:
        """Add entries, those above others first."""
        with self._connected() as connection:
            for dn, attributes in entries.items():
                connection.add(dn, attributes=dict(attributes))

    def modify(self, dn: str, attributes: Attributes) -> None:
        """Give attributes these values instead of those that they have; none removes one."""
        changes = {
            name: [(ldap3.MODIFY_REPLACE, _values(value))] for name, value in attributes.items()
        }
        with self._connected() as connection:
            connection.modify(dn, changes)

    def join(self, group: str, *members: str) -> None:
        """Add the DNs ``members`` to the group with this DN."""
        with self._connected() as connection:
            connection.modify(group, {"member": [(ldap3.MODIFY_ADD, list(members))]})

    def leave(self, group: str, *members: str) -> None:
        """Remove the DNs ``members`` from the group with this DN."""
        with self._connected() as connection:
            connection.modify(group, {"member": [(ldap3.MODIFY_DELETE, list(members))]})

    def rename(self, dn: str, relative_dn: str, *, below: str | None = None) -> None:
        """Give an entry another name, as in ``uid=berta``, and another parent if one is given."""
        with self._connected() as connection:
            connection.modify_dn(dn, relative_dn, new_superior=below)

    def delete(self, *dns: str) -> None:
        """Delete entries."""
        with self._connected() as connection:
            for dn in dns:
                connection.delete(dn)

    def start(self) -> None:
        """Start, and return when it answers."""
        assert self._child is None, "it runs already"
        with (self.folder / "log").open("ab") as log:
            self._child = subprocess.Popen(
                [_program("slapd"), "-h", f"{self.url} {self.ldaps_url}",
                 "-f", self.folder / "slapd.conf", "-d", "stats"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while not (accepts_connections(self.port) and accepts_connections(self.ldaps_port)):
            if self._child.poll() is not None or time.monotonic() > deadline:
                raise ProcessFailed(f"slapd does not start:\n{self.log[-_BIG:]}")
            time.sleep(0.005)  # between two looks

    def stop(self) -> None:
        """End it; its ports refuse connections."""
        self._running.terminate()
        self._gone()

    def kill(self) -> None:
        """End it as a power cut does, even while it is paused."""
        self._running.kill()
        self._gone()

    def pause(self) -> None:
        """Let it hang: its ports take connections, and nobody answers."""
        self._running.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED)  # until then it may still answer

    def resume(self) -> None:
        """Let it go on after ``pause``."""
        self._running.send_signal(signal.SIGCONT)

    @property
    def is_running(self) -> bool:
        """Whether it was started and not ended, paused or not."""
        return self._child is not None

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._child is not None, "it does not run"
        return self._child

    def _gone(self) -> None:
        self._running.wait(STOP_SECONDS)
        self._child = None

    @contextmanager
    def _connected(self) -> Iterator[ldap3.Connection]:
        """Give a connection that may change everything."""
        server = ldap3.Server(
            self.ldaps_url, tls=ldap3.Tls(ca_certs_file=self.ca_file), get_info=ldap3.NONE
        )
        connection = ldap3.Connection(
            server, _ROOT, _ROOT_PASSWORD, raise_exceptions=True, receive_timeout=int(STOP_SECONDS)
        )
        connection.bind()
        try:
            yield connection
        finally:
            connection.unbind()


@contextmanager
def run_slapd(
    entries: Entries | None = None,
    *,
    member_of: bool = True,
    require_tls: bool = False,
    size_limit: int = 500,
    anonymous: bool = False,
) -> Iterator[Slapd]:
    """Run a directory while the block lasts; skip the test where no slapd is installed.

    It has ``BASE``, ``PEOPLE``, ``GROUPS``, the reader and ``entries``, in their order.
    ``member_of`` keeps the attribute memberOf of people; ``require_tls`` refuses what is asked in
    plain text; one search gives at most ``size_limit`` entries unless it is paged; ``anonymous``
    lets everybody read.
    """
    if not Path(_program("slapd")).exists():
        pytest.skip("LDAP tests: slapd is not installed")
    folder = Path(tempfile.mkdtemp(prefix="schalter-slapd-"))
    directory = Slapd(folder, make_certificate(folder, f"DNS:localhost,IP:{HOST}"))
    try:
        (folder / "data").mkdir()
        Path(directory.password_file).write_text(f"{READER_PASSWORD}\n", encoding="utf-8")
        (folder / "own.schema").write_text(_OWN, encoding="ascii")
        (folder / "slapd.conf").write_text(
            _CONFIGURATION.format(
                folder=folder, schema=_SCHEMA, base=BASE, reader=READER, size_limit=size_limit,
                root=_ROOT, root_password=_ROOT_PASSWORD,
                security="security ssf=1" if require_tls else "",
                load_member_of="moduleload memberof" if member_of else "",
                member_of=_MEMBER_OF if member_of else "",
                everybody="read" if anonymous else "auth",
            ),
            encoding="utf-8",
        )  # fmt: skip
        _load(folder, {**_FIRST_ENTRIES, **(entries or {})}, member_of)
        directory.start()
        yield directory
    finally:
        if directory.is_running:
            directory.kill()
        shutil.rmtree(folder)


@pytest.fixture
def slapd() -> Iterator[Slapd]:
    """A directory without people, which keeps memberOf."""
    with run_slapd() as directory:
        yield directory


def _program(name: str) -> str:
    return shutil.which(name) or f"/usr/sbin/{name}"


def _load(folder: Path, entries: Entries, member_of: bool) -> None:
    """Bring entries in with slapadd, which keeps no memberOf: that is done here."""
    groups = _groups_of(entries) if member_of else {}
    with (folder / "entries.ldif").open("w", encoding="ascii") as ldif:
        for dn, attributes in entries.items():
            ldif.write(_line("dn", dn))
            ldif.writelines(
                _line(name, each) for name, value in attributes.items() for each in _values(value)
            )
            ldif.writelines(_line("memberOf", each) for each in groups.get(dn.lower(), ()))
            ldif.write("\n")
    loaded = subprocess.run(
        [_program("slapadd"), "-q", "-f", folder / "slapd.conf", "-l", folder / "entries.ldif"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if loaded.returncode:
        raise ProcessFailed(f"slapadd: {loaded.stderr}")


def _groups_of(entries: Entries) -> Mapping[str, Sequence[str]]:
    """Return the DNs of groups by the DN of each member, in lower case."""
    groups = defaultdict(list)
    for dn, attributes in entries.items():
        for member in _values(attributes.get("member", ())):
            assert isinstance(member, str)
            groups[member.lower()].append(dn)
    return groups


def _values(value: Value | Sequence[Value]) -> list[Value]:
    return [value] if isinstance(value, str | bytes) else list(value)


def _line(name: str, value: Value) -> str:
    raw = value.encode() if isinstance(value, str) else value
    return f"{name}:: {base64.b64encode(raw).decode()}\n"


_FIRST_ENTRIES: Entries = {
    BASE: {"objectClass": ["dcObject", "organization"], "dc": "firm", "o": "The firm"},
    READER: {
        "objectClass": ["organizationalRole", "simpleSecurityObject"],
        "cn": "reader",
        "userPassword": READER_PASSWORD,
    },
    PEOPLE: {"objectClass": "organizationalUnit", "ou": "people"},
    GROUPS: {"objectClass": "organizationalUnit", "ou": "groups"},
}

# The attributes of Active Directory that our documentation names, in a schema of our own.
_TEXTS = ("customerNumber", "proxyAddresses", "sAMAccountName", "userPrincipalName", "validity")
_OWN = "\n".join(
    chain(
        (
            f"attributetype ( 1.3.6.1.4.1.99999.1.{number} NAME '{name}' "
            "EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch "
            "SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )"
            for number, name in enumerate(_TEXTS, 1)
        ),
        (
            "attributetype ( 1.3.6.1.4.1.99999.1.20 NAME 'objectGUID' "
            "EQUALITY octetStringMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 SINGLE-VALUE )",
            "attributetype ( 1.3.6.1.4.1.99999.1.21 NAME 'userAccountControl' "
            "EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )",
            "objectclass ( 1.3.6.1.4.1.99999.2.1 NAME 'firmPerson' AUXILIARY "
            f"MAY ( {' $ '.join(_TEXTS)} $ objectGUID $ userAccountControl ) )",
            "",
        ),
    )
)

# Substrings of names, as search as you type asks for them. What a power cut would cost does not
# matter here; time does.
_CONFIGURATION = """\
include {schema}/core.schema
include {schema}/cosine.schema
include {schema}/inetorgperson.schema
include {schema}/nis.schema
include {folder}/own.schema
modulepath /usr/lib/ldap
moduleload back_mdb
{load_member_of}
TLSCertificateFile {folder}/cert.pem
TLSCertificateKeyFile {folder}/cert.key
{security}
sizelimit size.soft={size_limit} size.hard={size_limit} size.prtotal=unlimited

database mdb
suffix "{base}"
rootdn "{root}"
rootpw "{root_password}"
directory {folder}/data
maxsize 1073741824
dbnosync
index objectClass,entryUUID,entryCSN,objectGUID,member,customerNumber,sAMAccountName eq
index uid,mail,proxyAddresses,cn,sn,givenName eq,sub
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{reader}" read by * {everybody}
{member_of}
"""

_MEMBER_OF = """\
index memberOf eq
overlay memberof
memberof-refint TRUE
"""

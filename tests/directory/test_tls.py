"""TLS to a directory: always verified, and before any password.

ldap3's own settings verify nothing unless ``validate`` is given; these tests are about ours.
"""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from core.directory.client import Directory, DirectoryAway
from core.errors import ConfigError
from tests.directory.directories import reading, section_of, server_that
from tests.support.certificates import make_certificate
from tests.support.slapd import BASE, HOST, Slapd, run_slapd

Change = Callable[[Slapd, Path], dict[str, Any]]


@pytest.fixture(scope="module")
def firm() -> Iterator[Slapd]:
    """A directory that answers nobody in plain text."""
    with run_slapd(require_tls=True) as slapd:
        yield slapd


def by_starttls(slapd: Slapd, **changes: Any) -> dict[str, Any]:
    return {"tls": "starttls", "servers": [slapd.server], **changes}


def by_ldaps(slapd: Slapd, **changes: Any) -> dict[str, Any]:
    return {"tls": "ldaps", "servers": [slapd.ldaps_server], **changes}


both = pytest.mark.parametrize("by", [by_starttls, by_ldaps])


@both
@pytest.mark.parametrize("host", [HOST, "localhost"])
def test_a_certificate_of_its_authority_and_name(
    firm: Slapd, by: Callable[..., dict[str, Any]], host: str
) -> None:
    keys = by(firm)
    keys["servers"] = [server.replace(HOST, host) for server in keys["servers"]]
    with reading(firm, **keys) as directory:
        assert directory.read(BASE, []) is not None
    assert firm.log.count("TLS established") > 0


@both
def test_an_authority_that_is_not_trusted(
    firm: Slapd, by: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    other = make_certificate(tmp_path, f"IP:{HOST}")
    binds = firm.log.count("BIND")
    for ca_file in (str(other.file), ""):
        with reading(firm, **by(firm, ca_file=ca_file)) as directory:
            with pytest.raises(DirectoryAway, match="certificate is not accepted: self-signed"):
                directory.read(BASE, [])
            with pytest.raises(DirectoryAway, match="certificate is not accepted: self-signed"):
                directory.bind_as(firm.bind_dn, firm.password)
    assert firm.log.count("BIND") == binds


@contextmanager
def with_certificate(slapd: Slapd, names: list[x509.GeneralName], days: int) -> Iterator[str]:
    """Let a directory have another certificate until so many days from now; gives its file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    slapd.stop()
    (slapd.folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (slapd.folder / "cert.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    slapd.start()
    yield str(slapd.folder / "cert.pem")


RIGHT_NAME = x509.IPAddress(ip_address(HOST))
CERTIFICATES = {
    "right": ([RIGHT_NAME], 1, ""),
    "another name": ([x509.DNSName("ldap.example")], 1, "not accepted: IP address mismatch"),
    "name as text": ([x509.DNSName(HOST)], 1, "not accepted: IP address mismatch"),
    "expired": ([RIGHT_NAME], -1, "not accepted: certificate has expired"),
}


@both
@pytest.mark.parametrize(("names", "days", "told"), CERTIFICATES.values(), ids=CERTIFICATES)
def test_what_is_wrong_with_a_certificate(
    slapd: Slapd,
    by: Callable[..., dict[str, Any]],
    names: list[x509.GeneralName],
    days: int,
    told: str,
) -> None:
    with (
        with_certificate(slapd, names, days) as ca_file,
        reading(slapd, **by(slapd, ca_file=ca_file)) as directory,
    ):
        if not told:
            assert directory.read(BASE, []) is not None
            return
        with pytest.raises(DirectoryAway, match=told):
            directory.read(BASE, [])


def test_old_versions_of_tls_are_refused(slapd: Slapd) -> None:
    conf = slapd.folder / "slapd.conf"
    slapd.stop()
    text = conf.read_text(encoding="utf-8")
    conf.write_text(text.replace("database mdb", "TLSProtocolMin 3.1\ndatabase mdb", 1))
    slapd.start()
    with reading(slapd) as directory:
        assert directory.read(BASE, []) is not None
        context = directory._context
        assert context is not None
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_a_server_that_wants_tls_gets_it_or_nothing(firm: Slapd) -> None:
    with (
        reading(firm, tls="none") as directory,
        pytest.raises(DirectoryAway, match="confidentialityRequired"),
    ):
        directory.read(BASE, [])


def start_tls_answer(code: int) -> Callable[[bytes], bytes]:
    """Return what answers an extended request with a result code."""

    def answer(packet: bytes) -> bytes:
        number = packet[2:5] if packet[3] == 1 else packet[2 : 4 + packet[3]]
        body = bytes([0x0A, 1, code]) + b"\x04\x00\x04\x00"
        message = number + bytes([0x78, len(body)]) + body
        return bytes([0x30, len(message)]) + message

    return answer


@pytest.mark.parametrize("code", [1, 2, 52, 53])
def test_a_server_without_starttls_gets_no_password(firm: Slapd, code: int) -> None:
    """The same is done by somebody in between who wants to read along."""
    with (
        server_that(start_tls_answer(code)) as (server, received),
        reading(firm, servers=[server]) as directory,
    ):
        with pytest.raises(DirectoryAway, match="StartTLS is refused: "):
            directory.read(BASE, [])
        with pytest.raises(DirectoryAway, match="StartTLS is refused: "):
            directory.bind_as(firm.bind_dn, "my password")
    heard = b"".join(received)
    assert b"1.3.6.1.4.1.1466.20037" in heard
    assert firm.password.encode() not in heard
    assert b"my password" not in heard
    assert firm.bind_dn.encode() not in heard


def test_a_server_that_says_yes_and_speaks_no_tls(firm: Slapd) -> None:
    with (
        server_that(start_tls_answer(0)) as (server, received),
        reading(firm, servers=[server]) as directory,
        pytest.raises(DirectoryAway, match="TLS: "),
    ):
        directory.read(BASE, [])
    assert firm.password.encode() not in b"".join(received)


def test_answers_in_plain_text_are_not_taken_for_those_after_starttls(firm: Slapd) -> None:
    """What somebody adds behind the answer to StartTLS is read before TLS, and then refused."""
    bind = bytes.fromhex("300c02017f61070a010004000400")
    with (
        server_that(lambda packet: start_tls_answer(0)(packet) + bind) as (server, _received),
        reading(firm, servers=[server]) as directory,
        pytest.raises(DirectoryAway, match="invalid messageId"),
    ):
        directory.read(BASE, [])


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_file_of_authorities_that_is_none(
    firm: Slapd, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content, encoding="ascii")
    with pytest.raises(ConfigError, match=f"firm: ca_file {file}: "):
        Directory(section_of(firm, ca_file=str(file)), None, "firm")

"""Our own check: SPF, DKIM and DMARC against a real name server (threats I7 and I8)."""

import base64
import hashlib
import time
from collections.abc import Callable, Iterator

import dkim
import pytest
from nacl.signing import SigningKey

from core.mail.authentication import resolver, signatures
from core.mail.authentication.check import check_sender
from core.mail.authentication.findings import Dmarc, DmarcPolicy, Findings, Result, Signature, Spf
from core.mail.authentication.resolver import NoAnswer, Questions, Resolver
from core.mail.authentication.verdict import judge
from core.words import Evidence
from tests.support.dns import NameServer, key_record, name_server, signed

PEER, OTHER_PEER = "192.0.2.1", "192.0.2.99"
ZONE = {
    ("k.de", "TXT"): ['"v=spf1 ip4:192.0.2.1 -all"'],
    ("_dmarc.k.de", "TXT"): ['"v=DMARC1; p=reject; sp=quarantine; pct=0"'],
    ("s._domainkey.k.de", "TXT"): [key_record()],
    ("s._domainkey.news.k.de", "TXT"): [key_record()],
    ("esp.example", "TXT"): ['"v=spf1 ip4:192.0.2.1 -all"'],
    ("s._domainkey.esp.example", "TXT"): [key_record()],
    ("s._domainkey.weak.example", "TXT"): [key_record(768)],
    ("none.example", "TXT"): ['"v=spf1 include:k.de ~all"'],
    ("_dmarc.none.example", "TXT"): ['"v=DMARC1; p=none"'],
    ("s._domainkey.revoked.example", "TXT"): ['"v=DKIM1; p="'],
    ("s._domainkey.odd.example", "TXT"): ['"v=DKIM1; p=////"'],
    ("strict.example", "TXT"): ['"v=spf1 -all"'],
    ("_dmarc.strict.example", "TXT"): ['"v=DMARC1; p=reject; adkim=s; aspf=s"'],
    ("s._domainkey.news.strict.example", "TXT"): [key_record()],
    ("loop.example", "TXT"): ['"v=spf1 include:loop.example -all"'],
    ("many.example", "TXT"): ['"v=spf1 ' + " ".join(f"a:a{n}.k.de" for n in range(12)) + ' -all"'],
    ("mx.example", "TXT"): ['"v=spf1 mx ptr exists:%{i}.k.de -all"'],
    ("mx.example", "MX"): ["10 host.mx.example.", "20 other.mx.example."],
    ("host.mx.example", "A"): ["192.0.2.5"],
    ("other.mx.example", "A"): ["192.0.2.1"],
}


@pytest.fixture
def server() -> Iterator[NameServer]:
    with name_server(ZONE) as running:
        yield running


def a_mail(sender: str = "anna@k.de", body: bytes = b"Guten Tag\r\n\r\n") -> bytes:
    """Return a mail without a signature."""
    return f"From: {sender}\r\nTo: vertrieb@example.org\r\nSubject: Frage\r\n\r\n".encode() + body


def checked(
    server: NameServer,
    raw: bytes,
    *,
    peer: str = OTHER_PEER,
    mail_from: str = "",
    seconds: float = 20.0,
) -> Findings:
    """Return what is found about a mail."""
    found = check_sender(raw, peer, "client", mail_from, Resolver([server.server]), seconds)
    assert found is not None
    return found


def test_signed_by_the_domain_of_the_sender(server: NameServer) -> None:
    found = checked(server, signed(a_mail(), "k.de"))
    assert found.signatures == (Signature(Result.PASS, "k.de"),)
    assert found.dmarc == Dmarc(DmarcPolicy.REJECT)
    assert judge("k.de", found).evidence is Evidence.VERIFIED


@pytest.mark.parametrize("header", [b"simple", b"relaxed"])
@pytest.mark.parametrize("text", [b"simple", b"relaxed"])
@pytest.mark.parametrize(
    "body",
    [b"", b"\r\n\r\n", b"a", b" a \t b \r\n\r\n \r\n\r\n", b"a\nb\n", b"\t\r\nx  \r\n"],
)
def test_both_canonical_forms(server: NameServer, header: bytes, text: bytes, body: bytes) -> None:
    raw = signed(a_mail(body=body), "k.de", canonicalize=(header, text))
    assert checked(server, raw).signatures == (Signature(Result.PASS, "k.de"),)


def test_what_is_changed_afterwards(server: NameServer) -> None:
    raw = signed(a_mail(), "k.de")
    for before, after in ((b"Guten", b"Schlechten"), (b"anna@", b"ben@"), (b"Frage", b"Antwort")):
        (found,) = checked(server, raw.replace(before, after)).signatures
        assert found.result is Result.FAIL


ED25519 = SigningKey(bytes(range(32)))
ED25519_SELECTOR = ("e._domainkey.k.de", "TXT")


def ed25519_record(key: SigningKey = ED25519) -> list[str]:
    """Return the record that publishes a key (RFC 8463 section 4.2)."""
    return [f'"v=DKIM1; k=ed25519; p={base64.b64encode(bytes(key.verify_key)).decode()}"']


def ed25519_signed(raw: bytes) -> bytes:
    """Return a mail with a signature of k.de by its Ed25519 key."""
    seed = base64.b64encode(bytes(ED25519))
    options = {"signature_algorithm": b"ed25519-sha256"}
    signature: bytes = dkim.sign(raw, b"e", b"k.de", seed, **options)
    return signature + raw


@pytest.mark.parametrize("body", [b"", b"Guten Tag \t\r\n\r\n"])
def test_signed_with_ed25519(server: NameServer, body: bytes) -> None:
    server.zone[ED25519_SELECTOR] = ed25519_record()
    found = checked(server, ed25519_signed(a_mail(body=body)))
    assert found.signatures == (Signature(Result.PASS, "k.de"),)
    assert judge("k.de", found).evidence is Evidence.VERIFIED


@pytest.mark.parametrize(
    ("before", "after"),
    [(b"Guten", b"Schlechten"), (b"anna@", b"ben@"), (b"a=ed25519", b"a=rsa"), (b" b=", b" b=A")],
)
def test_ed25519_that_is_changed_afterwards(
    server: NameServer, before: bytes, after: bytes
) -> None:
    server.zone[ED25519_SELECTOR] = ed25519_record()
    raw = ed25519_signed(a_mail())
    (found,) = checked(server, raw.replace(before, after, 1)).signatures
    assert found.result is Result.FAIL


@pytest.mark.parametrize(
    "record",
    [
        ed25519_record(SigningKey(bytes(32))),
        ['"v=DKIM1; k=ed25519; p=AAAA"'],
        ['"v=DKIM1; k=ed25519; p="'],
        [key_record()],
        ['"v=DKIM1; k=ed448; p=AAAA"'],
    ],
    ids=["another key", "too short", "revoked", "of RSA", "unknown"],
)
def test_ed25519_with_another_key(server: NameServer, record: list[str]) -> None:
    server.zone[ED25519_SELECTOR] = record
    found = checked(server, ed25519_signed(a_mail()))
    assert [each.result for each in found.signatures] == [Result.FAIL]
    assert judge("k.de", found).policy is DmarcPolicy.REJECT


@pytest.mark.parametrize(
    ("algorithm", "result"),
    [("ed25519-sha256", Result.PASS), ("rsa-sha256", Result.FAIL), ("sha256", Result.POLICY)],
)
def test_a_key_of_another_kind_than_the_signature_says(
    server: NameServer, algorithm: str, result: Result
) -> None:
    server.zone[ED25519_SELECTOR] = ed25519_record()
    body_hash = base64.b64encode(hashlib.sha256(b"Guten Tag\r\n").digest()).decode()
    value = f"v=1; a={algorithm}; c=relaxed/relaxed; d=k.de; s=e; h=from; bh={body_hash}; b="
    covered = f"from:anna@k.de\r\ndkim-signature:{value}".encode()
    signature = ED25519.sign(hashlib.sha256(covered).digest()).signature
    field = f"DKIM-Signature: {value}{base64.b64encode(signature).decode()}\r\n".encode()
    (found,) = checked(server, field + a_mail()).signatures
    assert found.result is result


def test_a_key_that_is_not_for_mail(server: NameServer) -> None:
    """It proves nothing, and hides nothing of what the domain asks for."""
    other = key_record().replace("k=rsa;", "k=rsa; s=other;")
    server.zone[("s._domainkey.k.de", "TXT")] = [other]
    found = checked(server, signed(a_mail(), "k.de"))
    assert [each.result for each in found.signatures] == [Result.FAIL]
    assert judge("k.de", found).policy is DmarcPolicy.REJECT


def tag(raw: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Return a signed mail with its signature changed."""
    field, rest = raw[: raw.index(b"\r\nFrom:")], raw[raw.index(b"\r\nFrom:") :]
    return change(field) + rest


def test_a_signature_over_a_part_of_the_text(server: NameServer) -> None:
    raw = signed(a_mail(), "k.de", length=True)
    (found,) = checked(server, raw + b"und mehr\r\n").signatures
    assert (found.result, "l=" in found.why) == (Result.POLICY, True)


def test_a_weak_key(server: NameServer) -> None:
    raw = signed(a_mail("anna@weak.example"), "weak.example", bits=768)
    (found,) = checked(server, raw).signatures
    assert (found.result, "short" in found.why) == (Result.POLICY, True)


def test_a_broken_hash(server: NameServer) -> None:
    raw = signed(a_mail(), "k.de", signature_algorithm=b"rsa-sha1")
    (found,) = checked(server, raw).signatures
    assert (found.result, "SHA-1" in found.why) == (Result.POLICY, True)


def test_an_expired_signature(server: NameServer) -> None:
    raw = tag(signed(a_mail(), "k.de"), lambda field: field.replace(b"v=1;", b"v=1; x=1700000000;"))
    (found,) = checked(server, raw).signatures
    assert (found.result, "expired" in found.why) == (Result.POLICY, True)


def test_a_signature_of_the_future(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        real = time.time
        patched.setattr(time, "time", lambda: real() + 3_600)
        raw = signed(a_mail(), "k.de")
    (found,) = checked(server, raw).signatures
    assert (found.result, "future" in found.why) == (Result.POLICY, True)


def test_from_that_is_not_signed(server: NameServer) -> None:
    raw = tag(
        signed(a_mail(), "k.de", include_headers=[b"from", b"subject"]),
        lambda field: field.replace(b"h=from :", b"h=to :"),
    )
    (found,) = checked(server, raw).signatures
    assert (found.result, "From" in found.why) == (Result.POLICY, True)


def test_a_second_from(server: NameServer) -> None:
    """Whoever adds one makes the sender unclear; nothing is checked then (I5, I7)."""
    raw = signed(a_mail(), "k.de", include_headers=[b"from", b"subject"])
    assert check_sender(b"From: x@evil.example\r\n" + raw, PEER, "", "", Resolver()) is None


@pytest.mark.parametrize(
    ("domain", "result"),
    [
        ("nowhere.example", Result.PERMERROR),
        ("revoked.example", Result.FAIL),
        ("odd.example", Result.FAIL),
    ],
)
def test_a_key_that_is_none(server: NameServer, domain: str, result: Result) -> None:
    raw = signed(a_mail(f"anna@{domain}"), domain)
    (found,) = checked(server, raw).signatures
    assert found.result is result
    assert judge(domain, checked(server, raw)).evidence is Evidence.NEUTRAL


def test_a_signature_of_somebody_else(server: NameServer) -> None:
    found = checked(server, signed(a_mail(), "esp.example"))
    assert [(each.result, each.domain) for each in found.signatures] == [
        (Result.NONE, "esp.example")
    ]
    assert judge("k.de", found).policy is DmarcPolicy.REJECT
    assert ("s._domainkey.esp.example", "TXT") not in server.asked


def test_five_signatures_are_looked_at(server: NameServer) -> None:
    raw = signed(a_mail(), "k.de")
    broken = raw[: raw.index(b"From:")].replace(b"bh=", b"bh=AAAA")
    assert len(checked(server, broken * 4 + raw).signatures) == 5
    found = checked(server, broken * 5 + raw).signatures
    assert Result.PASS not in {each.result for each in found}


@pytest.mark.parametrize(
    ("peer", "mail_from", "expected"),
    [
        (PEER, "bounce@k.de", Spf(Result.PASS, "k.de")),
        (OTHER_PEER, "bounce@k.de", Spf(Result.FAIL, "k.de")),
        (PEER, "x@esp.example", Spf(Result.PASS, "esp.example")),
        (PEER, "x@none.example", Spf(Result.PASS, "none.example")),
        (OTHER_PEER, "x@none.example", Spf(Result.SOFTFAIL, "none.example")),
        (PEER, "x@nowhere.example", Spf(Result.NONE, "nowhere.example")),
        (PEER, "x@loop.example", Spf(Result.PERMERROR, "loop.example")),
        (PEER, "x@many.example", Spf(Result.PERMERROR, "many.example")),
        (PEER, "x@mx.example", Spf(Result.PASS, "mx.example")),
        ("2001:db8::1", "x@k.de", Spf(Result.FAIL, "k.de")),
        (PEER, "", None),
    ],
)
def test_spf(server: NameServer, peer: str, mail_from: str, expected: Spf | None) -> None:
    assert checked(server, a_mail(), peer=peer, mail_from=mail_from).spf == expected


@pytest.mark.parametrize(
    ("sender", "expected"),
    [
        ("anna@k.de", Dmarc(DmarcPolicy.REJECT)),
        ("anna@news.k.de", Dmarc(DmarcPolicy.QUARANTINE)),
        ("anna@none.example", Dmarc(DmarcPolicy.NONE)),
        ("anna@strict.example", Dmarc(DmarcPolicy.REJECT, strict_dkim=True, strict_spf=True)),
        ("anna@nowhere.example", None),
    ],
)
def test_dmarc(server: NameServer, sender: str, expected: Dmarc | None) -> None:
    assert checked(server, a_mail(sender)).dmarc == expected


def test_strict_alignment(server: NameServer) -> None:
    found = checked(server, signed(a_mail("anna@strict.example"), "news.strict.example"))
    assert found.signatures[0].result is Result.PASS
    assert judge("strict.example", found).policy is DmarcPolicy.REJECT


def test_name_servers_that_do_not_answer(server: NameServer) -> None:
    """A doubt, after the deadline for all look-ups together."""
    server.silent |= {"_dmarc.k.de"}
    found = checked(server, signed(a_mail(), "k.de"), mail_from="x@k.de", seconds=1.0)
    assert found.dmarc == Dmarc(DmarcPolicy.NONE, Result.TEMPERROR)
    assert judge("k.de", found).doubt


@pytest.mark.parametrize("name", ["_dmarc.k.de", "s._domainkey.k.de", "k.de"])
def test_name_servers_that_fail(server: NameServer, name: str) -> None:
    server.failing |= {name}
    raw = signed(a_mail(), "k.de") if name.startswith("s.") else a_mail()
    verdict = judge("k.de", checked(server, raw, mail_from="x@k.de"))
    assert (verdict.evidence, verdict.doubt) == (Evidence.NEUTRAL, True)


def test_somebody_elses_slow_names_hide_nothing(server: NameServer) -> None:
    """What the sender's domain publishes is asked for before what a mail names."""
    server.silent |= {"esp.example", "s._domainkey.esp.example"}
    raw = signed(a_mail(), "esp.example")
    found = checked(server, raw, mail_from="x@esp.example", seconds=1.0)
    assert judge("k.de", found).policy is DmarcPolicy.REJECT


def test_answers_are_kept(server: NameServer) -> None:
    found = Resolver([server.server])
    for _again in range(3):
        assert Questions(found).texts("_dmarc.none.example") == [b"v=DMARC1; p=none"]
        assert Questions(found).texts("nothing.example") == []
    assert len(server.asked) == 2


def test_the_cache_is_bounded(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "MAX_CACHED", 2)
    found = Resolver([server.server])
    for name in ("k.de", "esp.example", "none.example", "k.de"):
        Questions(found).texts(name)
    assert len(server.asked) == 4


def test_the_look_ups_of_a_mail_are_bounded(server: NameServer) -> None:
    questions = Questions(Resolver([server.server]))
    for _ in range(resolver.MAX_LOOKUPS):
        questions.texts("k.de")
    with pytest.raises(NoAnswer):
        questions.texts("k.de")


@pytest.mark.parametrize("name", ["", ".", "a..b", "x" * 64 + ".de", "a." * 200, "\u00e4.de"])
def test_names_that_are_none(server: NameServer, name: str) -> None:
    assert Questions(Resolver([server.server])).texts(name) == []


HOSTILE = [
    b" " * 2_000_000,
    b"\r\n" * 1_000_000,
    (b" " * 60_000 + b"x\r\n") * 30,
    b"\t \r\n" * 500_000,
]


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_body_takes_no_time(server: NameServer, body: bytes) -> None:
    field = signed(a_mail(), "k.de", canonicalize=(b"relaxed", b"relaxed"))
    field = field[: field.index(b"From:")]
    began = time.process_time()
    checked(server, field * 5 + a_mail(body=body))
    assert time.process_time() - began < 20


@pytest.mark.parametrize(
    "value",
    [
        b"b" + b"\r\n " * 1300 + b"=",
        b"b=" + b"\r\n a" * 1000,
        b"h=" + b"a:" * 2000,
        b";" * 4000,
        b"v=1; a=rsa-sha256; d=k.de; s=s; h=from; bh=a; b=" + b"= " * 1900,
        b"v=1; a=rsa-sha256; c=" + b"x" * 200 + b"; d=k.de; s=s; h=from; bh=aaaa; b=aaaa",
        b"v=1; a=rsa-sha256; d=k.de; s=" + b"s" * 100 + b"; h=from; bh=aaaa; b=aaaa",
        b"\xff=\xfe",
        b"",
    ],
    ids=range(9),
)
def test_a_hostile_signature_takes_no_time(server: NameServer, value: bytes) -> None:
    began = time.process_time()
    found = checked(server, b"DKIM-Signature: " + value + b"\r\n" + a_mail())
    assert time.process_time() - began < 10
    assert Result.PASS not in {each.result for each in found.signatures}


def test_a_huge_key_is_not_used(server: NameServer) -> None:
    server.zone[("s._domainkey.k.de", "TXT")] = [
        " ".join(['"v=DKIM1; p="', *[f'"{"A" * 250}"'] * 20])
    ]
    (found,) = checked(server, signed(a_mail(), "k.de")).signatures
    assert found.result is Result.PERMERROR


def test_a_fault_of_ours_loses_no_mail(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object) -> None:
        raise RuntimeError

    raw = signed(a_mail(), "k.de")
    monkeypatch.setattr(signatures.dkim, "rfc822_parse", broken)
    assert checked(server, raw).problem

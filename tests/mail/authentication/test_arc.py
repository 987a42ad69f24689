"""ARC (RFC 8617): what a listed domain found before it passed a mail on, and nobody else."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import dkim
import pytest

from core.mail.authentication.check import check_sender
from core.mail.authentication.findings import (
    Chip,
    DmarcPolicy,
    Findings,
    Result,
    Signature,
    Source,
    chips,
)
from core.mail.authentication.resolver import Resolver
from core.mail.authentication.verdict import judge
from core.words import Evidence
from tests.support.arc import arc_sealed
from tests.support.dns import NameServer, key_record, name_server, signed

LIST, OTHER = "list.example", "other.example"
ZONE = {
    ("_dmarc.k.de", "TXT"): ['"v=DMARC1; p=reject"'],
    ("s._domainkey.k.de", "TXT"): [key_record()],
    ("s._domainkey.list.example", "TXT"): [key_record()],
    ("s._domainkey.other.example", "TXT"): [key_record()],
    ("s._domainkey.evil.example", "TXT"): [key_record()],
    ("w._domainkey.list.example", "TXT"): [key_record(768)],
    ("_dmarc.strict.example", "TXT"): ['"v=DMARC1; p=reject; adkim=s; aspf=s"'],
}
PASS = "dkim=pass header.d=k.de"
MAIL = b"From: anna@k.de\r\nTo: liste@list.example\r\nSubject: [Liste] Frage\r\n\r\nGuten Tag\r\n"


@pytest.fixture
def server() -> Iterator[NameServer]:
    with name_server(ZONE) as running:
        yield running


def checked(server: NameServer, raw: bytes, *sealers: str) -> Findings:
    """Return what is found about a mail while the list (or who else) is believed."""
    found = check_sender(
        raw, "192.0.2.99", "client", "", Resolver([server.server]), sealers=sealers or (LIST,)
    )
    assert found is not None
    return found


def asked_keys(server: NameServer) -> list[str]:
    """Return the domains whose keys were asked for."""
    return [name.partition("._domainkey.")[2] for name, _kind in server.asked if "._dom" in name]


def test_a_list_that_changed_a_mail(server: NameServer) -> None:
    """The signature of the sender is broken and DMARC fails; the list had found it good."""
    raw = arc_sealed(signed(MAIL, "k.de") + b"__\r\nListe\r\n", LIST, f"{PASS}; dmarc=pass")
    found = checked(server, raw)
    assert found.signatures[0].result is Result.FAIL
    assert found.sealed is not None
    assert found.sealed.domain == LIST
    assert found.sealed.findings.signatures == (Signature(Result.PASS, "k.de"),)
    verdict = judge("k.de", found)
    assert (verdict.evidence, verdict.policy) == (Evidence.VERIFIED, None)
    assert "ARC" in verdict.why
    assert Findings.from_json(found.as_json()) == found
    assert chips(found.as_json())[-2:] == [
        Chip("ARC", Result.PASS, LIST),
        Chip("ARC: DKIM", Result.PASS, "k.de"),
    ]


def test_nobody_is_believed_by_default(server: NameServer) -> None:
    raw = arc_sealed(MAIL, LIST, PASS)
    found = check_sender(raw, "192.0.2.99", "client", "", Resolver([server.server]))
    assert found is not None
    assert found.sealed is None
    assert judge("k.de", found).policy is DmarcPolicy.REJECT
    assert asked_keys(server) == []


def test_not_asked_where_the_sender_is_verified(server: NameServer) -> None:
    found = checked(server, arc_sealed(signed(MAIL, "k.de"), LIST, "none"))
    assert judge("k.de", found).evidence is Evidence.VERIFIED
    assert found.sealed is None
    assert asked_keys(server) == ["k.de"]


RESULTS = [
    ("signed", PASS, True),
    ("signed by its part", "dkim=pass header.d=news.k.de", True),
    ("by its identity", "dkim=pass header.i=@k.de header.s=s header.b=abc", True),
    ("sent", "spf=pass (list.example: ok) smtp.mailfrom=x@k.de", True),
    ("confirmed", "dmarc=pass (p=REJECT sp=REJECT dis=NONE) header.from=k.de", True),
    ("as Microsoft writes it", "spf=fail smtp.mailfrom=esp.example; dmarc=pass action=none "
     "header.from=k.de; dkim=pass (signature was verified) header.d=k.de;arc=none", True),
    ("signed by somebody else", "dkim=pass header.d=esp.example", False),
    ("sent by somebody else", "spf=pass smtp.mailfrom=x@esp.example", False),
    ("somebody else confirmed", "dmarc=pass header.from=esp.example", False),
    ("no domain named", "dmarc=pass", False),
    ("a broken signature", "dkim=fail header.d=k.de", False),
    ("none", "none", False),
    ("only a seal", "arc=pass header.d=k.de", False),
    ("signed, but DMARC failed", f"{PASS}; dmarc=fail header.from=k.de", False),
    ("contradictions", "dmarc=pass header.from=k.de; dmarc=fail header.from=k.de", False),
    ("malformed", f"{PASS}; dkim", False),
    ("in a comment", f"none ({PASS})", False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("results", "verified"), [r[1:] for r in RESULTS], ids=[r[0] for r in RESULTS]
)
def test_what_the_sealer_found(server: NameServer, results: str, verified: bool) -> None:
    found = checked(server, arc_sealed(MAIL, LIST, results))
    assert found.sealed is not None
    assert found.sealed.findings.source is Source.SEALER
    verdict = judge("k.de", found)
    assert (verdict.evidence is Evidence.VERIFIED) is verified
    assert (verdict.policy is DmarcPolicy.REJECT) is not verified


def test_strict_alignment_holds_for_a_sealer_too(server: NameServer) -> None:
    raw = MAIL.replace(b"anna@k.de", b"anna@strict.example")
    found = checked(server, arc_sealed(raw, LIST, "dkim=pass header.d=news.strict.example"))
    assert judge("strict.example", found).policy is DmarcPolicy.REJECT
    found = checked(server, arc_sealed(raw, LIST, "dkim=pass header.d=strict.example"))
    assert judge("strict.example", found).evidence is Evidence.VERIFIED


def test_it_also_verifies_what_is_a_doubt(server: NameServer) -> None:
    server.silent |= {"_dmarc.k.de"}
    found = check_sender(
        arc_sealed(MAIL, LIST, PASS), "", "", "", Resolver([server.server]), 0.5, sealers=[LIST]
    )
    assert found is not None
    assert judge("k.de", found).doubt  # no time is left to ask for a key


def chain(count: int, last: str = LIST, **options: Any) -> bytes:
    """Return a mail that was sealed so often, by the list at last."""
    raw = MAIL
    for _before in range(count - 1):
        raw = arc_sealed(raw, OTHER, PASS)
    return arc_sealed(raw, last, PASS, **options)


def moved(raw: bytes, name: bytes) -> bytes:
    """Return a mail with the topmost field of a name below all others."""
    header, gap, body = raw.partition(b"\r\n\r\n")
    lines = header.split(b"\r\n")
    field = next(line for line in lines if line.startswith(name))
    lines.remove(field)
    return b"\r\n".join([*lines, field]) + gap + body


def without(raw: bytes, start: bytes) -> bytes:
    """Return a mail without the fields that begin so."""
    return b"".join(line for line in raw.splitlines(keepends=True) if not line.startswith(start))


GOOD = [
    ("once", chain(1)),
    ("twice", chain(2)),
    ("five times", chain(5)),
    ("not expired yet", chain(1, extra="x=9999999999; ")),
    ("in another order", moved(chain(2), b"ARC-Seal")),
    ("names in other letters", chain(1).replace(b"ARC-Seal:", b"arc-SEAL:")),
    ("the domain in other letters", chain(1, last="List.Example")),
    ("folded", chain(1).replace(b"; dkim=", b";\r\n\t dkim=").replace(b"; s=", b";\r\n s=")),
]


@pytest.mark.parametrize("raw", [r[1] for r in GOOD], ids=[r[0] for r in GOOD])
def test_chains_that_hold(server: NameServer, raw: bytes) -> None:
    found = checked(server, raw)
    assert found.sealed is not None
    assert judge("k.de", found).evidence is Evidence.VERIFIED


@pytest.mark.parametrize("count", [1, 2, 5])
def test_dkimpy_thinks_the_same(server: NameServer, count: int) -> None:
    """So the mails of these tests are what others send."""
    keys = {f"{name}.".encode(): "".join(text).replace('" "', "").strip('"').encode()
            for (name, _kind), text in ZONE.items()}  # fmt: skip
    result, _sets, why = dkim.arc_verify(chain(count), dnsfunc=lambda name, timeout=5: keys[name])
    assert (result, why) == (b"pass", "success")


def on(change: Callable[[bytes], bytes], name: bytes, raw: bytes) -> bytes:
    """Return a mail with the topmost field of a name changed."""
    lines = raw.split(b"\r\n")
    at = next(n for n, line in enumerate(lines) if line.startswith(name))
    lines[at] = change(lines[at])
    return b"\r\n".join(lines)


def swap(before: bytes, after: bytes) -> Callable[[bytes], bytes]:
    return lambda line: line.replace(before, after, 1)


AAR, AMS, AS = b"ARC-Authentication-Results", b"ARC-Message-Signature", b"ARC-Seal"
ONE, TWO = chain(1), chain(2)
FROM_EVIL = arc_sealed(MAIL, "evil.example", PASS)
BROKEN = [
    ("not listed", FROM_EVIL),
    ("a part of a listed domain", chain(1, last="sub.list.example")),
    ("a stranger on top", arc_sealed(ONE, "evil.example", PASS)),
    ("a stranger on top, in the list's name", arc_sealed(ONE, LIST, PASS, selector="nothing")),
    ("signed by another domain than sealed", chain(1, signer=OTHER)),
    ("sealed by another domain than signed", chain(1, last=OTHER, signer=LIST)),
    ("another text", ONE.replace(b"Guten", b"Schlechten")),
    ("another sender", ONE.replace(b"anna@", b"ben@")),
    ("another subject", ONE.replace(b"Frage", b"Antwort")),
    ("other results", on(swap(b"k.de", b"K.de "), AAR, ONE)),
    ("another seal", on(swap(b" b=", b" b=A"), AS, ONE)),
    ("another signature", on(swap(b" b=", b" b=A"), AMS, ONE)),
    ("an inner seal is broken", TWO.replace(b"mx.other.example", b"mx.evil.example")),
    ("a seal over a broken chain", arc_sealed(ONE.replace(b"bh=", b"bh=A"), LIST, PASS)),
    ("an inner seal with an unknown key",
     arc_sealed(arc_sealed(MAIL, "no.example", PASS), LIST, PASS)),
    ("cv=fail", chain(1, cv="fail")),
    ("cv=fail later", chain(2, cv="fail")),
    ("cv=pass at first", chain(1, cv="pass")),
    ("cv=none later", chain(2, cv="none")),
    ("cv=fail inside", arc_sealed(arc_sealed(MAIL, OTHER, PASS, cv="fail"), LIST, PASS)),
    ("a second set of one instance", FROM_EVIL.partition(b"From:")[0] + ONE),
    ("a second seal", on(lambda line: line + b"\r\n" + line, AS, ONE)),
    ("second results", on(lambda line: line + b"\r\n" + line, AAR, ONE)),
    ("no seal", without(ONE, AS)),
    ("no signature", without(ONE, AMS)),
    ("no results", without(ONE, AAR)),
    ("no inner results", without(TWO, AAR + b": i=1")),
    ("the first is missing", without(without(without(TWO, AAR + b": i=1"), AMS + b": i=1"),
     AS + b": i=1")),
    ("begins with two", chain(1, instance=2, cv="none")),
    ("the second is missing", arc_sealed(ONE, LIST, PASS, instance=3)),
    ("six times", chain(6)),
    ("instance 0", chain(1, first="i=0; ").replace(b"Results: i=1", b"Results: i=0")),
    ("i= is not first", chain(1, first="z=1; i={}; ")),
    ("i= within another tag", chain(1, first="zi={}; ")),
    ("i= twice", chain(1, first="i={0}; i={0}; ")),
    ("i= twice, other numbers", chain(1, first="i={}; i=2; ")),
    ("01", chain(1, first="i=0{}; ")),
    ("i= in the results only later", on(swap(b" i=1; mx", b" mx; i=1"), AAR, ONE)),
    ("no i= in the results", on(swap(b" i=1;", b""), AAR, ONE)),
    ("I=", on(swap(b"i=1", b"I=1"), AAR, ONE)),
    ("a stray field", b"ARC-Seal: x\r\n" + ONE),
    ("From is not signed", chain(1, names=("to", "subject"))),
    ("a seal is signed", chain(2, names=("from", "arc-seal"))),
    ("a part of the text", chain(1, extra="l=9; ")),
    ("expired", chain(1, extra="x=1700000000; ")),
    ("h= in the seal", chain(1, in_seal="h=from; ")),
    ("bh= in the seal", chain(1, in_seal="bh=AAAA; ")),
    ("a weak key", chain(1, selector="w", bits=768)),
    ("another algorithm", chain(1, algorithm="rsa-sha1")),
    ("an unknown algorithm", chain(1, algorithm="sha256")),
    ("too long", on(swap(b" b=", b" z=" + b"a" * 5_000 + b"; b="), AS, ONE)),
]  # fmt: skip


@pytest.mark.parametrize("raw", [r[1] for r in BROKEN], ids=[r[0] for r in BROKEN])
def test_chains_that_prove_nothing(server: NameServer, raw: bytes) -> None:
    found = checked(server, raw)
    assert (found.sealed, found.problem) == (None, "")
    assert judge("k.de", found).policy is DmarcPolicy.REJECT


def test_a_second_from(server: NameServer) -> None:
    raw = b"From: x@evil.example\r\n" + ONE
    assert check_sender(raw, "", "", "", Resolver([server.server]), sealers=[LIST]) is None


def test_strangers_make_nobody_ask_for_keys(server: NameServer) -> None:
    """Whoever is not listed costs no look-up, and names no server that we ask."""
    checked(server, arc_sealed(ONE, "evil.example", PASS))
    checked(server, arc_sealed(FROM_EVIL, LIST, PASS).replace(b"Guten", b"Schlechten"))
    assert set(asked_keys(server)) <= {LIST}


def test_name_servers_that_do_not_answer_change_nothing(server: NameServer) -> None:
    server.silent |= {"s._domainkey.list.example"}
    found = check_sender(ONE, "", "", "", Resolver([server.server]), 0.5, sealers=[LIST])
    assert found is not None
    assert (found.sealed, found.problem) == (None, "")
    assert judge("k.de", found).policy is DmarcPolicy.REJECT


@pytest.mark.parametrize(
    "header",
    [
        b"ARC-Seal: i" + b" " * 50_000 + b"=\r\n",
        (AAR + b": i=1; " + b"(" * 50_000 + b"\r\n"),
        b"".join(b"ARC-Seal: i=%d; a=b\r\n" % (n % 90 + 1) for n in range(3_000)),
        b"".join(name + b": i=1;" + b"a=" * 1_900 + b"\r\n" for name in (AAR, AMS, AS)),
        b"".join(name + b": i=1; d=list.example; h=" + b"a:" * 1_900 + b"; cv=none; a=rsa-sha256;"
                 b" b=a; bh=a; s=s\r\n" for name in (AAR, AMS, AS)),
        AMS + b": i=1; \xff=\xfe\r\n" + AS + b": i=1;;;\r\n" + AAR + b": i=1;\r\n",
    ],
    ids=range(6),
)  # fmt: skip
def test_a_hostile_header_takes_no_time(server: NameServer, header: bytes) -> None:
    began = time.process_time()
    assert checked(server, header + MAIL).sealed is None
    assert time.process_time() - began < 10


def test_a_hostile_body_takes_no_time(server: NameServer) -> None:
    body = (b" " * 60_000 + b"x\r\n") * 30
    began = time.process_time()
    assert checked(server, ONE + body).sealed is None
    assert time.process_time() - began < 20


def test_what_was_stored_before_is_read() -> None:
    stored = Findings(Source.EDGE).as_json()
    del stored["arc"]
    assert Findings.from_json(stored) == Findings(Source.EDGE)

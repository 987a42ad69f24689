"""What findings prove: the evidence levels of table D."""

import json
from dataclasses import replace

import pytest

from core.mail.authentication.findings import (
    Chip,
    Dmarc,
    DmarcPolicy,
    Findings,
    Result,
    Signature,
    Source,
    Spf,
    chips,
)
from core.mail.authentication.verdict import Verdict, is_aligned, judge, organisational_domain
from core.words import Evidence

P, R = DmarcPolicy, Result
VERIFIED, NEUTRAL, FAILED = Evidence.VERIFIED, Evidence.NEUTRAL, Evidence.FAILED
NOTHING = Findings(Source.EDGE)
SPF_PASS, DKIM_PASS = Spf(R.PASS, "k.de"), Signature(R.PASS, "k.de")
SUB = Signature(R.PASS, "news.k.de")


def found(
    spf: Spf | None = None, *signatures: Signature, dmarc: Dmarc | None = None, problem: str = ""
) -> Findings:
    """Return findings of our own check."""
    return Findings(Source.EDGE, spf, signatures, dmarc, problem)


# what, findings for From: anna@k.de, evidence, policy, doubt
TABLE: list[tuple[str, Findings, Evidence, DmarcPolicy | None, bool]] = [
    ("nothing", NOTHING, NEUTRAL, None, False),
    ("a problem of ours", found(SPF_PASS, DKIM_PASS, problem="why"), NEUTRAL, None, False),
    ("signed", found(None, DKIM_PASS), VERIFIED, None, False),
    ("sent", found(SPF_PASS), VERIFIED, None, False),
    ("signed by a part of the organisation", found(None, SUB), VERIFIED, None, False),
    ("signed by somebody else", found(None, replace(DKIM_PASS, domain="esp.example")),
     NEUTRAL, None, False),
    ("one of two signatures", found(None, replace(DKIM_PASS, result=R.FAIL), DKIM_PASS),
     VERIFIED, None, False),
    ("sent by somebody else (I8)", found(Spf(R.PASS, "esp.example")), NEUTRAL, None, False),
    *((f"signature: {result}", found(None, Signature(result, "k.de")), NEUTRAL, None,
       result is R.TEMPERROR) for result in Result if result is not R.PASS),
    *((f"SPF: {result}", found(Spf(result, "k.de")), NEUTRAL, None, result is R.TEMPERROR)
      for result in Result if result is not R.PASS),
    ("somebody else's doubt", found(Spf(R.TEMPERROR, "esp.example")), NEUTRAL, None, False),
    ("policy none", found(dmarc=Dmarc(P.NONE)), NEUTRAL, None, False),
    ("policy quarantine", found(dmarc=Dmarc(P.QUARANTINE)), FAILED, P.QUARANTINE, False),
    ("policy reject", found(dmarc=Dmarc(P.REJECT)), FAILED, P.REJECT, False),
    ("policy reject, signed", found(None, DKIM_PASS, dmarc=Dmarc(P.REJECT)), VERIFIED, None, False),
    ("policy reject, sent", found(SPF_PASS, dmarc=Dmarc(P.REJECT)), VERIFIED, None, False),
    ("policy reject, sent by somebody else",
     found(Spf(R.PASS, "esp.example"), dmarc=Dmarc(P.REJECT)), FAILED, P.REJECT, False),
    ("policy reject, but a doubt",
     found(None, Signature(R.TEMPERROR, "k.de"), dmarc=Dmarc(P.REJECT)), NEUTRAL, None, True),
    ("strict, signed by a part", found(None, SUB, dmarc=Dmarc(P.REJECT, strict_dkim=True)),
     FAILED, P.REJECT, False),
    ("strict for SPF only, signed by a part",
     found(None, SUB, dmarc=Dmarc(P.REJECT, strict_spf=True)), VERIFIED, None, False),
    ("strict, sent by a part",
     found(Spf(R.PASS, "news.k.de"), dmarc=Dmarc(P.REJECT, strict_spf=True)),
     FAILED, P.REJECT, False),
    ("policy not to be had", found(dmarc=Dmarc(P.NONE, R.TEMPERROR)), NEUTRAL, None, True),
    ("policy not to be had, signed", found(None, DKIM_PASS, dmarc=Dmarc(P.NONE, R.TEMPERROR)),
     VERIFIED, None, False),
    ("policy not to be had, signed by a part", found(None, SUB, dmarc=Dmarc(P.NONE, R.TEMPERROR)),
     NEUTRAL, None, True),
    # a relay's own result of DMARC decides
    ("relay: pass", found(dmarc=Dmarc(P.UNKNOWN, R.PASS)), VERIFIED, None, False),
    ("relay: fail", found(None, SUB, dmarc=Dmarc(P.REJECT, R.FAIL)), FAILED, P.REJECT, False),
    ("relay: fail, none", found(None, SUB, dmarc=Dmarc(P.NONE, R.FAIL)), NEUTRAL, None, False),
    ("relay: fail, untold", found(dmarc=Dmarc(P.UNKNOWN, R.FAIL)), FAILED, P.UNKNOWN, False),
    ("relay: none, signed", found(None, DKIM_PASS, dmarc=Dmarc(P.NONE, R.NONE)),
     VERIFIED, None, False),
    ("relay: temperror", found(dmarc=Dmarc(P.UNKNOWN, R.TEMPERROR)), NEUTRAL, None, True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("findings", "evidence", "policy", "doubt"), [r[1:] for r in TABLE], ids=[r[0] for r in TABLE]
)
def test_what_findings_prove(
    findings: Findings, evidence: Evidence, policy: DmarcPolicy | None, doubt: bool
) -> None:
    verdict = judge("k.de", findings)
    assert verdict == Verdict(evidence, verdict.why, policy, doubt)
    assert verdict.why


ALIGNED = [
    ("k.de", "k.de", True),
    ("K.de", "k.de.", True),
    ("news.k.de", "k.de", True),
    ("a.k.de", "b.k.de", True),
    ("k.de", "kk.de", False),
    ("a.co.uk", "b.co.uk", False),  # co.uk is a public suffix
    ("a.github.io", "b.github.io", False),  # and so is this
    ("xn--bcher-kva.example", "shop.xn--bcher-kva.example", True),
    ("de", "k.de", False),
    ("co.uk", "co.uk", True),
    ("", "", False),
    ("", "k.de", False),
]


@pytest.mark.parametrize(("one", "other", "expected"), ALIGNED)
def test_alignment(one: str, other: str, expected: bool) -> None:
    assert is_aligned(one, other) is is_aligned(other, one) is expected
    same = bool(one) and one.lower().rstrip(".") == other.lower().rstrip(".")
    assert is_aligned(one, other, strict=True) is same


def test_the_organisational_domain() -> None:
    assert organisational_domain("a.b.k.de") == "k.de"
    assert organisational_domain("de") is None


@pytest.mark.parametrize("findings", [row[1] for row in TABLE], ids=[row[0] for row in TABLE])
def test_findings_are_stored_and_read_again(findings: Findings) -> None:
    assert Findings.from_json(json.loads(json.dumps(findings.as_json()))) == findings


def test_chips() -> None:
    findings = found(
        SPF_PASS, Signature(R.POLICY, "k.de", "too short"), dmarc=Dmarc(P.REJECT, R.FAIL)
    )
    assert chips(findings.as_json()) == [
        Chip("SPF", R.PASS, "k.de"),
        Chip("DKIM", R.POLICY, "k.de", "too short"),
        Chip("DMARC", R.FAIL, "p=reject"),
    ]
    assert chips(None) == []

"""What the findings about a sender prove: the evidence levels of table D in the threat model."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache

from publicsuffixlist import PublicSuffixList

from core.i18n import N_
from core.mail.authentication.findings import (
    Dmarc,
    DmarcPolicy,
    Findings,
    Result,
    Signature,
    Spf,
)
from core.words import Evidence

_SIGNED = N_("Signed by the domain of the sender (DKIM).")
_SENT = N_("Sent by a server that the domain of the sender names (SPF).")
_PASSED = N_("The relay found the domain of the sender confirmed (DMARC).")
_SEALED = N_("A domain that is believed had found the sender confirmed, and passed it on (ARC).")
_FAILED = N_("Not confirmed by the domain of the sender, which asks to refuse such mail (DMARC).")
_SUSPECT = N_("Not confirmed by the domain of the sender, which asks to suspect such mail (DMARC).")
_UNKNOWN = N_("The relay found the mail not confirmed by the domain of the sender (DMARC).")
_DOUBT = N_("The sender could not be checked: name servers did not answer.")
_NEUTRAL = N_("Nothing proves or disproves the sender.")


@dataclass(frozen=True, slots=True)
class Verdict:
    """How sure we are of the sender.

    ``why`` is a message id. ``policy`` is set for failed evidence: what the domain asks for.
    ``doubt`` says that neutral evidence may be neutral only because name servers failed.
    """

    evidence: Evidence
    why: str
    policy: DmarcPolicy | None = None
    doubt: bool = False


def judge(domain: str, findings: Findings) -> Verdict:
    """Return what the findings prove for a mail whose From is in ``domain`` (A-labels).

    What a sealer found can only verify. It does so also where DMARC fails: a list that changes
    mails breaks their signatures, and ARC is there to tell that they were good before.
    """
    verdict = _judge(domain, findings)
    if findings.problem or findings.sealed is None or verdict.evidence is Evidence.VERIFIED:
        return verdict
    sealed = _as_strict(findings.sealed.findings, findings.dmarc)
    if _judge(domain, sealed).evidence is Evidence.VERIFIED:
        return Verdict(Evidence.VERIFIED, _SEALED)
    return verdict


def _as_strict(sealed: Findings, own: Dmarc | None) -> Findings:
    """Return what a sealer found, with the alignment that the domain itself asks for."""
    if own is None:
        return sealed
    unread = own.result is Result.TEMPERROR
    dmarc = replace(
        sealed.dmarc or Dmarc(DmarcPolicy.NONE),
        strict_dkim=own.strict_dkim or unread,
        strict_spf=own.strict_spf or unread,
    )
    return replace(sealed, dmarc=dmarc)


def _judge(domain: str, findings: Findings) -> Verdict:
    """Return what the findings prove without those of a sealer."""
    if findings.problem:
        return Verdict(Evidence.NEUTRAL, findings.problem)
    dmarc = findings.dmarc or Dmarc(DmarcPolicy.NONE)
    if dmarc.result is Result.FAIL:
        return _not_confirmed(dmarc.policy)
    if dmarc.result is Result.PASS:
        return Verdict(Evidence.VERIFIED, _PASSED)
    # Without the domain's record nobody knows whether it is strict, so we are.
    unread = dmarc.result is Result.TEMPERROR
    signatures = _aligned(findings.signatures, domain, strict=dmarc.strict_dkim or unread)
    if any(each.result is Result.PASS for each in signatures):
        return Verdict(Evidence.VERIFIED, _SIGNED)
    sent = _aligned(
        [findings.spf] if findings.spf else [], domain, strict=dmarc.strict_spf or unread
    )
    if any(each.result is Result.PASS for each in sent):
        return Verdict(Evidence.VERIFIED, _SENT)
    if unread or any(each.result is Result.TEMPERROR for each in (*signatures, *sent)):
        return Verdict(Evidence.NEUTRAL, _DOUBT, doubt=True)
    return _not_confirmed(dmarc.policy)


def _not_confirmed(policy: DmarcPolicy) -> Verdict:
    match policy:
        case DmarcPolicy.REJECT:
            return Verdict(Evidence.FAILED, _FAILED, policy)
        case DmarcPolicy.QUARANTINE:
            return Verdict(Evidence.FAILED, _SUSPECT, policy)
        case DmarcPolicy.UNKNOWN:
            return Verdict(Evidence.FAILED, _UNKNOWN, policy)
        case DmarcPolicy.NONE:
            return Verdict(Evidence.NEUTRAL, _NEUTRAL)


def _aligned(
    found: Iterable[Signature | Spf], domain: str, *, strict: bool
) -> list[Signature | Spf]:
    return [each for each in found if is_aligned(each.domain, domain, strict=strict)]


def is_aligned(one: str, other: str, *, strict: bool = False) -> bool:
    """Whether two domains stand for the same organisation (RFC 7489 3.1)."""
    one, other = one.lower().rstrip("."), other.lower().rstrip(".")
    if one == other:
        return bool(one)
    organisation = organisational_domain(one)
    return not strict and organisation is not None and organisation == organisational_domain(other)


def organisational_domain(domain: str) -> str | None:
    """Return the domain that an organisation has registered (RFC 7489 3.2), else None."""
    found: str | None = _suffixes().privatesuffix(domain)
    return found


@cache
def _suffixes() -> PublicSuffixList:
    """Return the public suffix list as the library carries it; reading it takes a moment."""
    return PublicSuffixList()

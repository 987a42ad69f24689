"""What the checks of a sender found, wherever they were made."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Self


class Source(StrEnum):
    """Who checked."""

    RELAY = "relay"  # a relay of ours, in its Authentication-Results
    EDGE = "edge"  # we ourselves, when the mail came in
    SEALER = "sealer"  # a domain that passed the mail on, under a seal of its own (ARC)


class Result(StrEnum):
    """The results of all methods (RFC 8601 2.7); not every method has each."""

    PASS = "pass"  # noqa: S105 - a result
    FAIL = "fail"
    SOFTFAIL = "softfail"
    NEUTRAL = "neutral"
    NONE = "none"
    POLICY = "policy"  # good, but not good enough for us
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class DmarcPolicy(StrEnum):
    """What a domain asks of mail that fails (RFC 7489 6.3); ``unknown`` where nobody told us."""

    NONE = "none"
    QUARANTINE = "quarantine"
    REJECT = "reject"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Spf:
    """Whether the client may send for the domain of the reverse-path (RFC 7208)."""

    result: Result
    domain: str


@dataclass(frozen=True, slots=True)
class Signature:
    """A DKIM signature (RFC 6376); ``why`` is a message id where it does not count."""

    result: Result
    domain: str  # that signed: d=
    why: str = ""


@dataclass(frozen=True, slots=True)
class Dmarc:
    """What the domain of the sender publishes (RFC 7489).

    ``result`` is a relay's own; where we check, it is ``temperror`` or None, and follows from the
    rest. Strict means that domains must be equal to be aligned.
    """

    policy: DmarcPolicy
    result: Result | None = None
    strict_dkim: bool = False
    strict_spf: bool = False


@dataclass(frozen=True, slots=True)
class Findings:
    """All that was found about the sender of one mail.

    ``dmarc`` is None where the domain publishes nothing. ``problem`` is a message id: why nothing
    that was found counts, or why nothing was. ``sealed`` is what a sealer of ours found earlier; it
    is asked for only where the rest does not verify the sender.
    """

    source: Source
    spf: Spf | None = None
    signatures: tuple[Signature, ...] = ()
    dmarc: Dmarc | None = None
    problem: str = ""
    sealed: "Sealed | None" = None

    def as_json(self) -> dict[str, Any]:
        """Return what is stored with the mail."""
        return {
            "source": self.source.value,
            "spf": [self.spf.result.value, self.spf.domain] if self.spf else None,
            "dkim": [[each.result.value, each.domain, each.why] for each in self.signatures],
            "dmarc": _dmarc_as_json(self.dmarc) if self.dmarc else None,
            "problem": self.problem,
            "arc": [self.sealed.domain, self.sealed.findings.as_json()] if self.sealed else None,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read what was stored with a mail; the oldest ones say nothing of ARC."""
        spf, dmarc, arc = stored["spf"], stored["dmarc"], stored.get("arc")
        return cls(
            Source(stored["source"]),
            Spf(Result(spf[0]), spf[1]) if spf else None,
            tuple(Signature(Result(result), *rest) for result, *rest in stored["dkim"]),
            _dmarc_from_json(dmarc) if dmarc else None,
            stored["problem"],
            Sealed(arc[0], cls.from_json(arc[1])) if arc else None,
        )


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a domain that we believe found when it got the mail (ARC, RFC 8617)."""

    domain: str  # that sealed: d=
    findings: Findings


def _dmarc_as_json(dmarc: Dmarc) -> list[Any]:
    return [dmarc.result or "", dmarc.policy.value, dmarc.strict_dkim, dmarc.strict_spf]


def _dmarc_from_json(stored: list[Any]) -> Dmarc:
    result, policy, strict_dkim, strict_spf = stored
    return Dmarc(DmarcPolicy(policy), Result(result) if result else None, strict_dkim, strict_spf)


@dataclass(frozen=True, slots=True)
class Chip:
    """One finding as staff see it: ``DKIM passed muster.example``; ``ARC: DKIM`` is a sealer's.

    ``result`` is None where only the policy of a domain is known; ``why`` is a message id or "".
    """

    method: str
    result: Result | None
    detail: str
    why: str = ""


def chips(stored: Mapping[str, Any] | None) -> list[Chip]:
    """Return what was stored with a mail (``Findings.as_json``), to be shown."""
    if not stored:
        return []
    return _chips(Findings.from_json(stored))


def _chips(read: Findings) -> list[Chip]:
    found = [Chip("SPF", read.spf.result, read.spf.domain)] if read.spf else []
    found += [Chip("DKIM", each.result, each.domain, each.why) for each in read.signatures]
    if read.dmarc:
        found.append(Chip("DMARC", read.dmarc.result, f"p={read.dmarc.policy}"))
    if read.sealed:
        sealed = read.sealed.findings
        found.append(Chip("ARC", Result.PASS, read.sealed.domain, sealed.problem))
        found += [replace(each, method=f"ARC: {each.method}") for each in _chips(sealed)]
    return found

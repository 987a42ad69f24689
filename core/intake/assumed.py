"""What a trial mail is assumed to prove about its sender, instead of asking name servers."""

from enum import StrEnum

from core.mail.authentication.findings import (
    Dmarc,
    DmarcPolicy,
    Findings,
    Result,
    Signature,
    Source,
)


class Assumed(StrEnum):
    """What the checks of the sender are assumed to have found."""

    SIGNED = "signed"
    NOTHING = "nothing"
    QUARANTINE = "quarantine"  # DMARC fails
    REJECT = "reject"
    HEADER = "header"  # what a relay of ours has written into the mail
    FOUND = "found"  # what was found when the mail came in


def assumed_findings(assumed: Assumed, domain: str) -> Findings | None:
    """Return what is assumed of a mail from ``domain``; None where the mail itself tells."""
    match assumed:
        case Assumed.SIGNED:
            return Findings(Source.EDGE, signatures=(Signature(Result.PASS, domain),))
        case Assumed.NOTHING:
            return Findings(Source.EDGE)
        case Assumed.QUARANTINE:
            return Findings(Source.EDGE, dmarc=Dmarc(DmarcPolicy.QUARANTINE))
        case Assumed.REJECT:
            return Findings(Source.EDGE, dmarc=Dmarc(DmarcPolicy.REJECT))
        case _:
            return None

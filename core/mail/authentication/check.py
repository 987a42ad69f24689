"""Our own check of a sender, for mail that no relay of ours has checked."""

import logging
from collections.abc import Collection
from dataclasses import replace

from core.i18n import N_
from core.mail.addresses import address_key
from core.mail.authentication.arc import check_chain
from core.mail.authentication.dmarc import published_by
from core.mail.authentication.findings import Findings, Source
from core.mail.authentication.resolver import DEADLINE_SECONDS, Questions, Resolver
from core.mail.authentication.results import UNREADABLE
from core.mail.authentication.sender_policy import check_client
from core.mail.authentication.signatures import check_signatures
from core.mail.authentication.verdict import judge
from core.mail.message import parse
from core.words import Evidence

log = logging.getLogger(__name__)

FAILED = N_("The check of the sender failed here; it proves nothing.")
BUSY = N_("Too much mail came in at once to check the sender.")


def check_sender(
    raw: bytes,
    peer: str,
    helo: str,
    mail_from: str,
    resolver: Resolver,
    seconds: float = DEADLINE_SECONDS,
    *,
    sealers: Collection[str] = (),
) -> Findings | None:
    """Return what is found about a mail that ``peer`` hands over; None without one clean From.

    Never raises. Asks name servers, for at most ``seconds``. What the domain of the sender itself
    publishes is asked for first, so that nobody who adds slow names to a mail can hide it. What
    one of the ``sealers`` (domains, A-labels) found is asked for last, and only where the rest
    does not verify the sender.
    """
    try:
        message = parse(raw)
        domain = (address_key(message.from_.address or "") or "").rpartition("@")[2]
        if not domain:
            return None
        if message.parse_error is not None:
            return Findings(Source.EDGE, problem=UNREADABLE)
        questions = Questions(resolver, seconds)
        dmarc = published_by(domain, questions)
        signatures = check_signatures(message, domain, questions)
        spf = check_client(peer, helo, mail_from, questions)
        findings = Findings(Source.EDGE, spf, signatures, dmarc)
        if sealers and judge(domain, findings).evidence is not Evidence.VERIFIED:
            findings = replace(findings, sealed=check_chain(message, domain, sealers, questions))
    except Exception as error:  # noqa: BLE001 - a mail is never lost because a check fails
        log.error("a check of a sender failed: %s", type(error).__name__)
        return Findings(Source.EDGE, problem=FAILED)
    return findings

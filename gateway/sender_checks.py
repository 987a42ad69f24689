"""Checking who really sent a mail, before it is handed to the writer.

In threads of its own, so that name servers of strangers hold up nothing else.
"""

from core.config import SmtpSection
from core.intake.incoming import Envelope
from core.mail.authentication.check import BUSY, check_sender
from core.mail.authentication.findings import Findings, Source
from core.mail.authentication.resolver import Resolver
from gateway.checks import Checks
from gateway.limits import Limits
from gateway.spool import Spool


class SenderChecks:
    """The checks of one process, with one cache for all."""

    def __init__(self, smtp: SmtpSection, limits: Limits) -> None:
        self._smtp = smtp
        self._limits = limits
        self._resolver = Resolver(smtp.name_server_addresses)
        self._checks = Checks(
            "sender-check", limits.checks, limits.checked_bytes, limits.check_waiting_seconds
        )

    def stop(self) -> None:
        """Wait for the checks that are under way, and end the threads."""
        self._checks.stop()

    async def findings(self, envelope: Envelope, spool: Spool) -> Findings | None:
        """Return what is found about a message, None where it is not for us to check.

        A check that cannot begin or end in time is told as that: the mail is taken in all the same.
        """
        if not self._smtp.checks_sender(envelope.peer, trusted=envelope.trusted):
            return None
        try:
            return await self._checks.run(
                spool,
                lambda raw: check_sender(
                    raw,
                    envelope.peer,
                    envelope.helo,
                    envelope.mail_from,
                    self._resolver,
                    sealers=self._smtp.arc_sealers,
                ),
                self._limits.check_seconds,
            )
        except TimeoutError:
            return Findings(Source.EDGE, problem=BUSY)

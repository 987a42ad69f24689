"""Having the content of each mail checked by the firm's clamd and rspamd, where configured."""

from core.config import ContentChecksSection
from core.content_checks import check_content
from core.intake.incoming import Envelope
from core.mail.content_check import ContentVerdict
from gateway.checks import Checks
from gateway.limits import Limits
from gateway.spool import Spool

_SPARE_SECONDS = 1.0  # for the checkers' own deadline to be told as the reason


class ContentChecks:
    """The checks of one process. Relays' mail is checked, too: a relay may not have done it."""

    def __init__(self, section: ContentChecksSection, limits: Limits) -> None:
        self._section = section
        self._checks = Checks(
            "content-check",
            limits.content_checks,
            limits.content_checked_bytes,
            limits.check_waiting_seconds,
        )

    def stop(self) -> None:
        """Wait for the checks that are under way, and end the threads."""
        self._checks.stop()

    async def verdict(self, envelope: Envelope, spool: Spool) -> ContentVerdict | None:
        """Return what the checkers say, None where there are none."""
        section = self._section
        if not section.clamd and not section.rspamd:
            return None
        try:
            return await self._checks.run(
                spool,
                lambda raw: check_content(section, envelope, raw),
                section.timeout_seconds + _SPARE_SECONDS,
            )
        except TimeoutError:
            return ContentVerdict(failed="too much to check at once")

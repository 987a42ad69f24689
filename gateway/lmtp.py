"""The LMTP dialogue (RFC 2033): as SMTP, but greeted with LHLO and answered for each recipient."""

from typing import ClassVar

from core.intake.incoming import Receipt, Reply
from core.words import Protocol
from gateway import replies
from gateway.arguments import Refused
from gateway.smtp import SmtpSession, Transaction


class LmtpSession(SmtpSession):
    """A connection on which LMTP is spoken."""

    spoken: ClassVar[Protocol] = Protocol.LMTP
    greeting: ClassVar[str] = "LMTP"
    hello_first: ClassVar[Reply] = replies.LHLO_FIRST

    async def smtp_LHLO(self, hostname: str | None) -> None:
        """Greet a client and list the extensions."""
        await super().smtp_EHLO(hostname)

    async def smtp_EHLO(self, hostname: str | None) -> None:
        """Refuse: RFC 2033 4.1 wants LHLO alone."""
        raise Refused(replies.LHLO_FIRST)

    async def smtp_HELO(self, hostname: str | None) -> None:
        """Refuse: RFC 2033 4.1 wants LHLO alone."""
        raise Refused(replies.LHLO_FIRST)

    def _final_replies(self, outcome: Receipt | Reply, transaction: Transaction) -> list[Reply]:
        """Return one reply for each RCPT that was accepted, in their order (RFC 2033 4.2)."""
        if isinstance(outcome, Reply):
            return [outcome] * len(transaction.accepted)
        by_key = {
            key: part.reply
            for key, part in zip(transaction.recipients, outcome.recipients, strict=True)
        }
        return [by_key[key] for key in transaction.accepted]

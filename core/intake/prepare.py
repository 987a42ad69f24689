"""What is done for a message before the transaction: parsing, and its key for redeliveries."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from core.ids import new_public_id
from core.intake.incoming import Incoming
from core.intake.sources_asked import NOBODY_ASKED, SourcesAsked
from core.mail.addresses import address_key
from core.mail.authentication.findings import Findings
from core.mail.authentication.results import read_results
from core.mail.authentication.verdict import Verdict, judge
from core.mail.message import Message, content_digest, parse
from core.mail.reports import Report, read_report
from core.mail.threads import NO_THREAD, Thread, read_thread


@dataclass(frozen=True, slots=True)
class Prepared:
    """A message parsed once.

    ``from_key`` is the key of its one From mailbox or "", ``thread`` what it says about the ticket
    that it belongs to, ``report`` what it reports about a mail of ours. ``findings`` are what was
    found about the sender, by the edge or by a relay of ours, ``verdict`` what that proves.
    ``asked`` are the customer sources that were asked about the sender; ``away`` those of them
    that may know the sender, whom nobody here knows, and did not answer.
    """

    incoming: Incoming
    message: Message
    digest: bytes
    from_key: str
    reference: str
    thread: Thread
    report: Report | None = None
    findings: Findings | None = None
    verdict: Verdict | None = None
    asked: SourcesAsked = NOBODY_ASKED
    away: tuple[str, ...] = ()


def prepare(
    incoming: Incoming, keys: Sequence[bytes] = (), *, reference: str | None = None
) -> Prepared:
    """Parse a message, outside any transaction: nobody waits for a lock meanwhile.

    ``keys`` are those whose tokens are believed; without any, none is found.
    """
    message = parse(incoming.raw)
    recipients = incoming.envelope.recipients
    is_mail = incoming.portal is None
    thread = read_thread(message, recipients, keys) if is_mail else NO_THREAD
    may_report = message.is_delivery_report or not incoming.envelope.mail_from
    from_key = address_key(message.from_.address or "") or ""
    findings = _findings(incoming, message, _domain(from_key)) if from_key else None
    return Prepared(
        incoming=incoming,
        message=message,
        digest=_digest(incoming, message),
        from_key=from_key,
        reference=reference or new_public_id(),
        thread=thread,
        report=read_report(message) if may_report and thread.is_proven else None,
        findings=findings,
        verdict=judge(_domain(from_key), findings) if findings else None,
    )


def _findings(incoming: Incoming, message: Message, domain: str) -> Findings | None:
    """Return what is known of the sender's authenticity; only mail from inside tells it itself."""
    if incoming.findings is not None:
        return incoming.findings
    if incoming.authserv_id and incoming.envelope.trusted:
        return read_results(message, incoming.authserv_id, domain)
    return None


def _domain(address: str) -> str:
    return address.rpartition("@")[2]


def _digest(incoming: Incoming, message: Message) -> bytes:
    """A portal form sent twice is composed twice, but under one Message-ID, which is ours."""
    if incoming.portal is not None:
        return hashlib.sha256(message.message_id.encode()).digest()
    return content_digest(incoming.raw)


def intake_key(prepared: Prepared, queue_id: int | None) -> bytes:
    """Return the key by which a redelivery of this message to this queue is recognised.

    Threat model, section B: reverse-path, Message-ID and the content below the trace fields. The
    Message-ID alone would let anybody suppress a mail by sending its id first.
    """
    mail_from = address_key(prepared.incoming.envelope.mail_from) or ""
    parts = (str(queue_id or "postmaster"), mail_from, prepared.message.message_id)
    digest = hashlib.sha256(prepared.digest)
    for part in parts:
        encoded = part.encode("utf-8", "surrogateescape")
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return digest.digest()

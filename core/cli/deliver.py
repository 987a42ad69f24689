"""``schalter deliver``: intake from a pipe or from files."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from core.cli.console import Console, Failure, pass_console, reason_of
from core.cli.mailfiles import (
    STDIN,
    FoundMessage,
    Unusable,
    check_readable,
    is_mbox,
    read_mbox,
    read_single,
)
from core.cli.output import json_option, print_json, printable
from core.config import Config
from core.content_checks import check_content
from core.db import Database
from core.intake import replies
from core.intake.incoming import Envelope, Incoming, Receipt, RecipientReceipt, Reply
from core.intake.prepare import Prepared, prepare
from core.intake.writer import MAX_BATCH_BYTES, MAX_BATCH_MAILS, take_in_looked_up
from core.mail.addresses import is_valid_envelope_address
from core.models import now, ticket_number
from core.secret_key import Keys
from core.sources.asking.live import LiveSources, open_live_sources
from core.words import DecisionKind, Protocol

# sysexits.h, which mail servers understand
EX_NOUSER = 67
EX_NOINPUT = 66
EX_TEMPFAIL = 75
EX_NOPERM = 77

TOO_BIG = Reply(552, "5.3.4", "Message too big")


class NoInput(Failure):
    """There is no such mail to deliver."""

    exit_code = EX_NOINPUT


class TryAgain(Failure):
    """Nothing is lost if the mail is delivered again later: any doubt of ours ends here."""

    exit_code = EX_TEMPFAIL


class NoUser(Failure):
    """No queue has the address."""

    exit_code = EX_NOUSER


class Refused(Failure):
    """A rule refused the mail."""

    exit_code = EX_NOPERM


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of a message; of the message itself only what is told, an mbox may be large."""

    source: str
    number: int
    name: str
    size: int
    subject: str | None
    defects: Sequence[str]
    receipt: Receipt


class _Address(click.ParamType[str]):
    """An envelope address with or without its brackets."""

    name = "address"

    def __init__(self, *, may_be_empty: bool = False) -> None:
        self._may_be_empty = may_be_empty

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        address = str(value).strip()
        if address.startswith("<") and address.endswith(">"):
            address = address[1:-1]
        if not (is_valid_envelope_address(address) or (self._may_be_empty and not address)):
            self.fail(f"{value!r} is not a mail address", param, ctx)
        return address


mail_from_option = click.option(
    "--mail-from",
    required=True,
    type=_Address(may_be_empty=True),
    metavar="ADDRESS",
    help='Who sent it (the reverse-path of the envelope); "<>" for a report of a mail server.',
)
rcpt_option = click.option(
    "--rcpt",
    "recipients",
    required=True,
    multiple=True,
    type=_Address(),
    metavar="ADDRESS",
    help="For whom it is; can be given several times.",
)


@click.command("deliver", short_help="Take in mail from a pipe or from files.")
@mail_from_option
@rcpt_option
@click.option("--mbox", is_flag=True, help="Read standard input as an mbox of many messages.")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@json_option
@pass_console
def command(
    console: Console,
    mail_from: str,
    recipients: tuple[str, ...],
    mbox: bool,
    files: tuple[str, ...],
    as_json: bool,
) -> None:
    """Take in mail as if it had come by SMTP: from FILEs, or one message from standard input.

    A FILE is one message (.eml) or an mbox, which is told by its first line. Standard input is
    one message, as a mail server's pipe hands it over. Mail given here counts as coming from
    inside, as from a trusted relay. Delivering a message again makes no second ticket.

    Exit status as in sysexits.h: 0 filed or held for at least one recipient, 75 try again later,
    77 refused by a rule, 67 no such address, 66 a file cannot be read (then nothing was taken
    in); 2 wrong use.
    """
    sources = files or (STDIN,)
    if not files and sys.stdin.isatty():
        raise click.UsageError("No FILE is named, and nothing is piped in.")
    try:
        for source in sources:
            if source != STDIN:
                check_readable(Path(source))
    except Unusable as error:
        raise NoInput(str(error)) from None
    envelope = Envelope(mail_from, tuple(dict.fromkeys(recipients)), Protocol.DELIVER, trusted=True)
    done: list[Delivered] = []
    failure: Failure | None = None
    try:
        with (
            console.database() as database,
            open_live_sources(console.config) as live,
            _progress(sources) as advance,
        ):
            keys = Keys(console.config.secret_key_file)
            limit = console.config.smtp.max_message_bytes
            messages = _messages(sources, limit, mbox=mbox)
            for delivered in _deliver(database, live, keys, envelope, messages, console.config):
                done.append(delivered)
                advance(delivered.size)
    except Exception as error:  # noqa: BLE001 - whatever it is: the mail must be kept and come again
        failure = TryAgain(_what_was_done(done) + reason_of(error))
    if as_json:
        print_json({"messages": [_as_json(each) for each in done]})
    else:
        for each in done:
            click.echo(_line(each))
    failure = failure or _worst(done)
    if failure is not None:
        raise failure


def _messages(sources: Sequence[str], limit: int, *, mbox: bool) -> Iterator[FoundMessage]:
    for source in sources:
        if source == STDIN:
            stdin = sys.stdin.buffer
            if mbox:
                yield from read_mbox("standard input", stdin, limit)
            else:
                yield read_single("standard input", stdin, limit)
            continue
        path = Path(source)
        with path.open("rb") as opened:
            if is_mbox(path):
                yield from read_mbox(source, opened, limit)
            else:
                yield read_single(source, opened, limit)


def _deliver(
    database: Database,
    live: LiveSources,
    keys: Keys,
    envelope: Envelope,
    messages: Iterator[FoundMessage],
    config: Config,
) -> Iterator[Delivered]:
    """Take messages in, in batches like those of the gateway; give each with its receipt.

    The Authentication-Results of ``smtp.authserv_id`` are believed, as from a relay.
    """
    believed = keys.ring.believed(now().date())
    batch: list[tuple[FoundMessage, Prepared]] = []
    size = 0
    for found in messages:
        if found.raw is None:
            yield _too_big(found, envelope)
            continue
        incoming = Incoming(
            envelope,
            found.raw,
            now(),
            authserv_id=config.smtp.authserv_id,
            content=check_content(config.content_checks, envelope, found.raw),
        )
        batch.append((found, prepare(incoming, believed)))
        size += len(found.raw)
        if len(batch) >= MAX_BATCH_MAILS or size >= MAX_BATCH_BYTES:
            yield from _take_in(database, live, batch)
            batch, size = [], 0
    yield from _take_in(database, live, batch)


def _take_in(
    database: Database, live: LiveSources, batch: Sequence[tuple[FoundMessage, Prepared]]
) -> Sequence[Delivered]:
    if not batch:
        return ()
    receipts = take_in_looked_up(database, live, [prepared for _found, prepared in batch])
    return [
        _delivered(found, prepared, receipt if isinstance(receipt, Receipt) else _put_off(prepared))
        for (found, prepared), receipt in zip(batch, receipts, strict=True)
    ]


def _put_off(prepared: Prepared) -> Receipt:
    """Return that a message was not taken in: who it is from cannot be looked up now."""
    parts = tuple(
        RecipientReceipt(recipient, DecisionKind.DEFER, "source-away", replies.TRY_AGAIN)
        for recipient in prepared.incoming.envelope.recipients
    )
    return Receipt("", parts)


def _delivered(found: FoundMessage, prepared: Prepared | None, receipt: Receipt) -> Delivered:
    subject, defects = None, []
    if prepared is not None:
        message = prepared.message
        subject = message.subject
        defects = list(message.problems)
    size = len(found.raw or b"")
    return Delivered(found.source, found.number, found.name, size, subject, defects, receipt)


def _too_big(found: FoundMessage, envelope: Envelope) -> Delivered:
    parts = tuple(
        RecipientReceipt(recipient, DecisionKind.REJECT, "too-big", TOO_BIG)
        for recipient in envelope.recipients
    )
    return _delivered(found, None, Receipt("", parts))


def _what_was_done(done: Sequence[Delivered]) -> str:
    if not done:
        return ""
    return f"after {len(done)} messages (delivered again, they make no second ticket): "


def _worst(done: Sequence[Delivered]) -> Failure | None:
    """Return the failure that the exit status tells: try again before refused before unknown."""
    not_kept = [each for each in done if each.receipt.reply.code >= 400]
    if not not_kept:
        return None

    def weight(each: Delivered) -> int:
        return _FAILURES.index(_failure_of(each.receipt.reply))

    worst = min(not_kept, key=weight)
    reply = worst.receipt.reply
    which = "" if len(done) == 1 else f" ({len(not_kept)} of {len(done)} messages)"
    return _failure_of(reply)(f"{reply.status} {reply.text}{which}")


_FAILURES: Sequence[type[Failure]] = (TryAgain, Refused, NoUser)


def _failure_of(reply: Reply) -> type[Failure]:
    if reply.code < 500:
        return TryAgain
    return NoUser if reply == replies.UNKNOWN_RECIPIENT else Refused


def _line(delivered: Delivered) -> str:
    receipt = delivered.receipt
    fates = "; ".join(f"{part.recipient}: {_fate(part)}" for part in receipt.recipients)
    unclear = f" [{'; '.join(delivered.defects)}]" if delivered.defects else ""
    return printable(f"{delivered.name}: {receipt.reply}: {fates}{unclear}")


def _fate(part: RecipientReceipt) -> str:
    ticket = f" {ticket_number(part.ticket_id)}" if part.ticket_id else ""
    again = ", delivered before" if part.duplicate else ""
    return f"{part.decision.value}{ticket} ({part.reason}{again})"


def _as_json(delivered: Delivered) -> dict[str, Any]:
    receipt = delivered.receipt
    return {
        "source": delivered.source,
        "number": delivered.number or None,
        "reference": receipt.reference or None,
        "reply": str(receipt.reply),
        "subject": delivered.subject,
        "defects": delivered.defects,
        "recipients": [
            {
                "recipient": part.recipient,
                "decision": part.decision,
                "reason": part.reason,
                "reply": str(part.reply),
                "ticket": ticket_number(part.ticket_id) if part.ticket_id else None,
                "duplicate": part.duplicate,
            }
            for part in receipt.recipients
        ],
    }


@contextmanager
def _progress(sources: Sequence[str]) -> Iterator[Callable[[int], None]]:
    """Give a function that is told how many bytes are done, with a bar on a terminal."""
    files = [Path(source) for source in sources if source != STDIN]
    if not files or not sys.stderr.isatty():
        yield lambda _bytes: None
        return
    total = sum(file.stat().st_size for file in files)
    with click.progressbar(length=total, label="Delivering", file=sys.stderr) as bar:
        yield bar.update
        bar.update(total - bar.pos)  # what stands between the messages

"""``schalter explain``: the whole decision about a mail, without recording anything of it."""

import sys
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import click

from core.cli.console import Console, Failure, pass_console
from core.cli.deliver import NoInput, mail_from_option, rcpt_option
from core.cli.mailfiles import STDIN, Unusable, check_readable, read_single
from core.cli.output import json_option, print_json, printable, printable_lines, shown
from core.config import SmtpSection
from core.intake.assumed import Assumed
from core.intake.explain import explain
from core.intake.incoming import Envelope, Incoming
from core.intake.prepare import prepare
from core.intake.simulate import assuming, look_up_one
from core.mail.authentication.check import check_sender
from core.mail.authentication.findings import Findings
from core.mail.authentication.resolver import Resolver
from core.models import now
from core.secret_key import Keys
from core.sources.asking.live import open_live_sources
from core.words import Protocol

TEXT_LINES = 12


class _Peer(click.ParamType[IPv4Address | IPv6Address]):
    name = "ip"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> IPv4Address | IPv6Address:
        try:
            return ip_address(str(value))
        except ValueError:
            self.fail(f"{value!r} is not an IP address", param, ctx)


@click.command("explain", short_help="Say what would become of a mail, and why.")
@click.argument("file", metavar="FILE")
@mail_from_option
@rcpt_option
@click.option("--peer", type=_Peer(), metavar="IP", help="The server that hands it over.")
@click.option(
    "--assume",
    type=click.Choice([word.value for word in Assumed if word is not Assumed.FOUND]),
    help="What to assume of the sender, instead of asking name servers.",
)
@json_option
@pass_console
def command(
    console: Console,
    file: str,
    mail_from: str,
    recipients: tuple[str, ...],
    peer: IPv4Address | IPv6Address | None,
    assume: str | None,
    as_json: bool,
) -> None:
    """Say what would become of the mail in FILE ("-" is standard input), and why.

    Nothing of the mail is recorded. Customer sources are asked who it is from, as for a mail that
    comes in; like any look-up, that brings the copies of their accounts up to date. The mail
    counts as coming from inside if the peer is one of smtp.trusted_relays; mail of another peer
    is checked as the gateway does it, by what name servers say now. --assume tries the same mail
    with another sender check: signed (by the sender's domain), nothing (found), quarantine or
    reject (DMARC fails), header (what a relay of ours wrote into it).
    """
    envelope = Envelope(
        mail_from,
        tuple(dict.fromkeys(recipients)),
        Protocol.SMTP,
        peer=str(peer or ""),
        trusted=peer is not None
        and any(peer in network for network in console.config.smtp.relay_networks),
    )
    smtp = console.config.smtp
    raw = _read(file, smtp.max_message_bytes)
    findings = _findings(smtp, envelope, raw) if assume is None else None
    incoming = Incoming(envelope, raw, now(), authserv_id=smtp.authserv_id, findings=findings)
    if assume is not None:
        incoming = assuming(incoming, Assumed(assume))
    with console.database() as database, open_live_sources(console.config) as live:
        keys = Keys(console.config.secret_key_file).ring.believed(now().date())
        mail = look_up_one(database, live, prepare(incoming, keys))
        with database.read() as session:
            explanation = explain(session, mail)
    if as_json:
        print_json(explanation)
    else:
        _print(explanation)


def _findings(smtp: SmtpSection, envelope: Envelope, raw: bytes) -> Findings | None:
    if not smtp.checks_sender(envelope.peer, trusted=envelope.trusted):
        return None
    resolver = Resolver(smtp.name_server_addresses)
    return check_sender(
        raw,
        envelope.peer,
        envelope.helo,
        envelope.mail_from,
        resolver,
        sealers=smtp.arc_sealers,
    )


def _read(file: str, limit: int) -> bytes:
    try:
        if file == STDIN:
            found = read_single("standard input", sys.stdin.buffer, limit)
        else:
            check_readable(Path(file))
            with Path(file).open("rb") as opened:
                found = read_single(file, opened, limit)
    except Unusable as error:
        raise NoInput(str(error)) from None
    if found.raw is None:
        raise Failure(f"{file}: larger than smtp.max_message_bytes ({limit})")
    return found.raw


def _print(explanation: dict[str, Any]) -> None:
    message, sender = explanation["message"], explanation["sender"]
    for name, value in (
        ("From", message["from"]),
        ("To", message["to"]),
        ("Subject", message["subject"]),
        ("Date", message["date"]),
        ("Message-ID", message["message_id"]),
        ("Files", [each["filename"] for each in message["attachments"]]),
        ("Defects", message["defects"]),
        ("Sender", f"{sender['address'] or '(unclear)'}: {sender['evidence']}. {sender['why']}"),
    ):
        click.echo(f"{name + ':':<12}{shown(value)}")
    click.echo()
    for line in printable_lines(message["text"]).splitlines()[:TEXT_LINES]:
        click.echo(f"  | {line}")
    click.echo()
    for step in explanation["steps"]:
        click.echo(printable(f"{step['rule']:<24}{step['answer']:<18}{step['because']}"))
    for part in explanation["recipients"]:
        click.echo()
        click.echo(printable(f"{part['recipient']}: {part['decision']} ({part['reason']})"))
        for name in ("queue", "ticket", "customer_user", "customer_number", "matched_by", "reply"):
            click.echo(f"  {name:<18}{shown(part[name])}")

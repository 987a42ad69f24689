"""``schalter mail``: what came in, what became of it, and why."""

from typing import Any

import click

from core.accounts.queues import queue_named
from core.cli.console import Console, console_reader, pass_console
from core.cli.output import json_option, print_json, print_table, printable, shown
from core.cli.tickets import limit_option, pages
from core.intake.mail_log import (
    LoggedDelivery,
    LoggedMail,
    MailFilter,
    logged_mail,
    mail_log,
    shown_steps,
)
from core.words import DecisionKind, HeldState


@click.group("mail", short_help="List mails, or show one with the reasons for its fate.")
def command() -> None:
    """List mails, or show one with the reasons for its fate."""


@command.command("list", short_help="List mails, the newest first.")
@click.option(
    "--decision",
    type=click.Choice([kind.value for kind in DecisionKind]),
    help="Only those that this was decided about.",
)
@click.option(
    "--held",
    type=click.Choice([state.value for state in HeldState]),
    help="Only held mail that stands so.",
)
@click.option("--queue", metavar="NAME", help="Only those to this queue.")
@click.option("--sender", metavar="PART", default="", help="Part of the sender's address.")
@click.option("--rcpt", metavar="PART", default="", help="Part of the recipient's address.")
@click.option("--search", metavar="TEXT", default="", help="Part of the subject, or a reference.")
@limit_option
@json_option
@pass_console
def list_mails(
    console: Console,
    decision: str | None,
    held: str | None,
    queue: str | None,
    sender: str,
    rcpt: str,
    search: str,
    limit: int,
    as_json: bool,
) -> None:
    """List mails, the newest first, each with what became of it for each recipient."""
    with console.database() as database, database.read() as session:
        wanted = MailFilter(
            decision=DecisionKind(decision) if decision else None,
            held=HeldState(held) if held else None,
            queue_id=queue_named(session, queue).id if queue else None,
            sender=sender,
            recipient=rcpt,
            query=search,
        )
        found = pages(
            lambda cursor, size: mail_log(
                session, console_reader(), wanted, cursor=cursor, limit=size
            ),
            limit,
        )
        mails = [_mail(logged) for logged in found]
    if as_json:
        print_json(mails)
        return
    print_table(
        ("RECEIVED", "REFERENCE", "FROM", "TO", "DECISION", "TICKET", "SUBJECT"),
        (
            (
                mail["received_at"],
                mail["reference"],
                mail["from_address"] or mail["mail_from"],
                each["recipient"],
                f"{each['decision']} ({each['reason']})",
                each["ticket"],
                mail["subject"],
            )
            for mail in mails
            for each in mail["deliveries"]
        ),
    )


@command.command("show", short_help="Show a mail's fate and the reasons.")
@click.argument("reference")
@json_option
@pass_console
def show_mail(console: Console, reference: str, as_json: bool) -> None:
    """Show what became of a mail and why, by the REFERENCE that its sender was given."""
    with console.database() as database, database.read() as session:
        logged = logged_mail(session, console_reader(), reference)
        mail = _mail(logged, with_trace=True)
    if as_json:
        print_json(mail)
    else:
        _print(mail)


def _mail(logged: LoggedMail, *, with_trace: bool = False) -> dict[str, Any]:
    mail = logged.mail
    return {
        "reference": mail.reference,
        "received_at": mail.received_at,
        "protocol": mail.protocol,
        "peer": mail.peer,
        "helo": mail.helo,
        "tls": mail.tls,
        "trusted": mail.trusted,
        "mail_from": mail.mail_from,
        "from_address": mail.from_address,
        "from": mail.from_display,
        "subject": mail.subject,
        "message_id": mail.message_id,
        "size": mail.size,
        "evidence": mail.evidence,
        "defects": mail.defects,
        "deliveries": [_delivery(each, with_trace=with_trace) for each in logged.deliveries],
    }


def _delivery(logged: LoggedDelivery, *, with_trace: bool) -> dict[str, Any]:
    delivery = logged.delivery
    told: dict[str, Any] = {
        "recipient": delivery.recipient,
        "decision": delivery.decision,
        "reason": delivery.reason,
        "reply": delivery.reply,
        "queue": logged.queue or None,
        "ticket": logged.ticket,
        "customer_user": logged.account or None,
        "matched_by": delivery.matched_by,
        "held": delivery.held,
        "settled_at": delivery.settled_at,
        "settled_why": delivery.settled_why or None,
        "duplicates": delivery.duplicates,
    }
    if with_trace:
        told["trace"] = [
            {"rule": stored["rule"], "answer": stored["answer"], "because": step.because}
            for stored, step in zip(delivery.trace, shown_steps(delivery.trace), strict=True)
        ]
    return told


def _print(mail: dict[str, Any]) -> None:
    for name, value in mail.items():
        if name != "deliveries":
            click.echo(f"{name + ':':<16}{shown(value)}")
    for delivery in mail["deliveries"]:
        click.echo()
        for name, value in delivery.items():
            if name != "trace":
                click.echo(f"{name + ':':<16}{shown(value)}")
        for step in delivery["trace"]:
            click.echo(printable(f"  {step['rule']:<24}{step['answer']:<18}{step['because']}"))

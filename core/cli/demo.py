"""``schalter demo``: a first look, with a sample organisation and sample mails."""

import importlib
import ipaddress
import smtplib
import socket
import tomllib
from collections.abc import Sequence
from email import message_from_bytes
from email.utils import parseaddr
from pathlib import Path
from typing import Any

import click
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.cli.console import Console, Failure, console_actor, pass_console
from core.cli.instance import PROGRAMS
from core.cli.output import progress
from core.cli.prepare import prepare
from core.cli.serve import checked_to_serve, environment, programs
from core.cli.supervisor import Supervisor
from core.config import Config, split_host_port
from core.models import AuditEvent, Mail

SAMPLE = Path(__file__).parents[1] / "sample"
ORGANISATION = SAMPLE / "organisation.toml"
MAILS = SAMPLE / "mails"
LOADED = ("created", "sample")  # action and object kind of the audit event that marks the sample
SMTP_SECONDS = 20.0

# One line for a second terminal. Debian has python3, but not everywhere curl or swaks. Without a
# Message-ID of its own the same line typed twice would count as one mail delivered twice.
SEND_A_MAIL = (
    "python3 -c 'import smtplib, email.utils as u; "
    'smtplib.SMTP("{host}", {port}).sendmail("{sender}", "{recipient}", '
    '"From: {sender}\\nTo: {recipient}\\nMessage-ID: " + u.make_msgid(domain="demo.example") + '
    '"\\nSubject: Scanner in Halle 1\\n\\nDer Scanner piept nur noch.")\''
)
EXAMPLE_SENDER = "jale.oezdemir@hansen-spedition.example"
EXAMPLE_RECIPIENT = "stoerung@nordlicht.example"


@click.command("demo", short_help="A first look: everything, with a sample organisation.")
@pass_console
def command(console: Console) -> None:
    """Run everything with a sample organisation, on this machine only, until Ctrl-C.

    The first start makes the database, loads the organisation and sends some mails through the
    SMTP port. The passwords are known to everybody, so it listens on loopback addresses only, and
    leaves a database alone that somebody uses for real.
    """
    config = console.config
    for key, address in (("smtp.listen", config.smtp.listen), ("web.listen", config.web.listen)):
        _check_loopback(key, address)
    with console.open_database() as database:
        prepare(config, database)
        with database.read() as session:
            is_loaded = _is_loaded(session)
        if not is_loaded:
            # Imported when it is needed, once: every later start is faster for it.
            sample = importlib.import_module("core.cli.sample")
            sample.load_sample(database, console_actor("demo"), ORGANISATION, LOADED)
        with database.read() as session:
            mails = _unsent_mails(session)
        where = database.address
    log_file = Path(config.secret_key_file).with_name("demo.log")
    with checked_to_serve(console, PROGRAMS), log_file.open("ab") as log:

        def ready() -> bool:
            if not (_answers(config.smtp.listen) and _answers(config.web.listen)):
                return False
            _send(config, mails)
            click.echo(_welcome(config, where, log_file))
            return True

        children = programs(config, PROGRAMS)
        Supervisor(children, environment(console), say=click.echo, log=log).run(ready)
    click.echo("Stopped.")


def _is_loaded(session: Session) -> bool:
    action, kind = LOADED
    statement = select(AuditEvent.id).where(
        AuditEvent.object_kind == kind, AuditEvent.action == action
    )
    return session.scalars(statement.limit(1)).first() is not None


def _unsent_mails(session: Session) -> Sequence[bytes]:
    """Return the sample mails, or none when they were sent before."""
    mails = [path.read_bytes() for path in sorted(MAILS.glob("*.eml"))]
    last = message_from_bytes(mails[-1])["Message-ID"]
    statement = select(func.count()).select_from(Mail).where(Mail.message_id == last)
    return () if session.scalars(statement).one() else mails


def _check_loopback(key: str, address: str) -> None:
    """Raise ``Failure`` for an address that others than this machine can reach."""
    host, _port = split_host_port(address)
    try:
        found = {str(place[4][0]) for place in socket.getaddrinfo(host, None)}
    except OSError:
        found = set()
    if not found or not all(ipaddress.ip_address(each).is_loopback for each in found):
        raise Failure(
            f"{key} {address}: everybody knows the passwords of the demonstration, so it runs on "
            "a loopback address only, as 127.0.0.1"
        )


def _answers(address: str) -> bool:
    try:
        with socket.create_connection(split_host_port(address), timeout=1.0):
            return True
    except OSError:
        return False


def _send(config: Config, mails: Sequence[bytes]) -> None:
    """Send mails through the SMTP port, as anybody's mail program would."""
    if not mails:
        return
    with (
        smtplib.SMTP(*split_host_port(config.smtp.listen), timeout=SMTP_SECONDS) as client,
        progress(mails, len(mails), "Sample mails") as sending,
    ):
        for mail in sending:
            message = message_from_bytes(mail)
            sender, recipient = parseaddr(message["From"])[1], parseaddr(message["To"])[1]
            client.sendmail(sender, recipient, mail.replace(b"\n", b"\r\n"))


def _welcome(config: Config, database: str, log_file: Path) -> str:
    """Return what somebody needs to look around."""
    organisation = tomllib.loads(ORGANISATION.read_text(encoding="utf-8"))
    firms = {customer["number"]: customer["name"] for customer in organisation["customers"]}
    accounts = [
        *((staff, staff["role"]) for staff in organisation["staff"]),
        *((user, firms[user["customer_number"]]) for user in organisation["customer_users"]),
    ]
    logins = "\n".join(_login(account, what) for account, what in accounts)
    host, port = split_host_port(config.smtp.listen)
    line = SEND_A_MAIL.format(
        host=host, port=port, sender=EXAMPLE_SENDER, recipient=EXAMPLE_RECIPIENT
    )
    return f"""
Pages:     {config.public_url}/
Mail in:   {config.smtp.listen} (SMTP)
Database:  {database}
Log:       {log_file}

  Login         Password        Who
{logins}

To send a mail, copy this line into another terminal:

  {line}

Ctrl-C stops everything.
"""


def _login(account: dict[str, Any], what: str) -> str:
    invalid = "" if account.get("valid", "valid") == "valid" else ", invalid"
    who = f"{account['first_name']} {account['last_name']} ({what}{invalid})"
    return f"  {account['login']:<14}{account['password']:<16}{who}"

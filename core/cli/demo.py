"""``schalter demo``: a first look, with a sample organisation and sample mails."""

import ipaddress
import smtplib
import socket
from collections.abc import Sequence
from email import message_from_bytes
from email.utils import parseaddr
from pathlib import Path

import click
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core import audit
from core.apply.bring import bring_about, new_passwords, password_count
from core.apply.wanted import CUSTOMER, CUSTOMER_USER, STAFF, Entry, Wanted, read_wanted
from core.audit import Actor
from core.cli.console import Console, Failure, console_actor, pass_console
from core.cli.init import prepare
from core.cli.instance import PROGRAMS
from core.cli.output import progress
from core.cli.serve import checked_to_serve, environment, programs
from core.cli.supervisor import Supervisor
from core.config import Config
from core.db import Database
from core.models import AuditEvent, Customer, Mail, Queue, Staff
from core.words import Validity

SAMPLE = Path(__file__).parents[1] / "sample"
ORGANISATION = SAMPLE / "organisation.toml"
MAILS = SAMPLE / "mails"
LOADED = ("created", "sample")  # action and object of the audit event that marks the sample
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
    SMTP port. The passwords are known, so it listens on loopback addresses only and leaves a
    database alone that somebody uses for real.
    """
    config = console.config
    for key, address in (("smtp.listen", config.smtp.listen), ("web.listen", config.web.listen)):
        _check_loopback(key, address)
    with console.open_database() as database:
        prepare(config, database)
        wanted = read_wanted(ORGANISATION)
        load_sample(database, console_actor("demo"), wanted)
        with database.read() as session:
            mails = unsent_mails(session)
        where = database.address
    log_file = Path(config.secret_key_file).with_name("demo.log")
    with checked_to_serve(console, PROGRAMS), log_file.open("ab") as log:

        def ready() -> bool:
            if not (_answers(config.smtp.listen) and _answers(config.web.listen)):
                return False
            _send(config, mails)
            click.echo(_welcome(config, wanted, where, log_file))
            return True

        children = programs(config, PROGRAMS)
        Supervisor(children, environment(console), say=click.echo, log=log).run(ready)
    click.echo("Stopped.")


def load_sample(database: Database, actor: Actor, wanted: Wanted) -> None:
    """Load the sample organisation into an empty database, unless it is there already.

    Raises ``Failure`` for a database with anything else in it.
    """
    with database.read() as session:
        if _is_loaded(session):
            return
        if not _is_empty(session):
            raise Failure(
                f"database {database.address}: it is in use, and the sample organisation has "
                "passwords that everybody knows: name another database, or use schalter serve"
            )
        hashing = new_passwords(session, wanted)
        with progress(hashing, password_count(wanted), "Sample organisation") as hashes:
            passwords = {(kind, key): new for kind, key, new in hashes if new is not None}
    with database.write() as session:
        for _change in bring_about(session, actor, wanted, passwords):
            pass
        action, kind = LOADED
        audit.record(session, actor, action, kind, None, ORGANISATION.name)


def unsent_mails(session: Session) -> Sequence[bytes]:
    """Return the sample mails, or none when they were sent before."""
    mails = [path.read_bytes() for path in sorted(MAILS.glob("*.eml"))]
    ids = [message_from_bytes(mail)["Message-ID"] for mail in mails]
    statement = select(func.count()).select_from(Mail).where(Mail.message_id == ids[-1])
    return () if session.scalars(statement).one() else mails


def _is_loaded(session: Session) -> bool:
    action, kind = LOADED
    statement = select(AuditEvent.id).where(
        AuditEvent.object_kind == kind, AuditEvent.action == action
    )
    return session.scalars(statement.limit(1)).first() is not None


def _is_empty(session: Session) -> bool:
    """Whether nobody has begun to work with the database, apart from ``schalter init``."""
    return not any(
        session.scalars(statement.limit(1)).first()
        for statement in (
            select(Customer.id),
            select(Queue.id),
            select(Staff.id).where(~Staff.must_change_password),
        )
    )


def _check_loopback(key: str, address: str) -> None:
    host = address.rpartition(":")[0].strip("[]")
    try:
        found = {place[4][0] for place in socket.getaddrinfo(host, None)}
    except OSError:
        found = set()
    if not found or not all(ipaddress.ip_address(each).is_loopback for each in found):
        raise Failure(
            f"{key} {address}: everybody knows the passwords of the demonstration, so it runs on "
            "a loopback address only, as 127.0.0.1"
        )


def _answers(address: str) -> bool:
    host, _colon, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=1.0):
            return True
    except OSError:
        return False


def _send(config: Config, mails: Sequence[bytes]) -> None:
    """Send mails through the SMTP port, as anybody's mail program would."""
    if not mails:
        return
    host, _colon, port = config.smtp.listen.rpartition(":")
    with (
        smtplib.SMTP(host.strip("[]"), int(port), timeout=SMTP_SECONDS) as client,
        progress(mails, len(mails), "Sample mails") as sending,
    ):
        for mail in sending:
            message = message_from_bytes(mail)
            sender, recipient = parseaddr(message["From"])[1], parseaddr(message["To"])[1]
            client.sendmail(sender, recipient, mail.replace(b"\n", b"\r\n"))


def _welcome(config: Config, wanted: Wanted, database: str, log_file: Path) -> str:
    """Return what somebody needs to look around."""
    host, _colon, port = config.smtp.listen.rpartition(":")
    line = SEND_A_MAIL.format(
        host=host.strip("[]"), port=port, sender=EXAMPLE_SENDER, recipient=EXAMPLE_RECIPIENT
    )
    logins = "\n".join(
        f"  {entry.key:<14}{entry.given['password']:<16}{_who(wanted, entry)}"
        for kind in (STAFF, CUSTOMER_USER)
        for entry in wanted.entries[kind]
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


def _who(wanted: Wanted, entry: Entry) -> str:
    """Return the name of an account with what it is."""
    given = entry.given
    if entry.kind is STAFF:
        what = given["role"].value
    else:
        names = {each.key: each.given["name"] for each in wanted.entries[CUSTOMER]}
        what = f"customer, {names[given['customer_number']]}"
    is_valid = given.get("valid", Validity.VALID) is Validity.VALID
    return f"{given['first_name']} {given['last_name']} ({what}{'' if is_valid else ', invalid'})"

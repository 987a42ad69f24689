"""Two running installations and the internet between them, for tests.

Each has a gateway and a worker as programs of their own. Their relay is one of ours, which hands
each mail on to whom it is for: an installation, or a mailbox that may answer.
"""

import os
import smtplib
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copyfile

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.db import Database
from core.models import (
    Article,
    Customer,
    CustomerUser,
    CustomerUserAddress,
    OutgoingMail,
    QueueAddress,
    Ticket,
)
from core.outgoing.installation import Installation
from core.secret_key import Keys, ensure_secret_key
from core.words import OutgoingState
from tests.intake.firm import Firm, a_firm
from tests.support.processes import free_port, run_process, wait_until
from tests.support.relay import Received, Relay, Script, run_relay

Responder = Callable[[Received], None]


@dataclass
class Instance:
    """A running installation: its queue Vertrieb is ``vertrieb@`` its domain."""

    domain: str
    database: Database
    firm: Firm
    installation: Installation
    port: int

    @property
    def address(self) -> str:
        """The address of the queue."""
        return f"vertrieb@{self.domain}"

    def send(self, mail_from: str, content: str, to: str = "") -> None:
        """Hand a mail in by SMTP."""
        raw = content.replace("\n", "\r\n").encode()
        with smtplib.SMTP("127.0.0.1", self.port, timeout=30) as client:
            client.sendmail(mail_from, [to or self.address], raw)

    def add_account(self, login: str, address: str) -> None:
        """Make a customer user of Muster GmbH, who may write to the queue."""
        with self.database.write() as session:
            customer = session.get_one(Customer, self.firm.customers["K-1000"])
            session.add(
                CustomerUser(
                    login=login,
                    login_key=login,
                    customer=customer,
                    first_name=login.capitalize(),
                    last_name="Test",
                    addresses=[
                        CustomerUserAddress(address=address, address_key=address, exclusive=True)
                    ],
                )
            )

    def outgoing(self, recipient: str) -> list[OutgoingMail]:
        """Return the outgoing mails to an address, in order."""
        with self.database.read() as session:
            return list(
                session.scalars(
                    select(OutgoingMail)
                    .where(OutgoingMail.recipient_key == recipient)
                    .order_by(OutgoingMail.id)
                )
            )

    def tickets_of(self, login: str) -> list[tuple[Ticket, int]]:
        """Return the tickets of an account, each with the number of its articles."""
        with self.database.read() as session:
            return [
                (ticket, count)
                for ticket, count in session.execute(
                    select(Ticket, func.count(Article.id))
                    .join(CustomerUser, CustomerUser.id == Ticket.customer_user_id)
                    .join(Article, Article.ticket_id == Ticket.id)
                    .where(CustomerUser.login == login)
                    .group_by(Ticket.id)
                    .order_by(Ticket.id)
                )
            ]

    def count_waiting(self) -> int:
        """Return how many mails wait for the worker."""
        with self.database.read() as session:
            return _count_waiting(session)


@dataclass
class World:
    """Two installations and what is between them. ``mailboxes`` keeps what people got."""

    here: Instance
    there: Instance
    relay: Relay
    mailboxes: Mapping[str, list[Received]]
    responders: dict[str, Responder] = field(default_factory=dict)

    def wait_for_quiet(self, seconds: float = 60.0) -> None:
        """Return when nobody has anything to send any more.

        A mail is handed on before its sender is told that it was taken, so whatever it causes is
        there before it is settled.
        """
        both = (self.here, self.there, self.here, self.there)
        wait_until(
            lambda: not any(each.count_waiting() for each in both), "quiet outboxes", seconds
        )


@contextmanager
def two_instances(folder: Path, template: Path) -> Iterator[World]:
    """Run two installations while the block lasts."""
    mailboxes: defaultdict[str, list[Received]] = defaultdict(list)
    instances: dict[str, Instance] = {}
    responders: dict[str, Responder] = {}

    def hand_on(message: Received) -> None:
        domain = message.recipient.rpartition("@")[2]
        if domain in instances:
            with smtplib.SMTP("127.0.0.1", instances[domain].port, timeout=30) as client:
                client.sendmail(message.mail_from, [message.recipient], message.content)
            return
        mailboxes[message.recipient].append(message)
        if message.recipient in responders:
            responders[message.recipient](message)

    with ExitStack() as stack:
        relay = stack.enter_context(run_relay(Script(on_message=hand_on)))
        for domain in ("here.example", "there.example"):
            place = folder / domain
            place.mkdir()
            instances[domain] = _start(stack, place, template, domain, relay)
        yield World(*instances.values(), relay, mailboxes, responders)


def _start(stack: ExitStack, folder: Path, template: Path, domain: str, relay: Relay) -> Instance:
    file, key, port = folder / "schalter.db", folder / "secret.key", free_port()
    copyfile(template, file)
    ensure_secret_key(str(key))
    database = Database(f"sqlite:///{file}")
    stack.callback(database.dispose)
    firm = a_firm(database, sender_policy="open")
    with database.write() as session:
        for row in session.scalars(select(QueueAddress)):
            row.address = row.address_key = f"{row.address_key.partition('@')[0]}@{domain}"
    env = {
        "SCHALTER_DATABASE__URL": f"sqlite:///{file}",
        "SCHALTER_SECRET_KEY_FILE": str(key),
        "SCHALTER_SMTP__LISTEN": f"127.0.0.1:{port}",
        "SCHALTER_SMTP__HOSTNAME": f"mx.{domain}",
        "SCHALTER_SMTP__TRUSTED_RELAYS": '["127.0.0.0/8"]',
        "SCHALTER_RELAY__HOST": "127.0.0.1",
        "SCHALTER_RELAY__PORT": str(relay.port),
        "SCHALTER_RELAY__TLS": "none",
    }
    for program in ("gateway", "core.worker"):
        process = stack.enter_context(
            run_process(sys.executable, "-m", program, env={**os.environ, **env})
        )
        if program == "gateway":
            process.wait_for_port(port, 60)
        else:
            process.wait_for_output('"started"', 60)
    installation = Installation(Keys(str(key)), f"https://{domain}", f"mx.{domain}")
    return Instance(domain, database, firm, installation, port)


def _count_waiting(session: Session) -> int:
    return session.scalars(
        select(func.count())
        .select_from(OutgoingMail)
        .where(OutgoingMail.state == OutgoingState.WAITING)
    ).one()

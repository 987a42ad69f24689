"""An outbox with mail in it, and couriers to take it out, for tests."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any

from sqlalchemy import delete, select

from core.config import RelaySection
from core.db import Database
from core.models import AuditEvent, OutgoingMail
from core.outgoing.compose import Mailbox
from core.outgoing.courier import Courier
from core.outgoing.outbox import Posting, post
from core.outgoing.relay import Deadlines
from core.words import OutgoingKind, OutgoingState
from tests.outgoing.automatic import Office
from tests.support.processes import RunningProcess, run_process
from tests.support.relay import Relay

QUICK = Deadlines(connect=1.5, command=1.5, message=1.5)
SENDER = Mailbox("vertrieb@example.org", "Beispiel Vertrieb")


class Clock:
    """A monotonic clock that goes when it is told to."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Postbox:
    """The outbox of an office."""

    office: Office
    folder: Path  # of the key
    clock: Clock = field(default_factory=Clock)

    @property
    def database(self) -> Database:
        """The database that it is in."""
        return self.office.database

    def put(
        self,
        *recipients: str,
        text: str = "Guten Tag",
        ticket_id: int | None = None,
        subject: str = "Antwort",
    ) -> list[int]:
        """Put a message of staff into the outbox; return the ids of its rows."""
        posting = Posting(
            kind=OutgoingKind.REPLY,
            sender=SENDER,
            to=tuple(Mailbox(each) for each in recipients),
            subject=subject,
            text=text,
            queue_id=self.office.firm.queues["Vertrieb"],
            ticket_id=ticket_id,
        )
        with self.database.write() as session:
            return list(post(session, self.office.installation, posting).outgoing_ids)

    def worker(self, relay: Relay) -> AbstractContextManager[RunningProcess]:
        """Run the worker as a program of its own while the block lasts."""
        env = {
            "SCHALTER_DATABASE__URL": self.database.url.render_as_string(hide_password=False),
            "SCHALTER_SECRET_KEY_FILE": str(self.folder / "secret.key"),
            "SCHALTER_RELAY__HOST": "127.0.0.1",
            "SCHALTER_RELAY__PORT": str(relay.port),
            "SCHALTER_RELAY__TLS": "none",
        }
        return run_process(sys.executable, "-m", "core.worker", env=env)

    def open_ticket(self) -> int:
        """File a ticket, without the answer that it gets by itself; return its id."""
        ticket_id = self.office.open_ticket()
        with self.database.write() as session:
            session.execute(delete(OutgoingMail).where(OutgoingMail.ticket_id == ticket_id))
        return ticket_id

    def put_many(self, count: int) -> list[int]:
        """Put so many messages into the outbox, one recipient each."""
        return [self.put(f"k{number}@muster.example")[0] for number in range(count)]

    def courier(self, relay: Relay | RelaySection, **options: Any) -> Courier:
        """Return a courier that does not wait long for anything."""
        if isinstance(relay, Relay):
            relay = RelaySection(host="127.0.0.1", port=relay.port, tls="none")
        options = {"deadlines": QUICK, "clock": self.clock, "random": Random(1), **options}
        return Courier(self.database, self.office.installation, relay, **options)

    def mail(self, outgoing_id: int) -> OutgoingMail:
        """Return a row as it is now."""
        with self.database.read() as session:
            return session.get_one(OutgoingMail, outgoing_id)

    def mails(self) -> list[OutgoingMail]:
        """Return all rows, in the order in which they were put in."""
        with self.database.read() as session:
            return list(session.scalars(select(OutgoingMail).order_by(OutgoingMail.id)))

    def states(self) -> list[OutgoingState]:
        """Return the states of all rows."""
        return [mail.state for mail in self.mails()]

    def pass_time(self, by: timedelta) -> None:
        """Let time pass for the outbox: what was to happen then is due so much earlier."""
        self.clock.seconds += by.total_seconds()
        with self.database.write() as session:
            for mail in session.scalars(select(OutgoingMail)):
                mail.created_at -= by
                mail.next_try_at -= by
                if mail.leased_until is not None:
                    mail.leased_until -= by

    def history(self, ticket_id: int) -> list[AuditEvent]:
        """Return what the history of a ticket tells of mail that was not sent."""
        with self.database.read() as session:
            return list(
                session.scalars(
                    select(AuditEvent).where(
                        AuditEvent.object_kind == "ticket",
                        AuditEvent.object_id == ticket_id,
                        AuditEvent.action == "not-sent",
                    )
                )
            )


@contextmanager
def working(courier: Courier) -> Iterator[Thread]:
    """Let a courier work in a thread while the block lasts."""

    def work() -> None:
        while not courier.wait(min(courier.run_due(), 0.05)):
            pass

    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        courier.abandon()
        thread.join(60)
        assert not thread.is_alive()

"""The outbox under SIGKILL: each article is in it exactly once, and nothing of it is lost.

Staff write while the worker, a process of its own, is killed again and again. What the relay took
twice is no more than there were kills: only the mail at hand can be between the relay's 250 and our
commit. ``KILL_LOOP_SECONDS`` is how long that goes on for each database.
"""

import os
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from core.audit import staff_actor
from core.models import Article, OutgoingMail, Staff, Ticket, now
from core.tickets.reply import ReplyValues, reply
from core.words import Author, OutgoingState
from tests.outgoing.sending import Postbox
from tests.support.relay import Answer, Relay, Script, run_relay

SECONDS = float(os.environ.get("KILL_LOOP_SECONDS", "6"))
BACKLOG = 10  # mails that may wait
LEAST_KILLS = 2  # however long each start takes
LIFE_SECONDS = (0.0, 0.1)  # from a message to the kill


@dataclass
class Writer:
    """An agent who answers one ticket after the other."""

    postbox: Postbox
    tickets: list[str]
    relay: Relay
    stop: threading.Event = field(default_factory=threading.Event)
    written: int = 0

    def run(self) -> None:
        """Write until told to stop, but not much faster than mail is sent."""
        office = self.postbox.office
        while not self.stop.wait(0.01):
            if self.written > len(self.relay.messages) + BACKLOG:
                continue
            public_id = self.tickets[self.written % len(self.tickets)]
            with office.database.write() as session:
                staff = session.get_one(Staff, office.firm.staff["root"])
                newest = session.scalars(
                    select(func.max(Article.id)).join(Ticket).where(Ticket.public_id == public_id)
                ).one()
                values = ReplyValues(text=f"Antwort {self.written}", seen_article=newest)
                actor = staff_actor(staff)
                reply(session, office.installation, actor, staff, public_id, values)
            self.written += 1


@pytest.mark.slow
def test_each_article_is_sent_and_only_a_kill_sends_it_twice(postbox: Postbox) -> None:
    tickets = [postbox.open_ticket() for _number in range(5)]
    with postbox.database.read() as session:
        public_ids = [session.get_one(Ticket, each).public_id for each in tickets]
    delays = random.Random(20261125)

    def slowly(_command: str, _before: int) -> Answer | None:
        time.sleep(delays.uniform(0, 0.02))  # so that kills hit every moment of a session
        return None

    with run_relay(Script(dict.fromkeys(("MAIL", "DATA", "message"), slowly))) as relay:
        writer = Writer(postbox, public_ids, relay)
        thread = threading.Thread(target=writer.run)
        thread.start()
        try:
            kills = keep_killing(postbox, relay)
        finally:
            writer.stop.set()
            thread.join()
        let_leases_end(postbox)
        with postbox.worker(relay) as process:
            process.wait_for(lambda: set(postbox.states()) == {OutgoingState.SENT}, "empty outbox")
            assert process.stop() == 0, process.output

    with postbox.database.read() as session:
        articles = session.scalars(select(Article.id).where(Article.author == Author.STAFF)).all()
    mails = postbox.mails()
    assert len(articles) == writer.written
    assert sorted(mail.article_id or 0 for mail in mails) == sorted(articles)
    taken = Counter(message_id(each.content) for each in relay.messages)
    twice = sum(taken.values()) - len(taken)
    shown = f"{kills} kills, {len(mails)} mails, {twice} taken twice by the relay"
    print(shown)
    assert set(taken) == {mail.message_id for mail in mails}, shown
    assert max(taken.values()) - 1 <= kills, shown
    assert twice <= kills, shown
    assert not relay.faults
    assert kills >= LEAST_KILLS, shown
    assert len(mails) >= kills, shown


def keep_killing(postbox: Postbox, relay: Relay) -> int:
    """Start a worker and kill it while it sends, again and again; return how often.

    Every second time it is killed as soon as the relay has taken a message, because the moment
    before our commit is short.
    """
    rng = random.Random(20261125)
    deadline = time.monotonic() + SECONDS
    kills = 0
    while time.monotonic() < deadline or kills < LEAST_KILLS:
        taken = len(relay.messages) + rng.randrange(3)
        with postbox.worker(relay) as process:
            while len(relay.messages) <= taken:
                assert process.child.poll() is None, process.output
                time.sleep(0.0002)
            if kills % 2:
                time.sleep(rng.uniform(*LIFE_SECONDS))
            process.kill()
            kills += 1
        let_leases_end(postbox)
    return kills


def let_leases_end(postbox: Postbox) -> None:
    """Let the time pass for which a mail stays claimed by a worker that died."""
    with postbox.database.write() as session:
        session.execute(
            update(OutgoingMail)
            .where(OutgoingMail.leased_until.is_not(None))
            .values(leased_until=now() - timedelta(seconds=1))
        )


def message_id(content: bytes) -> str:
    """Return the Message-ID of a message."""
    return content.partition(b"Message-ID: ")[2].partition(b"\r\n")[0].decode()

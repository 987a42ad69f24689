"""A relay that fails: all mail waits, nobody is asked in a storm, and nothing is lost (L8)."""

import threading
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from core.config import RelaySection
from core.models import OutgoingMail, now
from core.outgoing import courier as courier_module
from core.outgoing.backoff import GIVE_UP_AFTER, LEAST_TRIES
from core.outgoing.courier import LONGEST_OUTAGE_PAUSE, PATIENCE
from core.words import OutgoingState
from tests.outgoing.sending import Postbox
from tests.support.certificates import make_certificate
from tests.support.processes import free_port
from tests.support.relay import (
    DROP,
    EXTENSIONS,
    STALL,
    STALL_SECONDS,
    Answer,
    Received,
    Script,
    run_relay,
)

SENT, WAITING, FAILED = OutgoingState.SENT, OutgoingState.WAITING, OutgoingState.FAILED
A_WHILE = timedelta(minutes=13)  # longer than the longest pause of an outage


def nobody() -> RelaySection:
    """Return a relay that does not run."""
    return RelaySection(host="127.0.0.1", port=free_port(), tls="none")


def messages_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the courier has logged."""
    return [each.getMessage() for each in caplog.records if each.name == "courier"]


def test_a_relay_that_is_down_is_asked_once_for_all(
    postbox: Postbox, caplog: pytest.LogCaptureFixture
) -> None:
    ids = postbox.put_many(30)
    relay = nobody()
    courier = postbox.courier(relay)
    for _second in range(20):
        courier.run_due()
    mails = postbox.mails()
    assert {mail.reply for mail in mails} == {f"127.0.0.1:{relay.port}: connection refused"}
    assert {mail.attempts for mail in mails} == {0}
    assert all(mail.next_try_at > now() + timedelta(seconds=30) for mail in mails)
    assert messages_of(caplog) == [
        f"relay: 127.0.0.1:{relay.port}: connection refused: all mail waits"
    ]
    caplog.clear()
    caplog.set_level("INFO")
    with run_relay(port=relay.port) as running:
        courier.run_due()
        assert not running.connections
        postbox.pass_time(A_WHILE)
        courier.run_due()
    assert len(running.messages) == len(ids)
    assert running.connections == 1
    assert messages_of(caplog)[0] == "relay: it takes mail again"


def test_new_mail_does_not_end_the_pause(small_postbox: Postbox) -> None:
    small_postbox.put_many(1)
    with run_relay(Script({"greeting": b"421 4.3.2 too busy"})) as relay:
        courier = small_postbox.courier(relay)
        for _second in range(10):
            courier.run_due()
            small_postbox.put_many(1)
        assert relay.connections == 1


def test_pauses_of_an_outage_grow_but_stay_short(small_postbox: Postbox) -> None:
    small_postbox.put_many(1)
    with run_relay(Script({"EHLO": b"451 4.3.0 later"})) as relay:
        courier = small_postbox.courier(relay)
        for _minute in range(6 * 60):
            courier.run_due()
            small_postbox.pass_time(timedelta(minutes=1))
        assert 6 * 60 / (LONGEST_OUTAGE_PAUSE / timedelta(minutes=1)) / 1.3 < relay.connections
        assert relay.connections < 60


def test_what_a_broken_relay_kept_for_five_days_is_given_up(small_postbox: Postbox) -> None:
    ticket_id = small_postbox.open_ticket()
    (old,) = small_postbox.put("anna@muster.example", ticket_id=ticket_id)
    small_postbox.pass_time(GIVE_UP_AFTER)
    (new,) = small_postbox.put("bert@muster.example")
    relay = nobody()
    courier = small_postbox.courier(relay)
    for _try in range(LEAST_TRIES - 1):
        courier.run_due()
        small_postbox.pass_time(A_WHILE)
    assert small_postbox.states() == [WAITING, WAITING]
    courier.run_due()
    assert (small_postbox.mail(old).state, small_postbox.mail(new).state) == (FAILED, WAITING)
    assert small_postbox.mail(old).reply == f"127.0.0.1:{relay.port}: connection refused"
    assert len(small_postbox.history(ticket_id)) == 1


def test_faults_of_tls_and_sign_in_let_all_mail_wait(
    small_postbox: Postbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ids = small_postbox.put_many(3)
    password = tmp_path / "password"
    password.write_text("geheim")
    certificate = make_certificate(tmp_path, "DNS:localhost")
    script = Script({"AUTH": b"535 5.7.8 no"}, (*EXTENSIONS, b"AUTH PLAIN"))
    with run_relay(script) as relay:
        configured = RelaySection(
            host="localhost",
            port=relay.port,
            username="us",
            password_file=str(password),
            ca_file=str(certificate.file),
        )
        courier = small_postbox.courier(configured)
        said = []
        for step in range(3):
            if step == 1:
                script.certificate = certificate.server_context()
            if step == 2:
                script.answers = {}
            courier.run_due()
            said.append(small_postbox.mail(ids[0]).reply)
            small_postbox.pass_time(A_WHILE)
    place = f"localhost:{relay.port}: "
    assert said == [
        place + "it does not offer STARTTLS, so nothing is sent to it",
        place + "it refuses our sign-in: 535 5.7.8 no",
        "250 2.0.0 Ok: queued",
    ]
    assert set(small_postbox.states()) == {SENT}
    assert messages_of(caplog) == [f"relay: {each}: all mail waits" for each in said[:2]]
    assert "geheim" not in caplog.text


def test_a_relay_that_takes_no_mail_is_soon_left_alone(small_postbox: Postbox) -> None:
    small_postbox.put_many(40)
    with run_relay(Script({"MAIL": b"452 4.3.1 disk full"})) as relay:
        courier = small_postbox.courier(relay)
        courier.run_due()
        assert relay.reached["MAIL"] == PATIENCE
        courier.run_due()
        assert relay.reached["MAIL"] == PATIENCE
        tried = [mail for mail in small_postbox.mails() if mail.attempts]
        assert len(tried) == PATIENCE
        assert all("452 4.3.1 disk full" in mail.reply for mail in small_postbox.mails())
        relay.script.answers = {}
        small_postbox.pass_time(A_WHILE)
        courier.run_due()
    assert set(small_postbox.states()) == {SENT}


def test_451_for_an_hour_and_then_dropped_after_the_message(postbox: Postbox) -> None:
    """Threat L8, as it is written there: back-off, no storm, the same Message-ID."""
    ids = postbox.put_many(25)
    dropped: Counter[str] = Counter()
    minutes = 0

    def message(recipient: str, _before: int) -> Answer | None:
        if minutes < 60:
            return b"451 4.7.1 try again later"
        dropped[recipient] += 1
        return DROP if dropped[recipient] == 1 else None

    with run_relay(Script({"message": message})) as relay:
        courier = postbox.courier(relay)
        while set(postbox.states()) != {SENT} and minutes < 600:
            courier.run_due()
            postbox.pass_time(timedelta(minutes=1))
            minutes += 1
            if minutes == 60:
                first_hour = relay.reached["message"]
    assert set(postbox.states()) == {SENT}
    assert first_hour <= 15 * PATIENCE, "a storm of retries"
    assert Counter(each.recipient for each in relay.messages) == {
        f"k{number}@muster.example": 1 for number in range(len(ids))
    }
    assert set(dropped.values()) == {2}  # what SMTP cannot exclude: once dropped, once taken
    by_recipient: dict[str, set[bytes]] = {}
    for each in [*relay.messages, *relay.unanswered]:
        by_recipient.setdefault(each.recipient, set()).add(each.content)
    assert {len(contents) for contents in by_recipient.values()} == {1}


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "message"])
@pytest.mark.parametrize("answer", [DROP, STALL])
def test_a_message_that_ends_sessions_stops_no_other(
    small_postbox: Postbox, stage: str, answer: Answer
) -> None:
    bad, *good = small_postbox.put_many(3)

    def first(_command: str, before: int) -> Answer | None:
        return answer if before == 0 else None

    with run_relay(Script({stage: first})) as relay:
        small_postbox.courier(relay).run_due()
    assert small_postbox.mail(bad).state is WAITING
    assert small_postbox.mail(bad).next_try_at > now()
    assert [small_postbox.mail(each).state for each in good] == [SENT, SENT]


def test_a_stalled_relay_ends_in_time(small_postbox: Postbox) -> None:
    small_postbox.put_many(10)
    started = time.monotonic()
    with run_relay(Script({"MAIL": STALL})) as relay:
        small_postbox.courier(relay).run_due()
        assert relay.connections == PATIENCE
    assert time.monotonic() - started < STALL_SECONDS
    assert set(small_postbox.states()) == {WAITING}


def test_what_was_taken_is_written_down_when_the_database_is_back(
    small_postbox: Postbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The relay has it: a database that fails for a moment must not make us send it again."""
    (taken,) = small_postbox.put("anna@muster.example")
    settle, failures = courier_module._settle, [True, True]

    def failing(*arguments: object) -> bool:
        if failures:
            failures.pop()
            raise OperationalError("UPDATE", {}, Exception("away"))
        return settle(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(courier_module, "_settle", failing)
    with run_relay() as relay:
        courier = small_postbox.courier(relay)
        courier.run_due()
        courier.run_due()
    assert small_postbox.mail(taken).state is SENT
    assert len(relay.messages) == 1


def test_a_courier_that_died_leaves_its_mail_to_the_next(small_postbox: Postbox) -> None:
    """Its lease runs out; until then nobody sends the mail, afterwards somebody does."""
    (orphan,) = small_postbox.put("anna@muster.example")
    with run_relay() as relay:
        dead = small_postbox.courier(relay)
        claim = dead._claim()
        assert claim is not None
        heir = small_postbox.courier(relay)
        heir.run_due()
        assert not relay.messages
        small_postbox.pass_time(dead._lease + timedelta(seconds=1))
        heir.run_due()
    assert small_postbox.mail(orphan).state is SENT
    assert small_postbox.mail(orphan).attempts == 2


def test_mail_put_in_while_sending_is_sent_too(small_postbox: Postbox) -> None:
    small_postbox.put_many(1)
    more = threading.Semaphore(3)

    def put(_received: Received) -> None:
        if more.acquire(blocking=False):
            small_postbox.put_many(1)

    with run_relay(Script(on_message=put)) as relay:
        small_postbox.courier(relay).run_due()
    assert len(relay.messages) == 4
    assert relay.connections == 1


def test_a_cancelled_mail_is_not_sent_though_it_was_due(small_postbox: Postbox) -> None:
    first, second = small_postbox.put_many(2)

    def cancel(_received: Received) -> None:
        with small_postbox.database.write() as session:
            session.get_one(OutgoingMail, second).state = OutgoingState.CANCELLED

    with run_relay(Script(on_message=cancel)) as relay:
        small_postbox.courier(relay).run_due()
    assert len(relay.messages) == 1
    assert small_postbox.mail(first).state is SENT
    assert small_postbox.mail(second).state is OutgoingState.CANCELLED

"""The courier: what is due is sent once and settled; what is not sent waits, or says why not."""

import threading
from datetime import timedelta
from email import message_from_bytes
from pathlib import Path

import pytest
from sqlalchemy import func, select

from core.config import RelaySection
from core.db import Database
from core.mail.tokens import TokenKind, read_token
from core.models import BouncingAddress, CustomerUser, OutgoingMail, RawMail, TicketMute, now
from core.outgoing import courier as courier_module
from core.outgoing.backoff import JITTER, LEAST_TRIES
from core.outgoing.courier import LEASE_MARGIN, Courier
from core.words import OutgoingKind, OutgoingState, Validity
from tests.outgoing.automatic import an_office
from tests.outgoing.sending import QUICK, Postbox, working
from tests.support.relay import Answer, Script, run_relay

SENT, WAITING = OutgoingState.SENT, OutgoingState.WAITING


def test_what_is_due_is_sent(postbox: Postbox) -> None:
    first = postbox.put("anna@muster.example", "bert@muster.example", text="Erste\n.\nZeile")
    (second,) = postbox.put("carol@bücher.example")
    with run_relay() as relay:
        postbox.courier(relay).run_due()
    assert [each.recipient for each in relay.messages] == [
        "anna@muster.example",
        "bert@muster.example",
        "carol@xn--bcher-kva.example",
    ]
    assert not relay.faults
    with postbox.database.read() as session:
        raw = session.get_one(RawMail, postbox.mail(first[0]).raw_id).content
    assert [each.content for each in relay.messages[:2]] == [raw, raw]
    assert relay.connections == 1
    for outgoing_id, received in zip([*first, second], relay.messages, strict=True):
        mail = postbox.mail(outgoing_id)
        assert (mail.state, mail.reply, mail.attempts) == (SENT, "250 2.0.0 Ok: queued", 1)
        assert mail.leased_until is None
        assert mail.settled_at is not None
        token = read_token(
            [postbox.office.installation.keys.ring.current],
            received.mail_from.partition("+")[2].partition("@")[0],
        )
        assert token is not None
        assert (token.kind, token.outgoing_id) == (TokenKind.BOUNCE, outgoing_id)


def test_what_is_not_due_waits(small_postbox: Postbox) -> None:
    later, leased, cancelled = small_postbox.put_many(3)
    with small_postbox.database.write() as session:
        session.get_one(OutgoingMail, later).next_try_at = now() + timedelta(minutes=1)
        session.get_one(OutgoingMail, leased).leased_until = now() + timedelta(minutes=1)
        session.get_one(OutgoingMail, cancelled).state = OutgoingState.CANCELLED
    with run_relay() as relay:
        small_postbox.courier(relay).run_due()
        assert not relay.connections
        small_postbox.pass_time(timedelta(minutes=2))
        small_postbox.courier(relay).run_due()
    assert len(relay.messages) == 2
    assert small_postbox.mail(cancelled).state is OutgoingState.CANCELLED


def test_without_a_relay_nothing_is_touched(small_postbox: Postbox) -> None:
    (waiting,) = small_postbox.put("anna@muster.example")
    small_postbox.pass_time(timedelta(days=30))
    small_postbox.courier(RelaySection()).run_due()
    mail = small_postbox.mail(waiting)
    assert (mail.state, mail.attempts, mail.leased_until, mail.reply) == (WAITING, 0, None, "")


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "message"])
def test_refused_for_now_waits_and_stops_no_other(small_postbox: Postbox, stage: str) -> None:
    bad, good = small_postbox.put_many(2)

    def refuse(_command: str, before: int) -> Answer | None:
        return b"451 4.3.0 later" if before == 0 else None

    with run_relay(Script({stage: refuse})) as relay:
        courier = small_postbox.courier(relay)
        courier.run_due()
        mail = small_postbox.mail(bad)
        assert (mail.state, mail.reply) == (WAITING, "451 4.3.0 later")
        pause = (mail.next_try_at - now()) / timedelta(minutes=1)
        assert 0.9 - JITTER < pause < 1 + JITTER
        assert small_postbox.mail(good).state is SENT
        small_postbox.pass_time(timedelta(minutes=2))
        courier.run_due()
    assert small_postbox.states() == [SENT, SENT]
    assert small_postbox.mail(bad).attempts == 2
    assert small_postbox.mail(bad).message_id in relay.messages[-1].content.decode()


def test_refused_for_good_is_told_on_the_ticket(postbox: Postbox) -> None:
    ticket_id = postbox.open_ticket()
    bad, good = postbox.put("anna@muster.example", "bert@muster.example", ticket_id=ticket_id)
    refusal = b"550 5.1.1 <anna@muster.example>: unknown"
    script = Script({"RCPT": lambda command, _n: refusal if "anna" in command else None})
    with run_relay(script) as relay:
        postbox.courier(relay).run_due()
    mail = postbox.mail(bad)
    assert (mail.state, mail.reply) == (OutgoingState.FAILED, refusal.decode())
    assert postbox.mail(good).state is SENT
    (event,) = postbox.history(ticket_id)
    assert event.after == {"recipient": "anna@muster.example", "why": refusal.decode()}
    assert bounces_of(postbox, "anna@muster.example") == 1
    assert bounces_of(postbox, "bert@muster.example") == 0


def bounces_of(postbox: Postbox, address: str) -> int:
    """Return how often an address is known to have refused mail."""
    with postbox.database.read() as session:
        found = session.get(BouncingAddress, address)
        return found.bounces if found is not None else 0


def test_given_up_after_five_days(small_postbox: Postbox) -> None:
    ticket_id = small_postbox.open_ticket()
    (waiting,) = small_postbox.put("anna@muster.example", ticket_id=ticket_id)
    with run_relay(Script({"RCPT": b"450 4.2.0 greylisted"})) as relay:
        courier = small_postbox.courier(relay)
        for _try in range(LEAST_TRIES - 1):
            courier.run_due()
            small_postbox.pass_time(timedelta(days=1))
        assert small_postbox.mail(waiting).state is WAITING
        courier.run_due()
    mail = small_postbox.mail(waiting)
    assert (mail.state, mail.reply) == (OutgoingState.FAILED, "450 4.2.0 greylisted")
    assert len(small_postbox.history(ticket_id)) == 1
    assert bounces_of(small_postbox, "anna@muster.example") == 0


def test_composed_when_it_is_sent_and_never_again(postbox: Postbox) -> None:
    article = postbox.office.take_mail("Drucker")
    late = postbox.office.put(article_id=article)
    script = Script({"message": lambda _command, before: b"451 later" if before == 0 else None})
    with run_relay(script) as relay:
        courier = postbox.courier(relay)
        courier.run_due()
        mail = postbox.mail(late)
        assert mail.raw_id is not None
        assert mail.state is WAITING
        composed = (mail.raw_id, mail.message_id, mail.subject, mail.mail_from)
        postbox.pass_time(timedelta(minutes=2))
        courier.run_due()
    mail = postbox.mail(late)
    assert mail.state is SENT
    assert (mail.raw_id, mail.message_id, mail.subject, mail.mail_from) == composed
    assert relay.messages[0].content == relay.unanswered[0].content
    assert relay.messages[0].mail_from == ""


def test_what_is_not_wanted_any_more_is_not_sent(postbox: Postbox) -> None:
    ticket_id = postbox.open_ticket()
    muted = postbox.office.put(OutgoingKind.RECEIVED, ticket_id=ticket_id)
    (good,) = postbox.put("anna@muster.example")
    with postbox.database.write() as session:
        anna = session.get_one(CustomerUser, postbox.office.firm.customer_users["anna"])
        anna.valid = Validity.INVALID
        session.add(TicketMute(customer_user_id=anna.id, ticket_id=ticket_id))
    with run_relay() as relay:
        postbox.courier(relay).run_due()
    mail = postbox.mail(muted)
    assert (mail.state, mail.reply) == (OutgoingState.SUPPRESSED, "The account is invalid.")
    assert mail.raw_id is None
    assert postbox.mail(good).state is SENT
    assert len(relay.messages) == 1


def test_a_secret_is_composed_anew_and_never_stored(postbox: Postbox) -> None:
    reset = postbox.office.put(OutgoingKind.PASSWORD_RESET)
    with postbox.database.write() as session:
        session.get_one(OutgoingMail, reset).queue_id = None
    script = Script({"message": lambda _command, before: b"451 later" if before == 0 else None})
    with run_relay(script) as relay:
        courier = postbox.courier(relay)
        courier.run_due()
        postbox.pass_time(timedelta(minutes=2))
        courier.run_due()
    mail = postbox.mail(reset)
    assert (mail.state, mail.raw_id) == (SENT, None), mail.reply
    first, second = relay.unanswered[0].content, relay.messages[0].content
    assert first != second
    assert [message_from_bytes(each)["Message-ID"] for each in (first, second)] == [
        mail.message_id
    ] * 2
    with postbox.database.read() as session:
        assert session.scalar(select(func.count()).select_from(RawMail)) == 0


def test_what_cannot_be_made_stops_no_other(
    small_postbox: Postbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bad = small_postbox.office.put(article_id=small_postbox.office.take_mail())
    (good,) = small_postbox.put("anna@muster.example")

    def broken(*_arguments: object) -> None:
        raise KeyError("a defect")

    monkeypatch.setattr(courier_module, "compose_late", broken)
    with run_relay() as relay:
        small_postbox.courier(relay).run_due()
    mail = small_postbox.mail(bad)
    assert (mail.state, mail.reply) == (WAITING, courier_module.NOT_MADE)
    assert mail.next_try_at > now()
    assert small_postbox.mail(good).state is SENT
    assert "a defect" in caplog.text


def test_what_is_due_is_read_from_its_index(small_postbox: Postbox) -> None:
    """SQLite would sort everything that waits, for every single mail."""
    with small_postbox.database.read() as session:
        statement = select(OutgoingMail.id).where(courier_module._due(session, now()))
        statement = statement.order_by(OutgoingMail.next_try_at, OutgoingMail.id).limit(1)
        text = str(statement.compile(session.get_bind(), compile_kwargs={"literal_binds": True}))
        plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {text}").all()
    assert [row[3] for row in plan] == [
        "SEARCH outgoing_mails USING INDEX ix_outgoing_mails_due (next_try_at<?)"
    ]


@pytest.mark.postgresql
def test_two_couriers_never_send_twice(postgresql_database: Database, tmp_path: Path) -> None:
    postbox = Postbox(an_office(postgresql_database, tmp_path), tmp_path)
    ids = postbox.put_many(120)
    late = [
        postbox.office.put(
            article_id=postbox.office.take_mail(str(number)),
            to=f"l{number}@x.example",
            account=None,
        )
        for number in range(5)
    ]
    with run_relay() as relay:
        couriers = [postbox.courier(relay) for _number in range(3)]
        threads = [threading.Thread(target=courier.run_due) for courier in couriers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    recipients = [each.recipient for each in relay.messages]
    assert len(recipients) == len(set(recipients)) == len(ids) + len(late)
    assert set(postbox.states()) == {SENT}
    assert {mail.attempts for mail in postbox.mails()} == {1}
    assert relay.connections > 1


@pytest.mark.parametrize(
    ("second", "state", "reply"),
    [
        (None, SENT, "250 2.0.0 Ok: queued"),
        (b"451 4.3.0 later", WAITING, "451 4.3.0 later"),
    ],
)
def test_a_lost_lease_settles_nothing(
    second: Answer | None,
    state: OutgoingState,
    reply: str,
    small_postbox: Postbox,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A courier that stood still for longer than its lease finds that another one has settled."""
    (contested,) = small_postbox.put("anna@muster.example")

    def meanwhile(_command: str, before: int) -> Answer | None:
        if before > 0:
            return second
        small_postbox.pass_time(timedelta(seconds=QUICK.message) + LEASE_MARGIN * 2)
        small_postbox.courier(relay).run_due()
        return b"550 5.0.0 the first courier is told this"

    with run_relay(Script({"message": meanwhile})) as relay:
        patient = courier_module.Deadlines(connect=5, command=5, message=5)
        small_postbox.courier(relay, deadlines=patient).run_due()
    mail = small_postbox.mail(contested)
    assert (mail.state, mail.reply, mail.attempts) == (state, reply, 2)
    assert f"reply {contested}: the lease was lost" in caplog.text


def test_a_mail_that_came_back_before_it_was_settled(small_postbox: Postbox) -> None:
    """A report can overtake our own commit; it knows more than the relay's 250."""
    (bounced,) = small_postbox.put("anna@muster.example")

    def come_back(_received: object) -> None:
        with small_postbox.database.write() as session:
            session.get_one(OutgoingMail, bounced).state = OutgoingState.BOUNCED

    with run_relay(Script(on_message=come_back)) as relay:
        small_postbox.courier(relay).run_due()
    assert small_postbox.mail(bounced).state is OutgoingState.BOUNCED


def test_told_to_stop_it_finishes_the_mail_at_hand(small_postbox: Postbox) -> None:
    first, second = small_postbox.put_many(2)
    courier: Courier
    with run_relay(Script(on_message=lambda _message: courier.stop())) as relay:
        courier = small_postbox.courier(relay)
        courier.run_due()
    assert small_postbox.mail(first).state is SENT
    mail = small_postbox.mail(second)
    assert (mail.state, mail.attempts, mail.leased_until) == (WAITING, 0, None)


def test_cut_off_the_mail_at_hand_is_due_at_once(small_postbox: Postbox) -> None:
    (waiting,) = small_postbox.put("anna@muster.example")
    reached = threading.Event()

    def stall(_command: str, _before: int) -> Answer:
        reached.set()
        return "stall"

    slow = courier_module.Deadlines(connect=60, command=60, message=60)
    with run_relay(Script({"RCPT": stall})) as relay:
        with working(small_postbox.courier(relay, deadlines=slow)):
            assert reached.wait(10)
        mail = small_postbox.mail(waiting)
        assert (mail.state, mail.leased_until) == (WAITING, None)
        assert mail.next_try_at <= now()

"""The outbox in the hands of staff: who sees what, and what can be done with it."""

from datetime import timedelta
from random import Random

import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from core.accounts.staff import StaffQueues, staff_queue_ids
from core.audit import Actor, staff_actor
from core.config import RelaySection
from core.errors import Forbidden, NotFound, SchalterError, Stale
from core.i18n import set_language
from core.models import AuditEvent, OutgoingMail, Staff, StaffGroup, now, ticket_number
from core.organisation import load_organisation
from core.outgoing.lists import OutgoingFilter, outbox_state, outgoing_mails, reply_text
from core.outgoing.manage import (
    can_cancel,
    can_retry,
    cancel,
    may_work_on,
    outgoing_mail,
    retry,
)
from core.outgoing.relay import TOO_BIG
from core.words import OutgoingKind, OutgoingState, Permission
from tests.outgoing.sending import Postbox
from tests.support.relay import run_relay


def queues_of(session: Session, staff: Staff) -> StaffQueues:
    """Return the queues of a member of staff."""
    return staff_queue_ids(session, load_organisation(session), staff)


def member(session: Session, postbox: Postbox, login: str) -> Staff:
    """Return a member of staff: *root* is an admin, *jonas* works Vertrieb."""
    return session.get_one(Staff, postbox.office.firm.staff[login])


def listed(postbox: Postbox, login: str = "root", **wanted: object) -> list[int]:
    """Return the ids that somebody's list shows, page by page."""
    found: list[int] = []
    cursor: str | None = None
    with postbox.database.read() as session:
        queues = queues_of(session, member(session, postbox, login))
        while True:
            page = outgoing_mails(
                session,
                queues,
                OutgoingFilter(**wanted),  # type: ignore[arg-type]
                cursor=cursor,
                limit=3,
            )
            found += [mail.id for mail in page.items]
            cursor = page.next
            if cursor is None:
                return found


@pytest.fixture
def mails(postbox: Postbox) -> dict[str, int]:
    """Mails of several kinds, queues and states, by a name."""
    ticket_id = postbox.open_ticket()
    named = {
        "anna": postbox.put("anna@muster.example", ticket_id=ticket_id, subject="100% Drucker")[0],
        "bert": postbox.put("bert@muster.example", subject="Angebot")[0],
        "technik": postbox.put("carol@acme.example", subject="Drucker")[0],
        "reset": postbox.office.put(OutgoingKind.PASSWORD_RESET),
    }
    with postbox.database.write() as session:
        technik = session.get_one(OutgoingMail, named["technik"])
        technik.queue_id = postbox.office.firm.queues["Technik"]
        session.get_one(OutgoingMail, named["reset"]).queue_id = None
        session.get_one(OutgoingMail, named["bert"]).state = OutgoingState.FAILED
    return named


# Who asks for what, and what is listed.
LISTED: list[tuple[str, dict[str, object], list[str]]] = [
    ("root", {}, ["reset", "technik", "bert", "anna"]),
    ("jonas", {}, ["bert", "anna"]),
    ("root", {"state": OutgoingState.WAITING}, ["reset", "technik", "anna"]),
    ("root", {"state": OutgoingState.FAILED}, ["bert"]),
    ("root", {"query": "MUSTER"}, ["reset", "bert", "anna"]),
    ("root", {"query": "drucker"}, ["technik", "anna"]),
    ("root", {"query": "100%"}, ["anna"]),
    ("root", {"query": "_rucker"}, []),
    ("jonas", {"query": "drucker"}, ["anna"]),
    ("root", {"ticket": ticket_number(1)}, ["anna"]),
    ("root", {"ticket": 99}, []),
    ("root", {"ticket": 2**70}, []),
]


def test_the_list_shows_what_somebody_may_read(postbox: Postbox, mails: dict[str, int]) -> None:
    by_id = {outgoing_id: name for name, outgoing_id in mails.items()}
    for login, wanted, names in LISTED:
        assert [by_id[each] for each in listed(postbox, login, **wanted)] == names, (login, wanted)


def test_one_queue_of_many(postbox: Postbox, mails: dict[str, int]) -> None:
    queues = postbox.office.firm.queues
    assert listed(postbox, queue_id=queues["Technik"]) == [mails["technik"]]
    assert listed(postbox, "jonas", queue_id=queues["Technik"]) == []


def test_a_page_costs_the_same_for_any_number_of_rows(small_postbox: Postbox) -> None:
    ticket_id = small_postbox.open_ticket()
    for number in range(12):
        small_postbox.put(f"k{number}@muster.example", ticket_id=ticket_id)
    statements: list[str] = []
    with small_postbox.database.read() as session:
        queues = queues_of(session, member(session, small_postbox, "root"))
        event.listen(
            session.get_bind(), "before_cursor_execute", lambda *seen: statements.append(seen[2])
        )
        page = outgoing_mails(session, queues, OutgoingFilter(), limit=10)
        shown = [(mail.queue, mail.ticket) for mail in page.items]
    assert all(queue and ticket for queue, ticket in shown)
    assert len([each for each in statements if each.startswith("SELECT")]) == 1


def test_how_the_outbox_stands(postbox: Postbox, mails: dict[str, int]) -> None:
    with postbox.database.write() as session:
        oldest = now() - timedelta(hours=3)
        session.get_one(OutgoingMail, mails["technik"]).created_at = oldest
    with postbox.database.read() as session:
        state = outbox_state(session)
    assert (state.waiting, state.oldest_waiting_at, state.failed) == (3, oldest, 1)


def test_an_empty_outbox(postbox: Postbox) -> None:
    with postbox.database.read() as session:
        state = outbox_state(session)
    assert (state.waiting, state.oldest_waiting_at, state.failed) == (0, None, 0)


def do(postbox: Postbox, action: str, outgoing_id: int, login: str = "jonas") -> OutgoingMail:
    """Let somebody retry or cancel a mail."""
    with postbox.database.write() as session:
        staff = member(session, postbox, login)
        actor: Actor = staff_actor(staff, "192.0.2.1")
        return {"retry": retry, "cancel": cancel}[action](session, actor, staff, outgoing_id)


# Each state, whether it is being sent, what can be done with it, and what is said.
STATES = [
    (OutgoingState.WAITING, False, True, True),
    (OutgoingState.WAITING, True, False, False),
    (OutgoingState.SENT, False, False, False),
    (OutgoingState.FAILED, False, True, True),
    (OutgoingState.BOUNCED, False, True, False),
    (OutgoingState.CANCELLED, False, True, False),
    (OutgoingState.SUPPRESSED, False, True, False),
]


@pytest.mark.parametrize(("state", "leased", "retries", "cancels"), STATES)
def test_what_can_be_done_in_each_state(
    state: OutgoingState, leased: bool, retries: bool, cancels: bool, small_postbox: Postbox
) -> None:
    for action, possible in (("retry", retries), ("cancel", cancels)):
        (outgoing_id,) = small_postbox.put("anna@muster.example")
        with small_postbox.database.write() as session:
            mail = session.get_one(OutgoingMail, outgoing_id)
            mail.state, mail.attempts = state, 7
            mail.next_try_at = now() + timedelta(hours=3)
            mail.leased_until = now() + timedelta(minutes=1) if leased else None
            assert (can_retry(mail), can_cancel(mail)) == (retries, cancels)
        if not possible:
            with pytest.raises(Stale):
                do(small_postbox, action, outgoing_id)
            assert small_postbox.mail(outgoing_id).state is state
            continue
        do(small_postbox, action, outgoing_id)
        mail = small_postbox.mail(outgoing_id)
        if action == "cancel":
            assert mail.state is OutgoingState.CANCELLED
            assert mail.settled_at is not None
            continue
        assert (mail.state, mail.attempts, mail.settled_at) == (OutgoingState.WAITING, 0, None)
        assert mail.next_try_at <= now()


def test_what_was_done_is_in_the_audit_log(postbox: Postbox, mails: dict[str, int]) -> None:
    do(postbox, "retry", mails["bert"])
    do(postbox, "cancel", mails["bert"])
    with postbox.database.read() as session:
        events = session.scalars(
            select(AuditEvent).where(AuditEvent.object_kind == "outgoing-mail")
        ).all()
    assert [(each.action, each.actor_name, each.before, each.after) for each in events] == [
        ("retried", "jonas", {"state": "failed"}, {"state": "waiting"}),
        ("cancelled", "jonas", {"state": "waiting"}, {"state": "cancelled"}),
    ]


@pytest.mark.parametrize("action", ["retry", "cancel"])
def test_who_may_do_it(action: str, postbox: Postbox, mails: dict[str, int]) -> None:
    refusals: list[tuple[str, type[SchalterError]]] = [
        ("technik", NotFound),
        ("reset", NotFound),
    ]
    for name, refusal in refusals:
        with pytest.raises(refusal):
            do(postbox, action, mails[name])
        do(postbox, action, mails[name], "root")
    for outgoing_id in (0, -1, 2**40, 999):
        with pytest.raises(NotFound):
            do(postbox, action, outgoing_id, "root")
    with postbox.database.write() as session:
        own = session.scalars(select(StaffGroup)).one()
        own.permission = Permission.RO
    with pytest.raises(Forbidden):
        do(postbox, action, mails["anna"])
    with postbox.database.read() as session:
        jonas = member(session, postbox, "jonas")
        shown = outgoing_mail(session, jonas, mails["anna"])
        assert not may_work_on(session, jonas, shown)
        assert may_work_on(session, member(session, postbox, "root"), shown)
        assert shown.raw is not None
        with pytest.raises(NotFound):
            outgoing_mail(session, jonas, mails["technik"])


def test_a_retried_mail_is_sent_with_the_same_bytes(postbox: Postbox) -> None:
    (outgoing_id,) = postbox.put("anna@muster.example")
    before = postbox.mail(outgoing_id)
    do(postbox, "cancel", outgoing_id)
    postbox.pass_time(timedelta(days=30))
    with run_relay() as relay:
        courier = postbox.courier(relay)
        courier.run_due()
        assert not relay.messages
        do(postbox, "retry", outgoing_id)
        courier.run_due()
    after = postbox.mail(outgoing_id)
    assert after.state is OutgoingState.SENT
    assert (after.raw_id, after.message_id) == (before.raw_id, before.message_id)
    assert f"Message-ID: {before.message_id}".encode() in relay.messages[0].content


def test_what_is_being_sent_cannot_be_called_off(postbox: Postbox) -> None:
    (outgoing_id,) = postbox.put("anna@muster.example")
    nobody = RelaySection(host="127.0.0.1", port=1, tls="none")
    assert postbox.courier(nobody, random=Random(1))._claim() is not None
    for action in ("cancel", "retry"):
        with pytest.raises(Stale, match="just being sent"):
            do(postbox, action, outgoing_id)


def test_why_a_mail_was_not_sent_in_the_readers_language() -> None:
    set_language("de")
    ours = reply_text(OutgoingMail(reply=f"552 5.3.4 {TOO_BIG}"))
    assert ours == "552 5.3.4 Das Relay nimmt keine Nachrichten dieser Größe an."
    assert reply_text(OutgoingMail(reply="250 2.0.0 Ok")) == "250 2.0.0 Ok"
    assert "gibt es nicht" in reply_text(OutgoingMail(reply="There is no such outgoing mail."))
    assert reply_text(OutgoingMail(reply="550 100% (nein)")) == "550 100% (nein)"
    assert reply_text(OutgoingMail(reply="")) == ""

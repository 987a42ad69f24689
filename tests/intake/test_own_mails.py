"""The mails of a customer user: which are shown, what is told of them, and filing one oneself."""

from pathlib import Path

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core import audit
from core.accounts.permissions import Access, customer_user_access
from core.db import Database
from core.errors import Forbidden, NotFound, Stale
from core.intake.held import discard, release
from core.intake.incoming import Incoming, RecipientReceipt
from core.intake.own_mails import Fate, OwnMail, file_own_mail, own_mail, own_mails
from core.intake.pipeline import take_in
from core.intake.refuse import refuse
from core.models import (
    Article,
    AuditEvent,
    CustomerUser,
    CustomerUserGroup,
    Delivery,
    Mail,
    Queue,
    RawMail,
    Staff,
    Ticket,
)
from core.organisation import load_organisation
from core.outgoing.installation import Installation
from core.secret_key import Keys, ensure_secret_key
from core.words import Author, DecisionKind, Evidence, ForbiddenRule, HeldState, Protocol
from tests.intake.firm import Firm, a_firm
from tests.intake.mails import AT, a_mail
from tests.tickets.statements import plan, watched


@pytest.fixture
def firm(database: Database) -> Firm:
    return a_firm(database)


def account(session: Session, login: str) -> CustomerUser:
    return session.scalars(select(CustomerUser).where(CustomerUser.login == login)).one()


def access(session: Session, login: str) -> Access:
    return customer_user_access(session, load_organisation(session), account(session, login))


def mails(session: Session, login: str = "anna") -> tuple[OwnMail, ...]:
    return own_mails(session, access(session, login)).items


def send(session: Session, *sent: Incoming, evidence: Evidence = Evidence.VERIFIED) -> None:
    """Take mails in, and say how far their senders are proven."""
    take_in(session, sent)
    session.execute(update(Mail).values(evidence=evidence))
    session.expire_all()


def to_forbidden(number: int = 1, **more: str) -> Incoming:
    """Return a mail of Anna's to a queue that she may not write to."""
    return a_mail(to="rechnung@example.org", message_id=f"<f{number}@x>", **more)


def file(
    session: Session, delivery_id: int, queue_id: int, login: str = "anna"
) -> RecipientReceipt:
    who = account(session, login)
    actor = audit.customer_actor(who, "192.0.2.5")
    return file_own_mail(session, actor, access(session, login), delivery_id, queue_id)


def test_a_filed_mail_leads_to_its_ticket(database: Database, firm: Firm) -> None:
    with database.write() as session:
        send(session, a_mail())
        (mail,) = mails(session)
        ticket = session.scalars(select(Ticket)).one()
        assert (mail.fate, mail.ticket, mail.subject) == (Fate.FILED, ticket, "Frage")
        assert (mail.received_at, mail.recipient) == (AT, "vertrieb@example.org")
        assert not mail.doubtful
        assert not mail.may_file
        assert mail.why == ""
        assert mails(session, "bert") == mails(session, "carol") == ()


def test_what_nothing_proves_is_shown_with_its_ticket_only(database: Database, firm: Firm) -> None:
    """Table D, row V1: filed mail is marked; of held mail nothing is told that was in it."""
    with database.write() as session:
        send(session, a_mail(), to_forbidden(subject="Geheim"), evidence=Evidence.NEUTRAL)
        held, filed = mails(session)
        assert (filed.fate, filed.subject, filed.doubtful) == (Fate.FILED, "Frage", True)
        assert (held.fate, held.subject, held.doubtful) == (Fate.WAITING, None, True)
        assert not held.may_file
        with pytest.raises(Stale):
            file(session, held.id, firm.queues["Vertrieb"])
        assert (
            session.scalars(select(Delivery.held).where(Delivery.id == held.id)).one() == "waiting"
        )


def test_the_open_policy_takes_neutral_for_verified(database: Database) -> None:
    firm = a_firm(database, sender_policy="open")
    with database.write() as session:
        send(session, to_forbidden(), evidence=Evidence.NEUTRAL)
        (mail,) = mails(session)
        assert (mail.subject, mail.doubtful, mail.may_file) == ("Frage", False, True)
        assert file(session, mail.id, firm.queues["Vertrieb"]).ticket_id is not None


@pytest.mark.parametrize(
    "foreign",
    [
        pytest.param(
            a_mail("Kunden#: K-1000\r\n", sender="wer@fremd.example"), id="number-from-elsewhere"
        ),
        pytest.param(a_mail("Kunden#: K-1000\r\n", sender="neu@muster.example"), id="known-domain"),
        pytest.param(a_mail("Kunden#: K-1000\r\n", sender="carol@acme.example"), id="conflict"),
        pytest.param(a_mail(headers="From: x@fremd.example\r\n"), id="two-senders"),
    ],
)
def test_what_merely_names_an_account_is_nobodys(
    database: Database, firm: Firm, foreign: Incoming
) -> None:
    with database.write() as session:
        send(session, foreign)
        assert session.scalars(select(Delivery)).one()
        for login in ("anna", "bert", "carol"):
            assert mails(session, login) == ()


def test_a_refuted_sender_is_not_shown(database: Database, firm: Firm) -> None:
    with database.write() as session:
        send(session, a_mail(), to_forbidden(), evidence=Evidence.FAILED)
        assert (
            session.scalars(select(Delivery.customer_user_id)).all()
            == [firm.customer_users["anna"]] * 2
        )
        assert mails(session) == ()
        for delivery_id in session.scalars(select(Delivery.id)):
            with pytest.raises(NotFound):
                own_mail(session, access(session, "anna"), delivery_id)
            with pytest.raises(NotFound):
                file(session, delivery_id, firm.queues["Vertrieb"])


def test_messages_of_the_portal_are_no_mails(database: Database, firm: Firm) -> None:
    with database.write() as session:
        send(session, a_mail())
        session.execute(update(Mail).values(protocol=Protocol.PORTAL))
        assert mails(session) == ()


def test_a_second_address_of_a_queue_tells_nothing_new(database: Database, firm: Firm) -> None:
    with database.write() as session:
        send(session, a_mail(to=("vertrieb@example.org", "vertrieb+a@example.org")))
        assert len(session.scalars(select(Delivery)).all()) == 2
        assert len(mails(session)) == 1


def test_a_ticket_out_of_sight_is_not_named(database: Database, firm: Firm) -> None:
    """Staff have moved the ticket where Anna reads nothing, or to another account."""
    with database.write() as session:
        send(session, a_mail(), evidence=Evidence.NEUTRAL)
        session.execute(update(Ticket).values(queue_id=firm.queues["Rechnung"]))
        (mail,) = mails(session)
        assert (mail.fate, mail.ticket, mail.subject) == (Fate.PASSED_ON, None, None)


def test_what_staff_filed_as_anothers_mail_keeps_its_subject_to_itself(
    database: Database, firm: Firm
) -> None:
    with database.write() as session:
        send(session, to_forbidden(subject="Nur für Anna"))
        root = session.scalars(select(Staff).where(Staff.login == "root")).one()
        (mail,) = mails(session)
        bert = firm.customer_users["bert"]
        actor = audit.staff_actor(root)
        release(session, actor, root, mail.id, firm.queues["Vertrieb"], bert)
        session.execute(update(Ticket).values(queue_id=firm.queues["Rechnung"]))
        assert mails(session) == ()
        (of_bert,) = mails(session, "bert")
        assert (of_bert.fate, of_bert.subject) == (Fate.PASSED_ON, None)


@pytest.mark.parametrize("sender", ["wer@fremd.example", "neu@muster.example"])
def test_what_staff_filed_as_an_accounts_mail_was_not_sent_from_its_address(
    database: Database, firm: Firm, sender: str
) -> None:
    """Its ticket is Anna's, but what became of a mail is told to who sent it."""
    with database.write() as session:
        send(session, to_forbidden(sender=sender))
        root = session.scalars(select(Staff).where(Staff.login == "root")).one()
        held = session.scalars(select(Delivery.id)).one()
        anna = firm.customer_users["anna"]
        actor = audit.staff_actor(root)
        release(session, actor, root, held, firm.queues["Vertrieb"], anna)
        assert session.scalars(select(Delivery.customer_user_id)).one() == anna
        assert mails(session) == ()


def test_what_staff_put_aside_is_told_without_their_words(database: Database, firm: Firm) -> None:
    with database.write() as session:
        send(session, to_forbidden())
        root = session.scalars(select(Staff).where(Staff.login == "root")).one()
        (mail,) = mails(session)
        discard(session, audit.staff_actor(root), root, mail.id, "Kunde nervt")
        (mail,) = mails(session)
        assert (mail.fate, mail.subject, mail.may_file) == (Fate.PUT_ASIDE, "Frage", False)
        assert mail.why == "Your account may not write to this address."
        with pytest.raises(Stale):
            file(session, mail.id, firm.queues["Vertrieb"])


def test_what_staff_refuse_is_told_as_in_their_answer(
    database: Database, firm: Firm, tmp_path: Path
) -> None:
    key = str(tmp_path / "secret.key")
    ensure_secret_key(key)
    here = Installation(Keys(key), "https://hilfe.example.org", "mx.example.org")
    with database.write() as session:
        send(session, to_forbidden())
        root = session.scalars(select(Staff).where(Staff.login == "root")).one()
        (mail,) = mails(session)
        refuse(session, here, audit.staff_actor(root), root, mail.id, "not-for-us", "en")
        (mail,) = mails(session)
        assert (mail.fate, mail.may_file) == (Fate.REFUSED, False)
        assert mail.why == "It is about something that we do not deal with at this address."


def test_a_reason_that_only_staff_judge_is_not_told(database: Database, firm: Firm) -> None:
    with database.write() as session:
        send(session, to_forbidden())
        session.execute(update(Delivery).values(reason="malware"))
        (mail,) = mails(session)
        assert mail.why == "Our staff look at such mails before they become tickets."
        assert not mail.may_file
        with pytest.raises(Stale):
            file(session, mail.id, firm.queues["Vertrieb"])


def test_a_held_mail_becomes_a_ticket_of_its_sender(database: Database, firm: Firm) -> None:
    with database.write() as session:
        send(session, to_forbidden())
        (mail,) = mails(session)
        assert mail.may_file
        assert mail.why == "Your account may not write to this address."
        done = file(session, mail.id, firm.queues["Technik"])
        assert (done.decision, done.reason) == (DecisionKind.OPEN_TICKET, "portal")
        ticket = session.scalars(select(Ticket)).one()
        assert (ticket.queue_id, ticket.customer_user_id, ticket.flag) == (
            firm.queues["Technik"],
            firm.customer_users["anna"],
            None,
        )
        article = session.scalars(select(Article)).one()
        assert article.author is Author.CUSTOMER
        assert "bitte rufen Sie zurück" in article.text
        assert len(session.scalars(select(RawMail.id)).all()) == 1  # the bytes are there already
        delivery = session.scalars(select(Delivery)).one()
        assert (delivery.held, delivery.settled_by_id) == (HeldState.RELEASED, None)
        assert delivery.trace[-1]["rule"] == "portal_ticket"
        (shown,) = mails(session)
        assert (shown.fate, shown.ticket, shown.may_file) == (Fate.FILED, ticket, False)
        events = session.scalars(select(AuditEvent).order_by(AuditEvent.id)).all()
        assert [(each.action, each.object_kind, each.actor_name) for each in events[-2:]] == [
            ("created", "ticket", "anna"),
            ("released", "held-mail", "anna"),
        ]
    with database.write() as session, pytest.raises(Stale):  # pressed twice
        file(session, mail.id, firm.queues["Technik"])


def test_a_refused_mail_without_bytes_cannot_be_filed(database: Database, firm: Firm) -> None:
    with database.write() as session:
        session.execute(update(Queue).values(forbidden=ForbiddenRule.REJECT))
    with database.write() as session:
        send(session, to_forbidden())
        (mail,) = mails(session)
        assert (mail.fate, mail.subject, mail.may_file) == (Fate.REFUSED, "Frage", False)


def test_a_refused_part_of_a_kept_mail_can_be_filed_once(database: Database, firm: Firm) -> None:
    with database.write() as session:
        session.execute(update(Queue).values(forbidden=ForbiddenRule.REJECT))
    with database.write() as session:
        send(session, a_mail(to=("vertrieb@example.org", "rechnung@example.org")))
        refused, filed = mails(session)
        assert (filed.fate, refused.fate, refused.may_file) == (Fate.FILED, Fate.REFUSED, True)
        file(session, refused.id, firm.queues["Technik"])
        assert [mail.fate for mail in mails(session)] == [Fate.FILED, Fate.FILED]
        with pytest.raises(Stale):
            file(session, refused.id, firm.queues["Technik"])
        assert len(session.scalars(select(Ticket)).all()) == 2


@pytest.mark.parametrize("queue", ["Rechnung", "none"])
def test_a_mail_is_filed_where_its_account_may_write_only(
    database: Database, firm: Firm, queue: str
) -> None:
    with database.write() as session:
        send(session, to_forbidden())
        (mail,) = mails(session)
    with database.write() as session, pytest.raises(Forbidden):
        file(session, mail.id, firm.queues.get(queue, 999))
    with database.read() as session:
        assert session.scalars(select(Ticket)).all() == []


def test_a_right_that_was_taken_away_counts(database: Database, firm: Firm) -> None:
    with database.write() as session:
        send(session, to_forbidden())
        (mail,) = mails(session)
        mine = access(session, "anna")
        session.query(CustomerUserGroup).delete()
        actor = audit.customer_actor(account(session, "anna"))
        with pytest.raises(Forbidden):
            file_own_mail(session, actor, mine, mail.id, firm.queues["Technik"])


def test_nobody_files_or_reads_anothers_mail(database: Database, firm: Firm) -> None:
    with database.write() as session:
        send(session, to_forbidden())
        (mail,) = mails(session)
        for login in ("bert", "carol"):
            with pytest.raises(NotFound):
                own_mail(session, access(session, login), mail.id)
            with pytest.raises(NotFound):
                file(session, mail.id, firm.queues["Vertrieb"], login)
        with pytest.raises(NotFound):
            own_mail(session, access(session, "anna"), 2**80)


def test_pages_of_a_long_list_cost_the_same(database: Database, firm: Firm) -> None:
    with database.write() as session:
        send(session, *(a_mail(message_id=f"<{number}@x>") for number in range(7)))
    seen: list[int] = []
    cursor: str | None = None
    for expected in (3, 3, 1):
        with database.read() as session:
            mine = access(session, "anna")
            with watched(database) as statements:
                page = own_mails(session, mine, cursor=cursor, limit=3)
        assert len(page.items) == expected
        assert len(statements) <= 3, statements  # the organisation's version, mails, tickets
        seen += [mail.id for mail in page.items]
        cursor = page.next
    assert cursor is None
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == 7


def test_the_list_is_read_from_its_index(database: Database, firm: Firm) -> None:
    with database.write() as session:
        send(session, a_mail())
    with database.read() as session:
        mine = access(session, "anna")
        with watched(database) as statements:
            own_mails(session, mine, cursor=None, limit=3)
        (mails_of,) = [each for each in statements if "FROM deliveries" in each[0]]
        found = plan(session, database, mails_of)
    assert "ix_deliveries_customer_user" in found
    assert "TEMP B-TREE" not in found
    assert "Sort" not in found

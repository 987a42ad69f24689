"""Held mail: who may look at it and decide, what a release does, and what it refuses."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from core import audit
from core.db import Database
from core.errors import Forbidden, Invalid, InvalidFields, NotFound, Stale
from core.intake.held import discard, held_mail, release
from core.intake.held_list import (
    body_of,
    file_of,
    headers_of,
    held_counts,
    held_mails,
    identity_of,
    look_at,
    original_of,
    record_look,
    waiting_reasons,
)
from core.intake.incoming import Incoming, RecipientReceipt
from core.intake.pipeline import take_in
from core.models import (
    Article,
    AuditEvent,
    Customer,
    CustomerGroup,
    CustomerUser,
    CustomerUserAddress,
    Delivery,
    Queue,
    Staff,
    Ticket,
    TicketLink,
    now,
)
from core.words import Author, DecisionKind, Evidence, Flag, HeldState, Permission, Validity
from tests.intake.firm import Firm, a_firm
from tests.intake.mails import AT, a_mail


@pytest.fixture
def firm(database: Database) -> Firm:
    return a_firm(database, sender_policy="open")


def staff(session: Session, login: str) -> Staff:
    return session.scalars(select(Staff).where(Staff.login == login)).one()


def hold(session: Session, *mails: Incoming) -> list[int]:
    """Take mails in and return the ids of what was held, in order."""
    take_in(session, mails)
    statement = select(Delivery.id).where(Delivery.held == HeldState.WAITING).order_by(Delivery.id)
    return list(session.scalars(statement))


def let(
    session: Session, delivery_id: int, queue_id: int, login: str = "root", **more: object
) -> RecipientReceipt:
    """Release a held mail as a member of staff."""
    member = staff(session, login)
    actor = audit.staff_actor(member)
    return release(session, actor, member, delivery_id, queue_id, **more)


def stranger(number: int = 1, **more: object) -> Incoming:
    return a_mail(sender="wer@fremd.example", message_id=f"<s{number}@x>", **more)


def test_a_strangers_mail_is_released_without_a_customer(database: Database, firm: Firm) -> None:
    with database.write() as session:
        delivery_id = hold(session, stranger())[0]
        started = now()
        part = let(session, delivery_id, firm.queues["Technik"])
        assert (part.decision, part.reason) == (DecisionKind.OPEN_TICKET, "released")
        ticket = session.get_one(Ticket, part.ticket_id)
        assert (ticket.queue_id, ticket.flag) == (firm.queues["Technik"], Flag.STRANGER)
        assert (ticket.customer_id, ticket.created_at) == (None, AT)
        assert ticket.changed_at >= started  # it is new to those who look at the list
        article = session.get_one(Article, part.article_id)
        assert (article.author, article.created_at) == (Author.UNKNOWN, AT)
        delivery = session.get_one(Delivery, delivery_id)
        assert (delivery.held, delivery.decision) == (HeldState.RELEASED, DecisionKind.HOLD)
        assert (delivery.ticket_id, delivery.article_id) == (ticket.id, article.id)
        assert delivery.settled_by_id == firm.staff["root"]
        assert [step["rule"] for step in delivery.trace][-1] == "released_by_staff"
        events = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(2)).all()
        assert {(event.actor_name, event.action) for event in events} == {
            ("root", "created"),
            ("root", "released"),
        }
        assert all(event.at >= started for event in events)


def test_the_account_that_staff_choose(database: Database, firm: Firm) -> None:
    anna = firm.customer_users["anna"]
    with database.write() as session:
        delivery_id = hold(session, stranger())[0]
        part = let(
            session,
            delivery_id,
            firm.queues["Vertrieb"],
            customer_user_id=anna,
            remember_address=True,
        )
        ticket = session.get_one(Ticket, part.ticket_id)
        assert (ticket.customer_user_id, ticket.flag) == (anna, None)
        assert session.get_one(Delivery, delivery_id).customer_user_id == anna
        again = take_in(session, [stranger(2)])[0].recipients[0]
        assert again.decision is DecisionKind.OPEN_TICKET  # the address was remembered
        assert session.get_one(Ticket, again.ticket_id).customer_user_id == anna


def test_an_address_that_somebody_else_has_is_not_remembered(
    database: Database, firm: Firm
) -> None:
    mail = a_mail(to="rechnung@example.org")  # Anna's, held because the queue is forbidden
    with database.write() as session:
        delivery_id = hold(session, mail)[0]
    with pytest.raises(InvalidFields), database.write() as session:
        let(
            session,
            delivery_id,
            firm.queues["Vertrieb"],
            customer_user_id=firm.customer_users["bert"],
            remember_address=True,
        )
    with database.read() as session:
        assert session.get_one(Delivery, delivery_id).held is HeldState.WAITING
        assert not session.scalars(select(Ticket)).all()


Change = Callable[[Session, Firm], None]


def becomes_valid(session: Session, firm: Firm) -> None:
    session.get_one(CustomerUser, firm.customer_users["gone"]).valid = Validity.VALID
    customer = session.get_one(Customer, firm.customers["K-2000"])
    customer.permissions = [
        CustomerGroup(group_id=firm.groups["vertrieb"], permission=Permission.RW)
    ]


def returns_in_time(session: Session, firm: Firm) -> None:
    becomes_valid(session, firm)
    account = session.get_one(CustomerUser, firm.customer_users["gone"])
    account.valid = Validity.INVALID_TEMPORARILY
    account.invalid_until = now().date() - timedelta(days=1)


def still_away(session: Session, firm: Firm) -> None:
    returns_in_time(session, firm)
    session.get_one(CustomerUser, firm.customer_users["gone"]).invalid_until = now().date()


def without_permission(session: Session, firm: Firm) -> None:
    session.get_one(CustomerUser, firm.customer_users["gone"]).valid = Validity.VALID


def customer_invalid(session: Session, firm: Firm) -> None:
    becomes_valid(session, firm)
    session.get_one(Customer, firm.customers["K-2000"]).valid = False


@pytest.mark.parametrize(
    ("change", "released"),
    [
        (lambda _session, _firm: None, False),
        (becomes_valid, True),
        (returns_in_time, True),
        (still_away, False),
        (without_permission, False),
        (customer_invalid, False),
    ],
)
def test_mail_held_for_an_invalid_account(
    database: Database, firm: Firm, change: Change, released: bool
) -> None:
    """It is attached to the account once that is valid again, and only then."""
    with database.write() as session:
        delivery_id = hold(session, a_mail(sender="gone@acme.example"))[0]
        assert session.get_one(Delivery, delivery_id).reason == "account-invalid"
    with database.write() as session:
        change(session, firm)
    with database.write() as session:
        if not released:
            with pytest.raises(Forbidden):
                let(session, delivery_id, firm.queues["Vertrieb"])
            assert session.get_one(Delivery, delivery_id).held is HeldState.WAITING
            return
        ticket = session.get_one(
            Ticket, let(session, delivery_id, firm.queues["Vertrieb"]).ticket_id
        )
        assert ticket.customer_user_id == firm.customer_users["gone"]
        assert ticket.customer_id == firm.customers["K-2000"]


def test_a_forbidden_queue_stays_forbidden(database: Database, firm: Firm) -> None:
    with database.write() as session:
        delivery_id = hold(session, a_mail(to="rechnung@example.org"))[0]
        with pytest.raises(Forbidden, match="Rechnung"):
            let(session, delivery_id, firm.queues["Rechnung"])
        assert let(session, delivery_id, firm.queues["Technik"]).ticket_id  # she may use that


def test_an_undecided_account_must_be_chosen(database: Database, firm: Firm) -> None:
    with database.write() as session:
        delivery_id = hold(session, a_mail("Kundennummer K-2000\r\n"))[0]
        assert session.get_one(Delivery, delivery_id).reason == "number-conflict"
        with pytest.raises(Forbidden):
            let(session, delivery_id, firm.queues["Vertrieb"])
        anna = firm.customer_users["anna"]
        part = let(session, delivery_id, firm.queues["Vertrieb"], customer_user_id=anna)
        assert session.get_one(Ticket, part.ticket_id).customer_user_id == anna


@pytest.mark.parametrize(
    ("login", "queue", "account", "error"),
    [
        ("jonas", "Technik", None, Forbidden),  # works no support
        ("root", 999, None, Forbidden),
        ("root", "Vertrieb", 999, Invalid),
        ("root", "Vertrieb", "gone", Forbidden),
        ("root", "Vertrieb", "carol", Forbidden),  # may use no queue at all
    ],
)
def test_what_cannot_be_released(
    database: Database,
    firm: Firm,
    login: str,
    queue: str | int,
    account: str | int | None,
    error: type[Exception],
) -> None:
    queue_id = firm.queues[queue] if isinstance(queue, str) else queue
    account_id = firm.customer_users[account] if isinstance(account, str) else account
    with database.write() as session:
        delivery_id = hold(session, stranger())[0]
        with pytest.raises(error):
            let(session, delivery_id, queue_id, login, customer_user_id=account_id)
        assert not session.scalars(select(Ticket)).all()


def test_an_invalid_queue_takes_nothing(database: Database, firm: Firm) -> None:
    with database.write() as session:
        delivery_id = hold(session, stranger())[0]
        session.get_one(Queue, firm.queues["Technik"]).valid = False
        session.flush()
        with pytest.raises(Forbidden):
            let(session, delivery_id, firm.queues["Technik"])


def test_the_faster_one_decides(database: Database, firm: Firm) -> None:
    with database.write() as session:
        first, second = hold(session, stranger(1), stranger(2))
        root = staff(session, "root")
        actor = audit.staff_actor(root)
        let(session, first, firm.queues["Vertrieb"])
        discard(session, actor, root, second, "Werbung")
        for delivery_id in (first, second):
            with pytest.raises(Stale):
                let(session, delivery_id, firm.queues["Vertrieb"])
            with pytest.raises(Stale):
                discard(session, actor, root, delivery_id, "doch nicht")
        assert len(session.scalars(select(Ticket)).all()) == 1


def test_discarding_needs_a_reason_and_keeps_the_mail(database: Database, firm: Firm) -> None:
    with database.write() as session:
        delivery_id = hold(session, stranger())[0]
        root = staff(session, "root")
        with pytest.raises(Invalid):
            discard(session, audit.staff_actor(root), root, delivery_id, "  ")
        discard(session, audit.staff_actor(root), root, delivery_id, " Werbung ")
        delivery = session.get_one(Delivery, delivery_id)
        assert (delivery.held, delivery.settled_why) == (HeldState.DISCARDED, "Werbung")
        assert delivery.mail.raw is not None


def test_two_releases_of_one_mail_are_linked(database: Database, firm: Firm) -> None:
    """As if the mail had opened both tickets at once; also with one that it did open."""
    to = ("vertrieb@example.org", "technik@example.org", "rechnung@example.org")
    with database.write() as session:
        ids = hold(session, stranger(to=to))
        for delivery_id, queue in zip(ids, ("Vertrieb", "Technik", "Rechnung"), strict=True):
            let(session, delivery_id, firm.queues[queue])
        assert len(session.scalars(select(TicketLink)).all()) == 3
    with database.write() as session:
        mail = a_mail(to=("vertrieb@example.org", "rechnung@example.org"), message_id="<a@x>")
        delivery_id = hold(session, mail)[0]
        opened = session.scalars(select(Delivery).order_by(Delivery.id.desc())).all()[1].ticket_id
        released = let(session, delivery_id, firm.queues["Technik"]).ticket_id
        assert session.get(TicketLink, (opened, released)) is not None


def test_a_release_counts_for_every_address_of_the_queue(database: Database, firm: Firm) -> None:
    with database.write() as session:
        ids = hold(session, stranger(to=("vertrieb@example.org", "vertrieb+neu@example.org")))
        assert len(ids) == 1
        part = let(session, ids[0], firm.queues["Technik"])
        deliveries = session.scalars(select(Delivery).execution_options(populate_existing=True))
        assert {delivery.ticket_id for delivery in deliveries} == {part.ticket_id}


def test_who_sees_which_held_mail(database: Database, firm: Firm) -> None:
    with database.write() as session:
        sales, support, postmaster = hold(
            session,
            stranger(1),
            stranger(2, to="technik@example.org"),
            stranger(3, to="postmaster@example.org"),
        )
        for login, visible in (("root", [sales, support, postmaster]), ("jonas", [sales])):
            member = staff(session, login)
            page = held_mails(session, member)
            assert [row.delivery.id for row in page.items] == visible  # the oldest first
            assert held_counts(session, member).waiting == len(visible)
            assert held_counts(session, member).oldest == AT
            assert sum(waiting_reasons(session, member).values()) == len(visible)
            for delivery_id in (sales, support, postmaster, 999):
                for look in (
                    lambda d=delivery_id, m=member: look_at(session, m, d),
                    lambda d=delivery_id, m=member: held_mail(session, m, d),
                ):
                    if delivery_id in visible:
                        assert look()
                    else:
                        with pytest.raises(NotFound):
                            look()
        jonas = staff(session, "jonas")
        jonas.valid = False
        assert held_mails(session, jonas).items == ()


def test_the_list_is_filtered_and_paged(database: Database, firm: Firm) -> None:
    with database.write() as session:
        mails = [stranger(n, subject=f"Angebot {n} 100%") for n in range(5)]
        ids = hold(session, *mails, a_mail(to="rechnung@example.org", subject="Rechnung"))
        root = staff(session, "root")

        def found(**filters: object) -> list[int]:
            return [row.delivery.id for row in held_mails(session, root, **filters).items]

        assert found(query="angebot") == ids[:5]
        assert found(query="3 100%") == [ids[3]]
        assert found(query="_") == []
        assert found(query="FREMD.example") == ids[:5]
        assert found(query="rechnung@") == [ids[5]]
        assert found(reason="queue-forbidden") == [ids[5]]
        assert found(queue_id=firm.queues["Vertrieb"]) == ids[:5]
        page = held_mails(session, root, limit=4)
        rest = held_mails(session, root, limit=4, cursor=page.next)
        assert [row.delivery.id for row in (*page.items, *rest.items)] == ids
        assert {row.queue for row in (*page.items, *rest.items)} == {"Vertrieb", "Rechnung"}
        discard(session, audit.staff_actor(root), root, ids[0], "Werbung")
        let(session, ids[1], firm.queues["Vertrieb"])
        session.flush()
        assert found() == ids[2:]
        assert found(state=HeldState.DISCARDED) == [ids[0]]
        assert found(state=HeldState.RELEASED) == [ids[1]]


def test_who_it_may_be_from(database: Database, firm: Firm) -> None:
    headers = "Reply-To: chef@evil.example\r\n"
    with database.write() as session:
        mail = a_mail("Kd.-Nr. K-2000\r\n", headers=headers, mail_from="bounce@esp.example")
        held = look_at(session, staff(session, "root"), hold(session, mail)[0])
        identity = identity_of(session, held)
        assert identity.from_ == "anna@muster.example"
        assert identity.reply_to == "chef@evil.example"
        assert identity.mail_from == "bounce@esp.example"
        assert (identity.peer, identity.evidence) == ("192.0.2.1", Evidence.NEUTRAL)
        assert identity.numbers == ("K-2000",)
        assert [(c.customer_user.login, c.valid, c.may_write) for c in identity.candidates] == [
            ("anna", True, True),
            ("carol", True, False),
            ("gone", False, False),
        ]
        assert "address" in identity.candidates[0].why
        assert "Kunden#" in identity.candidates[1].why


def test_the_identity_is_found_anew(database: Database, firm: Firm) -> None:
    """An account that got the address after the mail was held is a candidate."""
    with database.write() as session:
        delivery_id = hold(session, stranger())[0]
        root = staff(session, "root")
        assert identity_of(session, look_at(session, root, delivery_id)).candidates == ()
        key = "wer@fremd.example"
        account = session.get_one(CustomerUser, firm.customer_users["bert"])
        account.addresses.append(CustomerUserAddress(address=key, address_key=key, position=1))
        session.flush()
        identity = identity_of(session, look_at(session, root, delivery_id))
        assert [candidate.customer_user.login for candidate in identity.candidates] == ["bert"]


def test_the_body_is_safe_and_its_files_can_be_read(database: Database, firm: Firm) -> None:
    content = (
        b"From: wer@fremd.example\r\nSubject: x\r\nMessage-ID: <b@x>\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: text/html\r\n\r\n"
        b"<p onclick=x>Hallo<script>alert(1)</script><img src=https://t.example/p></p>\r\n"
        b"--b\r\nContent-Type: image/png\r\nContent-Disposition: attachment; filename=a.png\r\n"
        b"\r\n<svg onload=alert(1)>\r\n--b--\r\n"
    )
    incoming = Incoming(stranger().envelope, content, AT)
    with database.write() as session:
        held = look_at(session, staff(session, "root"), hold(session, incoming)[0])
        body = body_of(held)
        assert body.text.strip() == "Hallo"
        assert body.html is not None
        assert "script" not in body.html.html
        assert "onclick" not in body.html.html
        assert body.html.blocked_images == 1
        (attachment,) = body.attachments
        file = file_of(held, attachment.part)
        assert (file.filename, file.served_as) == ("a.png", "application/octet-stream")
        original = original_of(held)
        assert original is not None
        assert "t.example" not in original
        assert headers_of(held).splitlines()[:2] == ["From: wer@fremd.example", "Subject: x"]
        for part in (0, 1, 99, -1):
            with pytest.raises(NotFound):
                file_of(held, part)


def test_reading_a_held_mail_is_written_down(database: Database, firm: Firm) -> None:
    with database.write() as session:
        jonas = staff(session, "jonas")
        held = look_at(session, jonas, hold(session, stranger())[0])
        record_look(session, audit.staff_actor(jonas), held)
        session.flush()
        event = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc())).first()
        assert event is not None
        assert (event.actor_name, event.action, event.object_kind, event.object_id) == (
            "jonas",
            "read",
            "held-mail",
            held.delivery.id,
        )

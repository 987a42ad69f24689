"""Releasing into a ticket, giving the right that is missing, taking back, and several at once."""

from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from core import audit
from core.db import Database
from core.errors import Forbidden, Invalid, NotFound, Stale
from core.intake.held import (
    UNDO,
    RightMissing,
    discard,
    held_mail,
    release,
    release_to_ticket,
    undo_discard,
)
from core.intake.held_bulk import discard_each, release_each, undo_each
from core.intake.incoming import Incoming, RecipientReceipt
from core.intake.pipeline import take_in
from core.models import (
    Article,
    AuditEvent,
    CustomerUser,
    CustomerUserGroup,
    Delivery,
    Queue,
    Staff,
    StaffGroup,
    Ticket,
    TicketLink,
    now,
    ticket_number,
)
from core.words import DecisionKind, Flag, FollowUp, HeldState, Permission, TicketState
from tests.intake.firm import Firm, a_firm
from tests.intake.mails import AT, a_mail


@pytest.fixture
def firm(database: Database) -> Firm:
    return a_firm(database, sender_policy="open")


def staff(session: Session, login: str) -> Staff:
    return session.scalars(select(Staff).where(Staff.login == login)).one()


def hold(session: Session, *mails: Incoming) -> list[int]:
    """Take mails in and return the ids of what waits, in order."""
    take_in(session, mails)
    statement = select(Delivery.id).where(Delivery.held == HeldState.WAITING).order_by(Delivery.id)
    return list(session.scalars(statement))


def stranger(number: int = 1, **more: object) -> Incoming:
    return a_mail(sender="wer@fremd.example", message_id=f"<s{number}@x>", **more)


def a_ticket(session: Session, sender: str = "anna@muster.example", **more: object) -> Ticket:
    incoming = a_mail(sender=sender, message_id=f"<t-{sender}@x>", **more)
    receipt = take_in(session, [incoming])[0].recipients[0]
    return session.get_one(Ticket, receipt.ticket_id)


def add_to(
    session: Session, delivery_id: int, number: int, login: str = "root", **more: object
) -> RecipientReceipt:
    """Add a held mail to a ticket as a member of staff."""
    member = staff(session, login)
    return release_to_ticket(
        session, audit.staff_actor(member), member, delivery_id, number, **more
    )


def test_a_held_mail_is_added_to_a_ticket_of_its_sender(database: Database, firm: Firm) -> None:
    anna = firm.customer_users["anna"]
    with database.write() as session:
        ticket = a_ticket(session)
        delivery_id = hold(session, stranger())[0]
        started = now()
        part = add_to(session, delivery_id, ticket.number, customer_user_id=anna)
        assert (part.decision, part.ticket_id) == (DecisionKind.APPEND_ARTICLE, ticket.id)
        article = session.get_one(Article, part.article_id)
        assert (article.visible, article.customer_user_id, article.created_at) == (True, anna, AT)
        assert ticket.changed_at >= started  # not when the mail came in: it is news now
        delivery = session.get_one(Delivery, delivery_id)
        assert (delivery.held, delivery.ticket_id) == (HeldState.RELEASED, ticket.id)
        assert delivery.trace[-1]["rule"] == "released_by_staff"
        event = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(1)).one()
        assert event.after == {"held": "released", "ticket": ticket.number}
        assert not session.scalars(select(TicketLink)).all()


def test_a_merged_ticket_leads_on(database: Database, firm: Firm) -> None:
    with database.write() as session:
        ticket = a_ticket(session)
        merged = a_ticket(session, sender="bert@muster.example")
        merged.merged_into_id, merged.state = ticket.id, TicketState.CLOSED
        delivery_id = hold(session, stranger())[0]
        part = add_to(
            session, delivery_id, merged.number, customer_user_id=firm.customer_users["anna"]
        )
        assert part.ticket_id == ticket.id


@pytest.mark.parametrize(
    ("follow_up", "decision"),
    [
        (FollowUp.POSSIBLE, DecisionKind.APPEND_ARTICLE),
        (FollowUp.NEW_TICKET, DecisionKind.OPEN_TICKET),
        (FollowUp.REJECT, None),
    ],
)
def test_a_closed_ticket_follows_its_queue(
    database: Database, firm: Firm, follow_up: FollowUp, decision: DecisionKind | None
) -> None:
    anna = firm.customer_users["anna"]
    with database.write() as session:
        ticket = a_ticket(session)
        ticket.state, ticket.closed_at = TicketState.CLOSED, now()
        session.get_one(Queue, ticket.queue_id).follow_up = follow_up
        session.flush()
        delivery_id = hold(session, stranger())[0]
        if decision is None:
            with pytest.raises(Forbidden, match="closed"):
                add_to(session, delivery_id, ticket.number, customer_user_id=anna)
            assert session.get_one(Delivery, delivery_id).held is HeldState.WAITING
            return
        part = add_to(session, delivery_id, ticket.number, customer_user_id=anna)
        assert part.decision is decision
        assert (part.ticket_id == ticket.id) == (decision is DecisionKind.APPEND_ARTICLE)
        assert (ticket.state is TicketState.OPEN) == (decision is DecisionKind.APPEND_ARTICLE)
        linked = session.get(TicketLink, (ticket.id, part.ticket_id))
        assert (linked is not None) == (decision is DecisionKind.OPEN_TICKET)


def test_a_colleagues_mail_is_marked(database: Database, firm: Firm) -> None:
    with database.write() as session:
        ticket = a_ticket(session)
        delivery_id = hold(session, stranger())[0]
        bert = firm.customer_users["bert"]
        part = add_to(session, delivery_id, ticket.number, customer_user_id=bert)
        assert session.get_one(Article, part.article_id).flag is Flag.OTHER_PERSON


@pytest.mark.parametrize("account", [None, "carol"])
def test_a_ticket_of_somebody_else_is_refused(
    database: Database, firm: Firm, account: str | None
) -> None:
    """Staff vouch for who sent it, not for whose ticket it is: that the rules know."""
    account_id = firm.customer_users[account] if account else None
    with database.write() as session:
        ticket = a_ticket(session)
        delivery_id = hold(session, stranger())[0]
        with pytest.raises(Forbidden, match="not one of this sender's"):
            add_to(session, delivery_id, ticket.number, customer_user_id=account_id)
        assert session.get_one(Delivery, delivery_id).held is HeldState.WAITING
        assert len(session.scalars(select(Article)).all()) == 1


def test_a_right_that_was_taken_is_missing_for_the_ticket_too(
    database: Database, firm: Firm
) -> None:
    anna = firm.customer_users["anna"]
    with database.write() as session:
        ticket = a_ticket(session)
        ticket.queue_id = firm.queues["Rechnung"]
        session.flush()
        delivery_id = hold(session, stranger())[0]
        with pytest.raises(RightMissing) as missing:
            add_to(session, delivery_id, ticket.number, customer_user_id=anna)
        assert (missing.value.login, missing.value.queue.name) == ("anna", "Rechnung")
        part = add_to(session, delivery_id, ticket.number, customer_user_id=anna, give_right=True)
        assert part.ticket_id == ticket.id


@pytest.mark.parametrize("number", [0, -1, 5, ticket_number(999), 10**30])
def test_there_is_no_such_ticket(database: Database, firm: Firm, number: int) -> None:
    with database.write() as session:
        delivery_id = hold(session, stranger())[0]
        with pytest.raises(Invalid, match="no ticket with this number"):
            add_to(session, delivery_id, number)


@pytest.mark.parametrize("reads", [False, True])
def test_a_ticket_of_a_queue_that_one_does_not_work_is_as_none(
    database: Database, firm: Firm, reads: bool
) -> None:
    with database.write() as session:
        if reads:
            group_id = session.get_one(Queue, firm.queues["Technik"]).group_id
            jonas = staff(session, "jonas")
            jonas.permissions.append(StaffGroup(group_id=group_id, permission=Permission.RO))
            session.flush()
        ticket = a_ticket(session, to="technik@example.org")
        delivery_id = hold(session, stranger())[0]
        with pytest.raises(Invalid, match="no ticket with this number"):
            add_to(session, delivery_id, ticket.number, "jonas")


def test_an_admin_gives_the_right_with_the_release(database: Database, firm: Firm) -> None:
    with database.write() as session:
        delivery_id = hold(session, a_mail(to="rechnung@example.org"))[0]
        root, queue_id = staff(session, "root"), firm.queues["Rechnung"]
        actor = audit.staff_actor(root)
        with pytest.raises(RightMissing) as missing:
            release(session, actor, root, delivery_id, queue_id)
        assert missing.value.customer_user_id == firm.customer_users["anna"]
        part = release(session, actor, root, delivery_id, queue_id, give_right=True)
        assert session.get_one(Ticket, part.ticket_id).queue_id == queue_id
        actions = session.scalars(select(AuditEvent.action).order_by(AuditEvent.id)).all()
        assert actions[-3:] == ["permissions-changed", "created", "released"]
    with database.write() as session:
        again = take_in(session, [a_mail(to="rechnung@example.org", message_id="<2@x>")])
        assert again[0].recipients[0].decision is DecisionKind.OPEN_TICKET


def test_an_agent_gives_no_rights(database: Database, firm: Firm) -> None:
    with database.write() as session:
        delivery_id = hold(session, stranger())[0]
        before = len(session.scalars(select(CustomerUserGroup)).all())
        jonas = staff(session, "jonas")
        with pytest.raises(Forbidden, match="Only an admin"):
            release(
                session,
                audit.staff_actor(jonas),
                jonas,
                delivery_id,
                firm.queues["Vertrieb"],
                firm.customer_users["carol"],
                give_right=True,
            )
        assert len(session.scalars(select(CustomerUserGroup)).all()) == before


def test_a_right_that_is_not_missing_is_not_given(database: Database, firm: Firm) -> None:
    with database.write() as session:
        delivery_id = hold(session, stranger())[0]
        root, anna = staff(session, "root"), firm.customer_users["anna"]
        rights = select(CustomerUserGroup).where(CustomerUserGroup.customer_user_id == anna)
        before = len(session.scalars(rights).all())
        release(
            session,
            audit.staff_actor(root),
            root,
            delivery_id,
            firm.queues["Vertrieb"],
            anna,
            give_right=True,
        )
        assert len(session.scalars(rights).all()) == before


def test_a_discard_is_taken_back(database: Database, firm: Firm) -> None:
    with database.write() as session:
        delivery_id = hold(session, stranger())[0]
        root, jonas = staff(session, "root"), staff(session, "jonas")
        discard(session, audit.staff_actor(jonas), jonas, delivery_id, "Werbung")
        with pytest.raises(Stale):
            undo_discard(session, audit.staff_actor(root), root, delivery_id)  # not root's
        undo_discard(session, audit.staff_actor(jonas), jonas, delivery_id)
        delivery = session.get_one(Delivery, delivery_id)
        assert delivery.held is HeldState.WAITING
        assert (delivery.settled_at, delivery.settled_by_id, delivery.settled_why) == (
            None,
            None,
            "",
        )
        event = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(1)).one()
        assert (event.action, event.before) == (
            "discard-undone",
            {"held": "discarded", "why": "Werbung"},
        )
        with pytest.raises(Stale):
            undo_discard(session, audit.staff_actor(jonas), jonas, delivery_id)


def test_what_was_discarded_a_while_ago_stays(database: Database, firm: Firm) -> None:
    with database.write() as session:
        delivery_id = hold(session, stranger())[0]
        root = staff(session, "root")
        discard(session, audit.staff_actor(root), root, delivery_id, "Werbung")
        settled_at = now() - UNDO - timedelta(seconds=1)
        session.get_one(Delivery, delivery_id).settled_at = settled_at
        with pytest.raises(Stale, match="30 seconds"):
            undo_discard(session, audit.staff_actor(root), root, delivery_id)


def test_a_release_cannot_be_taken_back(database: Database, firm: Firm) -> None:
    with database.write() as session:
        delivery_id = hold(session, stranger())[0]
        root = staff(session, "root")
        release(session, audit.staff_actor(root), root, delivery_id, firm.queues["Vertrieb"])
        with pytest.raises(Stale):
            undo_discard(session, audit.staff_actor(root), root, delivery_id)


def test_several_are_discarded_each_by_itself(database: Database, firm: Firm) -> None:
    with database.write() as session:
        sales, gone, support = hold(
            session, stranger(1), stranger(2), stranger(3, to="technik@example.org")
        )
        jonas = staff(session, "jonas")
        actor = audit.staff_actor(jonas)
        discard(session, actor, jonas, gone, "war schon")
        done = discard_each(session, actor, jonas, [support, sales, gone, sales, 999], "Werbung")
        problems = {each.delivery_id: each.problem for each in done}
        assert problems[sales] == ""
        assert problems[gone] == "Somebody else has already dealt with this mail."
        assert problems[support] == problems[999] == "There is no such held mail."
        assert {each.subject for each in done if each.delivery_id in (support, 999)} == {""}
        session.expire_all()
        assert session.get_one(Delivery, sales).settled_why == "Werbung"
        assert session.get_one(Delivery, gone).settled_why == "war schon"
        assert session.get_one(Delivery, support).held is HeldState.WAITING
        undone = undo_each(session, actor, jonas, [sales, support])
        assert [each.problem for each in undone] == ["", "There is no such held mail."]
        assert session.get_one(Delivery, sales).held is HeldState.WAITING


def test_several_are_released_where_the_account_is_clear(database: Database, firm: Firm) -> None:
    """What was held because of a right that has been given since; nothing is guessed."""
    with database.write() as session:
        clear, unknown, forbidden, postmaster = hold(
            session,
            a_mail(sender="gone@acme.example"),
            stranger(),
            a_mail(to="rechnung@example.org", message_id="<f@x>"),
            stranger(2, to="postmaster@example.org"),
        )
        account = session.get_one(CustomerUser, firm.customer_users["gone"])
        account.valid = session.get_one(CustomerUser, firm.customer_users["anna"]).valid
        group_id = session.get_one(Queue, firm.queues["Vertrieb"]).group_id
        account.permissions.append(CustomerUserGroup(group_id=group_id, permission=Permission.RW))
        session.flush()
        root = staff(session, "root")
        done = release_each(
            session, audit.staff_actor(root), root, [clear, unknown, forbidden, postmaster]
        )
        assert [bool(each.problem) for each in done] == [False, True, True, True]
        assert done[0].receipt is not None
        ticket = session.get_one(Ticket, done[0].receipt.ticket_id)
        assert ticket.customer_user_id == account.id
        assert "no account has the address" in done[1].problem.lower()
        assert "may not write to Rechnung" in done[2].problem
        assert len(session.scalars(select(Ticket)).all()) == 1
        waiting = [held_mail(session, root, each).held for each in (unknown, forbidden, postmaster)]
        assert waiting == [HeldState.WAITING] * 3
        with pytest.raises(NotFound):
            held_mail(session, staff(session, "jonas"), postmaster)

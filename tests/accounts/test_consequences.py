"""What a change hides from customers or shows them, told before it is made, and then true."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.accounts.consequences import (
    Consequences,
    consequences_of_customer_cells,
    consequences_of_customer_user_cells,
    consequences_of_group_validity,
    consequences_of_queue_group,
    consequences_of_settings,
    hidden_by_move,
)
from core.accounts.customer_users import customer_user_values, save_customer_user
from core.accounts.groups import GroupValues, save_group
from core.accounts.matrix import CellChange, save_customer_cells, save_customer_user_cells
from core.accounts.permissions import customer_user_access
from core.accounts.queues import queue_named, queue_values, save_queue
from core.db import Database
from core.ids import new_public_id
from core.models import CustomerUser, Group, Ticket, now
from core.organisation import load_organisation
from core.settings import change_settings
from core.words import Permission, TicketState, Validity
from tests.accounts.people import ADMIN, the_account
from tests.intake.firm import Firm, a_firm

RO, RW = Permission.RO, Permission.RW


def ticket(
    session: Session,
    firm: Firm,
    login: str | None,
    queue: str,
    state: TicketState = TicketState.OPEN,
    number: str = "K-1000",
) -> Ticket:
    """Store a ticket of an account, or of its customer alone."""
    account = the_account(session, login) if login else None
    stored = Ticket(
        public_id=new_public_id(),
        queue_id=firm.queues[queue],
        customer_user_id=account.id if account else None,
        customer_id=account.customer_id if account else firm.customers[number],
        requester="x@example.com",
        subject=f"{login} {queue}",
        state=state,
        created_at=now(),
        changed_at=now(),
    )
    session.add(stored)
    return stored


@pytest.fixture
def firm(sqlite_database: Database) -> Firm:
    """The organisation with open and closed tickets, on SQLite."""
    return filled(sqlite_database)


def filled(database: Database) -> Firm:
    """Store the organisation with open and closed tickets."""
    found = a_firm(database)
    with database.write() as session:
        for login, queue in (
            ("anna", "Vertrieb"),
            ("anna", "Technik"),
            ("anna", "Technik"),
            ("bert", "Technik"),
            ("bert", "Rechnung"),
            ("carol", "Vertrieb"),
            ("gone", "Vertrieb"),
            (None, "Vertrieb"),
        ):
            ticket(session, found, login, queue)
        ticket(session, found, "anna", "Technik", TicketState.CLOSED)
    return found


def seen(database: Database) -> dict[str, int]:
    """Return how many open tickets of their own each customer user sees now."""
    with database.read() as session:
        organisation = load_organisation(session)
        return {
            account.login: len(
                session.scalars(
                    select(Ticket.id).where(
                        customer_user_access(session, organisation, account).visible_tickets(),
                        Ticket.customer_user_id == account.id,
                        Ticket.state != TicketState.CLOSED,
                    )
                ).all()
            )
            for account in session.scalars(select(CustomerUser))
        }


Asked = Callable[[Session, Firm], Consequences]
Made = Callable[[Session, Firm], object]


def queue_to(session: Session, queue: str, group: str) -> None:
    """Give a queue to another group."""
    found = queue_named(session, queue)
    save_queue(session, ADMIN, replace(queue_values(found), group=group), found)


def anna(
    firm: Firm, group: str, old: Permission | None, new: Permission | None
) -> list[CellChange]:
    """Return a change of Anna's direct permissions."""
    return [CellChange(firm.customer_users["anna"], firm.groups[group], old, new)]


def muster(
    firm: Firm, group: str, old: Permission | None, new: Permission | None
) -> list[CellChange]:
    """Return a change of her customer's permissions."""
    return [CellChange(firm.customers["K-1000"], firm.groups[group], old, new)]


def account_cells(*change: object) -> tuple[Asked, Made]:
    return (
        lambda s, f: consequences_of_customer_user_cells(s, load_organisation(s), anna(f, *change)),
        lambda s, f: save_customer_user_cells(s, ADMIN, anna(f, *change)),
    )


def customer_cells(*change: object) -> tuple[Asked, Made]:
    return (
        lambda s, f: consequences_of_customer_cells(s, load_organisation(s), muster(f, *change)),
        lambda s, f: save_customer_cells(s, ADMIN, muster(f, *change)),
    )


def queue_group(queue: str, group: str) -> tuple[Asked, Made]:
    return (
        lambda s, f: consequences_of_queue_group(
            s, load_organisation(s), f.queues[queue], f.groups[group]
        ),
        lambda s, f: queue_to(s, queue, group),
    )


def settings(**changes: object) -> tuple[Asked, Made]:
    def asked(session: Session, firm: Firm) -> Consequences:
        organisation = load_organisation(session)
        wanted = organisation.settings.model_copy(update=changes)
        return consequences_of_settings(session, organisation, wanted)

    return asked, lambda s, f: change_settings(s, ADMIN, changes)


def invalid_group(name: str) -> tuple[Asked, Made]:
    return (
        lambda s, f: consequences_of_group_validity(
            s, load_organisation(s), f.groups[name], name, valid=False
        ),
        lambda s, f: save_group(
            s, ADMIN, GroupValues(name=name, valid=False), s.get_one(Group, f.groups[name])
        ),
    )


ALONE = 1000  # stands for the one ticket of the customer alone

# Without a change Anna sees 3, Bert 1, Carol 0 of their open tickets; the one of the customer
# alone, in Vertrieb, counts for those who see the customer's tickets.
CASES = {
    "account loses a group": (account_cells("technik", RW, None), 2, 0),
    "account keeps reading": (account_cells("technik", RW, RO), 0, 0),
    "account gets a group without tickets": (account_cells("rechnung", None, RW), 0, 0),
    "account gets what it inherits": (account_cells("vertrieb", None, RW), 0, 0),
    "customer loses a group": (customer_cells("vertrieb", RW, None), 1 + ALONE, 0),
    "customer gets a group": (customer_cells("rechnung", None, RO), 0, 1),
    "customer gets what the accounts have": (customer_cells("technik", None, RO), 0, 0),
    "queue to a group of few": (queue_group("Technik", "rechnung"), 3, 0),
    "queue to a group of the customer": (queue_group("Technik", "vertrieb"), 0, 0),
    "queue to a group of others": (queue_group("Vertrieb", "technik"), 0 + ALONE, 0),
    "queue gets readers": (queue_group("Rechnung", "vertrieb"), 0, 1),
    "group becomes invalid": (invalid_group("technik"), 3, 0),
    "everybody is in the group": (settings(customer_group_always_groups=("rechnung",)), 0, 1),
    "no group support": (settings(customer_group_support=False), 0, 2),
    "another setting": (settings(organisation_name="Neu"), 0, 0),
}


def test_both_databases_count_alike(database: Database) -> None:
    firm = filled(database)
    with database.read() as session:
        told = {case: asked(session, firm) for case, ((asked, _made), _h, _s) in CASES.items()}
    assert told == {
        case: Consequences(hidden % ALONE + hidden // ALONE, shown)
        for case, (_how, hidden, shown) in CASES.items()
    }


@pytest.mark.parametrize("case", CASES)
def test_what_is_told_before_is_what_happens(
    sqlite_database: Database, firm: Firm, case: str
) -> None:
    (asked, made), hidden, shown = CASES[case]
    with sqlite_database.read() as session:
        told = asked(session, firm)
    accounts, alone = hidden % ALONE, hidden // ALONE
    assert told == Consequences(accounts + alone, shown)
    before = seen(sqlite_database)
    assert before == {"anna": 3, "bert": 1, "carol": 0, "gone": 0}
    with sqlite_database.write() as session:
        made(session, firm)
    after = seen(sqlite_database)
    lost = sum(max(before[login] - after[login], 0) for login in before)
    won = sum(max(after[login] - before[login], 0) for login in before)
    assert (lost, won) == (accounts, shown)


def test_what_nobody_sees_is_hidden_from_nobody(sqlite_database: Database, firm: Firm) -> None:
    with sqlite_database.write() as session:
        account = the_account(session, "anna")
        changed = replace(customer_user_values(account), valid=Validity.INVALID)
        save_customer_user(session, ADMIN, changed, account)
    with sqlite_database.read() as session:
        organisation = load_organisation(session)
        change = anna(firm, "technik", RW, None)
        assert consequences_of_customer_user_cells(session, organisation, change) == Consequences()


def test_several_changes_are_taken_together(sqlite_database: Database, firm: Firm) -> None:
    """A queue that moves to a group which the same page grants hides nothing."""
    both = [*anna(firm, "technik", RW, None), *anna(firm, "rechnung", None, RW)]
    with sqlite_database.read() as session:
        told = consequences_of_customer_user_cells(session, load_organisation(session), both)
    assert told == Consequences(hidden=2)


MOVES = [
    # whose, from, to, hidden
    ("anna", "Vertrieb", "Technik", False),
    ("anna", "Technik", "Rechnung", True),
    ("anna", "Vertrieb", "Vertrieb", False),
    ("bert", "Rechnung", "Vertrieb", False),
    ("bert", "Rechnung", "Rechnung", False),
    ("carol", "Vertrieb", "Rechnung", False),
    ("gone", "Vertrieb", "Rechnung", False),
    (None, "Vertrieb", "Technik", True),
]


@pytest.mark.parametrize("state", [TicketState.OPEN, TicketState.CLOSED])
@pytest.mark.parametrize(("login", "queue", "to", "hidden"), MOVES)
def test_a_move_hides_a_ticket_whose_customer_cannot_follow(
    sqlite_database: Database,
    login: str | None,
    queue: str,
    to: str,
    hidden: bool,
    state: TicketState,
) -> None:
    firm = a_firm(sqlite_database)
    with sqlite_database.write() as session:
        stored = ticket(session, firm, login, queue, state)
        session.flush()  # the question is about a stored ticket
        found = hidden_by_move(session, load_organisation(session), stored, firm.queues[to])
    assert found is hidden


def test_the_ticket_of_a_stranger_is_hidden_from_nobody(sqlite_database: Database) -> None:
    firm = a_firm(sqlite_database)
    with sqlite_database.write() as session:
        stored = ticket(session, firm, None, "Vertrieb")
        stored.customer_id = None
        session.flush()  # the question is about a stored ticket
        assert not hidden_by_move(
            session, load_organisation(session), stored, firm.queues["Rechnung"]
        )

"""Customers: the Kunden# is exact, domains are confirmed, an invalid one shuts its accounts out."""

from dataclasses import replace

import pytest
from sqlalchemy import func, select

from core.accounts.customers import (
    CustomerValues,
    customer_numbered,
    customer_values,
    save_customer,
)
from core.accounts.sessions import start_session
from core.db import Database
from core.errors import Duplicate, InvalidFields, NotFound, SchalterError, Stale
from core.models import Customer, WebSession
from tests.accounts.people import (
    ACME,
    ADMIN,
    ANNA,
    MUSTER,
    at_the_same_time,
    customers,
    events,
    fields_of,
    saved,
    the_account,
    the_customer,
)

EVERYTHING = CustomerValues(
    number="Kd. 4711/ä",
    name="Muster GmbH",
    street="Hauptstraße 1",
    postcode="10115",
    city="Berlin",
    country="Deutschland",
    url="https://muster.example",
    comment="Zahlt\npünktlich.",
    valid=False,
    domains=("muster.example", "xn--bcher-kva.example"),
)


def save(database: Database, *values: CustomerValues) -> None:
    """Store customers as they are."""
    with database.write() as session:
        for each in values:
            save_customer(session, ADMIN, each)


def test_every_field_is_stored_and_read_back(database: Database) -> None:
    save(database, EVERYTHING)
    with database.read() as session:
        assert customer_values(the_customer(session, EVERYTHING.number)) == EVERYTHING
    event = events(database, "customer")[0]
    assert (event.action, event.object_name) == ("created", "Kd. 4711/ä Muster GmbH")


# One Kunden# each: none of them is another, whatever a database or a person takes it for.
NUMBERS = [
    "K-1000",
    "k-1000",
    "K-100",
    "K-10000",
    "K-100%",
    "K-100_",
    "K-100*",
    "K-1000 X",
    "K-1000  X",
    "K\u20111000",  # non-breaking hyphen
    "\u039a-1000",  # Greek Kappa
    "\u041a-1000",  # Cyrillic Ka
    "\uff2b-1000",  # full-width K
    "K-1OOO",  # letters O
    "K-\u0661000",  # Arabic-Indic digit one
    "1000",
    "01000",
    "1000.0",
    "1e3",
    "anna@muster.example",
    "Anna@muster.example",
    "%",
    "_",
    "*",
    "' OR 1=1 --",
    "müller",
    "muller",
    "strasse",
    "straße",
]


def test_a_number_is_exactly_itself(database: Database) -> None:
    save(database, *(CustomerValues(number=number, name=number) for number in NUMBERS))
    with database.read() as session:
        assert [customer_numbered(session, number).number for number in NUMBERS] == NUMBERS


def test_no_part_and_no_wildcard_finds_a_number(database: Database) -> None:
    save(database, MUSTER)
    wrong = ["K-1", "K-1000%", "%", "_-1000", "K*", "k-1000", "", "-1000", "K-1000\x00", "\ud800"]
    for number in wrong:
        with database.read() as session, pytest.raises(NotFound):
            customer_numbered(session, number)


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("K-1000", "  K-1000\t"),
        (" K-1000 ", "K-1000"),
        ("M\u00fcller-1", "Mu\u0308ller-1"),
        ("Mu\u0308ller-1", "M\u00fcller-1"),
    ],
)
def test_space_around_and_composition_do_not_count(
    database: Database, stored: str, asked: str
) -> None:
    save(database, replace(MUSTER, number=stored))
    with database.read() as session:
        assert customer_numbered(session, asked).name == "Muster GmbH"
    with database.write() as session, pytest.raises(InvalidFields) as refused:
        save_customer(session, ADMIN, replace(ACME, number=asked))
    problem = refused.value.errors[0]
    assert isinstance(problem, Duplicate)
    assert (problem.field, problem.holder.name) == ("number", "Muster GmbH")


def test_a_number_that_a_longer_one_begins_with_is_free(database: Database) -> None:
    save(database, MUSTER, replace(ACME, number="K-100"))


BAD_VALUES = [
    ("number", ""),
    ("number", " \t"),
    ("number", "x" * 65),
    ("number", "K\x001000"),
    ("number", "K\n1000"),
    ("number", "K\u202e1000"),
    ("number", "K\u200b1000"),
    ("name", ""),
    ("name", "x" * 201),
    ("url", "javascript:alert(1)"),
    ("url", "muster.example"),
    ("domains", ("muster",)),
    ("domains", ("mus ter.example",)),
    ("domains", ("a@muster.example",)),
    ("domains", ("*.example",)),
]


@pytest.mark.parametrize(("field", "value"), BAD_VALUES)
def test_a_bad_value_is_refused_at_its_field(
    sqlite_database: Database, field: str, value: object
) -> None:
    with sqlite_database.write() as session, pytest.raises(InvalidFields) as refused:
        save_customer(session, ADMIN, replace(MUSTER, **{field: value}))
    assert set(fields_of(refused.value)) == {field}
    with sqlite_database.read() as session:
        assert session.scalar(select(func.count(Customer.id))) == 0


def test_domains_are_stored_in_one_form(database: Database) -> None:
    save(
        database, replace(MUSTER, domains=("@Bücher.Example", "xn--bcher-kva.example", "A.example"))
    )
    with database.read() as session:
        stored = customer_values(the_customer(session, "K-1000")).domains
    assert stored == ("a.example", "xn--bcher-kva.example")


def test_a_domain_may_be_taken_back_and_given_to_another_customer(database: Database) -> None:
    save(database, replace(MUSTER, domains=("a.example", "b.example")))
    with database.write() as session:
        changed = replace(MUSTER, domains=("b.example",))
        save_customer(session, ADMIN, changed, the_customer(session, "K-1000"))
    save(database, replace(ACME, domains=("a.example",)))
    event = events(database, "customer")[1]
    assert event.after == {"domains": ["b.example"]}


def test_a_new_number_keeps_the_accounts(database: Database) -> None:
    customers(database)
    saved(database, ANNA)
    with database.write() as session:
        save_customer(
            session, ADMIN, replace(MUSTER, number="M-1"), the_customer(session, "K-1000")
        )
    with database.read() as session:
        assert the_account(session, "anna").customer.number == "M-1"
        with pytest.raises(NotFound):
            customer_numbered(session, "K-1000")


def test_an_invalid_customer_signs_its_accounts_out(database: Database) -> None:
    customers(database)
    saved(
        database,
        ANNA,
        replace(ANNA, login="carol", email="c@acme.example", customer_number="K-2000"),
    )
    with database.write() as session:
        for login in ("anna", "carol"):
            start_session(session, the_account(session, login), peer="", agent="")
    with database.write() as session:
        customer = the_customer(session, "K-1000")
        save_customer(session, ADMIN, replace(MUSTER, valid=False), customer)
    with database.read() as session:
        left = session.scalars(select(WebSession.customer_user_id)).all()
        assert left == [the_account(session, "carol").id]


def test_a_second_admin_does_not_save_over_the_first(database: Database) -> None:
    save(database, MUSTER)
    for city in ("Berlin", "Bonn"):
        changed = replace(MUSTER, city=city)
        if city == "Bonn":
            with pytest.raises(Stale), database.write() as session:
                save_customer(session, ADMIN, changed, the_customer(session, "K-1000"), 1)
        else:
            with database.write() as session:
                save_customer(session, ADMIN, changed, the_customer(session, "K-1000"), 1)
    with database.read() as session:
        assert the_customer(session, "K-1000").city == "Berlin"


def test_of_two_who_take_one_number_at_once_one_wins(database: Database) -> None:
    def take(name: str) -> str:
        with database.write() as session:
            return save_customer(session, ADMIN, replace(MUSTER, name=name)).name

    results = at_the_same_time(lambda: take("A"), lambda: take("B"))
    assert len([each for each in results if isinstance(each, SchalterError)]) == 1
    with database.read() as session:
        assert session.scalar(select(func.count(Customer.id))) == 1

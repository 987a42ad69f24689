"""Lists of customers and customer users: what a search finds, filters, counts, pages."""

from dataclasses import replace

import pytest
from sqlalchemy import event, text

from core import paging
from core.accounts.customers import CustomerValues, save_customer
from core.accounts.groups import GroupValues, save_group
from core.accounts.lists import (
    MAX_PAGE,
    CustomerFilter,
    CustomerUserFilter,
    count_customer_users,
    count_customers,
    customer_user_counts,
    find_customer_users,
    find_customers,
)
from core.accounts.matrix import CellChange, save_customer_cells, save_customer_user_cells
from core.db import Database
from core.models import CustomerUser
from core.paging import MAX_SORTED
from core.words import Permission, Validity
from tests.accounts.people import ADMIN, ANNA, BERT, customers, saved, the_account, the_customer

PEOPLE = (
    replace(ANNA, more_addresses=("office+hh@bücher.example",)),
    replace(BERT, last_name="Groß"),
    replace(
        ANNA,
        login="zoe_100%",
        email="zoe@acme.example",
        customer_number="K-2000",
        first_name="Zoë",
        last_name="O'Brien-Łukasz",
        valid=Validity.INVALID,
    ),
    replace(
        ANNA,
        login="müller2",
        email="m2@acme.example",
        customer_number="K-2000",
        first_name="Jürgen",
        last_name="Aarøe",
        valid=Validity.INVALID_TEMPORARILY,
    ),
)
A, B, Z, M = "anna", "bert", "zoe_100%", "müller2"


def fill(database: Database) -> None:
    """Store everybody."""
    customers(database)
    saved(database, *PEOPLE)


def logins(database: Database, wanted: CustomerUserFilter) -> list[str]:
    """Return the logins that a list shows."""
    with database.read() as session:
        return [account.login for account in find_customer_users(session, wanted).items]


SEARCHES = [
    ("", [M, B, A, Z]),
    ("   ", [M, B, A, Z]),
    ("anna", [A]),
    ("ANNA", [A]),
    ("müller", [M, A]),
    ("MÜLLER", [M, A]),
    ("muller", [M, A]),
    ("mueller", [M, A]),
    ("Mu\u0308ller", [M, A]),
    ("groß", [B]),
    ("gross", [B]),
    ("GROSS", [B]),
    ("zoe", [Z]),
    ("zoë", [Z]),
    ("o'brien", [Z]),
    ("aarøe", [M]),
    ("Anna Müller", [A]),
    ("müller anna", [A]),
    ("anna gross", []),
    ("K-1000", [B, A]),
    ("k-1000", [B, A]),
    ("muster gmbh", [B, A]),
    ("acme", [M, Z]),
    ("bert@muster.example", [B]),
    ("office+hh", [A]),
    ("bücher.example", [A]),
    ("nobody", []),
    # no character is a wildcard
    ("%", [Z]),
    ("_", [Z]),
    ("100%", [Z]),
    ("a%a", []),
    ("an_a", []),
    ("*", []),
    ("\\", []),
    ("/", []),
    ("'; DROP TABLE customer_users; --", []),
    ("\x00", [M, B, A, Z]),  # nothing is left of it
    ("\ud800", []),
    ("x" * 10_000, []),
]


def test_what_a_search_finds(database: Database) -> None:
    fill(database)
    found = [(query, logins(database, CustomerUserFilter(query=query))) for query, _ in SEARCHES]
    assert found == SEARCHES
    with database.read() as session:
        counted = [
            (query, count_customer_users(session, CustomerUserFilter(query=query)))
            for query, _ in SEARCHES
        ]
    assert counted == [(query, len(expected)) for query, expected in SEARCHES]


def test_filters_are_combined(database: Database) -> None:
    fill(database)
    with database.write() as session:
        technik = save_group(session, ADMIN, GroupValues(name="technik")).id
        vertrieb = save_group(session, ADMIN, GroupValues(name="vertrieb")).id
        acme = the_customer(session, "K-2000").id
        anna, zoe = the_account(session, A).id, the_account(session, Z).id
        rw = Permission.RW
        save_customer_user_cells(session, ADMIN, [CellChange(anna, technik, None, rw)])
        save_customer_user_cells(session, ADMIN, [CellChange(zoe, technik, None, rw)])
        save_customer_cells(session, ADMIN, [CellChange(acme, technik, None, Permission.RO)])
    for wanted, expected in (
        (CustomerUserFilter(valid=Validity.VALID), [B, A]),
        (CustomerUserFilter(valid=Validity.INVALID), [Z]),
        (CustomerUserFilter(valid=Validity.INVALID_TEMPORARILY), [M]),
        (CustomerUserFilter(customer_id=acme), [M, Z]),
        (CustomerUserFilter(customer_id=acme, query="müller"), [M]),
        (CustomerUserFilter(group_id=technik), [M, A, Z]),
        (CustomerUserFilter(group_id=technik, valid=Validity.VALID), [A]),
        (CustomerUserFilter(group_id=vertrieb), []),
        (CustomerUserFilter(customer_id=999), []),
    ):
        assert logins(database, wanted) == expected, wanted
        with database.read() as session:
            assert count_customer_users(session, wanted) == len(expected)
    with database.read() as session:
        found = find_customers(session, CustomerFilter(group_id=technik)).items
        assert [customer.number for customer in found] == ["K-2000"]


def test_customers_are_found_by_number_name_city_and_domain(database: Database) -> None:
    with database.write() as session:
        for values in (
            CustomerValues(number="K-1", name="Straßenbau", city="Köln"),
            CustomerValues(number="K-2", name="Acme", domains=("acme.example",), valid=False),
        ):
            save_customer(session, ADMIN, values)
    for wanted, expected in (
        (CustomerFilter(), ["K-2", "K-1"]),
        (CustomerFilter(query="strassen"), ["K-1"]),
        (CustomerFilter(query="koeln k-1"), ["K-1"]),
        (CustomerFilter(query="acme.example"), ["K-2"]),
        (CustomerFilter(valid=True), ["K-1"]),
        (CustomerFilter(valid=False), ["K-2"]),
        (CustomerFilter(query="k-", valid=False), ["K-2"]),
    ):
        with database.read() as session:
            found = find_customers(session, wanted)
            assert [customer.number for customer in found.items] == expected, wanted
            assert count_customers(session, wanted) == len(expected)


def test_accounts_of_customers_are_counted(database: Database) -> None:
    fill(database)
    with database.read() as session:
        ids = [the_customer(session, number).id for number in ("K-1000", "K-2000")]
        assert customer_user_counts(session, [*ids, 999]) == {ids[0]: 2, ids[1]: 2, 999: 0}
        assert customer_user_counts(session, []) == {}


def test_pages_together_are_the_whole_list_in_order(database: Database) -> None:
    customers(database)
    saved(
        database,
        *(
            replace(ANNA, login=f"u{n}", email=f"u{n}@x.example", last_name=f"Name {n % 4}")
            for n in range(11)
        ),
    )
    seen: list[int] = []
    keys: list[tuple[str, int]] = []
    with database.read() as session:
        cursor: str | None = None
        while True:
            page = find_customer_users(session, CustomerUserFilter(), cursor=cursor, limit=3)
            seen += [account.id for account in page.items]
            keys += [(account.sort_key, account.id) for account in page.items]
            cursor = page.next
            if cursor is None:
                break
    assert len(set(seen)) == len(seen) == 11
    assert keys == sorted(keys)


def test_a_page_has_a_limit_whatever_is_asked_for(sqlite_database: Database) -> None:
    customers(sqlite_database)
    with sqlite_database.write() as session:
        customer_id = the_customer(session, "K-1000").id
        session.execute(
            text(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) "
                "INSERT INTO customers (number, name, street, postcode, city, country, url, "
                "comment, valid, search_text, sort_key, created_at, changed_at, version) "
                "SELECT 'N' || i, 'x', '', '', '', '', '', '', 1, 'x', 'x', created_at, "
                "changed_at, 1 FROM n, customers WHERE id = :id"
            ),
            {"id": customer_id},
        )
    with sqlite_database.read() as session:
        found = find_customers(session, CustomerFilter(), limit=10**9)
        assert len(found.items) == MAX_PAGE


def test_a_page_costs_the_same_number_of_statements_whatever_its_length(
    sqlite_database: Database,
) -> None:
    customers(sqlite_database)
    saved(
        sqlite_database,
        *(replace(ANNA, login=f"u{n}", email=f"u{n}@x.example") for n in range(20)),
    )
    statements: list[str] = []
    event.listen(
        sqlite_database.reader, "before_cursor_execute", lambda *args: statements.append(args[2])
    )
    costs = []
    for limit in (2, 20):
        statements.clear()
        with sqlite_database.read() as session:
            page = find_customer_users(session, CustomerUserFilter(), limit=limit)
            rows = [(row.name, row.email, row.customer.name) for row in page.items]
        assert len(rows) == limit
        costs.append(len(statements))
    assert costs[0] == costs[1] <= 3


@pytest.mark.parametrize(("query", "by_index"), [("", True), ("anna", False)])
def test_the_list_is_read_from_its_index(
    sqlite_database: Database, query: str, by_index: bool
) -> None:
    """But for a search, which is quicker when it reads the whole table in order, once."""
    with sqlite_database.read() as session:
        statements: list[tuple[str, object]] = []
        event.listen(
            sqlite_database.reader,
            "before_cursor_execute",
            lambda *args: statements.append((args[2], args[3])),
        )
        find_customer_users(session, CustomerUserFilter(query=query))
        listing, values = next(each for each in statements if "sort_key" in each[0])
        assert isinstance(values, tuple)
        plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {listing}", values).all()
    details = " ".join(row[3] for row in plan)
    table = CustomerUser.__tablename__
    assert (f"USING INDEX ix_{table}_sort_key" in details) is by_index
    assert details.count(f"SCAN {table}") == 1


@pytest.mark.parametrize("most", [MAX_SORTED, 3])
def test_pages_of_a_search(database: Database, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Few are found by reading the table, many along the sort order: the pages are the same."""
    monkeypatch.setattr(paging, "MAX_SORTED", most)
    customers(database)
    people = [
        replace(
            ANNA,
            login=f"user{number}",
            email=f"user{number}@muster.example",
            last_name=f"{'Weiß' if number % 3 else 'Groß'}-{number % 4}",
        )
        for number in range(15)
    ]
    saved(database, *people)
    with database.read() as session:
        everybody = find_customer_users(session, CustomerUserFilter()).items
        expected = [each.login for each in everybody if each.last_name.startswith("W")]
        wanted = CustomerUserFilter(query="weiß")
        seen: list[list[str]] = []
        page = find_customer_users(session, wanted, limit=4)
        while True:
            assert page.count == (10 if most > 10 else None)
            assert page.count_or(lambda: count_customer_users(session, wanted)) == 10
            seen.append([each.login for each in page.items])
            if page.next is None:
                break
            page = find_customer_users(session, wanted, cursor=page.next, limit=4)
        assert [len(logins) for logins in seen] == [4, 4, 2]
        assert [login for logins in seen for login in logins] == expected
        page = find_customer_users(session, wanted, cursor=page.previous, limit=4)
        assert [each.login for each in page.items] == seen[1]


def test_a_search_reads_the_table_once(database: Database) -> None:
    """Also where nothing is found; what is found tells how many there are."""
    fill(database)
    statements: list[str] = []
    event.listen(
        database.reader,
        "before_cursor_execute",
        lambda _connection, _cursor, statement, *_rest: statements.append(statement),
    )
    for query, count in (("nobody", 0), ("anna", 1)):
        statements.clear()
        with database.read() as session:
            page = find_customer_users(session, CustomerUserFilter(query=query))
        assert (page.count, len(page.items)) == (count, count)
        assert len([each for each in statements if "LIKE" in each]) == 1
        assert all("LIKE" in each or " IN (" in each for each in statements if "SELECT" in each)

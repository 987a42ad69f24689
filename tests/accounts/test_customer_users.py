"""Customer users: every field of the handbook, several addresses, validity, nobody overwritten."""

from dataclasses import fields, replace

import pytest
from sqlalchemy import func, select

from core.accounts.customer_users import (
    CustomerUserValues,
    add_address,
    customer_user_values,
    customer_user_with_login,
    return_to_valid,
    save_customer_user,
)
from core.accounts.customers import customer_values, save_customer
from core.accounts.permissions import is_valid_account, valid_account
from core.accounts.sessions import start_session
from core.accounts.staff import save_staff
from core.db import Database
from core.errors import Duplicate, InvalidFields, NotFound, SchalterError, Stale
from core.models import Customer, CustomerUser, CustomerUserAddress, Queue, WebSession
from core.words import Validity
from tests.accounts.people import (
    ADMIN,
    ANNA,
    BERT,
    ROOT,
    at_the_same_time,
    customers,
    events,
    fields_of,
    in_days,
    saved,
    the_account,
    the_customer,
)
from tests.intake.firm import a_firm

EVERYTHING = CustomerUserValues(
    login="Anna.Müller",
    customer_number="K-1000",
    email="anna@muster.example",
    first_name="Anna",
    last_name="Müller",
    more_addresses=("a.mueller@muster.example", "anna@bücher.example"),
    title="Dr.",
    phone="+49 30 123456",
    mobile="+49 170 123456",
    street="Hauptstraße 1",
    postcode="10115",
    city="Berlin",
    country="Deutschland",
    comment="Mag keine Anrufe.\nNur Mail.",
    valid=Validity.INVALID_TEMPORARILY,
    invalid_until=in_days(30),
    invalid_reason="Elternzeit",
    sees_customer_tickets=True,
    language="de",
    theme="dark",
    time_zone="Europe/Berlin",
    tickets_per_page=50,
    notices=False,
)


def test_every_field_is_stored_and_read_back(database: Database) -> None:
    customers(database)
    default = {field.name: field.default for field in fields(CustomerUserValues)}
    same = [name for name, value in default.items() if getattr(EVERYTHING, name) == value]
    assert same == ["share_address"], "this test is to give every field a value of its own"
    saved(database, EVERYTHING)
    with database.read() as session:
        stored = customer_user_values(the_account(session, "Anna.Müller"))
    assert stored == EVERYTHING


def test_a_new_account_is_in_the_audit_log_with_what_was_entered(database: Database) -> None:
    customers(database)
    saved(database, ANNA)
    event = events(database, "customer-user")[0]
    assert (event.action, event.actor_name, event.peer) == ("created", "root", "192.0.2.9")
    assert event.before is None
    assert event.after is not None
    assert event.after["email"] == "anna@muster.example"
    assert "phone" not in event.after


def test_a_change_is_in_the_audit_log_with_old_and_new(database: Database) -> None:
    customers(database)
    saved(database, ANNA)
    with database.write() as session:
        save_customer_user(session, ADMIN, replace(ANNA, phone="123"), the_account(session, "anna"))
    event = events(database, "customer-user")[-1]
    assert (event.action, event.before, event.after) == ("changed", {"phone": ""}, {"phone": "123"})


def test_saving_what_is_there_already_changes_nothing(database: Database) -> None:
    customers(database)
    saved(database, EVERYTHING)
    with database.write() as session:
        account = the_account(session, EVERYTHING.login)
        version = account.version
        save_customer_user(session, ADMIN, customer_user_values(account), account, version)
    with database.read() as session:
        assert the_account(session, EVERYTHING.login).version == version
    assert len(events(database, "customer-user")) == 1


@pytest.mark.parametrize("field", ["login", "customer_number", "email", "first_name", "last_name"])
@pytest.mark.parametrize("nothing", ["", "  ", "\n", "\u202e"])
def test_a_starred_field_must_be_filled_in(
    sqlite_database: Database, field: str, nothing: str
) -> None:
    customers(sqlite_database)
    with sqlite_database.write() as session, pytest.raises(InvalidFields) as refused:
        save_customer_user(session, ADMIN, replace(ANNA, **{field: nothing}))
    assert field in fields_of(refused.value)


BAD_VALUES = [
    ("login", "x" * 201),
    ("login", "\u0301"),
    ("first_name", "x" * 101),
    ("title", "x" * 51),
    ("phone", "1" * 51),
    ("postcode", "1" * 21),
    ("comment", "x" * 10_001),
    ("email", "anna"),
    ("email", "anna@"),
    ("email", "a b@muster.example"),
    ("email", "anna@muster.example, bert@muster.example"),
    ("email", "anna@muster.example\r\nBcc: x@evil.example"),
    ("more_addresses", ("nonsense",)),
    ("customer_number", "K-9999"),
    ("language", "fr"),
    ("theme", "pink"),
    ("time_zone", "Europe/Buxtehude"),
    ("tickets_per_page", 4),
    ("tickets_per_page", 101),
]


@pytest.mark.parametrize(("field", "value"), BAD_VALUES)
def test_a_bad_value_is_refused_at_its_field(
    sqlite_database: Database, field: str, value: object
) -> None:
    customers(sqlite_database)
    with sqlite_database.write() as session, pytest.raises(InvalidFields) as refused:
        save_customer_user(session, ADMIN, replace(ANNA, **{field: value}))
    assert fields_of(refused.value) == [field]
    with sqlite_database.read() as session:
        assert session.scalar(select(func.count(CustomerUser.id))) == 0


def test_all_problems_are_told_at_once_and_nothing_is_changed(database: Database) -> None:
    customers(database)
    saved(database, ANNA)
    bad = replace(ANNA, first_name="", email="x", customer_number="K-0", theme="pink", phone="1")
    with database.write() as session, pytest.raises(InvalidFields) as refused:
        save_customer_user(session, ADMIN, bad, the_account(session, "anna"))
    assert fields_of(refused.value) == ["first_name", "theme", "email", "customer_number"]
    with database.read() as session:
        assert customer_user_values(the_account(session, "anna")) == ANNA


def test_texts_are_cleaned(database: Database) -> None:
    customers(database)
    saved(
        database,
        replace(
            ANNA,
            login="  anna ",
            first_name="An\u202ena\x00",
            last_name="Mu\u0308ller",
            comment="eins\r\nzwei\x07",
        ),
    )
    with database.read() as session:
        account = the_account(session, "anna")
        assert (account.first_name, account.last_name) == ("Anna", "M\u00fcller")
        assert account.comment == "eins\nzwei"


@pytest.mark.parametrize("login", ["anna", "ANNA", " Anna ", "ánna", "ａｎｎａ"])
def test_a_login_is_unique_however_it_is_written(sqlite_database: Database, login: str) -> None:
    customers(sqlite_database)
    holder = saved(sqlite_database, ANNA)
    with sqlite_database.write() as session, pytest.raises(InvalidFields) as refused:
        save_customer_user(session, ADMIN, replace(BERT, login=login))
    problem = refused.value.errors[0]
    assert isinstance(problem, Duplicate)
    assert (problem.field, problem.holder.id, problem.holder.name) == ("login", holder.id, "anna")
    assert "anna" in problem.message


def test_the_own_login_may_be_written_differently(database: Database) -> None:
    customers(database)
    saved(database, ANNA)
    with database.write() as session:
        save_customer_user(
            session, ADMIN, replace(ANNA, login="Anna"), the_account(session, "anna")
        )
    with database.read() as session:
        assert customer_user_with_login(session, "ANNA").login == "Anna"
        with pytest.raises(NotFound):
            customer_user_with_login(session, "ann")


# Addresses


@pytest.mark.parametrize(
    "address", ["anna@muster.example", "ANNA@Muster.Example", "second@bücher.example"]
)
def test_an_address_of_another_account_is_refused_naming_the_holder(
    database: Database, address: str
) -> None:
    customers(database)
    saved(database, replace(ANNA, more_addresses=("second@xn--bcher-kva.example",)))
    for values in (replace(BERT, email=address), replace(BERT, more_addresses=(address,))):
        with database.write() as session, pytest.raises(InvalidFields) as refused:
            save_customer_user(session, ADMIN, values)
        problem = refused.value.errors[0]
        assert isinstance(problem, Duplicate)
        assert problem.holder.name == "anna"
        assert problem.field == ("email" if values.email == address else "more_addresses")


def test_a_shared_address_belongs_to_nobody_alone(database: Database) -> None:
    customers(database)
    office = "office@muster.example"
    saved(database, ANNA)
    saved(database, replace(BERT, more_addresses=(office,)))
    with database.write() as session:
        shared = replace(ANNA, more_addresses=(office,), share_address=True)
        save_customer_user(session, ADMIN, shared, the_account(session, "anna"))
    with database.read() as session:
        rows = session.scalars(
            select(CustomerUserAddress).where(CustomerUserAddress.address == office)
        ).all()
        assert sorted((row.customer_user.login, row.shared) for row in rows) == [
            ("anna", True),
            ("bert", False),
        ]
        main = the_account(session, "anna").addresses[0]
        assert (main.shared, main.exclusive) == (False, True)


def test_the_order_of_addresses_is_kept_and_twice_is_once(database: Database) -> None:
    customers(database)
    more = ("z@muster.example", "ANNA@muster.example", "a@muster.example", "z@MUSTER.example", " ")
    saved(database, replace(ANNA, more_addresses=more))
    with database.read() as session:
        account = the_account(session, "anna")
        assert account.email == "anna@muster.example"
        assert [row.address for row in account.addresses[1:]] == [
            "z@muster.example",
            "a@muster.example",
        ]


def test_another_address_can_become_the_main_one(database: Database) -> None:
    customers(database)
    saved(database, replace(ANNA, more_addresses=("new@muster.example",)))
    with database.write() as session:
        account = the_account(session, "anna")
        ids = {row.address: row.id for row in account.addresses}
        swapped = replace(ANNA, email="new@muster.example", more_addresses=("anna@muster.example",))
        save_customer_user(session, ADMIN, swapped, account)
    with database.read() as session:
        account = the_account(session, "anna")
        assert account.email == "new@muster.example"
        assert {row.address: row.id for row in account.addresses} == ids


def test_a_removed_address_is_free_for_others(database: Database) -> None:
    customers(database)
    saved(database, replace(ANNA, more_addresses=("x@muster.example",)))
    with database.write() as session:
        save_customer_user(session, ADMIN, ANNA, the_account(session, "anna"))
    saved(database, replace(BERT, more_addresses=("x@muster.example",)))


def test_an_address_of_a_queue_is_no_address_of_a_customer(database: Database) -> None:
    a_firm(database)
    with database.write() as session, pytest.raises(InvalidFields) as refused:
        save_customer_user(session, ADMIN, replace(ANNA, login="x", email="vertrieb@example.org"))
    assert fields_of(refused.value) == ["email"]
    with database.read() as session:
        name = session.scalars(select(Queue.name).where(Queue.name == "Vertrieb")).one()
    assert name in refused.value.errors[0].message


def test_there_are_not_more_than_fifty_addresses(sqlite_database: Database) -> None:
    customers(sqlite_database)
    many = tuple(f"a{n}@muster.example" for n in range(50))
    with sqlite_database.write() as session, pytest.raises(InvalidFields) as refused:
        save_customer_user(session, ADMIN, replace(ANNA, more_addresses=many))
    assert fields_of(refused.value) == ["more_addresses"]
    saved(sqlite_database, replace(ANNA, more_addresses=many[:49]))


def test_an_address_can_be_added(database: Database) -> None:
    customers(database)
    saved(database, ANNA, BERT)
    with database.write() as session:
        add_address(session, ADMIN, the_account(session, "anna"), "new@home.example")
        add_address(session, ADMIN, the_account(session, "anna"), "New@Home.example")
    with database.write() as session, pytest.raises(InvalidFields):
        add_address(session, ADMIN, the_account(session, "anna"), "bert@muster.example")
    with database.read() as session:
        addresses = [row.address for row in the_account(session, "anna").addresses]
    assert addresses == ["anna@muster.example", "new@home.example"]


# Customers


def test_a_private_customer_is_made_along_the_way_if_asked(database: Database) -> None:
    values = replace(ANNA, customer_number="anna@home.example")
    with database.write() as session, pytest.raises(InvalidFields) as refused:
        save_customer_user(session, ADMIN, values)
    assert fields_of(refused.value) == ["customer_number"]
    with database.write() as session:
        save_customer_user(session, ADMIN, values, create_customer=True)
    with database.read() as session:
        assert the_customer(session, "anna@home.example").name == "Anna Müller"


def test_nothing_is_made_along_the_way_of_a_refused_save(database: Database) -> None:
    with database.write() as session, pytest.raises(InvalidFields):
        save_customer_user(session, ADMIN, replace(ANNA, email="x"), create_customer=True)
    with database.read() as session:
        assert session.scalar(select(func.count(Customer.id))) == 0


def test_several_accounts_share_a_customer_and_one_can_change_it(database: Database) -> None:
    customers(database)
    saved(database, ANNA, BERT)
    with database.write() as session:
        moved = replace(ANNA, customer_number="K-2000")
        save_customer_user(session, ADMIN, moved, the_account(session, "anna"))
    with database.read() as session:
        assert the_account(session, "anna").customer.name == "Acme Ltd"
        assert the_account(session, "bert").customer.name == "Muster GmbH"


# Validity

LAST_MONTH, YESTERDAY, TODAY, TOMORROW = -30, -1, 0, 1

VALIDITIES = [
    # stored word, last day counted from today, customer valid, counts as valid today
    (Validity.VALID, None, True, True),
    (Validity.VALID, None, False, False),
    (Validity.INVALID, None, True, False),
    (Validity.INVALID_TEMPORARILY, None, True, False),
    (Validity.INVALID_TEMPORARILY, TOMORROW, True, False),
    (Validity.INVALID_TEMPORARILY, TODAY, True, False),
    (Validity.INVALID_TEMPORARILY, YESTERDAY, True, True),
    (Validity.INVALID_TEMPORARILY, YESTERDAY, False, False),
    # an end date that was left behind by the other words means nothing
    (Validity.INVALID, YESTERDAY, True, False),
    (Validity.VALID, TOMORROW, True, True),
]


def test_who_counts_as_valid(database: Database) -> None:
    customers(database)
    saved(database, ANNA)
    for word, until, customer_valid, expected in VALIDITIES:
        with database.write() as session:
            account = the_account(session, "anna")
            account.valid = word
            account.invalid_until = None if until is None else in_days(until)
            account.customer.valid = customer_valid
        with database.read() as session:
            row = (word, until, customer_valid, is_valid_account(the_account(session, "anna")))
            in_sql = select(CustomerUser.login).join(CustomerUser.customer).where(valid_account())
            assert row == (word, until, customer_valid, expected)
            assert bool(session.scalars(in_sql).all()) is expected


def test_accounts_become_valid_again_after_their_last_day(database: Database) -> None:
    customers(database)
    saved(
        database,
        replace(
            ANNA,
            valid=Validity.INVALID_TEMPORARILY,
            invalid_until=in_days(TODAY),
            invalid_reason="Urlaub",
        ),
        replace(BERT, valid=Validity.INVALID_TEMPORARILY),
    )
    with database.write() as session:
        assert return_to_valid(session, in_days(TODAY)) == []
    with database.write() as session:
        assert [each.login for each in return_to_valid(session, in_days(TOMORROW))] == ["anna"]
    with database.read() as session:
        anna = customer_user_values(the_account(session, "anna"))
        assert anna == ANNA
        assert the_account(session, "bert").valid is Validity.INVALID_TEMPORARILY
    event = events(database, "customer-user")[-1]
    assert (event.actor_name, event.after) == (
        "Schalter",
        {"valid": "valid", "invalid_until": None},
    )


@pytest.mark.parametrize("day", [YESTERDAY, LAST_MONTH])
def test_an_end_date_in_the_past_is_refused(sqlite_database: Database, day: int) -> None:
    customers(sqlite_database)
    values = replace(ANNA, valid=Validity.INVALID_TEMPORARILY, invalid_until=in_days(day))
    with sqlite_database.write() as session, pytest.raises(InvalidFields) as refused:
        save_customer_user(session, ADMIN, values)
    assert fields_of(refused.value) == ["invalid_until"]


def test_an_end_date_that_has_passed_since_may_stay(database: Database) -> None:
    customers(database)
    saved(database, replace(ANNA, valid=Validity.INVALID_TEMPORARILY, invalid_until=in_days(TODAY)))
    with database.write() as session:
        the_account(session, "anna").invalid_until = in_days(YESTERDAY)
    with database.write() as session:
        account = the_account(session, "anna")
        values = replace(customer_user_values(account), phone="1")
        save_customer_user(session, ADMIN, values, account)


def test_the_reason_and_the_end_go_with_the_validity(database: Database) -> None:
    customers(database)
    saved(database, replace(EVERYTHING, login="anna"))
    with database.write() as session:
        account = the_account(session, "anna")
        values = replace(customer_user_values(account), valid=Validity.VALID)
        save_customer_user(session, ADMIN, values, account)
        assert (account.invalid_until, account.invalid_reason) == (None, "")
        values = replace(values, valid=Validity.INVALID, invalid_until=in_days(TOMORROW))
        save_customer_user(session, ADMIN, values, account)
        assert account.invalid_until is None


def test_an_invalid_account_gives_its_addresses_to_a_successor(database: Database) -> None:
    customers(database)
    saved(database, replace(ANNA, valid=Validity.INVALID))
    saved(database, replace(BERT, email=ANNA.email))
    with database.write() as session, pytest.raises(InvalidFields) as refused:
        save_customer_user(session, ADMIN, ANNA, the_account(session, "anna"))
    problem = refused.value.errors[0]
    assert isinstance(problem, Duplicate)
    assert problem.holder.name == "bert"


def test_an_account_that_is_invalid_for_a_time_keeps_its_addresses(database: Database) -> None:
    customers(database)
    saved(database, replace(ANNA, valid=Validity.INVALID_TEMPORARILY))
    with database.write() as session, pytest.raises(InvalidFields):
        save_customer_user(session, ADMIN, replace(BERT, email=ANNA.email))


@pytest.mark.parametrize("word", [Validity.INVALID, Validity.INVALID_TEMPORARILY])
def test_an_account_that_is_no_longer_valid_is_signed_out(
    database: Database, word: Validity
) -> None:
    customers(database)
    saved(database, ANNA, BERT)
    with database.write() as session:
        for login in ("anna", "bert"):
            start_session(session, the_account(session, login), peer="", agent="")
    with database.write() as session:
        save_customer_user(session, ADMIN, replace(ANNA, valid=word), the_account(session, "anna"))
    with database.read() as session:
        left = session.scalars(select(WebSession.customer_user_id)).all()
        assert left == [the_account(session, "bert").id]


# Two at the same time


def test_a_second_admin_does_not_save_over_the_first(database: Database) -> None:
    customers(database)
    shown = saved(database, ANNA).version
    with database.write() as session:
        save_customer_user(
            session, ADMIN, replace(ANNA, phone="1"), the_account(session, "anna"), shown
        )
    with pytest.raises(Stale), database.write() as session:
        save_customer_user(
            session, ADMIN, replace(ANNA, mobile="2"), the_account(session, "anna"), shown
        )
    with database.read() as session:
        account = the_account(session, "anna")
        assert (account.phone, account.mobile) == ("1", "")


def test_of_two_who_save_at_once_one_wins(database: Database) -> None:
    customers(database)
    shown = saved(database, ANNA).version

    def save(phone: str) -> str:
        with database.write() as session:
            account = the_account(session, "anna")
            save_customer_user(session, ADMIN, replace(ANNA, phone=phone), account, shown)
        return phone

    first, second = at_the_same_time(lambda: save("1"), lambda: save("2"))
    results = [first, second]
    assert [isinstance(result, Stale) for result in results].count(True) == 1
    with database.read() as session:
        assert the_account(session, "anna").phone in results


@pytest.mark.parametrize("field", ["login", "email"])
def test_of_two_who_take_one_login_or_address_at_once_one_wins(
    database: Database, field: str
) -> None:
    customers(database)

    def save(values: CustomerUserValues) -> str:
        with database.write() as session:
            return save_customer_user(session, ADMIN, values).login

    other = replace(BERT, **{field: getattr(ANNA, field)})
    results = at_the_same_time(lambda: save(ANNA), lambda: save(other))
    errors = [result for result in results if isinstance(result, SchalterError)]
    assert len(errors) == 1
    assert isinstance(errors[0], Stale | InvalidFields)
    with database.read() as session:
        assert session.scalar(select(func.count(CustomerUser.id))) == 1


# What else is about accounts


def test_an_account_is_found_by_the_new_name_of_its_customer(database: Database) -> None:
    customers(database)
    version = saved(database, ANNA).version
    with database.write() as session:
        customer = the_customer(session, "K-1000")
        save_customer(
            session,
            ADMIN,
            replace(customer_values(customer), number="M-7", name="Neu AG"),
            customer,
        )
    with database.read() as session:
        account = the_account(session, "anna")
        assert "m-7" in account.search_text
        assert "muster gmbh" not in account.search_text
        assert account.version == version, "nobody has changed the account"


def test_a_login_of_staff_is_no_login_of_a_customer(database: Database) -> None:
    customers(database)
    with database.write() as session:
        save_staff(session, ADMIN, replace(ROOT, login="anna"))
        save_customer_user(session, ADMIN, ANNA)

"""Records become accounts: what is brought in, who wins, who vanishes."""

from dataclasses import replace
from typing import Any

import pytest

from core.accounts.customer_users import customer_user_values, save_customer_user
from core.accounts.customers import customer_values, save_customer
from core.accounts.own_addresses import ask_for_address
from core.accounts.password_links import answer_requests, ask_for_password, invite
from core.accounts.passwords import set_password
from core.audit import customer_actor
from core.db import Database
from core.errors import Invalid, InvalidFields
from core.models import AuditEvent, Customer, CustomerUser, OutgoingMail
from core.models import CustomerSource as SourceState
from core.sources.source import SourceAway
from core.words import Validity
from tests.accounts import people
from tests.accounts.people import ADMIN
from tests.sources.crm import ANNA, BERT, Crm, account, conflicts, logins, read

VALID, INVALID = "valid", "invalid"


def test_a_record_becomes_an_account_of_its_customer(database: Database, crm: Crm) -> None:
    crm.hold(ANNA | {"mail2": "Anna@Privat.Example"})
    tally = read(database, crm.section())
    assert (tally.new, tally.changed, tally.unchanged, tally.refused) == (1, 0, 0, 0)
    anna = account(database, "anna")
    assert (anna.source, anna.source_key, anna.password_hash) == ("crm", "1", None)
    assert (anna.customer.number, anna.customer.name) == ("K-1000", "Muster GmbH")
    assert anna.customer.source == "crm"
    assert [row.address for row in anna.addresses] == ["anna@muster.example", "Anna@privat.example"]
    assert (anna.name, anna.phone, anna.valid) == ("Anna Müller", "0228 1", Validity.VALID)
    assert anna.source_seen_at is not None
    with database.read() as session:
        events = session.query(AuditEvent).filter_by(object_kind="customer-user").all()
    assert [(event.actor_name, event.action) for event in events] == [("source crm", "created")]


def test_a_second_pass_changes_only_what_differs(sqlite_database: Database, crm: Crm) -> None:
    crm.hold(ANNA, BERT)
    read(sqlite_database, crm.section())
    before = account(sqlite_database, "anna")
    tally = read(sqlite_database, crm.section())
    assert (tally.new, tally.changed, tally.unchanged) == (0, 0, 2)
    after = account(sqlite_database, "anna")
    assert (after.version, after.changed_at) == (before.version, before.changed_at)

    crm.hold(ANNA | {"name": "Schmidt", "login": "anna.schmidt", "number": "K-3000"}, BERT)
    tally = read(sqlite_database, crm.section())
    assert (tally.new, tally.changed, tally.unchanged) == (0, 1, 1)
    renamed = account(sqlite_database, "anna.schmidt")
    assert (renamed.id, renamed.customer.number) == (before.id, "K-3000")


def test_a_customer_takes_its_name_from_its_first_record(
    sqlite_database: Database, crm: Crm
) -> None:
    crm.hold(ANNA, BERT | {"firma": "Muster AG"})
    read(sqlite_database, crm.section())
    assert account(sqlite_database, "bert").customer.name == "Muster GmbH"
    crm.hold(ANNA | {"firma": "Muster SE"}, BERT | {"firma": "Muster AG"})
    read(sqlite_database, crm.section())
    assert account(sqlite_database, "bert").customer.name == "Muster SE"


def test_a_customer_that_is_kept_here_keeps_its_name(sqlite_database: Database, crm: Crm) -> None:
    people.customers(sqlite_database)
    crm.hold(ANNA | {"firma": "Something else"})
    read(sqlite_database, crm.section())
    customer = account(sqlite_database, "anna").customer
    assert (customer.name, customer.source) == (people.MUSTER.name, None)


def test_who_vanishes_becomes_invalid_and_can_return(database: Database, crm: Crm) -> None:
    crm.hold(ANNA, BERT)
    read(database, crm.section())
    crm.hold(BERT)
    assert read(database, crm.section()).vanished == 1
    assert logins(database) == {"anna": ("crm", INVALID), "bert": ("crm", VALID)}
    assert account(database, "anna").invalid_reason == "Nicht mehr in der Kundenquelle."
    gone_at = account(database, "anna").source_gone_at
    assert gone_at is not None
    assert account(database, "bert").source_gone_at is None
    assert read(database, crm.section()).vanished == 0
    assert account(database, "anna").source_gone_at == gone_at
    crm.hold(ANNA, BERT)
    read(database, crm.section())
    assert logins(database)["anna"] == ("crm", VALID)
    anna = account(database, "anna")
    assert (anna.invalid_reason, anna.source_gone_at) == ("", None)


def test_an_invalid_account_vanishes_with_its_reason(sqlite_database: Database, crm: Crm) -> None:
    crm.hold(ANNA | {"gueltig": 0}, BERT)
    read(sqlite_database, crm.section())
    crm.hold(BERT)
    assert read(sqlite_database, crm.section()).vanished == 1
    anna = account(sqlite_database, "anna")
    assert (anna.valid, anna.invalid_reason) == (Validity.INVALID, "")
    assert anna.source_gone_at is not None
    crm.hold(ANNA | {"gueltig": 0}, BERT)
    read(sqlite_database, crm.section())
    assert account(sqlite_database, "anna").source_gone_at is None


def test_an_empty_source_makes_nobody_invalid(sqlite_database: Database, crm: Crm) -> None:
    crm.hold(ANNA)
    read(sqlite_database, crm.section())
    crm.hold()
    with pytest.raises(SourceAway, match="kein brauchbarer Datensatz"):
        read(sqlite_database, crm.section())
    assert logins(sqlite_database) == {"anna": ("crm", VALID)}
    with sqlite_database.read() as session:
        state = session.get_one(SourceState, "crm")
    assert "kein brauchbarer Datensatz" in state.last_error
    assert state.records == 1


def test_the_column_of_validity_decides(sqlite_database: Database, crm: Crm) -> None:
    crm.hold(ANNA | {"gueltig": 2}, BERT | {"gueltig": None})
    read(sqlite_database, crm.section())
    assert logins(sqlite_database) == {"anna": ("crm", INVALID), "bert": ("crm", INVALID)}


class TestEqualLogins:
    """Kept here before any source, an earlier source before a later one, whatever the case."""

    def test_an_account_kept_here_wins(self, sqlite_database: Database, crm: Crm) -> None:
        people.customers(sqlite_database)
        people.saved(sqlite_database, people.ANNA)
        crm.hold(ANNA | {"login": "ANNA", "vorname": "Wrong"}, BERT)
        tally = read(sqlite_database, crm.section())
        assert (tally.new, tally.refused) == (1, 1)
        assert logins(sqlite_database) == {"anna": (None, VALID), "bert": ("crm", VALID)}
        assert account(sqlite_database, "anna").first_name == "Anna"
        assert [each[:3] for each in conflicts(sqlite_database)] == [("crm", "1", "login")]

    @pytest.mark.parametrize("read_first", ["crm", "erp"])
    def test_the_earlier_source_wins(
        self, sqlite_database: Database, crm: Crm, erp: Crm, read_first: str
    ) -> None:
        crm.hold(ANNA)
        erp.hold(ANNA | {"id": 77, "vorname": "Annette", "mail": "annette@muster.example"}, BERT)
        sections = {"crm": crm.section(), "erp": erp.section("erp")}
        first = sections.pop(read_first)
        for section in (first, *sections.values(), first):
            read(sqlite_database, section, ["crm", "erp"])
        anna = account(sqlite_database, "anna")
        assert (anna.source, anna.source_key, anna.first_name) == ("crm", "1", "Anna")
        read(sqlite_database, erp.section("erp"), ["crm", "erp"])
        assert logins(sqlite_database) == {"anna": ("crm", VALID), "bert": ("erp", VALID)}
        assert [each[:3] for each in conflicts(sqlite_database)] == [("erp", "77", "login")]

    def test_two_records_of_one_source(self, sqlite_database: Database, crm: Crm) -> None:
        crm.hold(ANNA, BERT | {"login": "Anna"})
        for _time in range(2):
            read(sqlite_database, crm.section())
            assert account(sqlite_database, "anna").source_key == "1"
            assert [each[:3] for each in conflicts(sqlite_database)] == [("crm", "2", "login")]

    def test_a_conflict_goes_when_its_cause_is_gone(
        self, sqlite_database: Database, crm: Crm
    ) -> None:
        crm.hold(ANNA, BERT | {"login": "anna"})
        read(sqlite_database, crm.section())
        crm.hold(ANNA, BERT)
        read(sqlite_database, crm.section())
        assert conflicts(sqlite_database) == []

    def test_a_taken_login_keeps_the_copy_as_it_was(
        self, sqlite_database: Database, crm: Crm
    ) -> None:
        crm.hold(ANNA, BERT)
        read(sqlite_database, crm.section())
        crm.hold(ANNA, BERT | {"login": "anna", "name": "Changed"})
        read(sqlite_database, crm.section())
        assert account(sqlite_database, "bert").last_name == "Müller"
        crm.hold(ANNA, BERT | {"login": "anna", "gueltig": 0})
        read(sqlite_database, crm.section())
        assert logins(sqlite_database)["bert"] == ("crm", INVALID)


def test_two_records_with_one_key_do_not_take_turns(sqlite_database: Database, crm: Crm) -> None:
    crm.hold(ANNA, BERT | {"id": 1})
    tally = read(sqlite_database, crm.section())
    assert (tally.new, tally.refused) == (1, 1)
    assert logins(sqlite_database) == {"anna": ("crm", VALID)}
    assert [each[:3] for each in conflicts(sqlite_database)] == [("crm", "1", "key")]


def test_an_address_of_two_is_shared_and_listed(database: Database, crm: Crm) -> None:
    people.customers(database)
    people.saved(database, people.ANNA)
    crm.hold(BERT | {"mail": "ANNA@muster.example"})
    read(database, crm.section())
    assert [row.shared for row in account(database, "bert").addresses] == [True]
    assert conflicts(database) == [("crm", "2", "address", "ANNA@muster.example (anna)")]
    read(database, crm.section())
    assert len(conflicts(database)) == 1


# What is wrong with a record, and what is told.
FAULTY = [
    ({"mail": None}, "email: Bitte füllen Sie dieses Feld aus."),
    ({"mail": "no address"}, "email: "),
    ({"number": ""}, "customer_number: Bitte füllen Sie dieses Feld aus."),
    ({"login": ""}, "login: Bitte füllen Sie dieses Feld aus."),
    ({"tel": "0" * 49 + "12"}, "phone: Höchstens 50 Zeichen."),
    ({"login": "x" * 201}, "login: Höchstens 200 Zeichen."),
    ({"id": None}, "Der Schlüssel ist leer oder zu lang."),
]


@pytest.mark.parametrize(("change", "told"), FAULTY)
def test_a_faulty_record_is_listed_and_hinders_nobody(
    sqlite_database: Database, crm: Crm, change: dict[str, str | None], told: str
) -> None:
    crm.hold(ANNA | change, BERT)
    for _time in range(2):
        read(sqlite_database, crm.section())
        assert logins(sqlite_database) == {"bert": ("crm", VALID)}
        ((_source, _key, kind, detail),) = conflicts(sqlite_database)
        assert (kind, detail[: len(told)]) == ("faulty", told)
    with sqlite_database.read() as session:
        assert session.query(CustomerUser).one().customer.number == "K-1000"


def test_nothing_of_a_faulty_record_is_left_behind(sqlite_database: Database, crm: Crm) -> None:
    crm.hold(ANNA | {"number": "K-9", "mail": ""}, BERT)
    read(sqlite_database, crm.section())
    with sqlite_database.read() as session:
        numbers = [customer.number for customer in session.query(Customer).all()]
    assert numbers == ["K-1000"]


def test_names_may_be_missing(sqlite_database: Database, crm: Crm) -> None:
    crm.hold(ANNA | {"vorname": None, "name": ""})
    read(sqlite_database, crm.section())
    anna = account(sqlite_database, "anna")
    assert (anna.first_name, anna.last_name) == ("-", "-")
    assert read(sqlite_database, crm.section()).unchanged == 1


class TestKeptThere:
    """What a record says is changed in its source only."""

    @pytest.fixture(autouse=True)
    def _anna(self, sqlite_database: Database, crm: Crm) -> None:
        crm.hold(ANNA)
        read(sqlite_database, crm.section())

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("login", "hanna"),
            ("email", "hanna@muster.example"),
            ("more_addresses", ("hanna@muster.example",)),
            ("last_name", "Other"),
            ("phone", "1"),
            ("valid", Validity.INVALID),
        ],
    )
    def test_a_field_of_the_record(
        self, sqlite_database: Database, field: str, value: object
    ) -> None:
        anna = account(sqlite_database, "anna")
        changed: dict[str, Any] = {field: value}
        values = replace(customer_user_values(anna), **changed)
        with sqlite_database.write() as session, pytest.raises(InvalidFields) as refused:
            save_customer_user(session, ADMIN, values, session.get_one(CustomerUser, anna.id))
        assert [error.field for error in refused.value.errors] == [field]
        assert 'kept in the customer source "crm"' in str(refused.value)

    def test_what_is_kept_here_survives_a_pass(self, sqlite_database: Database, crm: Crm) -> None:
        anna = account(sqlite_database, "anna")
        values = replace(
            customer_user_values(anna),
            language="de",
            tickets_per_page=50,
            comment="VIP",
            sees_customer_tickets=True,
        )
        with sqlite_database.write() as session:
            save_customer_user(session, ADMIN, values, session.get_one(CustomerUser, anna.id))
        crm.hold(ANNA | {"name": "Schmidt"})
        read(sqlite_database, crm.section())
        after = customer_user_values(account(sqlite_database, "anna"))
        assert after == replace(values, last_name="Schmidt")

    def test_number_and_name_of_a_customer(self, sqlite_database: Database) -> None:
        with sqlite_database.write() as session:
            customer = session.query(Customer).one()
            values = customer_values(customer)
            for other in (replace(values, number="K-1"), replace(values, name="Other")):
                with pytest.raises(InvalidFields, match="kept in the customer source"):
                    save_customer(session, ADMIN, other, customer)
            save_customer(session, ADMIN, replace(values, city="Bonn"), customer)
            assert customer.city == "Bonn"

    def test_no_password_of_ours(self, sqlite_database: Database) -> None:
        anna = account(sqlite_database, "anna")
        with sqlite_database.write() as session:
            stored = session.get_one(CustomerUser, anna.id)
            with pytest.raises(Invalid, match="kept in the customer source"):
                set_password(session, ADMIN, stored, "hash")
            with pytest.raises(Invalid, match="kept in the customer source"):
                invite(session, ADMIN, stored)
            with pytest.raises(Invalid, match="kept in the customer source"):
                ask_for_address(session, customer_actor(stored), stored, "a@privat.example", "de")
            ask_for_password(session, "anna", staff=False, language="de", peer="192.0.2.1")
            assert answer_requests(session) == 0
            assert session.query(OutgoingMail).count() == 0

"""Accounts and customers of customer sources: what is locked, and what is written to the source."""

import re
from collections.abc import Callable

import pytest
from sqlalchemy import text

from core.audit import SYSTEM
from core.models import Customer, CustomerUser
from core.sources.adopt import adopt
from tests.portal.admin.browsing import Admin
from tests.portal.admin.firm import account_named
from tests.sources.crm import ANNA, BERT, Crm, read
from tests.support.portal import RunningPortal

USERS, CUSTOMERS = "/admin/customer-users", "/admin/customers"
WRITABLE = {"writable": ["email", "phone"]}
LOCKED = [
    "first_name",
    "last_name",
    "login",
    "customer_number",
    "more_addresses",
    "street",
    "valid",
]
OPEN = ["comment", "language", "tickets_per_page"]


@pytest.fixture
def copies(
    pages: RunningPortal, ada: Admin, crm: Crm, configure: Callable[..., None]
) -> RunningPortal:
    """Anna and Bert of a source whose address and phone may be changed here."""
    crm.hold(
        ANNA | {"login": "s.anna", "number": "S-1", "mail": "s.anna@crm.example"},
        BERT | {"login": "s.bert", "number": "S-1", "mail": "s.bert@crm.example"},
    )
    section = crm.section(**WRITABLE)
    read(pages.database, section)
    configure(section)
    return pages


def path_of(pages: RunningPortal, login: str = "s.anna") -> str:
    with pages.database.read() as session:
        return f"{USERS}/{account_named(session, login).id}"


def customer_path(pages: RunningPortal) -> str:
    with pages.database.read() as session:
        return f"{CUSTOMERS}/{session.query(Customer).filter_by(number='S-1').one().id}"


def stored(pages: RunningPortal, login: str = "s.anna") -> CustomerUser:
    with pages.database.read() as session:
        return account_named(session, login)


def there(crm: Crm, column: str = "tel") -> str:
    with crm.engine.connect() as connection:
        statement = text(f'SELECT {column} FROM "Kunden Benutzer" WHERE id = 1')
        return str(connection.execute(statement).scalar_one())


def is_locked(page: str, name: str) -> bool:
    """Whether a field of a form can only be read."""
    (tag,) = re.findall(rf'<(?:input|select|textarea)[^>]*\bname="{name}"[^>]*>', page)
    attributes = re.findall(r'\s(readonly|disabled|aria-describedby="[^"]*kept-there[^"]*")', tag)
    assert len(attributes) in (0, 2), tag
    return bool(attributes)


def test_the_form_of_a_copy_says_where_it_is_kept(copies: RunningPortal, ada: Admin) -> None:
    page = ada.get(path_of(copies))
    assert "comes from the customer source &#34;crm&#34;" in page
    assert "Last seen there" in page
    assert "written there first: E-mail, Phone." in page
    assert {name for name in LOCKED if is_locked(page, name)} == set(LOCKED)
    assert not [name for name in [*OPEN, "email", "phone"] if is_locked(page, name)]
    assert 'name="create_customer"' not in page


def test_an_account_that_is_kept_here_has_no_locks(copies: RunningPortal, ada: Admin) -> None:
    page = ada.get(path_of(copies, "anna"))
    assert "comes from the customer source" not in page
    assert not [name for name in [*LOCKED, *OPEN] if is_locked(page, name)]


def test_a_source_that_is_configured_no_longer(
    copies: RunningPortal, ada: Admin, configure: Callable[..., None]
) -> None:
    configure()
    page = ada.get(path_of(copies))
    assert "schalter sources adopt crm" in page
    assert is_locked(page, "phone")
    assert ada.fill(path_of(copies), comment="still kept here").status_code == 303
    assert stored(copies).comment == "still kept here"


def test_what_is_kept_here_is_saved_and_what_is_locked_is_not(
    copies: RunningPortal, ada: Admin, crm: Crm
) -> None:
    answer = ada.fill(path_of(copies), comment="knows Bert", last_name="Forged", valid="invalid")
    assert answer.status_code == 303
    account = stored(copies)
    assert (account.comment, account.last_name) == ("knows Bert", "Müller")
    assert account.valid.value == "valid"
    assert there(crm, "name") == "Müller"


def test_a_writable_field_is_written_to_the_source(
    copies: RunningPortal, ada: Admin, crm: Crm
) -> None:
    answer = ada.fill(path_of(copies), phone="0228 77", comment="called")
    assert answer.status_code == 303
    assert there(crm) == "0228 77"
    assert (stored(copies).phone, stored(copies).comment) == ("0228 77", "called")
    assert "0228 77" in ada.get(f"{path_of(copies)}/history")


def test_a_source_that_is_away_loses_nothing_that_was_typed(
    copies: RunningPortal, ada: Admin, crm: Crm
) -> None:
    form = ada.get(path_of(copies))
    assert "0228 1" in form
    crm.execute('ALTER TABLE "Kunden Benutzer" RENAME TO moved')
    answer = ada.fill(path_of(copies), phone="0228 77", comment="called")
    page = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert "has not taken the change: no such table" in page
    assert 'value="0228 77"' in page
    assert "called" in page
    assert (stored(copies).phone, stored(copies).comment) == ("0228 1", "")


def test_what_is_wrong_stands_beside_its_field(copies: RunningPortal, ada: Admin, crm: Crm) -> None:
    answer = ada.fill(path_of(copies), email="s.bert@crm.example", phone="1")
    page = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert 'id="email-error"' in page
    assert there(crm) == "0228 1"


def test_a_change_in_the_source_meanwhile_is_shown(
    copies: RunningPortal, ada: Admin, crm: Crm
) -> None:
    ada.get(path_of(copies))
    crm.execute('UPDATE "Kunden Benutzer" SET tel = :tel WHERE id = 1', tel="0228 55")
    answer = ada.fill(path_of(copies), phone="0228 77")
    page = answer.get_data(as_text=True)
    assert answer.status_code == 409
    assert "has changed in the customer source" in page
    assert "source crm" in page  # who has changed it
    assert "0228 55" in page
    assert 'value="0228 77"' in page
    assert there(crm) == "0228 55"


def test_a_customer_of_a_source(copies: RunningPortal, ada: Admin) -> None:
    path = customer_path(copies)
    page = ada.get(path)
    assert "This customer comes from the customer source" in page
    assert [name for name in ("number", "name", "city") if is_locked(page, name)] == [
        "number",
        "name",
    ]
    assert ada.fill(path, number="S-2", name="Forged", city="Bonn").status_code == 303
    with copies.database.read() as session:
        customer = session.query(Customer).filter_by(number="S-1").one()
    assert (customer.name, customer.city) == ("Muster GmbH", "Bonn")


def test_the_password_is_not_set_here(copies: RunningPortal, ada: Admin) -> None:
    page = ada.get(f"{path_of(copies)}/password")
    assert "The password is kept in the customer source" in page
    assert 'name="password"' not in page


@pytest.mark.parametrize("path", [USERS, CUSTOMERS])
def test_lists_tell_sources(
    copies: RunningPortal, ada: Admin, path: str, configure: Callable[..., None]
) -> None:
    heading = '<th scope="col">Source</th>'
    page = ada.get(path)
    assert heading in page
    assert re.search(r'<span class="chip chip-quiet">.*?crm</span>', page)
    configure()
    assert heading in ada.get(path)
    adopt(copies.database, SYSTEM, "crm")
    assert heading not in ada.get(path)


@pytest.mark.parametrize(
    ("source", "found"), [("crm", 2), ("-", 4), ("", 6), ("nosuch", 0), ("%", 0)]
)
def test_lists_are_narrowed_down_to_a_source(
    copies: RunningPortal, ada: Admin, source: str, found: int
) -> None:
    page = ada.get(f"{USERS}?source={source}")
    assert len(re.findall(r"data-row=", page)) == found
    assert "Kept in Schalter" in page
    assert (f'<option value="{source}" selected' in page) is bool(source)


def test_customers_are_narrowed_down_to_a_source(copies: RunningPortal, ada: Admin) -> None:
    assert re.findall(r">(Muster GmbH)</a>", ada.get(f"{CUSTOMERS}?source=crm")) == ["Muster GmbH"]
    assert "S-1" not in ada.get(f"{CUSTOMERS}?source=-")

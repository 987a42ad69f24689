"""The pages about copies in Chromium: their looks, and a change that goes to the source."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import text, update

from core.models import CustomerUser, now
from tests.portal.admin.firm import account_named
from tests.sources.crm import ANNA, BERT, Crm, read
from tests.support.browser import (
    Look,
    OpenPage,
    assert_accessible,
    assert_no_horizontal_overflow,
    go_through,
    looks,
)
from tests.support.portal import RunningPortal, SignIn

USERS, CUSTOMERS = "/admin/customer-users", "/admin/customers"
KEPT_THERE = re.compile("What has a lock is kept there")


@pytest.fixture
def copies(busy_portal: RunningPortal, crm: Crm, configure: Callable[..., None]) -> dict[str, str]:
    """Two accounts of a source, one of them gone; the addresses of their pages."""
    crm.hold(
        ANNA | {"login": "s.anna", "number": "S-1", "mail": "s.anna@crm.example"},
        BERT | {"login": "s.bert", "number": "S-1", "mail": "s.bert@crm.example", "gueltig": 0},
    )
    section = crm.section(writable=["email", "phone"])
    read(busy_portal.database, section)
    configure(section)
    with busy_portal.database.write() as session:
        session.execute(
            update(CustomerUser).where(CustomerUser.login == "s.bert").values(source_gone_at=now())
        )
        anna, bert = account_named(session, "s.anna"), account_named(session, "s.bert")
        paths = {
            "users": f"{USERS}?q=crm.example",
            "customers": f"{CUSTOMERS}?q=Muster",
            "user": f"{USERS}/{anna.id}",
            "user-gone": f"{USERS}/{bert.id}",
            "password": f"{USERS}/{anna.id}/password",
            "customer": f"{CUSTOMERS}/{anna.customer_id}",
        }
    return {name: busy_portal.address(path) for name, path in paths.items()}


@looks("wide-light-en", "wide-dark-de", "phone-light-de", "phone-dark-en")
def test_they_are_accessible_and_fit(
    copies: dict[str, str],
    open_page: OpenPage,
    sign_in: SignIn,
    shoot: Callable[[Page, str], None],
    look: Look,
) -> None:
    page = open_page(**look._asdict())
    sign_in(page, "ada")
    for name, address in copies.items():
        page.goto(address)
        assert_no_horizontal_overflow(page)
        assert_accessible(page)
        shoot(page, f"copies-{name}-{look}")


def test_a_phone_number_goes_to_the_source(
    copies: dict[str, str], crm: Crm, open_page: OpenPage, sign_in: SignIn
) -> None:
    page = open_page(locale="en-GB")
    sign_in(page, "ada")
    page.goto(copies["user"])
    expect(page.get_by_label("Last name")).not_to_be_editable()
    expect(page.get_by_label("Last name")).to_have_accessible_description(KEPT_THERE)
    page.get_by_label("Phone").fill("0228 77")
    go_through(page.get_by_role("button", name="Save"))
    expect(page.get_by_text("Saved.")).to_be_visible()
    expect(page.get_by_label("Phone")).to_have_value("0228 77")
    with crm.engine.connect() as connection:
        statement = text('SELECT tel FROM "Kunden Benutzer" WHERE id = 1')
        assert connection.execute(statement).scalar_one() == "0228 77"

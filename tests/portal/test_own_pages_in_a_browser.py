"""A customer's own mails and addresses in Chromium: accessible, fitting, and usable."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select, update

from core.accounts.password_links import hash_of_token
from core.models import AddressLink, CustomerUserAddress, Delivery, Mail, now
from core.words import DecisionKind, Evidence, HeldState
from tests.support.browser import (
    DESKTOP,
    PHONE,
    OpenPage,
    assert_accessible,
    assert_no_horizontal_overflow,
    go_through,
)
from tests.support.portal import PASSWORD, RunningPortal, SignIn, customer_user

Shoot = Callable[[Page, str], None]
LOOKS = [
    pytest.param(DESKTOP, False, "de-DE", id="wide-light-de"),
    pytest.param(PHONE, True, "de-DE", id="phone-dark-de"),
    pytest.param(DESKTOP, True, "en-GB", id="wide-dark-en"),
    pytest.param(PHONE, False, "en-GB", id="phone-light-en"),
]
LONG = "Mahnung zu Rechnung 2026-11-0815 trotz Zahlung und Gutschrift vom letzten Monat erhalten"


def add_mail(portal: RunningPortal, to: str, subject: str) -> int:
    """Take in a mail of Anna's; return the id of its delivery."""
    raw = (
        f"From: anna@muster.example\nTo: {to}\nSubject: {subject}\n"
        f"Message-ID: <{subject[:4]}{to}>\nContent-Type: text/plain; charset=utf-8\n\nText\n"
    ).encode()
    portal.add_mail(raw, "anna@muster.example", to)
    with portal.database.read() as session:
        return session.scalars(select(Delivery.id).order_by(Delivery.id.desc()).limit(1)).one()


@pytest.fixture
def mails(portal: RunningPortal) -> dict[str, str]:
    """The pages of mails with every fate."""
    to_technik, to_rechnung = "technik@example.org", "rechnung@example.org"
    filed = add_mail(portal, to_technik, "Drucker")
    held = add_mail(portal, to_rechnung, LONG)
    doubtful = add_mail(portal, to_rechnung, "Unbewiesen")
    refused = add_mail(portal, to_rechnung, "Abgelehnt")
    aside = add_mail(portal, to_rechnung, "Beiseite")
    with portal.database.write() as session:
        for delivery in session.scalars(select(Delivery)):
            is_doubtful = delivery.id == doubtful
            evidence = Evidence.NEUTRAL if is_doubtful else Evidence.VERIFIED
            session.execute(
                update(Mail).where(Mail.id == delivery.mail_id).values(evidence=evidence)
            )
        session.execute(
            update(Delivery)
            .where(Delivery.id == refused)
            .values(decision=DecisionKind.REJECT, held=None)
        )
        session.execute(
            update(Delivery).where(Delivery.id == aside).values(held=HeldState.DISCARDED)
        )
    return {
        "mails": "/mails",
        "mail-filed": f"/mails/{filed}",
        "mail-held": f"/mails/{held}",
        "mail-doubtful": f"/mails/{doubtful}",
        "mail-refused": f"/mails/{refused}",
        "mail-aside": f"/mails/{aside}",
    }


TOKEN = "0123456789abcdef" * 4
OTHER = "anna.mueller-luedenscheidt@buchhaltung.muster.example"


@pytest.fixture
def addresses(portal: RunningPortal) -> dict[str, str]:
    """The pages of addresses: two in use, one to be confirmed."""
    with portal.database.write() as session:
        account = customer_user(session, "anna")
        other = CustomerUserAddress(address=OTHER, address_key=OTHER, position=1)
        account.addresses.append(other)
        session.add(
            AddressLink(
                customer_user_id=account.id,
                address="anna@privat.example",
                address_key="anna@privat.example",
                token_hash=hash_of_token(TOKEN),
                expires_at=now() + timedelta(minutes=30),
            )
        )
        session.flush()  # its id is asked for
        return {
            "addresses": "/addresses",
            "remove-address": f"/addresses/{other.id}/remove",
            "confirm-address": f"/addresses/confirm/{TOKEN}",
        }


@pytest.mark.parametrize(("size", "dark", "locale"), LOOKS)
def test_every_page_is_accessible_and_fits(
    portal: RunningPortal,
    mails: dict[str, str],
    addresses: dict[str, str],
    open_page: OpenPage,
    sign_in: SignIn,
    shoot: Shoot,
    request: pytest.FixtureRequest,
    size: tuple[int, int],
    dark: bool,
    locale: str,
) -> None:
    page = open_page(size=size, dark=dark, locale=locale)
    sign_in(page, "anna")
    for name, path in (mails | addresses).items():
        page.goto(portal.address(path))
        assert page.locator("h1").count() == 1
        check(page, shoot, f"{name}-{request.node.callspec.id}")


def test_who_never_wrote_a_mail(
    portal: RunningPortal, open_page: OpenPage, sign_in: SignIn, shoot: Shoot
) -> None:
    page = open_page(size=PHONE)
    sign_in(page, "nora")
    go_through(page.locator("text=Meine Mails"))
    expect(page.locator(".empty")).to_contain_text("noch keine Mail")
    check(page, shoot, "no-mails")


@pytest.mark.parametrize("javascript", [True, False])
def test_a_held_mail_becomes_a_ticket(
    portal: RunningPortal,
    mails: dict[str, str],
    open_page: OpenPage,
    sign_in: SignIn,
    javascript: bool,
) -> None:
    page = open_page(javascript=javascript)
    sign_in(page, "anna")
    go_through(page.locator("text=Meine Mails"))
    go_through(page.locator(f"text={LONG}"))
    page.get_by_label("Technik").check()
    go_through(page.locator("main button[type=submit]"))
    expect(page.locator(".alert-success")).to_contain_text("Ihre Mail ist jetzt Ticket 100002.")
    expect(page.locator("h1")).to_have_text(LONG)


@pytest.mark.parametrize("javascript", [True, False])
def test_an_address_is_confirmed_and_becomes_the_main_one(
    portal: RunningPortal,
    addresses: dict[str, str],
    open_page: OpenPage,
    sign_in: SignIn,
    javascript: bool,
) -> None:
    page = open_page(javascript=javascript)
    page.goto(portal.address(addresses["confirm-address"]))  # from a mail, not signed in
    page.fill("#login", "anna")
    page.fill("#password", PASSWORD)
    go_through(page.locator("main button[type=submit]"))
    go_through(page.locator("main button[type=submit]"))
    expect(page.locator(".alert-success")).to_contain_text("gehört jetzt zu Ihren Adressen")
    rows = page.locator("table.list tbody tr")
    expect(rows).to_have_count(3)
    go_through(rows.nth(2).get_by_text("Zur Hauptadresse machen"))
    expect(rows.first).to_contain_text("anna@privat.example")
    go_through(rows.nth(1).get_by_text("Entfernen"))
    go_through(page.locator("main button[type=submit]"))
    expect(rows).to_have_count(2)


def test_a_link_of_nobody(
    portal: RunningPortal,
    open_page: OpenPage,
    sign_in: SignIn,
    shoot: Shoot,
    accept_problem: Callable[[str], None],
) -> None:
    accept_problem("410")
    page = open_page(size=PHONE)
    sign_in(page, "anna")
    page.goto(portal.address(f"/addresses/confirm/{TOKEN}"))
    expect(page.locator("h1")).to_have_text("Dieser Link gilt nicht mehr")
    check(page, shoot, "address-gone")


def check(page: Page, shoot: Shoot, name: str) -> None:
    shoot(page, name)
    assert_accessible(page)
    assert_no_horizontal_overflow(page)

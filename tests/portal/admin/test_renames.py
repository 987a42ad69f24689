"""*Match up*: accounts that are gone beside those that may be the same person, and one of both."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from playwright.sync_api import Page, expect
from werkzeug.test import TestResponse

from core.models import AuditEvent
from core.sources.records import SourceRecord
from tests.portal.admin.browsing import Admin, form_of
from tests.portal.admin.firm import account_named, customer_named, make_findable
from tests.sources.records import ANNA, BERT, read
from tests.support.browser import (
    Look,
    OpenPage,
    assert_accessible,
    assert_no_horizontal_overflow,
    go_through,
    looks,
)
from tests.support.portal import RunningPortal, SignIn, token_of

PATH = "/admin/source-renames"
CLARA = replace(
    ANNA,
    key="c.weber",
    login="c.weber",
    customer_number="N-1",
    customer_name="Neu & Söhne KG",
    email="clara@neu.example",
    first_name="Clara",
    last_name="Weber",
    phone="0228 1",
)
DORA = replace(
    BERT,
    key="d.zorn",
    login="d.zorn",
    customer_number="N-1",
    customer_name="Neu & Söhne KG",
    email="dora@neu.example",
    first_name="Dora",
    last_name="Zorn",
)
MARRIED = replace(
    CLARA,
    key="c.neumann",
    login="c.neumann",
    last_name="Neumann",
    more_addresses=("c@neu.example",),
)


def gone(pages: RunningPortal, *now_there: SourceRecord) -> tuple[int, int]:
    """Let Clara be gone while others are there; return the ids of her and of the first of them."""
    read(pages.database, CLARA, DORA)
    read(pages.database, *now_there)
    return id_of(pages, "c.weber"), id_of(pages, now_there[0].login)


def id_of(pages: RunningPortal, login: str) -> int:
    with pages.database.read() as session:
        return account_named(session, login).id


def press(ada: Admin, path: str, **fields: object) -> TestResponse:
    """Press a button that sends these fields."""
    data = {"csrf_token": token_of(ada.client, PATH), **{k: str(v) for k, v in fields.items()}}
    return ada.client.post(f"{PATH}{path}", data=data, headers={"Accept-Language": "en"})


def agree(ada: Admin, asked: TestResponse) -> TestResponse:
    """Agree to what a page asks."""
    assert asked.status_code == 200, asked.get_data(as_text=True)[-1500:]
    form = form_of(asked)
    return ada.send(form.action, form)


def test_without_renames_there_is_nothing_to_do(pages: RunningPortal, ada: Admin) -> None:
    page = ada.get(PATH)
    assert "There is nothing to match up." in page
    assert "Customers without accounts" not in page
    assert "Every account of a source has its record." in ada.get(f"{PATH}?show=all")
    assert f'href="{PATH}"' in ada.get("/admin/sources")


def test_who_is_gone_is_listed_with_who_it_may_be(pages: RunningPortal, ada: Admin) -> None:
    old, _new = gone(pages, MARRIED)
    page = ada.get(PATH)
    assert "c.weber" in page
    assert "same mail address, same Kunden#, same phone number" in page
    assert "d.zorn" not in page  # nobody is like her
    assert "d.zorn" in ada.get(f"{PATH}?show=all")
    assert "No account matches." in ada.get(f"{PATH}?q=zorn")
    assert f"{PATH}?account={old}" in ada.get(f"/admin/customer-users/{old}")


def test_two_are_shown_beside_each_other(pages: RunningPortal, ada: Admin) -> None:
    old, _new = gone(pages, MARRIED)
    page = ada.get(f"{PATH}?account={old}")
    assert "clara@neu.example, c@neu.example" in page
    assert page.count('class="differs"') == 4  # login, key, name, addresses
    assert "N-1 Neu &amp; Söhne KG" in page


def test_another_account_can_be_searched_for(pages: RunningPortal, ada: Admin) -> None:
    old, _new = gone(pages, replace(MARRIED, email="x@neu.example", phone="", more_addresses=()))
    assert "seems to be the same person" in ada.get(f"{PATH}?account={old}")
    page = ada.get(f"{PATH}?account={old}&q=neumann")
    assert "Match up with c.neumann" in page
    assert "No account matches." in ada.get(f"{PATH}?account={old}&q=anna")  # of no source


def test_two_become_one_after_a_question(pages: RunningPortal, ada: Admin) -> None:
    old, new = gone(pages, MARRIED)
    asked = press(ada, "/match", old=old, new=new)
    page = asked.get_data(as_text=True)
    assert "This cannot be undone." in page
    assert "It takes over from the other account: 0 tickets, 0 mails, 0 permissions." in page
    with pages.database.read() as session:
        assert account_named(session, "c.neumann").id == new  # nothing has happened yet
    answer = agree(ada, asked)
    assert (answer.status_code, answer.location) == (303, f"/admin/customer-users/{old}")
    with pages.database.read() as session:
        assert account_named(session, "c.neumann").id == old
        event = session.query(AuditEvent).filter_by(action="matched-up").one()
        assert event.actor_name == "ada"
    assert "matched up with its new record" in ada.get(f"/admin/customer-users/{old}/history")
    assert "dissolved into another account" in ada.get(f"/admin/customer-users/{new}/history")
    assert "There is nothing to match up." in ada.get(PATH)


def test_what_has_changed_since_the_question_is_not_done(pages: RunningPortal, ada: Admin) -> None:
    old, new = gone(pages, MARRIED)
    asked = press(ada, "/match", old=old, new=new)
    read(pages.database, replace(MARRIED, phone="0228 2"))
    assert agree(ada, asked).status_code == 409
    with pages.database.read() as session:
        assert account_named(session, "c.neumann").id == new


def test_what_no_page_offers_is_refused(pages: RunningPortal, ada: Admin) -> None:
    old, new = gone(pages, MARRIED)
    anna = id_of(pages, "anna")
    refused: list[tuple[str, dict[str, object], int]] = [
        ("/match", {"old": new, "new": old}, 422),
        ("/match", {"old": old, "new": anna}, 422),
        ("/match", {"old": anna, "new": new, "confirmed": 1}, 400),
        ("/match", {"old": "x", "new": new}, 400),
        ("/match", {"old": 10**12, "new": new}, 400),
        ("/match", {"old": 99999, "new": new}, 404),
        ("/login", {"account": old, "key": "c.neumann", "who": "same"}, 409),
        ("/login", {"account": old, "key": "c.neumann", "who": "same", "confirmed": 1}, 422),
        ("/login", {"account": old, "key": "c.neumann", "who": "me"}, 400),
        ("/customers", {"left": 1, "into": 2}, 409),
        ("/customers", {"left": 1, "into": 2, "confirmed": 1}, 422),
    ]
    for path, fields, status in refused:
        assert press(ada, path, **fields).status_code == status, (path, fields)
    ada.get(f"{PATH}?account={anna}", status=404)
    with pages.database.read() as session:
        assert account_named(session, "c.neumann").id == new


@pytest.mark.parametrize("who", ["same", "other"])
def test_a_login_that_somebody_else_may_have(pages: RunningPortal, ada: Admin, who: str) -> None:
    other = replace(CLARA, key="7", first_name="Chris", email="chris@neu.example")
    read(pages.database, CLARA, DORA)
    read(pages.database, other, DORA)
    old = id_of(pages, "c.weber")
    assert "login wanted by somebody" in ada.get(f"{PATH}?show=all")
    assert "The record with the key &#34;7&#34;" in ada.get(f"{PATH}?account={old}")
    asked = press(ada, "/login", account=old, key="7", who=who)
    assert ("cannot be undone" in asked.get_data(as_text=True)) is (who == "same")
    assert agree(ada, asked).status_code == 303
    read(pages.database, other, DORA)
    with pages.database.read() as session:
        now_there = account_named(session, "c.weber")
        assert (now_there.id == old) is (who == "same")
        assert now_there.first_name == "Chris"


def test_a_customer_without_accounts_is_merged(pages: RunningPortal, ada: Admin) -> None:
    moved = [
        replace(each, customer_number="N-2", customer_name="Neu Holding") for each in (CLARA, DORA)
    ]
    gone(pages, *moved)
    page = ada.get(PATH)
    assert "Customers without accounts" in page
    assert "2 accounts have moved there" in page
    with pages.database.read() as session:
        ids = [customer_named(session, name).id for name in ("Neu & Söhne KG", "Neu Holding")]
    asked = press(ada, "/customers", left=ids[0], into=ids[1])
    assert "N-1 becomes invalid." in asked.get_data(as_text=True)
    assert agree(ada, asked).location == f"/admin/customers/{ids[1]}"
    assert "Customers without accounts" not in ada.get(PATH)
    with pages.database.read() as session:
        assert customer_named(session, "Neu & Söhne KG").valid is False


def test_only_admins_match_up(pages: RunningPortal) -> None:
    Admin(pages.client("jonas")).get(PATH, status=403)
    assert pages.client("anna").get(PATH).status_code == 404


def test_searches_take_any_text(pages: RunningPortal, ada: Admin) -> None:
    old, _new = gone(pages, MARRIED)
    for text in ("%00", "x" * 500, "%25", "%FF"):
        for query in (f"q={text}&page={text}&show=all", f"account={old}&q={text}", "account=0"):
            ada.get(f"{PATH}?{query}")


@looks("wide-light-en", "phone-dark-de", "wide-dark-de", "phone-light-en")
def test_in_a_browser(
    portal: RunningPortal,
    open_page: OpenPage,
    sign_in: SignIn,
    shoot: Callable[[Page, str], None],
    look: Look,
) -> None:
    with portal.database.write() as session:
        make_findable(session)
    moved = replace(DORA, customer_number="N-2", customer_name="Neu Holding")
    old, _new = gone(portal, replace(MARRIED, customer_number="N-2"), moved)
    page = open_page(**look._asdict())
    sign_in(page, "ada")

    def look_at(name: str) -> None:
        assert_no_horizontal_overflow(page)
        assert_accessible(page)
        shoot(page, f"admin-renames-{name}-{look}")

    page.goto(portal.address(PATH))
    look_at("list")
    go_through(page.get_by_role("button", name=re.compile("Merge|Zusammenführen")))
    look_at("customers")
    page.goto(portal.address(f"{PATH}?account={old}"))
    look_at("one")
    go_through(page.get_by_role("button", name=re.compile("c.neumann")))
    look_at("question")
    go_through(page.get_by_role("button", name=re.compile("^(Match up|Zuordnen)$")))
    expect(page.get_by_role("status").first).to_contain_text("c.neumann")

"""Signing in and out, and one's own account."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from core.accounts.passwords import verify_password
from core.models import CustomerUser, WebSession, now
from core.words import Validity
from tests.support.portal import PASSWORD, RunningPortal, customer_user, post, staff, token_of


def test_a_customer_signs_in_and_out(pages_everywhere: RunningPortal) -> None:
    client = pages_everywhere.client()
    answer = client.get("/tickets?tab=closed")
    assert answer.headers["Location"] == "/sign-in?next=/tickets?tab%3Dclosed"
    fields = {"login": "Anna", "password": PASSWORD, "next": "/tickets?tab=closed"}
    answer = post(client, "/sign-in", fields)
    assert answer.headers["Location"] == "/tickets?tab=closed"
    assert client.get("/tickets").status_code == 200
    assert post(client, "/sign-out", {}, "/account/data").status_code == 303
    assert client.get("/tickets").status_code == 303
    assert sessions(pages_everywhere) == 0


@pytest.mark.parametrize(
    ("path", "login", "password"),
    [
        ("/sign-in", "anna", "wrong"),
        ("/sign-in", "nobody", PASSWORD),
        ("/sign-in", "ada", PASSWORD),
        ("/staff/sign-in", "anna", PASSWORD),
        ("/staff/sign-in", "ada", "x" * 100),
    ],
)
def test_every_refusal_looks_the_same(
    pages: RunningPortal, path: str, login: str, password: str
) -> None:
    client = pages.client()
    answer = post(client, path, {"login": login, "password": password})
    assert answer.status_code == 422
    page = answer.get_data(as_text=True)
    assert "Benutzername oder Kennwort ist nicht richtig" in page
    assert f'value="{login}"' in page
    assert password not in page
    assert sessions(pages) == 0


def test_staff_sign_in_at_their_own_page(pages: RunningPortal) -> None:
    client = pages.client()
    answer = post(client, "/staff/sign-in", {"login": "ada@example.org", "password": PASSWORD})
    assert answer.status_code == 303
    assert client.get("/staff/account/data").status_code == 200


def test_a_sign_in_gives_a_new_session_and_new_tokens(pages: RunningPortal) -> None:
    client = pages.client()
    client.set_cookie("schalter", "planted")
    before = token_of(client, "/sign-in")
    post(client, "/sign-in", {"login": "anna", "password": PASSWORD})
    cookie = client.get_cookie("schalter")
    assert cookie is not None
    assert cookie.value != "planted"
    assert client.post("/sign-out", data={"csrf_token": before}).status_code == 400


def test_a_session_ends_when_idle_and_with_its_account(pages: RunningPortal) -> None:
    idle, invalid = pages.client("anna"), pages.client("carol")
    with pages.database.write() as session:
        row = session.scalars(select(WebSession).where(owner("anna"))).one()
        row.seen_at = now() - timedelta(minutes=31)
        customer_user(session, "carol").valid = Validity.INVALID
    assert idle.get("/tickets").status_code == 303
    assert invalid.get("/tickets").status_code == 303


def test_only_what_people_do_keeps_a_session_alive(pages: RunningPortal) -> None:
    client = pages.client("anna")
    long_ago = now() - timedelta(minutes=10)
    with pages.database.write() as session:
        session.scalars(select(WebSession)).one().seen_at = long_ago
    client.get("/tickets", headers={"X-Schalter-Background": "1"})
    assert seen_at(pages) == long_ago
    client.get("/tickets")
    assert seen_at(pages) > long_ago


def test_a_one_time_password_is_changed_before_anything_else(pages: RunningPortal) -> None:
    client = pages.client("ada")
    with pages.database.write() as session:
        staff(session, "ada").must_change_password = True
    for path in ("/", "/staff", "/staff/account/data", "/admin/customer-users"):
        answer = client.get(path, follow_redirects=True)
        assert answer.request.path == "/staff/account/password"
    assert "gilt nur für die erste Anmeldung" in client.get("/staff/account/password").get_data(
        as_text=True
    )
    new = "another long password"
    fields = {"old_password": PASSWORD, "password": new, "repeated": new}
    assert post(client, "/staff/account/password", fields).status_code == 302
    with pages.database.read() as session:
        assert not staff(session, "ada").must_change_password


def test_a_new_password_ends_the_other_sessions(pages_everywhere: RunningPortal) -> None:
    here, elsewhere = pages_everywhere.client("anna"), pages_everywhere.client("anna")
    new = "ein langes neues Passwort"
    fields = {"old_password": PASSWORD, "password": new, "repeated": new}
    assert post(here, "/account/password", fields).status_code == 302
    assert here.get("/tickets").status_code == 200
    assert elsewhere.get("/tickets").status_code == 303
    with pages_everywhere.database.read() as session:
        assert verify_password(new, customer_user(session, "anna").password_hash)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"old_password": "wrong"}, "nicht Ihr"),
        ({"password": "kurz", "repeated": "kurz"}, "10 Zeichen"),
        ({"repeated": "something else"}, "stimmen nicht überein"),
        ({"old_password": ""}, "Bitte füllen Sie dieses Feld aus."),
    ],
)
def test_a_password_that_is_not_taken(
    pages: RunningPortal, fields: dict[str, str], error: str
) -> None:
    new = "ein langes neues Passwort"
    given = {"old_password": PASSWORD, "password": new, "repeated": new, **fields}
    answer = post(pages.client("anna"), "/account/password", given)
    assert answer.status_code == 422
    assert error in answer.get_data(as_text=True)
    assert new not in answer.get_data(as_text=True)


def test_sessions_are_listed_and_ended(pages: RunningPortal) -> None:
    here, *others = (pages.client("anna") for _ in range(3))
    page = here.get("/account/sessions").get_data(as_text=True)
    handle = page.partition('name="handle" value="')[2].partition('"')[0]
    assert post(pages.client("carol"), "/account/sessions", {"handle": handle}).status_code == 303
    assert [client.get("/tickets").status_code for client in others] == [200, 200]
    assert post(here, "/account/sessions", {"handle": handle}).status_code == 303
    assert sorted(client.get("/tickets").status_code for client in others) == [200, 303]
    post(here, "/account/sessions", {})
    assert [client.get("/tickets").status_code for client in others] == [303, 303]
    assert here.get("/tickets").status_code == 200


def test_preferences_are_stored_and_used(pages_everywhere: RunningPortal) -> None:
    client = pages_everywhere.client("anna")
    fields = {
        "language": "en",
        "theme": "dark",
        "time_zone": "Asia/Tokyo",
        "tickets_per_page": "50",
        # what is not offered here changes nothing
        "login": "root",
        "customer_id": "2",
        "valid": "invalid",
        "sees_customer_tickets": "y",
    }
    assert post(client, "/account/preferences", fields).status_code == 303
    page = client.get("/account/preferences", headers={"Accept-Language": "de"})
    assert '<html lang="en" data-theme="dark" data-bs-theme="dark">' in page.get_data(as_text=True)
    with pages_everywhere.database.read() as session:
        anna = customer_user(session, "anna")
        assert (anna.time_zone, anna.tickets_per_page, anna.notices) == ("Asia/Tokyo", 50, False)
        assert (anna.customer.number, anna.valid) == ("K-1000", Validity.VALID)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("language", "xx"),
        ("theme", "pink"),
        ("time_zone", "Mars/Olympus"),
        ("tickets_per_page", "1000"),
        ("tickets_per_page", "many"),
    ],
)
def test_preferences_that_do_not_exist(pages: RunningPortal, field: str, value: str) -> None:
    fields = {"language": "", "theme": "auto", "time_zone": "", "tickets_per_page": "25"}
    answer = post(pages.client("anna"), "/account/preferences", {**fields, field: value})
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.get_data(as_text=True) or field == "theme"


def owner(login: str):
    account = select(CustomerUser.id).where(CustomerUser.login == login).scalar_subquery()
    return WebSession.customer_user_id == account


def sessions(pages: RunningPortal) -> int:
    with pages.database.read() as session:
        return session.scalars(select(func.count()).select_from(WebSession)).one()


def seen_at(pages: RunningPortal):
    with pages.database.read() as session:
        return session.scalars(select(WebSession.seen_at)).one()

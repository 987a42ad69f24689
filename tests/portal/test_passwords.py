"""A forgotten password: from the form over the mail to the sign-in."""

import logging
import re
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.exc import OperationalError

from core.accounts.passwords import hash_password, verify_password
from core.accounts.throttle import ACCOUNT_LIMIT
from core.db import Database
from core.models import AccountToken, OutgoingMail, PasswordRequest
from core.words import Validity
from portal import passwords as pages_of_passwords
from portal.limits import limiter
from tests.support.clocks import stop_delays
from tests.support.links import OURS, link_in, mailed
from tests.support.portal import (
    PASSWORD,
    RunningPortal,
    customer_user,
    fill,
    make_app,
    post,
    staff,
    token_of,
    use,
)

NEW = "ein ganz neues Kennwort"
TYPED = {"password": NEW, "repeated": NEW}
EVIL = "evil.example"


def link(pages: RunningPortal, folder: Path, login: str = "anna") -> str:
    """Ask for a link; return its path, from the mail."""
    at = "/staff/password" if login in ("jonas", "ada") else "/password"
    assert post(pages.client(), at, {"login": login}).status_code == 303
    return link_in(mailed(pages.database, folder))


def count(pages: RunningPortal, model: type[object]) -> int:
    """Return how many rows a table has."""
    with pages.database.read() as session:
        return session.scalars(select(func.count()).select_from(model)).one()


def has_password(pages: RunningPortal, login: str, password: str) -> bool:
    """Whether this is the password of an account."""
    with pages.database.read() as session:
        find = staff if login in ("jonas", "ada") else customer_user
        return verify_password(password, find(session, login).password_hash)


@pytest.mark.parametrize(
    ("login", "at", "home"),
    [("anna", "/sign-in", "/tickets"), ("ada", "/staff/sign-in", "/staff/account/data")],
)
def test_from_the_forgotten_password_to_the_sign_in(
    pages_everywhere: RunningPortal, tmp_path: Path, login: str, at: str, home: str
) -> None:
    elsewhere = pages_everywhere.client(login)
    with pages_everywhere.database.write() as session:
        staff(session, "ada").must_change_password = login == "ada"
    client = pages_everywhere.client()
    assert b"Kennwort vergessen?" in client.get(at).data
    path = link(pages_everywhere, tmp_path, login)
    answer = post(client, path, TYPED)
    assert (answer.status_code, answer.headers["Location"]) == (303, at)
    assert "Ihr neues Kennwort ist gesetzt." in client.get(at).get_data(as_text=True)
    assert elsewhere.get(home).status_code == 303  # to the sign-in: its session has ended
    assert post(client, at, {"login": login, "password": PASSWORD}).status_code == 422
    assert post(client, at, {"login": login, "password": NEW}).status_code == 303
    assert client.get(home).status_code == 200


def test_every_answer_is_the_same(pages: RunningPortal) -> None:
    with pages.database.write() as session:
        customer_user(session, "carol").valid = Validity.INVALID
    bodies = set()
    for login in ("anna", "anna@muster.example", "carol", "nobody", "nobody@example.net", "ada"):
        client = pages.client()
        answer = post(client, "/password", {"login": login})
        assert (answer.status_code, answer.headers["Location"]) == (303, "/password/asked")
        page = client.get("/password/asked").get_data(as_text=True)
        assert login not in page
        bodies.add(re.sub(r'name="csrf_token" value="[^"]*"', "", page))
    assert len(bodies) == 1
    assert "Wenn es ein solches Konto gibt" in bodies.pop()
    assert count(pages, PasswordRequest) == 6


def test_the_page_does_the_same_work_for_every_login(pages_everywhere: RunningPortal) -> None:
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        statements.append(statement)

    done = []
    for login in ("bert", "anna", "anna@muster.example", "nobody", "nobody@example.net"):
        client = pages_everywhere.client()
        token = token_of(client, "/password")
        engines = {pages_everywhere.database.reader, pages_everywhere.database.writer}
        for engine in engines:
            event.listen(engine, "before_cursor_execute", note)
        client.post("/password", data={"csrf_token": token, "login": login})
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)
        done.append(list(statements))
        statements.clear()
    assert done[0]
    assert all(each == done[1] for each in done[1:])


def test_a_link_leads_to_our_own_address_only(sqlite_database: Database, tmp_path: Path) -> None:
    """Whatever a browser, or who pretends to be one, says our host is (threat W6)."""
    fill(sqlite_database)
    app = use(make_app(sqlite_database, tmp_path, OURS), sqlite_database)
    pages = RunningPortal("", sqlite_database, app)
    client = pages.client()
    headers = {"Host": EVIL, "X-Forwarded-Host": EVIL, "Forwarded": f"host={EVIL}"}
    secure = {"base_url": "https://localhost", "headers": headers}
    page = client.get("/password", **secure).get_data(as_text=True)
    token = page.partition('name="csrf_token" value="')[2].partition('"')[0]
    client.post("/password", data={"csrf_token": token, "login": "anna"}, **secure)
    text = mailed(pages.database, tmp_path)
    assert EVIL not in text
    assert link_in(text).startswith("/password/")


def test_opening_a_link_uses_nothing_up(pages: RunningPortal, tmp_path: Path) -> None:
    path = link(pages, tmp_path)
    for method in ("GET", "HEAD", "GET"):
        answer = pages.client().open(path, method=method)
        assert answer.status_code == 200
    page = answer.get_data(as_text=True)
    assert "<strong>anna</strong>" in page
    title = page.partition("<title>")[2].partition("</title>")[0]
    assert path.rpartition("/")[2] not in title
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["Cache-Control"] == "no-store"
    assert post(pages.client(), path, TYPED).status_code == 303


def test_without_the_token_of_the_form_nothing_is_used_up(
    pages: RunningPortal, tmp_path: Path
) -> None:
    path = link(pages, tmp_path)
    answer = pages.client().post(path, data=TYPED, headers={"Origin": "http://localhost"})
    assert answer.status_code == 400
    assert NEW not in answer.get_data(as_text=True)
    answer = pages.client().post(path, data=TYPED, headers={"Origin": f"https://{EVIL}"})
    assert answer.status_code == 400
    assert count(pages, AccountToken) == 1
    assert pages.client().post("/password", data={"login": "anna"}).status_code == 400
    assert has_password(pages, "anna", PASSWORD)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"password": "kurz", "repeated": "kurz"}, "10 Zeichen"),
        ({"repeated": "something else"}, "stimmen nicht überein"),
        ({"password": "", "repeated": ""}, "Bitte füllen Sie dieses Feld aus."),
        ({"password": "x" * 1025, "repeated": "x" * 1025}, "1024 Bytes"),
    ],
)
def test_a_password_that_is_not_taken_leaves_the_link_good(
    pages: RunningPortal, tmp_path: Path, fields: dict[str, str], error: str
) -> None:
    path = link(pages, tmp_path)
    answer = post(pages.client(), path, {**TYPED, **fields})
    assert answer.status_code == 422
    assert error in answer.get_data(as_text=True)
    assert NEW not in answer.get_data(as_text=True)
    assert post(pages.client(), path, TYPED).status_code == 303


def gone_pages(pages: RunningPortal, folder: Path) -> dict[str, str]:
    """Return the path of a link for each reason why one opens nothing."""
    used = link(pages, folder)
    post(pages.client(), used, TYPED)
    late = link(pages, folder, "bert")
    invalid = link(pages, folder, "carol")
    replaced = link(pages, folder, "nora")
    link(pages, folder, "nora")
    with pages.database.write() as session:
        bert, carol = customer_user(session, "bert"), customer_user(session, "carol")
        (row,) = session.scalars(
            select(AccountToken).where(AccountToken.customer_user_id == bert.id)
        )
        row.expires_at -= timedelta(minutes=31)
        carol.valid = Validity.INVALID
    unknown = "/password/" + "0" * 64
    return {"used": used, "late": late, "invalid": invalid, "replaced": replaced,
            "unknown": unknown, "strange": "/password/nix"}  # fmt: skip


def test_links_that_open_nothing_look_the_same(pages: RunningPortal, tmp_path: Path) -> None:
    paths = gone_pages(pages, tmp_path)
    client = pages.client()
    csrf = token_of(client, "/password")
    seen = set()
    for path in paths.values():
        for answer in (client.get(path), client.post(path, data={"csrf_token": csrf, **TYPED})):
            assert answer.status_code == 410
            page = answer.get_data(as_text=True).replace(path, "")
            seen.add(re.sub(r'name="csrf_token" value="[^"]*"', "", page))
    assert len(seen) == 1
    assert 'href="/password"' in seen.pop()


def test_who_is_too_late_by_a_moment_changes_nothing(
    pages_everywhere: RunningPortal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The link is used by somebody else while the password is hashed."""
    path = link(pages_everywhere, tmp_path)

    def meanwhile(password: str) -> str:
        monkeypatch.setattr(pages_of_passwords, "hash_password", hash_password)
        assert post(pages_everywhere.client(), path, TYPED).status_code == 303
        return hash_password(password)

    monkeypatch.setattr(pages_of_passwords, "hash_password", meanwhile)
    other = {"password": "the one that lost", "repeated": "the one that lost"}
    assert post(pages_everywhere.client(), path, other).status_code == 410
    assert has_password(pages_everywhere, "anna", NEW)


def test_a_link_opened_by_somebody_else_who_is_signed_in(
    pages: RunningPortal, tmp_path: Path
) -> None:
    client = pages.client("bert")
    assert client.get("/password").headers["Location"] == "/tickets"
    path = link(pages, tmp_path)
    assert post(client, path, TYPED).headers["Location"] == "/sign-in"
    assert "Bitte melden Sie sich damit an." in client.get("/sign-in").get_data(as_text=True)
    assert has_password(pages, "bert", PASSWORD)


def test_asking_again_and_again_is_slowed_down(
    pages: RunningPortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_delays(monkeypatch)
    for _attempt in range(ACCOUNT_LIMIT.free):
        assert post(pages.client(), "/password", {"login": "nobody"}).status_code == 303
    answer = post(pages.client(), "/password", {"login": "nobody"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
    assert "Zu viele Versuche" in answer.get_data(as_text=True)
    assert count(pages, PasswordRequest) == ACCOUNT_LIMIT.free


def test_one_network_cannot_ask_without_end(
    pages: RunningPortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_delays(monkeypatch)
    client = pages.client()
    csrf = token_of(client, "/password")
    statuses = [
        client.post("/password", data={"csrf_token": csrf, "login": f"x{number}"}).status_code
        for number in range(40)
    ]
    assert statuses[:30] == [303] * 30
    assert set(statuses[30:]) == {429}
    limiter.reset()
    assert client.post("/password", data={"csrf_token": csrf, "login": "y"}).status_code == 429


def test_an_empty_form_is_told_so(pages: RunningPortal) -> None:
    answer = post(pages.client(), "/password", {"login": " "})
    assert answer.status_code == 422
    assert count(pages, PasswordRequest) == 0


def test_no_log_holds_the_secret_of_a_link(
    pages: RunningPortal,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    path = link(pages, tmp_path)
    secret = path.rpartition("/")[2]
    client = pages.client()
    csrf = token_of(client, path)

    def fails(error: Exception) -> None:
        def fail(*_arguments: object) -> None:
            raise error

        monkeypatch.setattr(pages_of_passwords, "account_of_token", fail)
        client.get(path)

    client.post(path, data=TYPED, headers={"Origin": f"https://{EVIL}"})
    fails(OperationalError("", {}, Exception("away")))
    monkeypatch.setitem(pages.app.config, "PROPAGATE_EXCEPTIONS", False)
    fails(RuntimeError("a defect"))
    monkeypatch.undo()
    client.post(path, data={"csrf_token": csrf, **TYPED})
    assert caplog.text.count("/password/<token>") == 3
    assert secret not in caplog.text


@pytest.mark.parametrize(
    ("path", "login"),
    [("/admin/customer-users", "anna"), ("/admin/staff", "jonas")],
)
def test_an_admin_invites(
    pages_everywhere: RunningPortal, tmp_path: Path, path: str, login: str
) -> None:
    client = pages_everywhere.client("ada")
    page = f"{path}/{id_of(pages_everywhere, login)}/password"
    shown = client.get(page).get_data(as_text=True)
    assert "30 Minuten" in shown
    answer = post(client, page.replace("/password", "/invite"), {}, page)
    assert (answer.status_code, answer.headers["Location"]) == (303, page)
    shown = client.get(page).get_data(as_text=True)
    assert "Wartet auf den Versand" in shown
    assert has_password(pages_everywhere, login, PASSWORD)  # until the link is used
    text = mailed(pages_everywhere.database, tmp_path)
    assert login in text
    assert post(pages_everywhere.client(), link_in(text), TYPED).status_code == 303
    assert has_password(pages_everywhere, login, NEW)
    history = client.get(page.replace("/password", "/history")).get_data(as_text=True)
    assert "eingeladen" in history


def test_who_is_not_valid_is_not_invited(pages: RunningPortal) -> None:
    with pages.database.write() as session:
        customer_user(session, "carol").valid = Validity.INVALID
        staff(session, "jonas").valid = False
    client = pages.client("ada")
    for login, path in (("carol", "/admin/customer-users"), ("jonas", "/admin/staff")):
        page = f"{path}/{id_of(pages, login)}/password"
        assert "/invite" not in client.get(page).get_data(as_text=True)
        assert post(client, page.replace("/password", "/invite"), {}, page).status_code == 422
    assert count(pages, OutgoingMail) == 0


NEW_ACCOUNT = {
    "login": "emma",
    "first_name": "Emma",
    "last_name": "Neu",
    "email": "emma@muster.example",
    "customer_number": "K-1000",
    "password_way": "by-mail",
    "valid": "valid",
    "theme": "auto",
    "tickets_per_page": "25",
}


def test_a_new_customer_user_is_invited_at_once(pages: RunningPortal, tmp_path: Path) -> None:
    client = pages.client("ada")
    answer = post(client, "/admin/customer-users/new", {**NEW_ACCOUNT, "valid": "invalid"})
    assert answer.status_code == 422
    assert "Nur ein gültiges Konto kann eingeladen werden." in answer.get_data(as_text=True)
    assert "ist angelegt" not in client.get("/admin/customer-users").get_data(as_text=True)
    assert post(client, "/admin/customer-users/new", NEW_ACCOUNT).status_code == 303
    assert not has_password(pages, "emma", "")
    path = link_in(mailed(pages.database, tmp_path))
    assert post(pages.client(), path, TYPED).status_code == 303
    assert has_password(pages, "emma", NEW)


def test_only_admins_invite(pages: RunningPortal) -> None:
    for login in ("anna", "jonas"):
        client = pages.client(login)
        home = "/account/data" if login == "anna" else "/staff/account/data"
        csrf = {"csrf_token": token_of(client, home)}
        for path in ("/admin/customer-users/1/invite", "/admin/staff/1/invite"):
            assert client.post(path, data=csrf).status_code in (403, 404)
    assert count(pages, OutgoingMail) == 0


def id_of(pages: RunningPortal, login: str) -> int:
    """Return the id of an account."""
    with pages.database.read() as session:
        find = staff if login in ("jonas", "ada") else customer_user
        return find(session, login).id

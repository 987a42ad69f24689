"""What holds for every request: headers, tokens of forms, addresses to go to, limits, errors."""

import logging
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from core.db import Database
from core.models import CustomerUser, Setting
from portal import account, visitors
from portal.areas import OPEN_ENDPOINTS, Area, Audience
from portal.database import writing
from portal.headers import CONTENT_SECURITY_POLICY
from portal.navigation import own_path
from tests.support.portal import PASSWORD, RunningPortal, fill, make_app, post, token_of

PATHS = ("/sign-in", "/staff/sign-in", "/", "/tickets/new", "/account/preferences", "/nothing")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("login", [None, "anna"])
def test_every_page_has_the_headers(pages: RunningPortal, path: str, login: str | None) -> None:
    headers = pages.client(login).get(path).headers
    assert headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"
    assert "Strict-Transport-Security" not in headers


def test_the_policy_allows_nothing_inline() -> None:
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY
    assert "frame-ancestors 'none'" in CONTENT_SECURITY_POLICY


def test_files_of_ours_are_kept_for_ever_when_addressed_by_their_content(
    pages: RunningPortal,
) -> None:
    client = pages.client()
    page = client.get("/sign-in").get_data(as_text=True)
    address = page.partition('href="/static/app.css')[2].partition('"')[0]
    assert address.startswith("?v=")
    kept = client.get(f"/static/app.css{address}", buffered=True)
    assert "immutable" in kept.headers["Cache-Control"]
    assert client.get("/static/app.css", buffered=True).headers["Cache-Control"] == "no-cache"
    assert client.get("/static/nothing.css?v=1").headers["Cache-Control"] == "no-store"


def test_cookies_are_bound_to_a_secure_host(sqlite_database: Database, tmp_path: Path) -> None:
    fill(sqlite_database)
    app = make_app(sqlite_database, tmp_path, public_url="https://support.example.org")
    client = app.test_client()
    token = token_at(client, "/sign-in", "https://localhost")
    answer = client.post(
        "/sign-in",
        data={"csrf_token": token, "login": "anna", "password": PASSWORD},
        base_url="https://localhost",
        headers={"Origin": "https://support.example.org"},
    )
    assert answer.status_code == 303
    (cookie,) = (c for c in answer.headers.getlist("Set-Cookie") if c.startswith("__Host-schalter"))
    for part in ("Secure", "HttpOnly", "Path=/", "SameSite=Lax"):
        assert part in cookie
    assert "Domain" not in cookie
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=")


def token_at(client: FlaskClient, path: str, base_url: str) -> str:
    page = client.get(path, base_url=base_url).get_data(as_text=True)
    return page.partition('name="csrf_token" value="')[2].partition('"')[0]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/sign-out", "/tickets/new", "/account/password", "/language"])
def test_nothing_is_accepted_without_a_token(pages: RunningPortal, path: str, method: str) -> None:
    client = pages.client("anna")
    for kwargs in ({}, {"data": "{}", "content_type": "text/plain"}, {"json": {}}):
        answer = client.open(path, method=method, **kwargs)
        assert answer.status_code == 400
    assert client.get("/account/data").status_code == 200  # still signed in


def test_a_token_is_worth_nothing_in_another_session(pages: RunningPortal) -> None:
    token = token_of(pages.client("carol"), "/account/data")
    answer = pages.client("anna").post("/sign-out", data={"csrf_token": token})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 303),
        ("http://localhost", 303),
        ("http://127.0.0.1:8080", 303),  # the public address
        ("https://localhost", 400),
        ("http://localhost:81", 400),
        ("https://evil.example", 400),
        ("null", 400),
    ],
)
def test_a_form_comes_from_our_own_pages(
    pages: RunningPortal, origin: str | None, status: int
) -> None:
    client = pages.client("anna")
    token = token_of(client, "/account/data")
    headers = {"Origin": origin} if origin else {}
    answer = client.post("/language", data={"csrf_token": token, "language": "de"}, headers=headers)
    assert answer.status_code == status


def test_what_was_written_is_shown_again_when_the_form_was_too_old(pages: RunningPortal) -> None:
    client = pages.client("anna")
    data = {"csrf_token": "old", "subject": "Betreff", "text": "<b>lang</b>", "password": "secret"}
    answer = client.post("/tickets/new", data=data, headers={"Origin": "http://localhost"})
    page = answer.get_data(as_text=True)
    assert answer.status_code == 400
    assert "&lt;b&gt;lang&lt;/b&gt;" in page
    assert "Betreff" in page
    assert "secret" not in page
    foreign = client.post("/tickets/new", data=data).get_data(as_text=True)
    assert "&lt;b&gt;" not in foreign


def test_what_was_written_is_shown_again_when_the_session_has_ended(pages: RunningPortal) -> None:
    client = pages.client()
    token = token_of(client, "/sign-in")
    data = {"csrf_token": token, "subject": "Betreff", "text": "viel Text"}
    answer = client.post("/tickets/new", data=data, headers={"Origin": "http://localhost"})
    assert answer.status_code == 401
    assert "viel Text" in answer.get_data(as_text=True)


@pytest.mark.parametrize(
    ("address", "is_ours"),
    [
        ("/tickets", True),
        ("/tickets?q=ä&page=1#x", True),
        ("/", True),
        ("", False),
        (None, False),
        ("tickets", False),
        ("//evil.example", False),
        ("/\\evil.example", False),
        ("\\\\evil.example", False),
        ("/\tevil.example", False),
        ("/\t/evil.example", False),
        ("/\n/evil.example", False),
        (" /tickets", False),
        ("https:evil", False),
        ("https://evil.example", False),
        ("javascript:alert(1)", False),
        ("/a\\b", False),
        ("/" + "a" * 3000, False),
    ],
)
def test_only_our_own_paths_are_gone_to(address: str | None, is_ours: bool) -> None:
    assert own_path(address) == (address if is_ours else None)


@pytest.mark.parametrize("address", ["//evil.example", "/\\evil", "https:evil", "/%09/evil"])
def test_sign_in_sends_nobody_elsewhere(pages: RunningPortal, address: str) -> None:
    client = pages.client()
    fields = {"login": "anna", "password": PASSWORD, "next": address}
    answer = post(client, "/sign-in", fields)
    assert answer.status_code == 303
    assert answer.headers["Location"] in ("/tickets", "/%09/evil")


@pytest.mark.parametrize("path", ["/nothing", "/tickets/nothing", "/staff/account/data"])
def test_missing_and_forbidden_look_the_same(pages: RunningPortal, path: str) -> None:
    answer = pages.client("anna").get(path, headers={"Accept-Language": "en"})
    assert answer.status_code == 404
    assert "There is no such page, or your account may not see it." in answer.get_data(as_text=True)


def test_a_method_that_a_page_does_not_have(pages: RunningPortal) -> None:
    client = pages.client("anna")
    token = token_of(client, "/account/data")
    answer = client.put("/account/data", headers={"X-CSRFToken": token})
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]


def test_an_unexpected_error_tells_an_id_that_is_in_the_log(
    pages: RunningPortal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_args: object) -> None:
        raise RuntimeError("postgresql://user:password@host")

    monkeypatch.setattr(account, "sessions_of", broken)
    with caplog.at_level(logging.ERROR):
        answer = pages.client("anna").get("/account/sessions")
    page = answer.get_data(as_text=True)
    assert answer.status_code == 500
    assert "password@host" not in page
    (record,) = (record for record in caplog.records if record.name == "portal.faults")
    incident = str(record.args[0]) if record.args else ""
    assert incident
    assert incident in page


@pytest.mark.parametrize("login", [None, "anna"])
def test_without_a_database_the_page_says_to_try_again(
    pages: RunningPortal, monkeypatch: pytest.MonkeyPatch, login: str | None
) -> None:
    client = pages.client(login)

    def away(*_args: object) -> None:
        raise OperationalError("SELECT secret", {}, Exception("connection refused"))

    monkeypatch.setattr(visitors, "load_organisation", away)
    answer = client.get("/sign-in", headers={"Accept-Language": "de"})
    page = answer.get_data(as_text=True)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert "Bitte versuchen Sie es gleich noch einmal." in page
    assert "secret" not in page
    assert client.get("/static/app.css", buffered=True).status_code == 200


def test_too_many_sign_ins_are_told_how_long_to_wait(pages: RunningPortal) -> None:
    client = pages.client()
    token = token_of(client, "/sign-in")
    for _ in range(30):
        answer = client.post("/sign-in", data={"csrf_token": token})
        assert answer.status_code == 422
    answer = client.post("/sign-in", data={"csrf_token": token})
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert answer.headers["Retry-After"] in answer.get_data(as_text=True)


def test_a_body_that_is_too_big_is_refused_with_a_page(pages: RunningPortal) -> None:
    pages.change_settings(upload_max_bytes=1000)
    client = pages.client("anna")
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="big"\r\n\r\n'
    body = head + b"x" * 3_000_000 + b"\r\n--x--\r\n"
    answer = client.post("/tickets/new", data=body, content_type="multipart/form-data; boundary=x")
    assert answer.status_code == 413
    stranger = pages.client()
    data = {"csrf_token": token_of(stranger, "/sign-in"), "login": "x" * 100_000}
    assert stranger.post("/sign-in", data=data).status_code == 413


def test_a_flood_of_form_parts_is_refused(pages: RunningPortal) -> None:
    client = pages.client("anna")
    token = token_of(client, "/tickets/new")
    data = {"csrf_token": token, **{f"f{number}": "x" for number in range(2000)}}
    answer = client.post("/tickets/new", data=data, content_type="multipart/form-data")
    assert answer.status_code == 413


@pytest.mark.parametrize(("status", "kept"), [(200, True), (303, True), (422, False), (500, False)])
def test_an_answer_that_is_an_error_undoes_what_was_written(
    sqlite_database: Database, tmp_path: Path, status: int, kept: bool
) -> None:
    fill(sqlite_database)
    app = make_app(sqlite_database, tmp_path)
    area = Area("writer", __name__, Audience.EVERYBODY)

    @area.post("/write")
    def write() -> tuple[str, int]:
        writing().add(Setting(key="organisation_name_again", value="x"))
        if status == 500:
            raise RuntimeError
        return "", status

    app.register_blueprint(area)
    client = app.test_client()
    client.post("/write", data={"csrf_token": token_of(client, "/sign-in")})
    with sqlite_database.read() as session:
        assert (session.get(Setting, "organisation_name_again") is not None) is kept


def test_a_get_cannot_write(pages: RunningPortal) -> None:
    with pages.app.test_request_context("/"), pytest.raises(RuntimeError, match="GET"):
        writing()


def test_the_language_is_the_accounts_then_the_cookies_then_the_browsers(
    pages: RunningPortal,
) -> None:
    client = pages.client()
    assert language_of(client, "en-GB,en;q=0.9") == "en"
    assert language_of(client, "de-AT,de;q=0.9") == "de"
    assert language_of(client, "fr") == "de"  # the installation's
    token = token_of(client, "/sign-in")
    client.post("/language", data={"csrf_token": token, "language": "en"})
    assert language_of(client, "de") == "en"
    signed_in = pages.client("anna")
    token = token_of(signed_in, "/account/data")
    signed_in.post("/language", data={"csrf_token": token, "language": "de"})
    assert language_of(signed_in, "en", "/account/data") == "de"
    with pages.database.read() as session:
        account_ = session.scalars(select(CustomerUser).where(CustomerUser.login == "anna")).one()
        assert account_.language == "de"


def language_of(client: FlaskClient, accepted: str, path: str = "/sign-in") -> str:
    page = client.get(path, headers={"Accept-Language": accepted}).get_data(as_text=True)
    return page.partition('<html lang="')[2][:2]


@pytest.mark.parametrize(
    ("login", "home"), [(None, "/sign-in"), ("anna", "/tickets"), ("jonas", "/staff")]
)
def test_the_root_leads_everybody_home(pages: RunningPortal, login: str | None, home: str) -> None:
    answer = pages.client(login).get("/")
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith(home)


def test_a_page_is_shown_though_nothing_can_be_noted(
    pages: RunningPortal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    public_id = pages.add_ticket("anna", "Technik", "Drucker")
    client = pages.client("anna")

    def locked(*_args: object) -> None:
        raise OperationalError("UPDATE", {}, Exception("database is locked"))

    monkeypatch.setattr(Database, "write", locked)
    assert client.get(f"/tickets/{public_id}").status_code == 200
    assert "a ticket was seen" in caplog.text


def test_static_files_need_no_database() -> None:
    assert {"static", "bootstrap.static"} == OPEN_ENDPOINTS

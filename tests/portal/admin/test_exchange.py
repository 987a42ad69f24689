"""Import and export on the pages: from the file over its columns and a dry run to the undo file."""

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from core.exchange.columns import KINDS
from core.exchange.writing import export
from core.models import AuditEvent, CustomerUser, Staff
from core.words import Role
from portal import sealed
from portal.admin import exchange
from tests.portal.admin.browsing import Admin, admin_of, form_of
from tests.portal.admin.firm import account_named, customer_named
from tests.support.browser import (
    DESKTOP,
    PHONE,
    OpenPage,
    assert_accessible,
    assert_no_horizontal_overflow,
    go_through,
)
from tests.support.portal import RunningPortal, SignIn

USERS, CUSTOMERS = "/admin/exchange/users", "/admin/exchange/customers"
CRM = (
    "Login;Kundennummer;E-Mail;Rufname;Nachname\r\n"
    "anna;K-1000;anna@muster.example;Änne;Muster\r\n"
    "dora;K-1000;dora@muster.example;Dora;Groß\r\n"
)


def upload(ada: Admin, path: str, content: str | bytes) -> TestResponse:
    shown = ada.form(path)
    given = content.encode("cp1252") if isinstance(content, str) else content
    return ada.client.post(
        path,
        data={"csrf_token": shown.value("csrf_token"), "file": (BytesIO(given), "x.csv")},
        headers={"Accept-Language": "en"},
    )


def planned(ada: Admin, path: str, content: str | bytes, **columns: str) -> TestResponse:
    return ada.send(path, form_of(upload(ada, path, content)), (), step="plan", **columns)


def stored(pages: RunningPortal, kind: str = "users") -> bytes:
    with pages.database.read() as session:
        return b"".join(export(session, KINDS[kind]))


def test_an_import_from_the_file_to_the_undo_file(pages: RunningPortal, ada: Admin) -> None:
    before = stored(pages)
    columns = upload(ada, USERS, CRM)
    page = columns.get_data(as_text=True)
    assert "Windows-1252" in page
    assert "separated by ;" in page
    shown = form_of(columns)
    assert [shown.value(f"column.{n}") for n in range(5)] == [
        "login",
        "customer_number",
        "email",
        "",
        "last_name",
    ]
    plan = ada.send(USERS, shown, (), step="plan", **{"column.3": "first_name"})
    page = plan.get_data(as_text=True)
    assert plan.status_code == 200
    assert "<ins>Änne</ins>" in page
    assert "dora@muster.example" in page
    assert stored(pages) == before
    done = ada.send(USERS, form_of(plan), step="import")
    assert done.status_code == 200
    assert "Imported" in done.get_data(as_text=True)
    with pages.database.read() as session:
        assert account_named(session, "anna").first_name == "Änne"
        dora = account_named(session, "dora").id
        event = session.scalars(
            select(AuditEvent).where(
                AuditEvent.object_kind == "customer-user", AuditEvent.object_id == dora
            )
        ).one()
    assert (event.action, event.actor_name) == ("created", "ada")
    log = ada.get("/admin/audit?action=imported")
    assert "imported from a file" in log
    assert "New by the file" in log
    undo = ada.send("/admin/exchange/undo", form_of(done))
    assert undo.headers["Content-Disposition"].startswith('attachment; filename="undo-')
    back = planned(ada, USERS, undo.data)
    assert ada.send(USERS, form_of(back), step="import").status_code == 200
    rows = stored(pages).decode().splitlines()
    assert [row for row in rows if not row.startswith("dora;")] == before.decode().splitlines()


def test_faults_are_listed_and_nothing_can_be_imported(pages: RunningPortal, ada: Admin) -> None:
    before = stored(pages)
    answer = planned(ada, USERS, "Login;E-Mail\nanna;bert@muster.example\nx;y\n")
    page = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert "already belongs to the account" in page
    assert 'value="import"' not in page
    forced = ada.send(USERS, form_of(answer), step="import")
    assert forced.status_code == 409
    assert stored(pages) == before


def test_what_has_changed_meanwhile_is_shown_again(pages: RunningPortal, ada: Admin) -> None:
    plan = form_of(planned(ada, USERS, "login;last_name\nanna;Neumann\n"))
    with pages.database.write() as session:
        account_named(session, "anna").last_name = "Zwischen"
    answer = ada.send(USERS, plan, step="import")
    page = answer.get_data(as_text=True)
    assert answer.status_code == 409
    assert "has changed since this was shown" in page
    assert "<del>Zwischen</del>" in page
    assert ada.send(USERS, form_of(answer), step="import").status_code == 200
    assert b";Neumann;" in stored(pages)


def test_customers_are_imported(pages: RunningPortal, ada: Admin) -> None:
    plan = planned(ada, CUSTOMERS, "sep=;\nKunden#;Firma;Gruppen\nK-7;Größe GmbH;technik=rw\n")
    assert ada.send(CUSTOMERS, form_of(plan), step="import").status_code == 200
    with pages.database.read() as session:
        assert customer_named(session, "Größe GmbH").number == "K-7"
    assert b"technik=rw" in stored(pages, "customers")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "The file is empty."),
        (b"login\nx\0\n", "Line 2: a NUL character; this is no text file."),
        (b"login\n" + b"x\n" * (exchange.MAX_ROWS + 1), "more than 20000 rows"),
        (b"login\n" + b"x" * 100_000, "larger than 100000 bytes"),
    ],
)
def test_a_file_that_cannot_be_read(
    ada: Admin, monkeypatch: pytest.MonkeyPatch, content: bytes, text: str
) -> None:
    monkeypatch.setattr(exchange, "MAX_BYTES", 100_000)
    answer = upload(ada, USERS, content)
    assert answer.status_code == 422
    assert text in answer.get_data(as_text=True)


def test_no_file_is_told(pages: RunningPortal, ada: Admin) -> None:
    answer = ada.send(USERS, ada.form(USERS))
    assert answer.status_code == 422
    assert "Please choose a file." in answer.get_data(as_text=True)


def test_columns_that_cannot_be_meant_so(pages: RunningPortal, ada: Admin) -> None:
    answer = planned(ada, USERS, CRM, **{"column.0": ""})
    assert answer.status_code == 422
    assert "There is no column for login." in answer.get_data(as_text=True)
    again = ada.send(USERS, form_of(answer), (), step="plan", **{"column.0": "login"})
    assert again.status_code in (200, 422)
    assert "What would change" in again.get_data(as_text=True)


def test_a_file_of_somebody_else_or_of_another_purpose_is_refused(
    pages: RunningPortal, ada: Admin
) -> None:
    plan = form_of(planned(ada, USERS, "login;last_name\nanna;Neumann\n"))
    changed = ada.send(USERS, plan, step="import", content=plan.value("content")[:-1] + "!")
    assert changed.status_code == 422
    assert "Please choose the file again." in changed.get_data(as_text=True)
    assert ada.send("/admin/exchange/undo", plan).status_code == 422


def test_what_has_waited_too_long_is_refused(
    pages: RunningPortal, ada: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = form_of(planned(ada, USERS, "login;last_name\nanna;Neumann\n"))
    monkeypatch.setattr(sealed, "MAX_AGE_S", -1)
    assert ada.send(USERS, plan, step="import").status_code == 422
    assert b"Neumann" not in stored(pages)


def test_an_undo_file_that_does_not_fit_stops_the_import(
    pages: RunningPortal, ada: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = form_of(planned(ada, USERS, "login;last_name\nanna;Neumann\n"))
    monkeypatch.setattr(sealed, "MAX_SEALED", len(plan.value("content")) + 20)
    answer = ada.send(USERS, plan, step="import")
    assert answer.status_code == 409
    assert "too much for a page" in answer.get_data(as_text=True)
    assert b"Neumann" not in stored(pages)


@pytest.mark.parametrize("kind", ["users", "customers"])
def test_an_export_is_a_file_of_everything(pages: RunningPortal, ada: Admin, kind: str) -> None:
    answer = ada.client.get(f"/admin/exchange/{kind}/export")
    assert answer.data == stored(pages, kind)
    assert "exported to a file" in ada.get("/admin/audit?action=exported")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"].startswith(f'attachment; filename="{kind}-')
    path = f"/admin/exchange/{kind}"
    assert "Everything is already as the file says." in planned(ada, path, answer.data).get_data(
        as_text=True
    )


def test_agents_can_neither_import_nor_export(pages: RunningPortal) -> None:
    jonas = admin_of(pages, "jonas").client
    assert jonas.get(f"{USERS}/export").status_code == 403
    assert jonas.get(USERS).status_code == 403


def test_a_page_lists_the_first_rows_and_counts_all(pages: RunningPortal, ada: Admin) -> None:
    rows = "".join(f"n{i};K-1000;n{i}@muster.example;N;{i}\n" for i in range(150))
    page = planned(
        ada, USERS, f"login;customer_number;email;first_name;last_name\n{rows}"
    ).get_data(as_text=True)
    assert "150 new" in page
    assert "and 50 more" in page
    with pages.database.read() as session:
        assert session.scalar(select(func.count()).where(CustomerUser.login.startswith("n1"))) == 0


@pytest.mark.parametrize(
    ("size", "dark", "locale", "javascript"),
    [(DESKTOP, False, "de-DE", True), (PHONE, True, "en-GB", False)],
)
def test_the_pages_in_a_browser(
    busy_portal: RunningPortal,
    open_page: OpenPage,
    sign_in: SignIn,
    tmp_path: Path,
    size: tuple[int, int],
    dark: bool,
    locale: str,
    javascript: bool,
) -> None:
    page = open_page(size=size, dark=dark, javascript=javascript, locale=locale)
    sign_in(page, "ada")
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_bytes(CRM.encode("cp1252"))
    bad.write_bytes(CRM.replace("K-1000", "K-9").encode("cp1252"))
    page.goto(busy_portal.address(USERS))
    _look_at(page, javascript)
    for file in (bad, good):
        page.goto(busy_portal.address(USERS))
        page.set_input_files("#file", file)
        _press(page, "main form.drop button[type=submit]")
        _look_at(page, javascript)
        page.select_option("select[name='column.3']", "first_name")
        _press(page, "button[value=plan]")
        _look_at(page, javascript)
    expect(page.locator("ins", has_text="Änne")).to_be_visible()
    _press(page, "button[value=import]")
    _look_at(page, javascript)
    with page.expect_download() as download:
        page.click("main form button[type=submit]")
    assert download.value.suggested_filename.startswith("undo-")


def many(count: int) -> str:
    lines = [f"neu{n};K-1000;neu{n}@muster.example;Neu;Nummer {n}" for n in range(count)]
    return "\r\n".join([CRM.splitlines()[0], *lines, ""])


def test_a_page_can_ask_how_far_its_import_is(pages: RunningPortal, ada: Admin) -> None:
    plan = planned(ada, USERS, many(1500), **{"column.3": "first_name"})
    shown = form_of(plan)
    asked = f"/admin/exchange/progress/{shown.value('progress')}"
    watching = admin_of(pages, "ada")
    with pages.database.write() as session:
        session.scalars(select(Staff).where(Staff.login == "jonas")).one().role = Role.ADMIN
    stranger = admin_of(pages, "jonas")
    shares: list[float | None] = []
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(ada.send, USERS, shown, (), step="import")
        while not done.done():
            shares.append(watching.client.get(asked).get_json()["share"])
            assert stranger.client.get(asked).get_json() == {"share": None}
    assert done.result().status_code == 200
    known = [share for share in shares if share is not None]
    assert len(set(known)) > 2
    assert known == sorted(known)
    assert watching.client.get(asked).get_json() == {"share": None}


@pytest.mark.browser
def test_a_bar_shows_while_the_browser_waits(
    busy_portal: RunningPortal, open_page: OpenPage, sign_in: SignIn, tmp_path: Path
) -> None:
    page = open_page()
    sign_in(page, "ada")
    file = tmp_path / "users.csv"
    file.write_text(many(1500), encoding="utf-8")
    page.goto(busy_portal.address(USERS))
    page.set_input_files("#file", file)
    _press(page, "main form.drop button[type=submit]")
    page.select_option("select[name='column.3']", "first_name")
    bar = page.locator("progress")
    expect(bar).to_be_hidden()
    page.route("**/progress/*", lambda route: route.fulfill(json={"share": 0.25}))
    page.evaluate(
        "document.querySelector('[data-progress]')"
        ".addEventListener('submit', (event) => event.preventDefault(), { once: true })"
    )
    page.click("button[value=plan]")
    expect(bar).to_be_visible()
    expect(bar).to_have_js_property("value", 0.25)
    assert_accessible(page)

    page.unroute("**/progress/*")
    _press(page, "button[value=plan]")
    with page.expect_response("**/progress/*") as asked:  # while the form's own is waited for
        _press(page, "button[value=import]")
    assert asked.value.ok


def _press(page: Page, button: str) -> None:
    go_through(page.locator(button))


def _look_at(page: Page, javascript: bool) -> None:
    assert_no_horizontal_overflow(page)
    if javascript:
        assert_accessible(page)

"""An account of a customer source can do what any other can, wherever it is met."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from core.apply.bring import bring_about
from core.apply.wanted import ApplyError, read_wanted
from core.models import CustomerUser, Delivery, Group, Queue, Ticket
from core.words import HeldState, Permission
from tests.accounts.people import ADMIN
from tests.exchange.files import bring, exported, faults, tried
from tests.intake.mails import a_mail
from tests.portal.admin.browsing import admin_of
from tests.portal.admin.firm import account_named
from tests.portal.staff.asking import hidden, send
from tests.sources.records import ANNA, BERT, read
from tests.support.portal import RunningPortal, post

SARA = replace(
    ANNA,
    key="7",
    login="s.sara",
    email="sara@muster.example",
    first_name="Sara",
    last_name="Sommer",
)
SVEN = replace(BERT, key="8", login="s.sven", email="sven@muster.example")


@pytest.fixture
def copies(pages: RunningPortal) -> RunningPortal:
    """The small organisation with two accounts of a directory that decides the group technik."""
    pages.database.managed_groups = {"ad": frozenset({"technik"})}
    read(pages.database, replace(SARA, groups={"technik": Permission.RO}), SVEN)
    return pages


def account_id(pages: RunningPortal, login: str) -> int:
    with pages.database.read() as session:
        return account_named(session, login).id


def id_named(pages: RunningPortal, model: type[Group] | type[Queue], name: str) -> int:
    with pages.database.read() as session:
        return session.scalars(select(model.id).where(model.name == name)).one()


def stored(pages: RunningPortal, login: str = "s.sara") -> CustomerUser:
    with pages.database.read() as session:
        return account_named(session, login)


def test_it_has_the_groups_of_its_customer_and_of_its_source(copies: RunningPortal) -> None:
    page = copies.client("s.sara").get("/tickets/new").get_data(as_text=True)
    assert "Vertrieb" in page  # may be written to, through Muster GmbH
    assert "Technik" not in page  # may only be read
    assert "Rechnung" not in page
    answer = post(
        copies.client("s.sara"),
        "/tickets/new",
        {"queue": id_named(copies, Queue, "Vertrieb"), "subject": "Angebot", "text": "Bitte."},
    )
    assert answer.status_code == 303
    for login, scope in (("s.sara", ""), ("anna", "?scope=company")):
        assert "Angebot" in copies.client(login).get(f"/tickets{scope}").get_data(as_text=True)
    for login in ("s.sven", "carol"):
        for scope in ("", "?scope=company"):
            tickets = copies.client(login).get(f"/tickets{scope}").get_data(as_text=True)
            assert "Angebot" not in tickets


def test_an_admin_gives_it_a_group(copies: RunningPortal) -> None:
    ada = admin_of(copies)
    sara, rechnung = account_id(copies, "s.sara"), id_named(copies, Group, "rechnung")
    answer = ada.fill("/admin/permissions", (), **{f"cell.{sara}.{rechnung}.off": "rw"})
    assert answer.status_code == 303
    assert "Rechnung" in copies.client("s.sara").get("/tickets/new").get_data(as_text=True)
    path = f"/admin/customer-users/{sara}"
    assert ada.fill(path, (), **{f"cell.{sara}.{rechnung}.rw": "ro"}).status_code == 303
    assert "Rechnung" not in copies.client("s.sara").get("/tickets/new").get_data(as_text=True)
    read(copies.database, replace(SARA, groups={}), SVEN)
    with copies.database.read() as session:
        rows = account_named(session, "s.sara").permissions
        assert {row.group.name: row.permission for row in rows} == {"rechnung": Permission.RO}


def test_its_preferences_are_its_own(copies: RunningPortal) -> None:
    client = copies.client("s.sara")
    fields = {"language": "de", "theme": "dark", "time_zone": "", "tickets_per_page": "50"}
    assert post(client, "/account/preferences", fields).status_code == 303
    read(copies.database, replace(SARA, groups={}, last_name="Winter"), SVEN)
    sara = stored(copies)
    assert (sara.language, sara.theme, sara.tickets_per_page) == ("de", "dark", 50)
    assert sara.last_name == "Winter"
    for page in ("preferences", "password", "sessions", "data", "addresses"):
        assert client.get(f"/account/{page}").status_code in (200, 404), page


def test_its_tickets_are_found(copies: RunningPortal) -> None:
    copies.add_ticket("s.sara", "Vertrieb", "Angebot von Sara")
    sara = account_id(copies, "s.sara")
    listed = copies.client("jonas").get(f"/staff/tickets?customer_user={sara}&state=all")
    assert "Angebot von Sara" in listed.get_data(as_text=True)
    read(copies.database, SVEN)  # she is gone
    listed = copies.client("jonas").get(f"/staff/tickets?customer_user={sara}&state=all")
    assert "Angebot von Sara" in listed.get_data(as_text=True)
    read(copies.database, replace(SARA, login="s.winter"), SVEN)
    assert "Angebot von Sara" in copies.client("s.winter").get("/tickets").get_data(as_text=True)


class TestHeldMail:
    """Mail of an account that may not write to a queue."""

    @pytest.fixture
    def held(self, copies: RunningPortal) -> int:
        incoming = a_mail(sender="sara@muster.example", to="technik@example.org")
        assert copies.add_mail(incoming.raw, "sara@muster.example", "technik@example.org") is None
        with copies.database.read() as session:
            return session.scalars(select(Delivery.id)).one()

    def release(self, copies: RunningPortal, held: int, queue: str, **fields: str) -> str:
        url = f"/staff/held/{held}"
        chosen = {
            "customer_user": account_id(copies, "s.sara"),
            "queue": id_named(copies, Queue, queue),
        }
        answer = send(copies.client("ada"), f"{url}/release", url, **chosen, **fields)
        self.status = answer.status_code
        return answer.get_data(as_text=True)

    def state(self, copies: RunningPortal) -> HeldState | None:
        with copies.database.read() as session:
            return session.scalars(select(Delivery.held)).one()

    def test_it_is_released_into_a_queue_that_may_be_written_to(
        self, copies: RunningPortal, held: int
    ) -> None:
        self.release(copies, held, "Vertrieb")
        assert self.status == 303
        with copies.database.read() as session:
            ticket = session.scalars(select(Ticket)).one()
            assert ticket.customer_user_id == account_id(copies, "s.sara")

    def test_a_missing_right_is_given(self, copies: RunningPortal, held: int) -> None:
        asked = self.release(copies, held, "Rechnung")
        self.release(copies, held, "Rechnung", give="y", give_what=hidden(asked, "give_what"))
        assert (self.status, self.state(copies)) == (303, HeldState.RELEASED)

    def test_a_right_that_the_source_decides_is_not(self, copies: RunningPortal, held: int) -> None:
        queue = id_named(copies, Queue, "Technik")
        what = f"{account_id(copies, 's.sara')}-{queue}"
        for fields in ({}, {"give": "y", "give_what": what}):
            told = self.release(copies, held, "Technik", **fields)
            assert self.status == 422
            assert "entscheidet die Kundenquelle „ad“" in told
            assert 'name="give"' not in told
        assert self.state(copies) is HeldState.WAITING

    def test_its_addresses_are_those_of_the_source(self, copies: RunningPortal) -> None:
        incoming = a_mail(sender="sara@privat.example", to="vertrieb@example.org")
        assert copies.add_mail(incoming.raw, "sara@privat.example", "vertrieb@example.org") is None
        with copies.database.read() as session:
            held = session.scalars(select(Delivery.id)).one()
        told = self.release(copies, held, "Vertrieb", remember="y")
        assert self.status == 422
        assert "Dies steht in der Kundenquelle „ad“" in told
        assert self.state(copies) is HeldState.WAITING
        self.release(copies, held, "Vertrieb")
        assert (self.status, self.state(copies)) == (303, HeldState.RELEASED)


class TestFiles:
    """Export, import and ``apply``."""

    def test_what_was_exported_changes_nothing(self, copies: RunningPortal) -> None:
        content = exported(copies.database)
        assert b"s.sara" in content
        plan = tried(copies.database, content)
        assert (len(plan.faults), {row.action.value for row in plan.rows}) == (0, {"unchanged"})

    def test_what_is_kept_here_is_imported(self, copies: RunningPortal) -> None:
        bring(copies.database, "login;language;comment\ns.sara;de;VIP\n")
        assert (stored(copies).language, stored(copies).comment) == ("de", "VIP")

    @pytest.mark.parametrize(
        ("column", "value"),
        [("last_name", "Winter"), ("email", "s@x.example"), ("valid", "invalid")],
    )
    def test_what_is_kept_there_is_a_fault_of_its_line(
        self, copies: RunningPortal, column: str, value: str
    ) -> None:
        (fault,) = faults(copies.database, f"login;{column}\ns.sara;{value}\n")
        assert fault.startswith(f"line 2, column {column}: ")
        assert 'kept in the customer source "ad"' in fault

    def test_a_file_of_apply(self, copies: RunningPortal, tmp_path: Path) -> None:
        file = tmp_path / "wanted.toml"
        file.write_text('[[customer_users]]\nlogin = "s.sara"\ncomment = "VIP"\n', encoding="utf-8")
        with copies.database.write() as session:
            list(bring_about(session, ADMIN, read_wanted(file), {}))
        assert stored(copies).comment == "VIP"
        file.write_text('[[customer_users]]\nlogin = "s.sara"\nphone = "1"\n', encoding="utf-8")
        with copies.database.write() as session, pytest.raises(ApplyError, match="customer source"):
            list(bring_about(session, ADMIN, read_wanted(file), {}))

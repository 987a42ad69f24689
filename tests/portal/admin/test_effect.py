"""What settings would change for the last mails: before they are saved, and noted afterwards."""

from datetime import timedelta

import pytest
from playwright.sync_api import expect
from sqlalchemy import select

from core.intake.policy_change import last_policy_change
from core.models import AuditEvent, Queue, now
from core.settings import load_settings
from core.words import ActorKind, SenderPolicy, StrangersRule
from tests.portal.admin.browsing import Admin
from tests.support.browser import (
    DESKTOP,
    PHONE,
    OpenPage,
    assert_accessible,
    assert_no_horizontal_overflow,
    go_through,
)
from tests.support.portal import RunningPortal, SignIn

PATH = "/admin/settings"
STRANGER = (
    b"From: who@else.example\r\nTo: vertrieb@example.org\r\nSubject: Angebot\r\n\r\nHallo\r\n"
)
ANNA = b"From: anna@muster.example\r\nTo: vertrieb@example.org\r\nSubject: Frage\r\n\r\nHallo\r\n"


@pytest.fixture
def mails(pages: RunningPortal) -> None:
    pages.add_mail(STRANGER, "who@else.example", "vertrieb@example.org")
    pages.add_mail(ANNA, "anna@muster.example", "vertrieb@example.org")


@pytest.mark.usefixtures("mails")
def test_what_would_change_is_told_and_nothing_saved(pages: RunningPortal, ada: Admin) -> None:
    answer = ada.fill(PATH, sender_policy="strict", organisation_name="Noch nicht", trial="1")
    page = answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert "1 of the last 2 mails would be decided differently:" in page
    assert "Angebot" in page
    assert "Rejected" in page
    assert 'value="Noch nicht"' in page  # what was typed is still there, to be saved
    with pages.database.read() as session:
        assert load_settings(session).sender_policy is SenderPolicy.BALANCED


@pytest.mark.usefixtures("mails")
def test_what_cannot_be_saved_cannot_be_tried(ada: Admin) -> None:
    answer = ada.fill(PATH, sender_policy="strict", upload_max_files="1000", trial="1")
    assert answer.status_code == 422
    assert "mails would" not in answer.get_data(as_text=True)


@pytest.mark.usefixtures("mails")
def test_a_change_is_noted_with_its_effect(pages: RunningPortal, ada: Admin) -> None:
    assert ada.fill(PATH, sender_policy="strict").status_code == 303
    dashboard = ada.get("/staff/")
    assert "ada has changed the trust in senders" in dashboard
    assert "Of the last 2 mails, 1 would have been decided differently." in dashboard
    assert "/admin/settings/effect?before=balanced&amp;after=strict" in dashboard
    assert "Mails decided differently" in ada.get(f"{PATH}/history")
    with pages.database.read() as session:
        found = last_policy_change(session)
    assert found is not None
    assert (found.before, found.after) == (SenderPolicy.BALANCED, SenderPolicy.STRICT)
    assert (found.tried, found.different) == (2, 1)


@pytest.mark.usefixtures("mails")
def test_other_settings_note_nothing_of_mails(pages: RunningPortal, ada: Admin) -> None:
    assert ada.fill(PATH, organisation_name="Muster").status_code == 303
    assert "has changed the trust in senders" not in ada.get("/staff/")
    assert "Mails decided" not in ada.get(f"{PATH}/history")


@pytest.mark.parametrize(("days", "is_shown"), [(13, True), (15, False)])
def test_the_dashboard_forgets_after_two_weeks(
    pages: RunningPortal, ada: Admin, days: int, is_shown: bool
) -> None:
    with pages.database.write() as session:
        session.add(
            AuditEvent(
                at=now() - timedelta(days=days),
                actor_kind=ActorKind.SYSTEM,
                actor_name="Schalter",
                action="changed",
                object_kind="settings",
                before={"sender_policy": "open"},
                after={"sender_policy": "balanced"},
            )
        )
    dashboard = ada.get("/staff/")
    assert ("Schalter has changed the trust in senders" in dashboard) is is_shown
    assert "would have been decided differently" not in dashboard  # nobody has compared


@pytest.mark.usefixtures("mails")
def test_only_admins_are_told(pages: RunningPortal, ada: Admin) -> None:
    ada.fill(PATH, sender_policy="strict")
    jonas = Admin(pages.client("jonas"))
    assert "has changed the trust in senders" not in jonas.get("/staff/")
    jonas.get(f"{PATH}/effect", status=403)


@pytest.mark.usefixtures("mails")
def test_the_list_of_what_was_decided_differently(ada: Admin) -> None:
    page = ada.get(f"{PATH}/effect?before=balanced&after=strict")
    assert "Angebot" in page
    assert "Frage" not in page
    assert "would all be decided as they are now" in ada.get(f"{PATH}/effect?before=x&after=")


@pytest.mark.usefixtures("mails")
def test_a_queue_is_tried_before_it_is_saved(pages: RunningPortal, ada: Admin) -> None:
    with pages.database.read() as session:
        queue_id = session.scalars(select(Queue.id).where(Queue.name == "Vertrieb")).one()
    path = f"/admin/queues/{queue_id}"
    answer = ada.fill(path, strangers="accept", purpose="Noch nicht", trial="1")
    page = answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert "1 of the last 2 mails would be decided differently:" in page
    assert "Angebot" in page
    assert 'value="Noch nicht"' in page
    with pages.database.read() as session:
        assert session.get_one(Queue, queue_id).strangers is StrangersRule.HOLD
    assert "What would change?" not in ada.get("/admin/queues/new")


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_it_reads_well_in_a_browser(
    portal: RunningPortal, open_page: OpenPage, sign_in: SignIn, size: tuple[int, int]
) -> None:
    for raw, sender in ((STRANGER, "who@else.example"), (ANNA, "anna@muster.example")):
        portal.add_mail(raw, sender, "vertrieb@example.org")
    page = open_page(size=size, dark=size == PHONE)
    sign_in(page, "ada")
    page.goto(portal.address(PATH))
    page.check("[name=sender_policy][value=strict]")
    go_through(page.locator("button[name=trial]"))
    expect(page.get_by_text("Von den letzten 2 Mails würde 1 anders entschieden:")).to_be_visible()
    assert page.is_checked("[name=sender_policy][value=strict]")
    assert_accessible(page)
    assert_no_horizontal_overflow(page)
    go_through(page.locator("form.sections button.btn-primary"))
    page.goto(portal.address("/staff/"))
    expect(page.get_by_text("hat das Vertrauen in Absender geändert")).to_be_visible()
    go_through(page.locator("text=Für die neuesten Mails anzeigen, welche"))
    expect(page.get_by_text("Angebot")).to_be_visible()
    assert_accessible(page)
    assert_no_horizontal_overflow(page)

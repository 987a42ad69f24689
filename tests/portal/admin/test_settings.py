"""Settings, and what the configuration fixes."""

import pytest
from sqlalchemy import select

from core.config import Config, DatabaseSection
from core.models import AuditEvent
from core.settings import Settings, load_settings
from core.words import SenderPolicy
from portal.admin.fixed import CONFIG
from tests.portal.admin.browsing import Admin, form_of
from tests.support.portal import RunningPortal

PATH = "/admin/settings"


def settings_of(pages: RunningPortal) -> Settings:
    with pages.database.read() as session:
        return load_settings(session)


def test_every_setting_can_be_changed(pages: RunningPortal, ada: Admin) -> None:
    answer = ada.fill(
        PATH,
        without=("customer_group_support",),
        customer_group_always_groups=["technik", "rechnung"],
        sender_policy="strict",
        organisation_name="Müller & Söhne",
        support_contact="hilfe@example.org",
        language="en",
        time_zone="Europe/London",
        relay_authenticates="Muster.example\r\nbücher.example",
        number_headers="X-Kunde",
        number_labels="Kd\r\nKunde Nr.",
        upload_max_files="3",
        upload_max_bytes="2,5",
        session_idle_minutes="10",
        session_hours="8",
        sender_address="service@example.org",
        auto_responses_per_address="3",
        auto_responses_per_hour="50",
        burst_tickets="5",
        held_days="14",
    )
    assert answer.status_code == 303
    assert settings_of(pages) == Settings(
        customer_group_support=False,
        customer_group_always_groups=("technik", "rechnung"),
        sender_policy=SenderPolicy.STRICT,
        organisation_name="Müller & Söhne",
        support_contact="hilfe@example.org",
        language="en",
        time_zone="Europe/London",
        relay_authenticates=("muster.example", "xn--bcher-kva.example"),
        number_headers=("X-Kunde",),
        number_labels=("Kd", "Kunde Nr."),
        upload_max_files=3,
        upload_max_bytes=2_500_000,
        session_idle_minutes=10,
        session_hours=8,
        sender_address="service@example.org",
        auto_responses_per_address=3,
        auto_responses_per_hour=50,
        burst_tickets=5,
        held_days=14,
    )
    shown = ada.form(PATH)
    assert shown.value("upload_max_bytes") == "2.5"
    assert set(shown.values("customer_group_always_groups")) == {"rechnung", "technik"}


def test_saving_unchanged_settings_changes_nothing(pages: RunningPortal, ada: Admin) -> None:
    before = settings_of(pages)
    assert ada.fill(PATH).status_code == 303
    assert settings_of(pages) == before
    with pages.database.read() as session:
        kinds = session.scalars(select(AuditEvent.object_kind)).all()
    assert "settings" not in kinds


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("organisation_name", " "),
        ("organisation_name", "x" * 101),
        ("time_zone", "Europe/Nowhere"),
        ("language", "fr"),
        ("sender_policy", "lax"),
        ("relay_authenticates", "muster@example"),
        ("number_headers", "X Kunde"),
        ("upload_max_files", "101"),
        ("upload_max_files", "viele"),
        ("upload_max_bytes", "1000.1"),
        ("upload_max_bytes", "-1"),
        ("upload_max_bytes", "1e9"),
        ("session_idle_minutes", "4"),
        ("session_hours", "169"),
        ("sender_address", "niemand"),
        ("auto_responses_per_address", "1001"),
        ("auto_responses_per_hour", "-1"),
        ("burst_tickets", "0"),
        ("held_days", "-1"),
        ("held_days", "3651"),
    ],
)
def test_a_problem_stands_at_its_field(
    pages: RunningPortal, ada: Admin, field: str, value: str
) -> None:
    before = settings_of(pages)
    answer = ada.fill(PATH, **{"support_contact": "bleibt", field: value})
    page = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert f'<a href="#{field}">' in page
    assert f'id="{field}"' in page
    assert form_of(answer).value("support_contact") == "bleibt"
    assert settings_of(pages) == before


def test_a_size_is_refused_in_its_own_unit(pages: RunningPortal, ada: Admin) -> None:
    page = ada.fill(PATH, upload_max_bytes="5000").get_data(as_text=True)
    assert "At most 1\xa0GB." in page


def test_two_admins_can_change_different_settings(pages: RunningPortal, ada: Admin) -> None:
    shown = ada.form(PATH)
    ada.fill(PATH, session_hours="9")
    assert ada.send(PATH, shown, session_idle_minutes="20").status_code == 303
    assert settings_of(pages).session_hours == 9
    assert settings_of(pages).session_idle_minutes == 20


def test_the_same_setting_is_not_saved_over(pages: RunningPortal, ada: Admin) -> None:
    shown = ada.form(PATH)
    ada.fill(PATH, session_hours="9", upload_max_files="7")
    answer = ada.send(PATH, shown, session_hours="20", support_contact="ich")
    page = answer.get_data(as_text=True)
    assert answer.status_code == 409
    assert "<ins>9</ins>" in page
    again = form_of(answer)
    assert (again.value("session_hours"), again.value("upload_max_files")) == ("20", "7")
    assert again.value("support_contact") == "ich"
    assert ada.send(PATH, again).status_code == 303
    assert settings_of(pages).session_hours == 20
    assert settings_of(pages).upload_max_files == 7


@pytest.mark.parametrize("shown", ["", "[]", "{", '{"session_hours": 3}', "null"])
def test_a_form_that_was_tampered_with_is_refused(
    pages: RunningPortal, ada: Admin, shown: str
) -> None:
    before = settings_of(pages)
    answer = ada.fill(PATH, shown=shown, session_hours="5")
    assert answer.status_code == 409
    assert settings_of(pages) == before


def test_taking_a_group_from_everybody_is_asked_about(pages: RunningPortal, ada: Admin) -> None:
    pages.change_settings(customer_group_always_groups=["rechnung"])
    pages.add_ticket("carol", "Rechnung", "Mahnung")
    shown = ada.form(PATH)
    question = ada.send(PATH, shown, without=("customer_group_always_groups",))
    assert "1 open ticket would no longer be visible" in question.get_data(as_text=True)
    assert settings_of(pages).customer_group_always_groups == ("rechnung",)
    assert ada.send(PATH, form_of(question)).status_code == 303
    assert settings_of(pages).customer_group_always_groups == ()


def test_a_name_without_a_group_stays_visible(pages: RunningPortal, ada: Admin) -> None:
    pages.change_settings(customer_group_always_groups=["früher"])
    assert "there is no such group" in ada.get(PATH)
    ada.fill(PATH, session_hours="9")
    assert settings_of(pages).customer_group_always_groups == ("früher",)


def test_the_handbook_s_names_stand_beside_the_settings(pages: RunningPortal, ada: Admin) -> None:
    page = ada.get(PATH)
    assert "CustomerGroupSupport" in page
    assert "CustomerGroupAlwaysGroups" in page


def test_history_of_the_settings(pages: RunningPortal, ada: Admin) -> None:
    ada.fill(PATH, session_hours="9", without=("customer_group_support",))
    page = ada.get(f"{PATH}/history")
    assert "<del>12</del>" in page
    assert "<ins>9</ins>" in page
    assert "Customer groups" in page


def test_the_configuration_is_shown_with_its_sources_and_without_secrets(
    pages: RunningPortal, ada: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCHALTER_SMTP__LISTEN", "127.0.0.1:2525")
    config = Config(
        database=DatabaseSection(url="postgresql://schalter:geheim@db.example/schalter"),
        secret_key_file=pages.app.extensions[CONFIG].secret_key_file,
    )
    monkeypatch.setitem(pages.app.extensions, CONFIG, config)
    page = ada.get(f"{PATH}/configuration")
    assert "geheim" not in page  # the key itself is bytes that no page could show
    for key in ("database.url", "smtp.listen", "web.public_url", "relay.host", "secret_key_file"):
        assert f"<code>{key}</code>" in page
    assert "environment: SCHALTER_SMTP__LISTEN" in page
    assert "configuration file" in page
    assert "default" in page


def test_it_says_whom_mail_is_from(pages: RunningPortal, ada: Admin) -> None:
    assert "At present it is schalter@" in ada.get(PATH)
    ada.fill(PATH, sender_address="service@example.org")
    assert "At present it is service@example.org." in ada.get(PATH)

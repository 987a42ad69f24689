"""Settings: what can be set, how a wrong value is told, and that nobody is overwritten."""

from collections.abc import Mapping

import pytest
from sqlalchemy import select

from core.db import Database
from core.errors import InvalidFields, Stale
from core.i18n import in_language
from core.models import Setting
from core.organisation import load_organisation
from core.settings import Settings, change_settings, load_settings
from core.words import SenderPolicy
from tests.accounts.people import ADMIN, at_the_same_time, events, fields_of

EVERYTHING: Mapping[str, object] = {
    "customer_group_support": False,
    "customer_group_always_groups": ["users", "vertrieb"],
    "sender_policy": "strict",
    "organisation_name": "Muster Support",
    "support_contact": "+49 30 123",
    "language": "en",
    "time_zone": "Asia/Tokyo",
    "relay_authenticates": ["muster.example"],
    "number_headers": ["X-Kunde"],
    "number_labels": ["Kunde Nr."],
    "upload_max_files": 3,
    "upload_max_bytes": 1000,
    "sender_address": "service@example.org",
    "auto_responses_per_address": 3,
    "auto_responses_per_hour": 50,
    "burst_tickets": 5,
    "held_days": 14,
    "session_idle_minutes": 60,
    "session_hours": 24,
}


def change(database: Database, changes: Mapping[str, object], **more: object) -> dict[str, object]:
    """Change settings."""
    with database.write() as session:
        return change_settings(session, ADMIN, changes, **more)


def test_the_defaults_are_in_force_and_not_stored(database: Database) -> None:
    with database.read() as session:
        settings = load_settings(session)
    assert settings == Settings()
    assert settings.customer_group_support
    assert settings.sender_policy is SenderPolicy.BALANCED


def test_every_setting_is_stored_read_back_and_in_force(database: Database) -> None:
    default = Settings().model_dump(mode="json")
    assert set(EVERYTHING) == set(default)
    assert [name for name, value in EVERYTHING.items() if default[name] == value] == []
    with database.read() as session:
        load_organisation(session)
    assert change(database, EVERYTHING) == EVERYTHING
    with database.read() as session:
        assert load_settings(session).model_dump(mode="json") == EVERYTHING
        assert load_organisation(session).settings.organisation_name == "Muster Support"
    assert change(database, EVERYTHING) == {}
    event = events(database, "settings")[-1]
    assert len(events(database, "settings")) == 1
    assert (event.before, event.after) == (default, EVERYTHING)


def test_only_what_differs_is_stored_and_told(database: Database) -> None:
    assert change(database, {"language": "de", "session_hours": 8}) == {"session_hours": 8}
    with database.read() as session:
        assert [row.key for row in session.scalars(select(Setting))] == ["session_hours"]
    assert events(database, "settings")[0].before == {"session_hours": 12}


BAD_VALUES = [
    ("customer_group_suport", True, "There is no such setting."),
    ("customer_group_support", "maybe", "This is either true or false."),
    ("customer_group_support", None, "This value cannot be used here."),
    ("customer_group_always_groups", "users", "This value cannot be used here."),
    ("customer_group_always_groups", [""], "Please fill this in."),
    ("customer_group_always_groups", ["x" * 101], "At most 100 characters."),
    ("customer_group_always_groups", [f"g{n}" for n in range(101)], "At most 100 entries."),
    ("sender_policy", "lax", "Please choose one of: open, balanced, strict."),
    ("organisation_name", "", "Please fill this in."),
    ("organisation_name", " \n\u202e", "Please fill this in."),
    ("organisation_name", "x" * 101, "At most 100 characters."),
    ("support_contact", "x" * 301, "At most 300 characters."),
    ("language", "fr", "There is no such language."),
    ("time_zone", "Berlin", "There is no such time zone."),
    ("time_zone", "../../etc/passwd", "There is no such time zone."),
    ("relay_authenticates", ["a@b"], '"a@b" is not a mail domain.'),
    ("number_headers", ["X Kunde"], '"X Kunde" is not the name of a header field.'),
    ("number_headers", ["X-Kunde:"], '"X-Kunde:" is not the name of a header field.'),
    ("number_headers", ["Xü"], '"Xü" is not the name of a header field.'),
    ("number_headers", [f"X-{n}" for n in range(21)], "At most 20 entries."),
    ("number_labels", [""], "Please fill this in."),
    ("number_labels", ["x" * 65], "At most 64 characters."),
    ("upload_max_files", -1, "At least 0."),
    ("upload_max_files", 101, "At most 100."),
    ("upload_max_bytes", "viel", "Please enter a whole number."),
    ("session_idle_minutes", 4, "At least 5."),
    ("session_hours", 169, "At most 168."),
    ("session_hours", 1.5, "This value cannot be used here."),
]


@pytest.mark.parametrize(("name", "value", "sentence"), BAD_VALUES)
def test_a_bad_value_is_refused_with_its_reason(
    sqlite_database: Database, name: str, value: object, sentence: str
) -> None:
    with pytest.raises(InvalidFields) as refused:
        change(sqlite_database, {"support_contact": "+49 30 123", name: value})
    assert [(error.field, error.message) for error in refused.value.errors] == [(name, sentence)]
    with sqlite_database.read() as session:
        assert load_settings(session) == Settings(), "all or nothing"


def test_all_problems_are_told_at_once_in_the_readers_language(sqlite_database: Database) -> None:
    with in_language("de"), pytest.raises(InvalidFields) as refused:
        change(sqlite_database, {"language": "fr", "session_hours": 0, "nope": 1})
    assert fields_of(refused.value) == ["language", "session_hours", "nope"]
    assert [error.message for error in refused.value.errors] == [
        "Diese Sprache gibt es nicht.",
        "Mindestens 1.",
        "Diese Einstellung gibt es nicht.",
    ]


def test_texts_are_cleaned_and_named_once(database: Database) -> None:
    change(
        database,
        {
            "organisation_name": " Muster\r\nBcc: x@evil.example ",
            "number_labels": ["Kunde ", "Kunde", " Kd."],
            "customer_group_always_groups": ["a", "a"],
        },
    )
    with database.read() as session:
        settings = load_settings(session)
    assert settings.organisation_name == "Muster Bcc: x@evil.example"
    assert settings.number_labels == ("Kunde", "Kd.")
    assert settings.customer_group_always_groups == ("a",)


def test_a_second_admin_does_not_save_over_the_first(database: Database) -> None:
    shown = Settings().model_dump()
    change(database, {"session_hours": 8}, shown=shown)
    with pytest.raises(Stale):
        change(database, {"session_hours": 9}, shown=shown)
    change(database, {"session_idle_minutes": 10}, shown=shown)  # another setting than the first's
    change(database, {"session_hours": 9}, shown={"session_hours": 8})
    with pytest.raises(Stale):
        change(
            database,
            {"number_labels": ["A"]},
            shown={"number_labels": ("B",)},
        )
    change(database, {"number_labels": ["A"]}, shown=shown)
    with database.read() as session:
        settings = load_settings(session)
    assert (settings.session_hours, settings.session_idle_minutes) == (9, 10)
    assert settings.number_labels == ("A",)


def test_of_two_who_change_one_setting_at_once_both_are_told_what_happened(
    database: Database,
) -> None:
    shown = Settings().model_dump()
    results = at_the_same_time(
        lambda: change(database, {"session_hours": 8}, shown=shown),
        lambda: change(database, {"session_hours": 9}, shown=shown),
    )
    assert len([result for result in results if isinstance(result, Stale)]) == 1
    with database.read() as session:
        assert [row.key for row in session.scalars(select(Setting))] == ["session_hours"]

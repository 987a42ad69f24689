"""Reply templates and their placeholders."""

import time
from dataclasses import replace

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.audit import SYSTEM
from core.db import Database
from core.errors import Duplicate, InvalidFields, Stale
from core.models import AuditEvent, ReplyTemplate
from core.organisation import load_organisation
from core.outgoing.installation import Installation
from core.outgoing.placeholders import PLACEHOLDERS, fill, unknown_placeholders, values_of
from core.tickets.reply_templates import (
    KIND,
    TemplateValues,
    all_templates,
    save_template,
    template_values,
    templates_for,
)
from tests.tickets.world import World, a_world

HELLO = TemplateValues(name="Gruß", text="Guten Tag {customer_name},\n\nvielen Dank.")


@pytest.fixture
def world(database: Database) -> World:
    return a_world(database)


FILLED: list[tuple[str, dict[str, str], str]] = [
    ("Nr. {ticket_number}!", {"ticket_number": "100001"}, "Nr. 100001!"),
    ("{queue}{queue}", {"queue": "Vertrieb"}, "VertriebVertrieb"),
    ("{subject}", {"subject": "{queue}", "queue": "x"}, "{queue}"),  # not filled again
    ("{unknown}", {}, "{unknown}"),
    ("{ subject } {} {0} {a.b} {a!r}", {"subject": "S"}, "{ subject } {} {0} {a.b} {a!r}"),
    ("{{subject}}", {"subject": "S"}, "{S}"),
    ("\\1 {subject} %s", {"subject": "\\g<0> \\1"}, "\\1 \\g<0> \\1 %s"),
    ("{subject", {"subject": "x"}, "{subject"),
]


@pytest.mark.parametrize(("text", "values", "filled"), FILLED)
def test_a_text_is_filled_once(text: str, values: dict[str, str], filled: str) -> None:
    assert fill(text, values) == filled


@pytest.mark.parametrize("piece", ["{", "{a", "{subject}", "{" + "a" * 41, "}{", "{a_"])
def test_no_text_takes_longer_than_its_length(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    began = time.process_time()
    fill(text, {"subject": "x"})
    unknown_placeholders(text, PLACEHOLDERS)
    assert time.process_time() - began < 20


def test_unknown_names_are_told_once_and_in_order() -> None:
    text = "{Subject} {subject} {zzz} {Subject} {a1}"
    assert unknown_placeholders(text, PLACEHOLDERS) == ["Subject", "zzz", "a1"]


def test_every_placeholder_has_a_value(
    database: Database, world: World, installation: Installation
) -> None:
    with database.write() as session:
        ticket = world.ticket(session, "anna-sales")
        ticket.subject = "Zwei\r\nZeilen"
        organisation, jonas = load_organisation(session), world.staff(session, "jonas")
        values = values_of(installation, organisation, ticket, jonas)
        assert values.keys() == PLACEHOLDERS.keys()
        assert values == {
            "ticket_number": str(ticket.number),
            "subject": "Zwei Zeilen",
            "customer_name": "Anna Test",
            "queue": "Vertrieb",
            "staff_name": jonas.name,
            "organisation": "Schalter",
            "ticket_url": f"https://help.example/tickets/{ticket.public_id}",
        }
        ticket.customer_user = None
        assert values_of(installation, organisation, ticket, None)["customer_name"] == ""


def problems(session: Session, values: TemplateValues) -> dict[str, str]:
    """Return what is wrong with a new template, by field."""
    with pytest.raises(InvalidFields) as caught:
        save_template(session, SYSTEM, values)
    return {error.field: error.message for error in caught.value.errors}


WRONG: list[tuple[str, TemplateValues, dict[str, str]]] = [
    ("no name", replace(HELLO, name=" "), {"name": "Please fill this in."}),
    ("no text", replace(HELLO, text=" \n"), {"text": "Please fill this in."}),
    ("a long name", replace(HELLO, name="x" * 101), {"name": "At most 100 characters."}),
    ("a long text", replace(HELLO, text="x" * 10_001), {"text": "At most 10000 characters."}),
    (
        "an unknown placeholder",
        replace(HELLO, text="{custommer}"),
        {"text": "There is no placeholder {custommer}."},
    ),
    (
        "two unknown placeholders",
        replace(HELLO, text="{b} {a} {b}"),
        {"text": "There are no placeholders {b}, {a}."},
    ),
    ("no queue", replace(HELLO, queue="Keine"), {"queue": 'There is no queue "Keine".'}),
    ("no language", replace(HELLO, language="fr"), {"language": "There is no such language."}),
    (
        "all at once",
        TemplateValues(name="", queue="Keine", language="fr", text=""),
        {
            "name": "Please fill this in.",
            "text": "Please fill this in.",
            "language": "There is no such language.",
            "queue": 'There is no queue "Keine".',
        },
    ),
]


@pytest.mark.parametrize(("values", "expected"), [row[1:] for row in WRONG])
def test_what_cannot_be_saved(
    sqlite_database: Database, values: TemplateValues, expected: dict[str, str]
) -> None:
    a_world(sqlite_database)
    with sqlite_database.write() as session:
        assert problems(session, values) == expected
        assert session.scalars(select(ReplyTemplate)).all() == []


def test_a_template_is_saved_changed_and_audited(database: Database, world: World) -> None:
    with database.write() as session:
        template = save_template(session, SYSTEM, HELLO)
        assert template_values(template) == HELLO
        version = template.version
        wanted = replace(HELLO, queue="Vertrieb", language="de", valid=False)
        save_template(session, SYSTEM, wanted, template, version)
        assert template_values(template) == wanted
        assert template.version == version + 1
        save_template(session, SYSTEM, wanted, template, template.version)
        assert template.version == version + 1
        with pytest.raises(Stale):
            save_template(session, SYSTEM, HELLO, template, version)
    with database.read() as session:
        events = session.scalars(
            select(AuditEvent).where(AuditEvent.object_kind == KIND).order_by(AuditEvent.id)
        ).all()
        assert [(event.action, event.object_name) for event in events] == [
            ("created", "Gruß"),
            ("changed", "Gruß"),
        ]
        assert events[1].before == {"queue": "", "language": "", "valid": True}
        assert events[1].after == {"queue": "Vertrieb", "language": "de", "valid": False}


def test_a_name_is_taken_whatever_its_case(database: Database, world: World) -> None:
    with database.write() as session:
        template = save_template(session, SYSTEM, HELLO)
        with pytest.raises(InvalidFields) as caught:
            save_template(session, SYSTEM, replace(HELLO, name="GRUSS"))
        (error,) = caught.value.errors
        assert isinstance(error, Duplicate)
        assert (error.field, error.holder.id) == ("name", template.id)
        assert save_template(session, SYSTEM, replace(HELLO, name="GRUSS"), template)


def test_which_templates_a_reply_is_offered(database: Database, world: World) -> None:
    with database.write() as session:
        for name, queue, language, valid in [
            ("b alle", "", "", True),
            ("a deutsch", "", "de", True),
            ("c englisch", "", "en", True),
            ("d Vertrieb", "Vertrieb", "", True),
            ("e Technik", "Technik", "", True),
            ("f ungültig", "", "", False),
        ]:
            values = TemplateValues(
                name=name, queue=queue, language=language, text="x", valid=valid
            )
            save_template(session, SYSTEM, values)
    with database.read() as session:
        for queue, language, expected in [
            ("Vertrieb", "de", "abd"),
            ("Vertrieb", "en", "bcd"),
            ("Technik", "", "abce"),
            ("Rechnung", "de", "ab"),
        ]:
            found = templates_for(session, world.firm.queues[queue], language)
            assert "".join(template.name[0] for template in found) == expected
        assert "".join(template.name[0] for template in all_templates(session)) == "abcdef"

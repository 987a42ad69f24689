"""Reply templates: what can be entered, what is refused, and that nobody saves over another."""

import re

import pytest
from sqlalchemy import select

from core.models import AuditEvent, ReplyTemplate
from core.tickets.reply_templates import TemplateValues, save_template, template_values
from tests.portal.admin.browsing import Admin, form_of
from tests.portal.admin.firm import SETUP
from tests.support.portal import RunningPortal

PATH = "/admin/templates"
GREETING = TemplateValues(name="Eingang", queue="Technik", language="de", text="Guten Tag")


def add(pages: RunningPortal, values: TemplateValues = GREETING) -> str:
    """Store a template and return the address of its page."""
    with pages.database.write() as session:
        return f"{PATH}/{save_template(session, SETUP, values).id}"


def stored(pages: RunningPortal) -> list[TemplateValues]:
    with pages.database.read() as session:
        return [template_values(row) for row in session.scalars(select(ReplyTemplate))]


def actions(pages: RunningPortal) -> list[str]:
    with pages.database.read() as session:
        kind = AuditEvent.object_kind == "reply-template"
        return list(session.scalars(select(AuditEvent.action).where(kind)))


def test_an_empty_list_says_what_templates_are_for(pages: RunningPortal, ada: Admin) -> None:
    assert "There are no reply templates yet." in ada.get(PATH)


def test_a_template_is_created_and_listed(pages: RunningPortal, ada: Admin) -> None:
    text = "Guten Tag {customer_name},\r\n\r\nIhr Ticket {ticket_number}"
    answer = ada.fill(f"{PATH}/new", name="Eingang", queue="Technik", language="de", text=text)
    assert answer.status_code == 303
    wanted = TemplateValues(
        name="Eingang", queue="Technik", language="de", text=text.replace("\r\n", "\n")
    )
    assert stored(pages) == [wanted]
    page = ada.get(PATH)
    assert "The template &#34;Eingang&#34; is created." in page
    assert re.search(r"Eingang</a>.*?Technik.*?Deutsch.*?valid", page, re.DOTALL)


def test_without_queue_and_language_it_is_for_all(pages: RunningPortal, ada: Admin) -> None:
    ada.fill(f"{PATH}/new", name="Gruß", text="Viele Grüße")
    assert stored(pages) == [TemplateValues(name="Gruß", text="Viele Grüße")]
    page = ada.get(PATH)
    assert "All queues" in page
    assert "German and English" in page


def test_a_template_is_set_invalid_and_never_deleted(pages: RunningPortal, ada: Admin) -> None:
    path = add(pages)
    assert ada.fill(path, valid="invalid").status_code == 303
    (template,) = stored(pages)
    assert not template.valid
    assert "invalid" in ada.get(f"{path}/history")
    assert actions(pages) == ["created", "changed"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "EINGANG"}, "name"),
        ({"text": " "}, "text"),
        ({"text": "Guten Tag {kunde}"}, "text"),
        ({"text": "x" * 10_001}, "text"),
        ({"queue": "erfunden"}, "queue"),
        ({"language": "fr"}, "language"),
        ({"valid": "vielleicht"}, "valid"),
    ],
)
def test_a_problem_stands_at_its_field_and_what_was_typed_stays(
    pages: RunningPortal, ada: Admin, changes: dict[str, str], field: str
) -> None:
    add(pages)
    typed = {"name": "Neu", "text": "Der Text {subject}", **changes}
    answer = ada.fill(f"{PATH}/new", **typed)
    assert answer.status_code == 422
    assert f'<a href="#{field}">' in answer.get_data(as_text=True)
    assert form_of(answer).value("name") == typed["name"]
    assert form_of(answer).value("text") == typed["text"]
    assert stored(pages) == [GREETING]


def test_who_has_the_name_already_is_a_link(pages: RunningPortal, ada: Admin) -> None:
    path = add(pages)
    page = ada.fill(f"{PATH}/new", name="eingang", text="x").get_data(as_text=True)
    assert f'<a href="{path}">Open &#34;Eingang&#34;</a>' in page


@pytest.mark.parametrize("is_new", [True, False])
def test_the_preview_saves_nothing(pages: RunningPortal, ada: Admin, is_new: bool) -> None:
    path = add(pages)
    answer = ada.fill(
        f"{PATH}/new" if is_new else path,
        queue="Technik",
        language="",
        text="{customer_name}: {subject} ({queue}, {staff_name}) {oops}",
        preview="1",
    )
    page = answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert "Erika Beispiel: Drucker druckt nicht (Technik, Ada Kern) {oops}" in page
    assert "Erika Example: Printer does not print (Technik, Ada Kern) {oops}" in page
    assert "There is no placeholder {oops}." in page
    assert stored(pages) == [GREETING]


def test_a_template_in_one_language_is_shown_in_it(pages: RunningPortal, ada: Admin) -> None:
    page = ada.get(add(pages, TemplateValues(name="x", language="de", text="{subject}")))
    assert "Drucker druckt nicht" in page
    assert "Printer does not print" not in page


def test_nobody_saves_over_somebody_else(pages: RunningPortal, ada: Admin) -> None:
    path = add(pages)
    shown = ada.form(path)
    with pages.database.write() as session:
        template = session.scalars(select(ReplyTemplate)).one()
        other = TemplateValues(name="Anders", queue="Technik", language="de", text="Guten Tag")
        save_template(session, SETUP, other, template, template.version)
    answer = ada.send(path, shown, text="Guten Morgen")
    assert answer.status_code == 409
    again = form_of(answer)
    assert (again.value("name"), again.value("text")) == ("Anders", "Guten Morgen")
    assert ada.send(path, again).status_code == 303
    assert stored(pages)[0].text == "Guten Morgen"


def test_texts_are_text(pages: RunningPortal, ada: Admin) -> None:
    evil = "<script>alert(1)</script>"
    path = add(pages, TemplateValues(name=evil, text=evil))
    for page in (PATH, path, f"{path}/history", "/admin/audit"):
        assert evil not in ada.get(page)

"""Automatic answers of a queue: on or off, in whose words, and how they look before they go."""

import re

import pytest
from sqlalchemy import select

from core.accounts.queues import queue_named, queue_values, save_queue
from core.models import AuditEvent
from core.outgoing.auto_responses import DEFAULTS, AutoResponseValues, save_auto_response, texts_of
from core.words import AutoResponse, FollowUp
from tests.portal.admin.browsing import Admin, form_of
from tests.portal.admin.firm import SETUP
from tests.support.portal import RunningPortal

TECHNIK = "Technik"
EVIL = "<script>alert(1)</script>"


def queue_id(pages: RunningPortal) -> int:
    with pages.database.read() as session:
        return queue_named(session, TECHNIK).id


def path_of(pages: RunningPortal, kind: AutoResponse = AutoResponse.RECEIVED) -> str:
    return f"/admin/queues/{queue_id(pages)}/answers/{kind.value}"


def stored(pages: RunningPortal, kind: AutoResponse = AutoResponse.RECEIVED) -> AutoResponseValues:
    with pages.database.read() as session:
        return texts_of(session, queue_named(session, TECHNIK).id, kind)


def store(pages: RunningPortal, values: AutoResponseValues) -> None:
    with pages.database.write() as session:
        save_auto_response(session, SETUP, queue_named(session, TECHNIK).id, values)


def events(pages: RunningPortal) -> list[AuditEvent]:
    with pages.database.read() as session:
        chosen = AuditEvent.action == "auto-response-changed"
        return list(session.scalars(select(AuditEvent).where(chosen)))


def previews(page: str) -> list[str]:
    return re.findall(r'<div class="preview-text">(.*?)</div>', page, re.DOTALL)


def test_the_form_begins_with_the_default_texts(pages: RunningPortal, ada: Admin) -> None:
    for kind in AutoResponse:
        shown = ada.form(path_of(pages, kind))
        for language in ("de", "en"):
            default = DEFAULTS[kind, language]
            assert shown.value(f"subject_{language}") == default.subject
            assert shown.value(f"text_{language}") == default.text.replace("\n", "\r\n")
        assert shown.value("enabled") == "y"


def test_without_a_kind_it_is_the_first(pages: RunningPortal, ada: Admin) -> None:
    page = ada.get(f"/admin/queues/{queue_id(pages)}/answers")
    assert f'href="{path_of(pages)}" aria-current="page"' in page
    assert page.count('class="answer"') == 4


def test_a_default_text_that_is_sent_back_is_not_kept(pages: RunningPortal, ada: Admin) -> None:
    assert ada.fill(path_of(pages)).status_code == 303
    assert stored(pages) == AutoResponseValues(kind=AutoResponse.RECEIVED)
    assert not events(pages)


def test_what_differs_from_the_default_is_kept(pages: RunningPortal, ada: Admin) -> None:
    answer = ada.fill(
        path_of(pages), without=("enabled",), text_de="Danke,\r\n{customer_name}", subject_en=""
    )
    assert answer.status_code == 303
    assert stored(pages) == AutoResponseValues(
        kind=AutoResponse.RECEIVED, enabled=False, text_de="Danke,\n{customer_name}"
    )
    assert stored(pages, AutoResponse.NEW_TICKET).enabled
    (event,) = events(pages)
    assert (event.object_kind, event.object_name) == ("queue", TECHNIK)
    assert event.before == {"enabled": True, "text_de": ""}
    shown = ada.form(path_of(pages))
    assert shown.value("text_de") == "Danke,\r\n{customer_name}"
    assert shown.value("subject_en") == DEFAULTS[AutoResponse.RECEIVED, "en"].subject
    assert shown.value("enabled") == ""


def test_the_history_of_the_queue_tells_it_in_words(pages: RunningPortal, ada: Admin) -> None:
    ada.fill(path_of(pages), text_de="Danke")
    for path in (f"/admin/queues/{queue_id(pages)}/history", "/admin/audit"):
        page = ada.get(path)
        assert "automatic answer changed" in page
        assert "Text in German" in page
        assert "<dd><ins>Confirmation: received</ins></dd>" in page
        assert "<del>–</del>" in page  # the German text, which was the default


@pytest.mark.parametrize(
    ("field", "text", "problem"),
    [
        ("text_de", "Danke {kunde}", "There is no placeholder {kunde}."),
        ("subject_en", "{staff_name}", "There is no placeholder {staff_name}."),
        ("subject_de", "x" * 301, "At most 300 characters."),
        ("text_en", "x" * 10_001, "At most 10000 characters."),
    ],
)
def test_a_problem_stands_at_its_field_and_what_was_typed_stays(
    pages: RunningPortal, ada: Admin, field: str, text: str, problem: str
) -> None:
    answer = ada.fill(path_of(pages), **{field: text})
    page = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert f'<a href="#{field}">' in page
    assert problem in page
    assert form_of(answer).value(field) == text
    assert not events(pages)


def test_the_preview_fills_in_both_languages_and_saves_nothing(
    pages: RunningPortal, ada: Admin
) -> None:
    answer = ada.fill(
        path_of(pages),
        text_de="Tag {customer_name}, {queue}",
        text_en="Day {customer_name} {oops}",
        preview="1",
    )
    page = answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert previews(page) == ["Tag Erika Beispiel, Technik", "Day Erika Example {oops}"]
    assert "[Ticket#100023]" in page
    assert "There is no placeholder {oops}." in page
    assert form_of(answer).value("text_de") == "Tag {customer_name}, {queue}"
    assert not events(pages)


def test_an_empty_field_is_the_default_in_the_preview(pages: RunningPortal, ada: Admin) -> None:
    page = ada.fill(path_of(pages), text_de="", text_en="", preview="1").get_data(as_text=True)
    assert [("100023" in text) for text in previews(page)] == [True, True]


def test_the_default_texts_come_back_only_once_they_are_saved(
    pages: RunningPortal, ada: Admin
) -> None:
    path = path_of(pages)
    ada.fill(path, text_de="Danke", subject_en="Thanks")
    answer = ada.fill(path, reset="1")
    assert "They are not saved yet." in answer.get_data(as_text=True)
    assert stored(pages).text_de == "Danke"
    assert ada.send(path, form_of(answer)).status_code == 303
    assert stored(pages) == AutoResponseValues(kind=AutoResponse.RECEIVED)


def test_nobody_saves_over_somebody_else(pages: RunningPortal, ada: Admin) -> None:
    path = path_of(pages)
    shown = ada.form(path)
    store(pages, AutoResponseValues(kind=AutoResponse.RECEIVED, text_en="Hello"))
    answer = ada.send(path, shown, text_de="Danke")
    assert answer.status_code == 409
    assert "What has changed meanwhile" in answer.get_data(as_text=True)
    again = form_of(answer)
    assert (again.value("text_de"), again.value("text_en")) == ("Danke", "Hello")
    assert ada.send(path, again).status_code == 303
    assert (stored(pages).text_de, stored(pages).text_en) == ("Danke", "Hello")


def test_who_resets_meanwhile_is_told_too(pages: RunningPortal, ada: Admin) -> None:
    store(pages, AutoResponseValues(kind=AutoResponse.RECEIVED, text_en="Hello"))
    path = path_of(pages)
    shown = ada.form(path)
    store(pages, AutoResponseValues(kind=AutoResponse.RECEIVED))
    answer = ada.send(path, shown, text_de="Danke")
    assert answer.status_code == 409
    default = DEFAULTS[AutoResponse.RECEIVED, "en"].text.replace("\n", "\r\n")
    assert form_of(answer).value("text_en") == default


def test_other_changes_of_the_queue_are_nobody_s_conflict(pages: RunningPortal, ada: Admin) -> None:
    shown = ada.form(path_of(pages))
    store(pages, AutoResponseValues(kind=AutoResponse.NEW_TICKET, enabled=False))
    assert ada.send(path_of(pages), shown, text_de="Danke").status_code == 303


def test_an_answer_that_the_rule_rules_out_says_so(pages: RunningPortal, ada: Admin) -> None:
    hint = "so this answer is not sent"
    assert hint in ada.get(path_of(pages, AutoResponse.REJECTED))
    assert hint not in ada.get(path_of(pages, AutoResponse.FOLLOW_UP))
    assert ada.get(path_of(pages)).count("not needed here") == 2
    with pages.database.write() as session:
        queue = queue_named(session, TECHNIK)
        values = queue_values(queue)
        every = {name: getattr(values, name) for name in values.__slots__}
        rejecting = type(values)(**{**every, "follow_up": FollowUp.REJECT})
        save_queue(session, SETUP, rejecting, queue)
    assert hint not in ada.get(path_of(pages, AutoResponse.REJECTED))


def test_agents_and_customers_have_no_such_page(pages: RunningPortal) -> None:
    for login, status in (("jonas", 403), ("anna", 404)):
        client = pages.client(login)
        assert client.get(path_of(pages)).status_code == status
        assert client.get("/admin/templates").status_code == status


def test_the_texts_are_text(pages: RunningPortal, ada: Admin) -> None:
    ada.fill(path_of(pages), text_de=EVIL, subject_en=EVIL)
    for path in (path_of(pages), f"/admin/queues/{queue_id(pages)}/history", "/admin/audit"):
        assert EVIL not in ada.get(path)


def test_the_navigation_says_where_one_is(pages: RunningPortal, ada: Admin) -> None:
    for path, here in (
        (path_of(pages), ["/admin/queues"]),
        ("/admin/queues", ["/admin/queues"]),
        ("/admin/templates", ["/admin/templates"]),
    ):
        marked = r'<a class="nav-entry" href="([^"]*)" aria-current="page">'
        assert re.findall(marked, ada.get(path)) == here

"""Groups and queues: what belongs together, and what a change hides."""

import re

import pytest
from sqlalchemy import select

from core.accounts.groups import GroupValues, save_group
from core.accounts.queues import queue_values, save_queue
from core.models import AuditEvent, Group, Queue
from core.settings import load_settings
from core.words import EvidenceDemand, ForbiddenRule, StrangersRule
from tests.portal.admin.browsing import Admin, form_of
from tests.portal.admin.firm import SETUP
from tests.support.portal import RunningPortal

GROUPS, QUEUES = "/admin/groups", "/admin/queues"


def path_of(pages: RunningPortal, model: type[Group] | type[Queue], name: str) -> str:
    with pages.database.read() as session:
        row = session.scalars(select(model).where(model.name == name)).one()
    return f"{GROUPS if model is Group else QUEUES}/{row.id}"


def queue_named(pages: RunningPortal, name: str) -> Queue:
    with pages.database.read() as session:
        queue = session.scalars(select(Queue).where(Queue.name == name)).one()
        assert queue.group  # read while the session is there
        assert queue.addresses is not None
        return queue


def events(pages: RunningPortal, kind: str) -> list[str]:
    with pages.database.read() as session:
        return list(
            session.scalars(select(AuditEvent.action).where(AuditEvent.object_kind == kind))
        )


def test_a_group_is_created_and_listed_with_its_counts(pages: RunningPortal, ada: Admin) -> None:
    assert ada.fill(f"{GROUPS}/new", name="lager", comment="Versand").status_code == 303
    page = ada.get(GROUPS)
    assert "The group &#34;lager&#34; is created." in page
    row = re.search(r"<tr[^>]*>(?:(?!</tr>).)*technik(?:(?!</tr>).)*</tr>", page, re.S)
    assert row is not None
    assert re.findall(r'class="numeric" data-label="[^"]+">(\d+)<', row[0]) == ["1", "0", "3", "1"]
    assert events(pages, "group") == ["created"]


@pytest.mark.parametrize("name", ["", "  ", "TECHNIK", "x" * 101])
def test_a_bad_name_of_a_group_is_told(pages: RunningPortal, ada: Admin, name: str) -> None:
    answer = ada.fill(f"{GROUPS}/new", name=name, comment="bleibt")
    assert answer.status_code == 422
    assert '<a href="#name">' in answer.get_data(as_text=True)
    assert form_of(answer).value("comment") == "bleibt"
    assert not events(pages, "group")


def test_a_renamed_group_stays_an_always_group(pages: RunningPortal, ada: Admin) -> None:
    pages.change_settings(customer_group_always_groups=["rechnung"])
    assert "for everybody" in ada.get(GROUPS)
    ada.fill(path_of(pages, Group, "rechnung"), name="buchhaltung")
    with pages.database.read() as session:
        assert load_settings(session).customer_group_always_groups == ("buchhaltung",)


def test_an_invalid_group_hides_tickets_only_after_a_question(
    pages: RunningPortal, ada: Admin
) -> None:
    pages.add_ticket("carol", "Technik", "Ticket")
    path = path_of(pages, Group, "technik")
    question = ada.fill(path, valid="invalid")
    assert "1 open ticket would no longer be visible" in question.get_data(as_text=True)
    with pages.database.read() as session:
        assert session.scalars(select(Group).where(Group.name == "technik")).one().valid
    assert ada.send(path, form_of(question)).status_code == 303
    with pages.database.read() as session:
        assert not session.scalars(select(Group).where(Group.name == "technik")).one().valid


def test_a_group_that_somebody_else_has_changed_is_not_saved_over(
    pages: RunningPortal, ada: Admin
) -> None:
    path = path_of(pages, Group, "technik")
    shown = ada.form(path)
    with pages.database.write() as session:
        group = session.scalars(select(Group).where(Group.name == "technik")).one()
        save_group(session, SETUP, GroupValues(name="technik", comment="anders"), group)
    answer = ada.send(path, shown, name="Technik neu")
    assert answer.status_code == 409
    assert form_of(answer).value("comment") == "anders"
    assert form_of(answer).value("name") == "Technik neu"


def test_a_queue_needs_a_group(pages: RunningPortal, ada: Admin) -> None:
    shown = ada.form(f"{QUEUES}/new")
    assert shown.value("group") == ""
    answer = ada.send(f"{QUEUES}/new", shown, name="Lager", purpose="Versand")
    assert answer.status_code == 422
    assert '<a href="#group">' in answer.get_data(as_text=True)
    assert form_of(answer).value("purpose") == "Versand"


def test_a_queue_is_created_with_everything(pages: RunningPortal, ada: Admin) -> None:
    answer = ada.fill(
        f"{QUEUES}/new",
        name="Lager",
        group="technik",
        addresses="lager@example.org\r\n\r\nversand@example.org",
        forbidden="fallback",
        fallback_queue="Vertrieb",
        strangers="reject",
        evidence="verified",
        follow_up="new-ticket",
        signature="Viele Grüße\r\n{staff_name}",
    )
    assert answer.status_code == 303
    queue = queue_named(pages, "Lager")
    assert queue.signature == "Viele Grüße\n{staff_name}"
    assert [row.address for row in queue.addresses] == ["lager@example.org", "versand@example.org"]
    assert (queue.forbidden, queue.strangers) == (ForbiddenRule.FALLBACK, StrangersRule.REJECT)
    assert queue.evidence is EvidenceDemand.VERIFIED
    assert events(pages, "queue") == ["created"]
    row = re.search(r"<tr[^>]*>(?:(?!</tr>).)*Lager(?:(?!</tr>).)*</tr>", ada.get(QUEUES), re.S)
    assert row is not None
    assert "2 customer users" in row[0]  # anna and carol write, bert only reads


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "TECHNIK"}, "name"),
        ({"addresses": "technik@example.org"}, "addresses"),
        ({"addresses": "anna@muster.example"}, "addresses"),
        ({"addresses": "keine"}, "addresses"),
        ({"forbidden": "fallback"}, "fallback_queue"),
        ({"group": "erfunden"}, "group"),
        ({"strangers": "erfunden"}, "strangers"),
        ({"evidence": "erfunden"}, "evidence"),
        ({"signature": "{niemand}"}, "signature"),
    ],
)
def test_a_problem_of_a_queue_stands_at_its_field(
    pages: RunningPortal, ada: Admin, changes: dict[str, str], field: str
) -> None:
    answer = ada.fill(path_of(pages, Queue, "Vertrieb"), **changes)
    assert answer.status_code == 422
    assert f'<a href="#{field}">' in answer.get_data(as_text=True)
    assert not events(pages, "queue")


def test_who_has_an_address_already_is_a_link(pages: RunningPortal, ada: Admin) -> None:
    page = ada.fill(f"{QUEUES}/new", name="X", group="technik", addresses="technik@example.org")
    link = f'<a href="{path_of(pages, Queue, "Technik")}">Open &#34;Technik&#34;</a>'
    assert link in page.get_data(as_text=True)


def test_another_group_hides_tickets_only_after_a_question(
    pages: RunningPortal, ada: Admin
) -> None:
    pages.add_ticket("carol", "Technik", "Ticket")
    pages.add_ticket("anna", "Technik", "Ticket")
    path = path_of(pages, Queue, "Technik")
    question = ada.fill(path, group="vertrieb")
    page = question.get_data(as_text=True)
    assert "1 open ticket would no longer be visible" in page  # anna may use both groups
    assert queue_named(pages, "Technik").group.name == "technik"
    assert ada.send(path, form_of(question)).status_code == 303
    assert queue_named(pages, "Technik").group.name == "vertrieb"


def test_a_queue_that_somebody_else_has_changed_is_not_saved_over(
    pages: RunningPortal, ada: Admin
) -> None:
    path = path_of(pages, Queue, "Technik")
    shown = ada.form(path)
    with pages.database.write() as session:
        queue = session.scalars(select(Queue).where(Queue.name == "Technik")).one()
        values = queue_values(queue)
        other = {name: getattr(values, name) for name in values.__slots__}
        save_queue(session, SETUP, type(values)(**{**other, "purpose": "anders"}), queue)
    answer = ada.send(path, shown, comment="mein Kommentar")
    assert answer.status_code == 409
    assert form_of(answer).value("purpose") == "anders"
    assert form_of(answer).value("comment") == "mein Kommentar"


def test_a_queue_s_name_is_text(pages: RunningPortal, ada: Admin) -> None:
    evil = "<script>alert(1)</script>"
    ada.fill(f"{QUEUES}/new", name=evil, group="technik", purpose=evil)
    for path in (QUEUES, path_of(pages, Queue, evil), "/admin/audit"):
        assert evil not in ada.get(path)


def test_a_signature_is_shown_filled_in_and_not_saved(pages: RunningPortal, ada: Admin) -> None:
    for path in (path_of(pages, Queue, "Technik"), f"{QUEUES}/new"):
        answer = ada.fill(path, name="Technik", signature="{staff_name}\r\n{queue}", preview="1")
        assert answer.status_code == 200
        page = answer.get_data(as_text=True).replace("\r\n", "\n")
        assert '<div class="preview-text">Ada Kern\nTechnik</div>' in page
    assert queue_named(pages, "Technik").signature == ""

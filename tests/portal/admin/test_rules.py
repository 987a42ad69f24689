"""The pages of routing rules, as an admin uses them without JavaScript."""

import pytest
from sqlalchemy import select

from core.models import RoutingRule
from core.routing.rule import Join, Operator
from core.routing.rules import rule_values
from core.words import Priority
from tests.portal.admin.browsing import Admin, form_of
from tests.support.portal import RunningPortal

PATH = "/admin/rules"
VALUE = "conditions.0.0.value"


@pytest.fixture
def rules(ada: Admin) -> None:
    for name in ("Rechnungen", "Werbung", "Angebote"):
        assert ada.fill(f"{PATH}/new", name=name, **{VALUE: name}).status_code == 303


def stored_rule(pages: RunningPortal, name: str = "Rechnungen") -> RoutingRule:
    with pages.database.read() as session:
        return session.scalars(select(RoutingRule).where(RoutingRule.name == name)).one()


def order(pages: RunningPortal) -> list[str]:
    with pages.database.read() as session:
        return list(session.scalars(select(RoutingRule.name).order_by(RoutingRule.position)))


def test_an_empty_list_says_what_rules_cannot_do(ada: Admin) -> None:
    page = ada.get(PATH)
    assert "it never lets anybody write" in page
    assert f"{PATH}/new" in page


def test_a_rule_is_created_and_told_in_words(pages: RunningPortal, ada: Admin) -> None:
    form = ada.form(f"{PATH}/new")
    changes = {VALUE: "Rechnung", "actions.priority": "high", "actions.tags": "Geld, Eilig"}
    assert ada.send(f"{PATH}/new", form, name="Rechnungen", **changes).status_code == 303
    values = rule_values(stored_rule(pages))
    assert values.actions.priority is Priority.HIGH
    assert values.actions.tags == ("geld", "eilig")
    assert values.conditions.groups[0].tests[0].operator is Operator.CONTAINS
    page = ada.get(PATH)
    assert (
        "Subject of the mail contains &#34;Rechnung&#34; → Priority High, Tags geld, eilig" in page
    )


def test_conditions_are_added_and_removed_by_buttons(pages: RunningPortal, ada: Admin) -> None:
    new = f"{PATH}/new"
    shown = ada.form(new)
    for do in ("add-test.0", "add-group", "add-test.1", "remove-test.0.0"):
        answer = ada.send(new, shown, name="Noch nicht", do=do, **{VALUE: do})
        assert answer.status_code == 200
        shown = form_of(answer)
    assert shown.value("name") == "Noch nicht"
    assert [name for name in shown.names("conditions.") if name.endswith("value")] == [
        "conditions.0.0.value",
        "conditions.1.0.value",
        "conditions.1.1.value",
    ]
    assert order(pages) == []
    saved = ada.send(
        new,
        shown,
        **{
            "join": "any",
            "conditions.1": "any",
            VALUE: "a",
            "conditions.1.0.value": "b",
            "conditions.1.1.field": "header",
            "conditions.1.1.name": "X-Art",
            "conditions.1.1.operator": "exists",
        },
    )
    assert saved.status_code == 303
    conditions = rule_values(stored_rule(pages, "Noch nicht")).conditions
    assert (conditions.join, conditions.groups[1].join) == (Join.ANY, Join.ANY)
    assert [len(group.tests) for group in conditions.groups] == [1, 2]
    assert "X-Art is there)" in ada.get(PATH)


@pytest.mark.parametrize("do", ["remove-test.9.9", "add-test.99", "x", "remove-group", ""])
def test_what_no_button_sends_saves_nothing(pages: RunningPortal, ada: Admin, do: str) -> None:
    assert ada.fill(f"{PATH}/new", name="X", do=do, **{VALUE: "a"}).status_code == 200
    assert order(pages) == []


def test_a_wrong_pattern_is_told_at_its_field(pages: RunningPortal, ada: Admin) -> None:
    wrong = {"conditions.0.0.operator": "matches", VALUE: "(offen"}
    for more in ({}, {"do": "check"}):
        answer = ada.fill(f"{PATH}/new", name="Muster", **wrong, **more)
        page = answer.get_data(as_text=True)
        assert answer.status_code == 422
        assert 'href="#conditions.0.0.value"' in page
        assert 'id="conditions.0.0.value-error"' in page
        assert "missing )" in page
        assert 'value="(offen"' in page
    assert order(pages) == []
    good = ada.fill(f"{PATH}/new", name="Muster", do="check", **{VALUE: "offen"})
    assert "The rule is in order. Nothing was saved yet." in good.get_data(as_text=True)
    assert order(pages) == []


@pytest.mark.usefixtures("rules")
def test_rules_are_moved_and_the_button_keeps_the_focus(pages: RunningPortal, ada: Admin) -> None:
    first, last = stored_rule(pages).id, stored_rule(pages, "Angebote").id
    token = ada.form(PATH).value("csrf_token")
    answer = ada.client.post(f"{PATH}/{last}/move", data={"csrf_token": token, "position": "1"})
    assert answer.status_code == 303
    assert order(pages) == ["Angebote", "Rechnungen", "Werbung"]
    page = ada.get(answer.headers["Location"])
    assert page.count("autofocus") == 1
    assert "„Angebote“ steht jetzt an Position 1." in page  # no language was asked for
    wrong = ada.client.post(f"{PATH}/{first}/move", data={"csrf_token": token, "position": "x"})
    assert wrong.status_code == 303
    assert order(pages) == ["Angebote", "Rechnungen", "Werbung"]


@pytest.mark.usefixtures("rules")
def test_who_was_slower_sees_what_others_have_saved(pages: RunningPortal, ada: Admin) -> None:
    path = f"{PATH}/{stored_rule(pages).id}"
    shown = ada.form(path)
    assert ada.fill(path, **{VALUE: "Faktura", "actions.priority": "high"}).status_code == 303
    answer = ada.send(path, shown, comment="Von mir")
    assert answer.status_code == 409
    again = form_of(answer)
    assert again.value("comment") == "Von mir"
    assert again.value(VALUE) == "Faktura"  # the reader had left it alone
    assert again.value("actions.priority") == "high"
    assert ada.send(path, again).status_code == 303
    values = rule_values(stored_rule(pages))
    assert values.comment == "Von mir"
    assert values.conditions.groups[0].tests[0].value == "Faktura"
    history = ada.get(f"{path}/history")
    assert "contains &#34;Faktura&#34;" in history
    assert "Priority High" in history


def test_an_unsaved_rule_is_tried_with_the_last_mails(pages: RunningPortal, ada: Admin) -> None:
    mail = (
        b"From: anna@muster.example\r\nTo: vertrieb@example.org\r\n"
        b"Subject: Rechnung 7\r\n\r\nHallo\r\n"
    )
    pages.add_mail(mail, "anna@muster.example", "vertrieb@example.org")
    rejects = {"name": "Nein", "actions.ending": "reject", "trial": "1"}
    page = ada.fill(f"{PATH}/new", **rejects, **{VALUE: "Rechnung"}).get_data(as_text=True)
    assert "1 of the last 1 mails would be decided differently:" in page
    assert "Rechnung 7" in page
    page = ada.fill(f"{PATH}/new", **rejects, **{VALUE: "Angebot"}).get_data(as_text=True)
    assert "The last mail would be decided as it is now." in page
    assert ada.fill(f"{PATH}/new", **rejects, **{VALUE: ""}).status_code == 422
    assert order(pages) == []


@pytest.mark.usefixtures("rules")
def test_a_rule_is_deleted_on_a_page_of_its_own(pages: RunningPortal, ada: Admin) -> None:
    path = f"{PATH}/{stored_rule(pages).id}/delete"
    assert "is gone for good" in ada.get(path)
    assert order(pages) == ["Rechnungen", "Werbung", "Angebote"]
    assert ada.fill(path).status_code == 303
    assert order(pages) == ["Werbung", "Angebote"]
    ada.get(path, status=404)


def test_only_admins(pages: RunningPortal) -> None:
    jonas = Admin(pages.client("jonas"))
    jonas.get(PATH, status=403)
    jonas.get(f"{PATH}/new", status=403)

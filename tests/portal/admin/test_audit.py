"""The audit log: everything is in it, it can be narrowed down, and it can only be read."""

import ast
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

import core
from core import audit
from core.audit import customer_actor
from core.models import now
from portal.history import ACTIONS, OBJECT_KINDS
from tests.portal.admin.browsing import Admin
from tests.portal.admin.firm import SETUP, account_named
from tests.support.portal import RunningPortal

PATH = "/admin/audit"


def add_events(pages: RunningPortal, count: int = 1) -> None:
    with pages.database.write() as session:
        bert = account_named(session, "bert")
        for number in range(count):
            audit.record(session, SETUP, "changed", "group", 1, f"gruppe-{number}", {"name": "a"},
                         {"name": "b"})  # fmt: skip
        audit.record(session, customer_actor(bert, "198.51.100.4"), "signed-in", "customer-user",
                     bert.id, "bert")  # fmt: skip


@pytest.mark.parametrize(
    ("query", "shown", "not_shown"),
    [
        ("kind=group", "gruppe-0", "198.51.100.4"),
        ("kind=customer-user", "198.51.100.4", "gruppe-0"),
        ("action=signed-in", "198.51.100.4", "gruppe-0"),
        ("actor_kind=customer", "198.51.100.4", "gruppe-0"),
        ("actor=ad", "gruppe-0", "198.51.100.4"),
        ("q=ruppe", "gruppe-0", "198.51.100.4"),
        ("q=BERT", "198.51.100.4", "gruppe-0"),
    ],
)
def test_filters(pages: RunningPortal, ada: Admin, query: str, shown: str, not_shown: str) -> None:
    add_events(pages)
    page = ada.get(f"{PATH}?{query}")
    assert shown in page
    assert not_shown not in page


def test_days_are_those_of_the_reader(pages: RunningPortal, ada: Admin) -> None:
    add_events(pages)
    today, tomorrow = now().date(), now().date() + timedelta(days=1)
    yesterday = today - timedelta(days=1)
    assert "gruppe-0" in ada.get(f"{PATH}?since={yesterday}&until={tomorrow}")
    assert "gruppe-0" not in ada.get(f"{PATH}?until={yesterday - timedelta(days=1)}")
    assert "gruppe-0" not in ada.get(f"{PATH}?since={tomorrow + timedelta(days=1)}")


@pytest.mark.parametrize(
    "query", ["kind=x", "action=x", "since=x", "until=9999-12-31", "page=x", "actor_kind=x"]
)
def test_what_is_no_filter_is_as_if_it_were_not_there(
    pages: RunningPortal, ada: Admin, query: str
) -> None:
    add_events(pages)
    assert "gruppe-0" in ada.get(f"{PATH}?{query}")


def test_pages_go_on_where_the_last_one_ended(pages: RunningPortal, ada: Admin) -> None:
    add_events(pages, 60)
    first = ada.get(f"{PATH}?kind=group")
    assert "gruppe-59" in first
    assert "gruppe-9<" not in first
    further = first.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert "kind=group" in further
    assert "gruppe-9<" in ada.get(further)


def test_secrets_are_named_and_not_shown(pages: RunningPortal, ada: Admin) -> None:
    with pages.database.write() as session:
        audit.record(session, SETUP, "changed", "staff", 1, "x", {"password": "alt geheim"},
                     {"password": "neu geheim"})  # fmt: skip
    page = ada.get(PATH)
    assert "geheim" not in page
    assert "***" in page


def test_what_was_done_to_is_a_link(pages: RunningPortal, ada: Admin) -> None:
    add_events(pages)
    assert '<a href="/admin/groups/1">gruppe-0</a>' in ada.get(PATH)


def test_values_are_text(pages: RunningPortal, ada: Admin) -> None:
    evil = "<img src=x onerror=alert(1)>"
    with pages.database.write() as session:
        audit.record(
            session, SETUP, evil, evil, None, evil, {evil: evil}, {evil: [evil, {"a": evil}]}
        )
    page = ada.get(PATH)
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page


def test_what_becomes_of_an_outgoing_mail_is_told_in_its_own_words(
    pages: RunningPortal, ada: Admin
) -> None:
    with pages.database.write() as session:
        audit.record(session, SETUP, "retried", "outgoing-mail", 1, "Re: Drucker",
                     {"state": "failed"}, {"state": "waiting"})  # fmt: skip
    page = ada.get(PATH)
    assert "<del>Not sent</del>" in page
    assert "<ins>Waiting to be sent</ins>" in page


def test_what_was_not_before_is_no_change_and_what_is_empty_is_not_told(
    pages: RunningPortal, ada: Admin
) -> None:
    with pages.database.write() as session:
        after = {"to": "anna@muster.example", "cc": "", "state": "open"}
        audit.record(session, SETUP, "replied", "ticket", 1, "Re: Drucker", {"state": "new"}, after)
    page = ada.get(f"{PATH}?q=Drucker")
    assert "<dd><ins>anna@muster.example</ins></dd>" in page
    assert "<dt>Copy to</dt>" not in page
    assert "<del>New</del>" in page


def test_everything_that_core_records_has_a_name() -> None:
    recorded = [call for file in Path(core.__path__[0]).rglob("*.py") for call in calls(file)]
    words = {word for word, _names in recorded}
    assert {"replied", "created", "outgoing-mail", "reply-template"} <= words
    assert [word for word, names in recorded if word not in names] == []


def calls(file: Path) -> Iterator[tuple[str, object]]:
    """Yield the actions and kinds that a module names where it records, with where they stand."""
    where = {"record": {2: ACTIONS, 3: OBJECT_KINDS}, "record_change": {3: ACTIONS}}
    where["store"] = {2: OBJECT_KINDS}
    constants = {}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            constants.update({ast.unparse(target): node.value.value for target in node.targets})
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).removeprefix("audit.")
            for place, names in where.get(name, {}).items():
                if place < len(node.args):
                    argument = node.args[place]
                    value = getattr(argument, "value", constants.get(ast.unparse(argument)))
                    if isinstance(value, str):
                        yield value, names

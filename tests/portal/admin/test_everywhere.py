"""Every admin page and every save on both databases, and what only a guess would send."""

from collections.abc import Callable

import pytest
from sqlalchemy import func, select

from core.models import AuditEvent
from tests.portal.admin.browsing import Admin, admin_of
from tests.portal.admin.firm import account_named, add_firm, group_id, make_findable
from tests.sources.crm import ANNA, Crm
from tests.support.portal import RunningPortal

HUGE = "99999999999999999999"


@pytest.fixture
def everywhere(
    pages_everywhere: RunningPortal, crm: Crm, configure: Callable[..., None]
) -> RunningPortal:
    """The organisation as big as a real one, with a customer source, on each database in turn."""
    crm.hold(ANNA)
    configure(crm.section())
    with pages_everywhere.database.write() as session:
        make_findable(session)
        add_firm(session)
    return pages_everywhere


def admin_paths(pages: RunningPortal) -> list[str]:
    """Return the addresses of all admin pages, with the first row of each kind."""
    rules = [
        rule.rule
        for rule in pages.app.url_map.iter_rules()
        if rule.rule.startswith("/admin") and "GET" in (rule.methods or ())
    ]
    assert len(rules) > 30
    parts = {"<int:object_id>": "1", "<kind>": "new-ticket", "<name>": "crm"}
    for part, value in parts.items():
        rules = [rule.replace(part, value) for rule in rules]
    return sorted(set(rules))


def test_every_page_works(everywhere: RunningPortal) -> None:
    ada = admin_of(everywhere)
    for path in admin_paths(everywhere):
        assert ada.get(path)


def test_every_save_leaves_an_event(everywhere: RunningPortal) -> None:
    ada = admin_of(everywhere)
    with everywhere.database.read() as session:
        nora, technik = account_named(session, "nora").id, group_id(session, "technik")
        customer = account_named(session, "nora").customer_id
    saves = [
        ("/admin/groups/new", {"name": "neu"}),
        ("/admin/groups/1", {"comment": "neu"}),
        ("/admin/queues/new", {"name": "Neu", "group": "technik"}),
        ("/admin/queues/1", {"purpose": "neu"}),
        ("/admin/queues/1/answers", {"text_de": "Danke"}),
        ("/admin/queues/1/answers/new-ticket", {"subject_en": "Thanks"}),
        ("/admin/templates/new", {"name": "Neu", "text": "Guten Tag {customer_name}"}),
        ("/admin/templates/1", {"text": "Guten Morgen"}),
        ("/admin/rules/new", {"name": "Neu", "conditions.0.0.value": "Rechnung"}),
        ("/admin/rules/1", {"comment": "neu"}),
        ("/admin/rules/1/delete", {}),
        ("/admin/blocklist/new", {"kind": "domain", "value": "reklame.example"}),
        ("/admin/blocklist/1/remove", {}),
        ("/admin/customers/new", {"number": "N-1", "name": "Neu"}),
        ("/admin/customers/1", {"city": "Neustadt"}),
        ("/admin/customer-users/1", {"city": "Neustadt"}),
        ("/admin/customer-users/1/password", {}),
        ("/admin/permissions", {f"cell.{nora}.{technik}.off": "ro"}),
        ("/admin/permissions/customers", {f"cell.{customer}.{technik}.off": "ro"}),
        ("/admin/staff/new", {"login": "neu", "email": "neu@example.org"}),
        ("/admin/staff/1", {"first_name": "Neu"}),
        ("/admin/staff/1/password", {}),
        ("/admin/settings", {"session_hours": "9"}),
    ]
    new = {"login": "neu", "first_name": "N", "last_name": "N", "email": "n@neu.example"}
    saves.append(("/admin/customer-users/new", {**new, "customer_number": "N-1"}))
    for path, fields in saves:
        before = count_events(everywhere)
        answer = ada.fill(path, **fields)
        assert answer.status_code in (200, 303), (path, answer.get_data(as_text=True)[-1500:])
        assert count_events(everywhere) > before, path


def test_a_form_without_a_token_changes_nothing(pages: RunningPortal, ada: Admin) -> None:
    shown = {path: ada.client.get(path).status_code for path in admin_paths(pages)}
    before = count_events(pages)  # opening a page may leave one: that something was exported
    for path, status in shown.items():
        fields = {"name": "x", "city": "x", "phone": "x"}
        answer = ada.client.post(path, data=fields)
        assert answer.status_code in (400, 405), (path, status)
    assert count_events(pages) == before


def test_what_does_not_exist_is_missing(everywhere: RunningPortal) -> None:
    ada = admin_of(everywhere)
    for path in (
        f"customer-users/{HUGE}",
        f"customers/{HUGE}/history",
        f"groups/{HUGE}",
        f"queues/{HUGE}",
        f"staff/{HUGE}/password",
        f"queues/{HUGE}/answers",
        "source-renames?account=99999",
        f"templates/{HUGE}",
        "queues/1/answers/nothing",
        "customer-users/0",
        "groups/-1",
        "queues/x",
        "nothing",
    ):
        ada.get(f"/admin/{path}", status=404)


def test_odd_texts_are_searched_for_without_an_error(everywhere: RunningPortal) -> None:
    client = everywhere.client("ada")
    for text in ("%00", "%ED%A0%80", "x" * 5000, "%25", "%FF"):
        for path in ("customer-users", "customers", "permissions", "audit", "groups"):
            answer = client.get(f"/admin/{path}?q={text}&actor={text}&group={HUGE}&page={text}")
            assert answer.status_code == 200, (path, text)


def count_events(pages: RunningPortal) -> int:
    with pages.database.read() as session:
        return session.scalars(select(func.count(AuditEvent.id))).one()

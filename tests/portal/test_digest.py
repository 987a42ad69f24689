"""Staff choose in their preferences whether they get the digest; customers are not asked."""

from core.audit_log import AuditFilter, audit_events
from tests.support.portal import RunningPortal, post, staff

FIELDS = {"language": "", "theme": "auto", "time_zone": "", "tickets_per_page": "25"}
PAGE = "/staff/account/preferences"


def test_staff_switch_it_off_and_on(pages: RunningPortal) -> None:
    client = pages.client("jonas")
    assert 'name="digest"' in client.get(PAGE).get_data(as_text=True)
    for fields, expected in ((FIELDS, False), ({**FIELDS, "digest": "y"}, True)):
        assert post(client, PAGE, fields).status_code == 303
        with pages.database.read() as session:
            assert staff(session, "jonas").digest is expected
            (event, *_rest) = audit_events(session, AuditFilter(object_kind="staff")).items
            assert event.after == {"digest": expected}


def test_customers_have_no_digest(pages: RunningPortal) -> None:
    client = pages.client("anna")
    page = client.get("/account/preferences").get_data(as_text=True)
    assert 'name="digest"' not in page
    assert post(client, "/account/preferences", {**FIELDS, "notices": "y"}).status_code == 303
    with pages.database.read() as session:
        found = audit_events(session, AuditFilter(object_kind="customer-user")).items
        assert [event for event in found if event.action == "changed"] == []

"""The staff pages on each database system: every page, and each thing that staff do there."""

from core.words import HeldState, TicketState
from tests.portal.staff.asking import page, send
from tests.portal.staff.day import a_day, pages_of, stored
from tests.portal.staff.test_held import held_state, release
from tests.portal.staff.test_ticket import change
from tests.support.portal import RunningPortal


def test_staff_work_on_both_systems(pages_everywhere: RunningPortal) -> None:
    day = a_day(pages_everywhere)
    ada, jonas = day.client("ada"), day.client("jonas")
    for path in pages_of(day).values():
        page(ada, path)
    assert change(jonas, day.url("offer"), state="closed").status_code == 303
    assert release(jonas, day, "number", account="anna", queue="Vertrieb").status_code == 303
    url = day.held_url("stranger")
    assert send(jonas, f"{url}/discard", f"{url}/discard", why="Werbung").status_code == 303
    url = day.url("guest")
    assert send(jonas, f"{url}/note", url, text="Notiz").status_code == 303
    assert send(jonas, f"{url}/link", url, number=100001).status_code == 303
    with day.pages.database.read() as session:
        assert stored(day, session, "offer").state is TicketState.CLOSED
        assert not stored(day, session, "guest").articles[-1].visible
    assert held_state(day, "number") is HeldState.RELEASED
    assert held_state(day, "stranger") is HeldState.DISCARDED

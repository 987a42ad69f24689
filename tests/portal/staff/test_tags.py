"""Tags of tickets in the list of staff."""

from sqlalchemy import select

from core.models import Ticket, TicketTag
from tests.portal.admin.browsing import Admin
from tests.support.portal import RunningPortal

MAIL = b"From: anna@muster.example\r\nTo: vertrieb@example.org\r\nSubject: %s\r\n\r\nHallo\r\n"


def test_tags_are_shown_in_the_list_and_narrow_it_down(pages: RunningPortal) -> None:
    for subject in (b"Eins", b"Zwei"):
        pages.add_mail(MAIL % subject, "anna@muster.example", "vertrieb@example.org")
    with pages.database.write() as session:
        ticket = session.scalars(select(Ticket).where(Ticket.subject == "Eins")).one()
        session.add_all([TicketTag(ticket_id=ticket.id, tag=tag) for tag in ("geld", "eilig")])
    ada = Admin(pages.client("ada"))
    page = ada.get("/staff/tickets")
    assert "Zwei" in page
    assert page.index("eilig</span>") < page.index("geld</span>")
    page = ada.get("/staff/tickets?tag=geld")
    assert "Eins" in page
    assert "Zwei" not in page
    assert "No ticket fits." in ada.get("/staff/tickets?tag=x")


def test_tags_of_a_ticket_are_changed(pages: RunningPortal) -> None:
    pages.add_mail(MAIL % b"Eins", "anna@muster.example", "vertrieb@example.org")
    with pages.database.read() as session:
        path = f"/staff/tickets/{session.scalars(select(Ticket.public_id)).one()}"
    ada = Admin(pages.client("ada"))
    token = ada.form(path).value("csrf_token")
    for tags, status in (("Geld,  Eilig", 303), ("x" * 51, 422)):
        answer = ada.client.post(f"{path}/tags", data={"csrf_token": token, "tags": tags})
        assert answer.status_code == status
    assert 'value="eilig, geld"' in ada.get(path)

"""Tickets of two firms in three queues, made by the real pipeline.

Anna and Bert are of one firm, with Chris, who sees all its tickets; Carol is of another. Sales is
open to both firms, support to Anna (write) and Bert (read). Jonas works sales, Tina reads it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from core import audit
from core.accounts.permissions import Access, customer_user_access
from core.accounts.staff import StaffQueues, staff_queue_ids
from core.db import Database
from core.intake.pipeline import take_in
from core.models import (
    Article,
    Customer,
    CustomerGroup,
    CustomerUser,
    CustomerUserAddress,
    Staff,
    StaffGroup,
    Ticket,
)
from core.organisation import load_organisation
from core.tickets.notes import add_note
from core.words import Permission, Role
from tests.intake.firm import Firm, a_firm
from tests.intake.mails import a_mail

SECRET = "Xylophonvermerk"  # stands in internal notes only

HTML_MAIL = (
    "MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=b\r\n\r\n"
    "--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
    '<p>Bild: <img src="cid:logo"> <img src="https://tracker.example/x.png"></p>\r\n'
    "--b\r\nContent-Type: image/png\r\nContent-ID: <logo>\r\n"
    "Content-Transfer-Encoding: base64\r\nContent-Disposition: inline; filename=logo.png\r\n\r\n"
    "iVBORw0KGgoAAAAA\r\n"
    "--b\r\nContent-Type: text/html; name=böse.html\r\n"
    "Content-Disposition: attachment; filename=evil.html\r\n\r\n<script>alert(1)</script>\r\n"
    "--b--\r\n"
)


@dataclass(frozen=True)
class World:
    """The ids and public ids that tests need, by name."""

    firm: Firm
    tickets: Mapping[str, str]  # public ids

    def access(self, session: Session, login: str) -> Access:
        """Return the access of a customer user."""
        account = session.get_one(CustomerUser, self.firm.customer_users[login])
        return customer_user_access(session, load_organisation(session), account)

    def staff(self, session: Session, login: str) -> Staff:
        """Return a member of staff."""
        return session.scalars(select(Staff).where(Staff.login == login)).one()

    def queues(self, session: Session, login: str) -> StaffQueues:
        """Return the queues of a member of staff."""
        return staff_queue_ids(session, load_organisation(session), self.staff(session, login))

    def ticket(self, session: Session, name: str) -> Ticket:
        """Return a ticket by its name here."""
        statement = select(Ticket).where(Ticket.public_id == self.tickets[name])
        return session.scalars(statement).one()

    def articles(self, session: Session, name: str) -> list[Article]:
        """Return the articles of a ticket, notes too."""
        return list(self.ticket(session, name).articles)


def a_world(database: Database) -> World:
    """Store the organisation and let mails make the tickets."""
    firm = a_firm(database, sender_policy="open")
    with database.write() as session:
        _add_people(session, firm)
        mails = {
            "anna-sales": a_mail(
                "Wir brauchen Drucker.\r\n", message_id="<1@x>", subject="Angebot"
            ),
            "anna-support": a_mail(message_id="<2@x>", to="technik@example.org", subject="Defekt"),
            "bert-sales": a_mail(message_id="<3@x>", sender="bert@muster.example", subject="Frist"),
            "carol-sales": a_mail(message_id="<4@x>", sender="carol@acme.example", subject="Order"),
        }
        receipts = take_in(session, list(mails.values()))
        tickets = {
            name: cast(str, receipt.recipients[0].ticket_public_id)
            for name, receipt in zip(mails, receipts, strict=True)
        }
        world = World(firm, tickets)
        root = world.staff(session, "root")
        for public_id in tickets.values():
            add_note(session, audit.staff_actor(root), root, public_id, f"{SECRET} zum Ticket")
    return world


def html_ticket(database: Database, sender: str = "anna@muster.example") -> str:
    """Take in an HTML mail with a picture and a file; return the ticket's public id."""
    incoming = a_mail(sender=sender, message_id=f"<html-{sender}>")
    head = incoming.raw.partition(b"Content-Type")[0]
    with database.write() as session:
        receipt = take_in(session, [replace(incoming, raw=head + HTML_MAIL.encode())])[0]
    return cast(str, receipt.recipients[0].ticket_public_id)


def _add_people(session: Session, firm: Firm) -> None:
    muster = session.get_one(Customer, firm.customers["K-1000"])
    acme = session.get_one(Customer, firm.customers["K-2000"])
    acme.permissions = [CustomerGroup(group_id=firm.groups["vertrieb"], permission=Permission.RW)]
    address = "chris@muster.example"
    chris = CustomerUser(
        login="chris",
        login_key="chris",
        customer=muster,
        first_name="Chris",
        last_name="Chef",
        sees_customer_tickets=True,
        addresses=[CustomerUserAddress(address=address, address_key=address)],
    )
    tina = Staff(
        login="tina",
        login_key="tina",
        email="tina@example.org",
        role=Role.AGENT,
        permissions=[StaffGroup(group_id=firm.groups["vertrieb"], permission=Permission.RO)],
    )
    session.add_all([chris, tina])
    session.flush()  # the id is needed below
    firm.customer_users["chris"] = chris.id

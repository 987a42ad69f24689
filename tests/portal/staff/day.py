"""A day at the counter: tickets in all states, and mail that was held for every common reason.

Besides the people of ``tests.support.portal`` there are *tina*, an agent of the queue Rechnung
only, and *rolf*, who may read Vertrieb and nothing else.
"""

from dataclasses import dataclass
from email.message import EmailMessage
from zlib import crc32

from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.accounts.sessions import start_session
from core.audit import staff_actor
from core.mail.uploads import Upload
from core.models import (
    Article,
    Delivery,
    Group,
    Mail,
    OutgoingMail,
    Queue,
    Staff,
    StaffGroup,
    Ticket,
    now,
)
from core.tickets.notes import add_note
from core.tickets.reply import ReplyValues, reply
from core.tickets.reply_templates import TemplateValues, save_template
from core.tickets.work import TicketValues, change_ticket
from core.words import (
    Author,
    Flag,
    OutgoingKind,
    OutgoingState,
    Permission,
    Priority,
    Role,
    StrangersRule,
    TicketState,
    Validity,
)
from portal.installation import installation
from tests.portal.admin.firm import make_findable
from tests.support.portal import RunningPortal, customer_user, staff

PDF = Upload("Auftragsbestätigung 4711.pdf", "application/pdf", b"%PDF-1.7 " + b"x" * 48_213)
NOTE = "Kunde hat auch angerufen. Ersatzgerät liegt im Lager, Fach 12."
TEMPLATE = TemplateValues(
    name="Rückfrage zum Gerät",
    text="Guten Tag {customer_name},\n\nwelche Nummer steht auf dem Typenschild?\n\n{staff_name}",
)
HTML = """\
<html><body style="font-family: Calibri"><p>Guten Tag,</p>
<p>anbei die <b>Messwerte</b> von heute:</p>
<table border="1"><tr><th>Linie</th><th>Druck</th></tr><tr><td>1</td><td>4,2 bar</td></tr>
<tr><td>2</td><td>0,3 bar</td></tr></table>
<p onclick="alert(1)">Freundliche Grüße<br>Carol Smith</p>
<script>alert(1)</script><img src="https://tracker.example/pixel.gif" alt=""></body></html>
"""


@dataclass(frozen=True)
class Day:
    """The running portal, and what was made, by name: public ids of tickets, ids of deliveries."""

    pages: RunningPortal
    tickets: dict[str, str]
    held: dict[str, int]

    def client(self, login: str | None) -> FlaskClient:
        """Return a client without a browser, signed in where a login is named; in English."""
        if login not in ("tina", "rolf"):
            client = self.pages.client(login)
        else:
            client = self.pages.app.test_client()
            with self.pages.database.write() as session:
                token = start_session(session, staff(session, login), peer="", agent="test")
            client.set_cookie("schalter", token)
        client.environ_base["HTTP_ACCEPT_LANGUAGE"] = "en"
        return client

    def url(self, name: str) -> str:
        """Return the address of the page of a ticket."""
        return f"/staff/tickets/{self.tickets[name]}"

    def held_url(self, name: str) -> str:
        """Return the address of the page of a held mail."""
        return f"/staff/held/{self.held[name]}"


def a_day(pages: RunningPortal) -> Day:
    """Fill the organisation of ``tests.support.portal`` with a day's work."""
    with pages.database.write() as session:
        _add_staff(session)
        make_findable(session)
        session.scalars(
            select(Queue).where(Queue.name == "Technik")
        ).one().strangers = StrangersRule.ACCEPT
        for queue in session.scalars(select(Queue)):
            queue.signature = "{staff_name}\n{organisation} – {queue}"
    tickets = _tickets(pages)
    forged = a_mail("Gefälscht", "technik@example.org", "vertrieb@example.org", "Hallo\n")
    pages.add_mail(forged, "technik@example.org", "vertrieb@example.org")
    held = {name: _take_in(pages, name) for name in HELD if name != "invalid"}
    with pages.database.write() as session:
        customer_user(session, "bert").valid = Validity.INVALID
    held["invalid"] = _take_in(pages, "invalid")
    with pages.database.write() as session:
        customer_user(session, "bert").valid = Validity.VALID
    return Day(pages, tickets, held)


def a_mail(subject: str, sender: str, to: str, text: str, html: str = "", **headers: str) -> bytes:
    """Return a mail as a mail program writes it."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = to
    message["Subject"] = subject
    message["Message-ID"] = f"<{crc32((subject + sender).encode())}@mail.example>"
    message["Date"] = "Tue, 24 Nov 2026 09:14:00 +0100"
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    return message.as_bytes()


GREETING = "Guten Tag,\n\n{}\n\nViele Grüße"
# name: subject, From, recipient, text
HELD = {
    "stranger": (
        "Anfrage: Lieferung von 200 Stück bis Ende Januar möglich?",
        "Petra Lindner <p.lindner@lindner-metallbau.example>",
        "vertrieb@example.org",
        GREETING.format("wir sind neu bei Ihnen. Können Sie 200 Stück bis Ende Januar liefern?"),
    ),
    "forbidden": (
        "Rechnung 2026-1183: falscher Betrag",
        "Carol Smith <carol@acme.example>",
        "rechnung@example.org",
        "Hello,\n\nthe invoice says 1,180 EUR, but we agreed on 980 EUR.\n\nCarol\n",
    ),
    "number": (
        "Störung an Maschine 7, Kunden# K-1000",
        "Instandhaltung <schicht2@muster-werk.example>",
        "vertrieb@example.org",
        GREETING.format("Kunden# K-1000, Maschine 7 steht seit 6 Uhr."),
    ),
    "conflict": (
        "Reklamation Kundennummer K-2000",
        "Anna Müller <anna@muster.example>",
        "vertrieb@example.org",
        GREETING.format("Kundennummer: K-2000\n\ndie Ware ist beschädigt."),
    ),
    "invalid": (
        "Nachfrage zu meinem Angebot",
        "Bert Schröder <bert@muster.example>",
        "vertrieb@example.org",
        GREETING.format("wann bekomme ich das Angebot?"),
    ),
    "postmaster": (
        "Ihre Mails an uns",
        "postmaster@example.net",
        "postmaster@example.org",
        "Please check your DNS.\n",
    ),
}


def _take_in(pages: RunningPortal, name: str) -> int:
    subject, sender, to, text = HELD[name]
    html = f"<p>{text}</p><img src='https://tracker.example/x.gif'>" if name == "stranger" else ""
    raw = a_mail(subject, sender, to, text, html, Reply_To=sender)
    mail_from = sender.rpartition("<")[2].rstrip(">")
    pages.add_mail(raw, mail_from, to)
    with pages.database.read() as session:
        return session.scalars(
            select(Delivery.id)
            .join(Mail, Mail.id == Delivery.mail_id)
            .where(Mail.subject == subject)
            .order_by(Delivery.id.desc())
            .limit(1)
        ).one()


def _tickets(pages: RunningPortal) -> dict[str, str]:
    found = {
        "offer": pages.add_ticket("anna", "Vertrieb", "Angebot für 50 Ersatzfilter", files=[PDF]),
        "long": pages.add_ticket(
            "anna",
            "Technik",
            "Nach dem Update auf Version 4.2 startet die Donaudampfschifffahrtssteuerungssoftware "
            "auf zwei von drei Rechnern nicht mehr und zeigt nur noch ein leeres Fenster",
        ),
        "delivery": pages.add_ticket("bert", "Vertrieb", "Liefertermin für Auftrag 4711"),
        "closed": pages.add_ticket("carol", "Technik", "Display flackert"),
    }
    to, text = "technik@example.org", "Linie 1: 4,2 bar\nLinie 2: 0,3 bar"
    raw = a_mail("Messwerte von heute", "Carol Smith <carol@acme.example>", to, text, HTML)
    found["measured"] = _filed(pages.add_mail(raw, "carol@acme.example", to))
    text = GREETING.format("gibt es ein Handbuch?")
    raw = a_mail("Wo finde ich das Handbuch?", "Max Neumann <max@neumann.example>", to, text)
    found["guest"] = _filed(pages.add_mail(raw, "max@neumann.example", to))
    pages.add_answer(found["offer"], "Guten Tag Frau Müller,\n\ndas Angebot kommt heute noch.")
    with pages.database.write() as session:
        _work(pages, session, found)
    return found


def _filed(public_id: str | None) -> str:
    assert public_id is not None
    return public_id


def _work(pages: RunningPortal, session: Session, tickets: dict[str, str]) -> None:
    """Let Jonas do something with them."""
    jonas = staff(session, "jonas")
    actor = staff_actor(jonas, "192.0.2.20")

    def change(name: str, state: TicketState, priority: Priority = Priority.NORMAL) -> None:
        ticket = pages.ticket(session, tickets[name])
        wanted = TicketValues(
            queue_id=ticket.queue_id, state=state, priority=priority, owner_id=jonas.id
        )
        change_ticket(session, actor, jonas, ticket.public_id, wanted, ticket.version)

    change("offer", TicketState.OPEN, Priority.HIGH)
    change("delivery", TicketState.WAITING)
    add_note(session, actor, jonas, tickets["offer"], NOTE)
    _answer(pages, session, tickets["closed"])
    _come_back(session, pages.ticket(session, tickets["closed"]))
    save_template(session, actor, TEMPLATE)


def _answer(pages: RunningPortal, session: Session, public_id: str) -> None:
    """Let Jonas answer, with a copy to somebody."""
    jonas, ticket = staff(session, "jonas"), pages.ticket(session, public_id)
    values = ReplyValues(
        text="Guten Tag Frau Smith,\n\nbitte ziehen Sie den Stecker für eine Minute.",
        cc=("werkstatt@acme.example",),
        uploads=(PDF,),
        state=TicketState.CLOSED,
        seen_article=max(article.id for article in ticket.articles),
    )
    with pages.app.app_context():
        reply(session, installation(), staff_actor(jonas, "192.0.2.20"), jonas, public_id, values)


def _come_back(session: Session, ticket: Ticket) -> None:
    """Let what was sent fare differently: sent to one, refused for the other, a report later."""
    session.expire(ticket)
    sent, refused = session.scalars(
        select(OutgoingMail)
        .where(OutgoingMail.ticket_id == ticket.id, OutgoingMail.kind == OutgoingKind.REPLY)
        .order_by(OutgoingMail.id)
    )
    for mail, state in ((sent, OutgoingState.BOUNCED), (refused, OutgoingState.FAILED)):
        mail.state, mail.settled_at, mail.attempts = state, now(), 1
    sent.reply, sent.bounced_at = "250 2.0.0 Ok: queued as 4F2B1", now()
    sent.bounce = "failed 5.2.2 (mailbox full): carol@acme.example"
    refused.reply = "550 5.1.1 <werkstatt@acme.example>: Recipient address rejected"
    for flag, subject, text in (
        (Flag.DELIVERY_REPORT, "Undelivered Mail Returned to Sender", "mailbox full"),
        (Flag.AUTOMATIC, "Abwesenheit: Display flackert", "Ich bin ab Montag wieder da."),
    ):
        session.add(
            Article(
                ticket_id=ticket.id,
                author=Author.UNKNOWN,
                from_address="mailer-daemon@acme.example",
                subject=subject,
                text=text,
                flag=flag,
                visible=False,
                created_at=now(),
            )
        )


def _add_staff(session: Session) -> None:
    groups = {group.name: group.id for group in session.scalars(select(Group))}
    for login, name, group, permission in (
        ("tina", ("Tina", "Haas"), "rechnung", Permission.RW),
        ("rolf", ("Rolf", "Busch"), "vertrieb", Permission.RO),
    ):
        session.add(
            Staff(
                login=login,
                login_key=login,
                email=f"{login}@example.org",
                first_name=name[0],
                last_name=name[1],
                role=Role.AGENT,
                permissions=[StaffGroup(group_id=groups[group], permission=permission)],
            )
        )


def stored(day: Day, session: Session, name: str) -> Ticket:
    """Return a ticket of the day."""
    return day.pages.ticket(session, day.tickets[name])


def pages_of(day: Day) -> dict[str, str]:
    """Every page of staff in every state that looks different."""
    with day.pages.database.read() as session:
        measured = stored(day, session, "measured").articles[0].id
        answered = stored(day, session, "closed").articles[0].id
        offer = session.scalars(select(Article.id).order_by(Article.id)).first()
        anna = customer_user(session, "anna").id
        refused_reply = session.scalars(
            select(OutgoingMail.id).where(OutgoingMail.state == OutgoingState.FAILED)
        ).one()
        refused = session.scalars(select(Mail.reference).where(Mail.subject == "Gefälscht")).one()
    return {
        "dashboard": "/staff/",
        "tickets": "/staff/tickets",
        "tickets-all": "/staff/tickets?state=all&owner=me",
        "tickets-none": "/staff/tickets?q=gibtesnicht",
        "ticket": day.url("offer"),
        "ticket-html": day.url("measured"),
        "ticket-answered": day.url("closed"),
        "ticket-stranger": day.url("guest"),
        "ticket-long": day.url("long"),
        "ticket-history": day.url("offer") + "/history",
        "assign": day.url("guest") + "/assign?q=example",
        "why": f"{day.url('offer')}/messages/{offer}/why",
        "original": f"{day.url('measured')}/messages/{measured}",
        "merge": f"{day.url('offer')}/merge?number=100002",
        "split": f"{day.url('closed')}/messages/{answered}/split",
        "new-ticket-for": "/staff/tickets/new?q=example",
        "new-ticket": f"/staff/tickets/new?customer_user={anna}",
        "outgoing": "/staff/outgoing",
        "outgoing-failed": "/staff/outgoing?state=failed",
        "outgoing-all": "/staff/outgoing?state=all",
        "outgoing-none": "/staff/outgoing?q=gibtesnicht",
        "outgoing-mail": f"/staff/outgoing/{refused_reply}",
        "held": "/staff/held",
        "held-discarded": "/staff/held?state=discarded",
        "held-stranger": day.held_url("stranger"),
        "held-forbidden": day.held_url("forbidden"),
        "held-conflict": day.held_url("conflict") + "?account=smith",
        "held-postmaster": day.held_url("postmaster"),
        "held-original": day.held_url("stranger") + "/original",
        "discard": day.held_url("stranger") + "/discard",
        "mails": "/staff/mails",
        "mail": f"/staff/mails/{refused}",
        "account": "/staff/account/preferences",
        "sessions": "/staff/account/sessions",
    }

"""A running portal with a ready organisation, for tests of pages.

``portal`` serves on a free port from a thread of this process, and ``sign_in`` signs a browser in.
Where no browser is needed, ``pages`` has the same without a server, and ``pages.client("anna")`` is
Flask's test client, signed in. Everybody's password is ``PASSWORD``.

- *anna*: Muster GmbH (K-1000), writes to Vertrieb and Technik, sees the firm's tickets
- *bert*: Muster GmbH, writes to Vertrieb, reads Technik
- *carol*: Acme Ltd (K-2000), writes to Technik
- *nora*: Acme Ltd, may use no queue at all
- *jonas*: agent of Vertrieb and Technik
- *ada*: admin
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Page
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from core.accounts.passwords import hash_password
from core.accounts.sessions import start_session
from core.config import Config, DatabaseSection, WebSection
from core.db import Database
from core.intake import submission
from core.intake.incoming import Envelope, Incoming
from core.intake.pipeline import take_in
from core.mail.uploads import Upload
from core.models import (
    Article,
    Customer,
    CustomerGroup,
    CustomerUser,
    CustomerUserAddress,
    CustomerUserGroup,
    Group,
    Queue,
    QueueAddress,
    Setting,
    Staff,
    StaffGroup,
    Ticket,
    now,
)
from core.secret_key import ensure_secret_key
from core.words import Author, Permission, Protocol, Role, TicketState
from portal.app import Portal, create_app
from portal.database import set_database
from portal.limits import limiter
from tests.support.browser import go_through
from tests.support.serving import serving

PASSWORD = "correct horse battery"
STAFF = ("jonas", "ada")
SUPPORT = "support@example.org, Tel. 030 1234567"


@dataclass(frozen=True)
class RunningPortal:
    """Where the pages are, and the database behind them."""

    url: str
    database: Database
    app: Portal

    def address(self, path: str) -> str:
        """Return the address of a page."""
        return self.url + path

    def add_ticket(
        self,
        login: str,
        queue: str,
        subject: str,
        text: str = "Guten Tag,\n\nbitte helfen Sie uns.\n\nViele Grüße",
        files: Sequence[Upload] = (),
    ) -> str:
        """File a ticket as a customer user does in the portal; return its public id."""
        with self.database.write() as session:
            account = customer_user(session, login)
            queue_id = session.scalars(select(Queue.id).where(Queue.name == queue)).one()
            (receipt,) = take_in(
                session, [submission.new_ticket(account, queue_id, subject, text, files)]
            )
            public_id = receipt.recipients[0].ticket_public_id
            assert public_id is not None, receipt
            return public_id

    def add_mail(self, raw: bytes, mail_from: str, recipient: str) -> str | None:
        """Take a mail in as from outside; return the public id of its ticket."""
        envelope = Envelope(mail_from, (recipient,), Protocol.SMTP, peer="192.0.2.7")
        with self.database.write() as session:
            (receipt,) = take_in(session, [Incoming(envelope, raw, now())])
            return receipt.recipients[0].ticket_public_id

    def add_answer(self, public_id: str, text: str, *, visible: bool = True) -> int:
        """Let the agent write in a ticket; return the article's id."""
        with self.database.write() as session:
            ticket = self.ticket(session, public_id)
            agent = staff(session, "jonas")
            article = Article(
                ticket_id=ticket.id,
                author=Author.STAFF,
                staff_id=agent.id,
                from_name=agent.name,
                subject=ticket.subject,
                text=text,
                visible=visible,
                created_at=now(),
            )
            session.add(article)
            ticket.changed_at = now()
            session.flush()  # the caller needs the id
            return article.id

    def set_state(self, public_id: str, state: TicketState) -> None:
        """Put a ticket into a state."""
        with self.database.write() as session:
            ticket = self.ticket(session, public_id)
            ticket.state = state
            ticket.closed_at = now() if state is TicketState.CLOSED else None

    def ticket(self, session: Session, public_id: str) -> Ticket:
        """Return a ticket."""
        return session.scalars(select(Ticket).where(Ticket.public_id == public_id)).one()

    def change_settings(self, **settings: object) -> None:
        """Store settings that differ from the defaults."""
        with self.database.write() as session:
            for key, value in settings.items():
                session.merge(Setting(key=key, value=value))

    def client(self, login: str | None = None) -> FlaskClient:
        """Return a client without a browser; signed in where a login is named."""
        client = self.app.test_client()
        if login is not None:
            with self.database.write() as session:
                account = staff(session, login) if login in STAFF else customer_user(session, login)
                token = start_session(session, account, peer="192.0.2.1", agent="test")
            client.set_cookie("schalter", token)
        return client


class SignIn:
    """Signs a browser in."""

    def __init__(self, portal: RunningPortal) -> None:
        self._portal = portal

    def __call__(self, page: Page, login: str) -> None:
        """Fill in the sign-in page that is meant for this account."""
        page.goto(self._portal.address("/staff/sign-in" if login in STAFF else "/sign-in"))
        page.fill("#login", login)
        page.fill("#password", PASSWORD)
        go_through(page.locator("main button[type=submit]"))
        page.wait_for_selector(".rail-account")


def token_of(client: FlaskClient, path: str) -> str:
    """Return the token against forged requests that a page's forms have."""
    page = client.get(path).get_data(as_text=True)
    _before, _name, rest = page.partition('name="csrf_token" value="')
    assert rest, f"no form in {path}"
    return rest.partition('"')[0]


def post(
    client: FlaskClient, path: str, fields: Mapping[str, object], form_at: str | None = None
) -> TestResponse:
    """Send a form as a browser does: with the token of the page it stands on."""
    data = {"csrf_token": token_of(client, form_at or path), **fields}
    return client.post(path, data=data, content_type="multipart/form-data")


def customer_user(session: Session, login: str) -> CustomerUser:
    """Return a customer user."""
    return session.scalars(select(CustomerUser).where(CustomerUser.login == login)).one()


def staff(session: Session, login: str) -> Staff:
    """Return a member of staff."""
    return session.scalars(select(Staff).where(Staff.login == login)).one()


@pytest.fixture
def pages(sqlite_database: Database, shared_app: Portal) -> RunningPortal:
    """The pages without a server, for tests that need no browser."""
    fill(sqlite_database)
    return RunningPortal("", sqlite_database, use(shared_app, sqlite_database))


@pytest.fixture
def pages_everywhere(database: Database, shared_app: Portal) -> RunningPortal:
    """``pages`` on each database system in turn."""
    fill(database)
    return RunningPortal("", database, use(shared_app, database))


@pytest.fixture
def portal(sqlite_database: Database, shared_app: Portal) -> Iterator[RunningPortal]:
    """The pages, served on a free port, with the organisation of this module."""
    fill(sqlite_database)
    app = use(shared_app, sqlite_database)
    with serving(app) as port:
        yield RunningPortal(f"http://127.0.0.1:{port}", sqlite_database, app)


@pytest.fixture
def sign_in(portal: RunningPortal) -> SignIn:
    """Signs a browser in to ``portal``."""
    return SignIn(portal)


def make_app(database: Database, folder: Path, public_url: str = "") -> Portal:
    """Return a new application on a database, with a secret key of its own in a folder."""
    key = str(folder / "secret.key")
    ensure_secret_key(key)
    return create_app(
        Config(
            database=DatabaseSection(url=database.url.render_as_string(hide_password=False)),
            web=WebSection(public_url=public_url),
            secret_key_file=key,
        ),
        database,
    )


@pytest.fixture(scope="session")
def shared_app(tmp_path_factory: pytest.TempPathFactory) -> Portal:
    """The application of most tests: its templates are compiled once, its database changes."""
    folder = tmp_path_factory.mktemp("portal")
    return make_app(Database(f"sqlite:///{folder}/never-opened.db"), folder)


def use(app: Portal, database: Database) -> Portal:
    """Let the shared application work on the database of a test."""
    with app.app_context():
        set_database(database)
    limiter.reset()
    return app


def fill(database: Database) -> None:
    """Store the organisation of this module."""
    with database.write() as session:
        groups = {name: Group(name=name) for name in ("vertrieb", "technik", "rechnung")}
        session.add_all(groups.values())
        session.flush()  # the groups' ids are needed by queues and permissions
        _add_queues(session, groups)
        muster = Customer(number="K-1000", name="Muster GmbH")
        acme = Customer(number="K-2000", name="Acme Ltd")
        muster.permissions = [
            CustomerGroup(group_id=groups["vertrieb"].id, permission=Permission.RW)
        ]
        session.add_all([muster, acme])
        anna = _account("anna", "Anna", "Müller", muster, "anna@muster.example")
        anna.sees_customer_tickets = True
        bert = _account("bert", "Bert", "Schröder", muster, "bert@muster.example")
        carol = _account("carol", "Carol", "Smith", acme, "carol@acme.example")
        nora = _account("nora", "Nora", "Jones", acme, "nora@acme.example")
        technik = groups["technik"].id
        anna.permissions = [CustomerUserGroup(group_id=technik, permission=Permission.RW)]
        bert.permissions = [CustomerUserGroup(group_id=technik, permission=Permission.RO)]
        carol.permissions = [CustomerUserGroup(group_id=technik, permission=Permission.RW)]
        session.add_all([anna, bert, carol, nora])
        session.add_all(_staff(groups))
        session.add(Setting(key="organisation_name", value="Beispiel Support"))
        session.add(Setting(key="support_contact", value=SUPPORT))


def _add_queues(session: Session, groups: dict[str, Group]) -> None:
    purposes = {
        "Vertrieb": "Angebote, Bestellungen und Lieferzeiten",
        "Technik": "Störungen und Fragen zur Bedienung",
        "Rechnung": "Rechnungen und Mahnungen",
    }
    for name, purpose in purposes.items():
        address = f"{name.lower()}@example.org"
        session.add(
            Queue(
                name=name,
                group_id=groups[name.lower()].id,
                purpose=purpose,
                addresses=[QueueAddress(address=address, address_key=address)],
            )
        )


def _account(
    login: str, first_name: str, last_name: str, customer: Customer, address: str
) -> CustomerUser:
    return CustomerUser(
        login=login,
        login_key=login,
        customer=customer,
        first_name=first_name,
        last_name=last_name,
        password_hash=_password_hash(),
        addresses=[CustomerUserAddress(address=address, address_key=address)],
    )


def _staff(groups: dict[str, Group]) -> list[Staff]:
    agent = Staff(
        login="jonas",
        login_key="jonas",
        email="jonas@example.org",
        first_name="Jonas",
        last_name="Weber",
        role=Role.AGENT,
        password_hash=_password_hash(),
        permissions=[
            StaffGroup(group_id=groups[name].id, permission=Permission.RW)
            for name in ("vertrieb", "technik")
        ],
    )
    admin = Staff(
        login="ada",
        login_key="ada",
        email="ada@example.org",
        first_name="Ada",
        last_name="Kern",
        role=Role.ADMIN,
        password_hash=_password_hash(),
    )
    return [agent, admin]


@cache
def _password_hash() -> str:
    """Hashing is slow on purpose: once for all."""
    return hash_password(PASSWORD)

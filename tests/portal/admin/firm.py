"""An organisation of the size that admins work with: 6 groups, 30 customer users of 9 customers."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.accounts.customer_users import CustomerUserValues, save_customer_user
from core.accounts.customers import (
    CustomerValues,
    customer_user_search_text,
    save_customer,
)
from core.accounts.groups import GroupValues, save_group
from core.accounts.matrix import (
    customer_changes,
    customer_user_changes,
    save_customer_cells,
    save_customer_user_cells,
)
from core.accounts.queues import QueueValues, save_queue
from core.accounts.search_text import searchable, sort_key
from core.audit import Actor
from core.intake.blocking import block
from core.models import BouncingAddress, Customer, CustomerUser, Group, now
from core.routing import rule as routing
from core.routing.rule import Field, Operator, RuleValues
from core.routing.rules import save_rule
from core.tickets.reply_templates import TemplateValues, save_template
from core.words import (
    ActorKind,
    BlockedKind,
    ForbiddenRule,
    Permission,
    Priority,
    RoutingScope,
    StrangersRule,
    Validity,
)

SETUP = Actor(ActorKind.STAFF, None, "ada", "192.0.2.9")

GROUPS = {
    "buchhaltung": "Fragen zu Rechnungen und Mahnungen",
    "fertigung": "Nur Kunden mit Rahmenvertrag",
    "users": "Für alle Kunden",
}
QUEUES = [
    QueueValues(
        name="Buchhaltung",
        group="buchhaltung",
        addresses=("buchhaltung@example.org", "invoice@example.org"),
        purpose="Rechnungen, Gutschriften, Mahnungen",
        forbidden=ForbiddenRule.FALLBACK,
        fallback_queue="Technik",
    ),
    QueueValues(name="Fertigung", group="fertigung", addresses=("fertigung@example.org",)),
    QueueValues(
        name="Allgemeines",
        group="users",
        addresses=("info@example.org",),
        purpose="Alles andere",
        strangers=StrangersRule.ACCEPT,
    ),
    QueueValues(name="Altes System", group="users", valid=False),
]
CUSTOMERS = [
    CustomerValues(number="K-1010", name="Öztürk Bau GmbH", domains=("oeztuerk.example",)),
    CustomerValues(number="K-1020", name="Großmann & Söhne KG", city="Weißenburg"),
    CustomerValues(number="K-1030", name="Northwind Traders Ltd", city="Leeds"),
    CustomerValues(number="K-1040", name="Bäckerei Übelhör", city="München"),
    CustomerValues(number="praxis@lehmann.example", name="Praxis Dr. Lehmann", city="Bremen"),
    CustomerValues(number="K-1050", name="Stadtwerke Musterhausen", city="Musterhausen"),
    CustomerValues(number="K-1060", name="Altkunde AG", valid=False),
]
TEMPLATES = [
    TemplateValues(
        name="Rückfrage Seriennummer",
        queue="Technik",
        language="de",
        text="Guten Tag {customer_name},\n\nbitte nennen Sie uns die Seriennummer des Geräts, um "
        "das es in {subject} geht. Sie steht auf dem Typenschild.",
    ),
    TemplateValues(name="Ihre Unterlagen", text="Guten Tag {customer_name},\n\nanbei …"),
    TemplateValues(name="Alter Text", text="…", valid=False),
]
PEOPLE = [
    ("Çiğdem", "Öztürk", "K-1010"),
    ("Mehmet", "Öztürk", "K-1010"),
    ("Sabine", "Krause", "K-1010"),
    ("Jörg", "Großmann", "K-1020"),
    ("Ute", "Großmann", "K-1020"),
    ("Heinz-Peter", "Schäfer", "K-1020"),
    ("Olivia", "Bennett", "K-1030"),
    ("George", "Whitfield", "K-1030"),
    ("Priya", "Raman", "K-1030"),
    ("Franz", "Übelhör", "K-1040"),
    ("Katharina", "Weiß", "K-1040"),
    ("Maren", "Lehmann", "praxis@lehmann.example"),
    ("Nadine", "Thießen", "praxis@lehmann.example"),
    ("Bernd", "Albrecht", "K-1050"),
    ("Claudia", "Fuchs", "K-1050"),
    ("Dieter", "Hoffmann", "K-1050"),
    ("Elke", "Jäger", "K-1050"),
    ("Frank", "König", "K-1050"),
    ("Gisela", "Lange", "K-1050"),
    ("Holger", "Möller", "K-1050"),
    ("Ines", "Neumann", "K-1050"),
    ("Jan", "Peters", "K-1050"),
    ("Kirsten", "Richter", "K-1050"),
    ("Lars", "Schulz", "K-1050"),
    ("Monika", "Vogel", "K-1050"),
    ("Wolfgang", "Zimmermann", "K-1060"),
]
RULES = [
    RuleValues(
        name="Mahnungen",
        conditions=routing.Conditions(
            (
                routing.Group(
                    (
                        routing.Test(
                            Field.SUBJECT, Operator.MATCHES, r"\b(Mahnung|Zahlungserinnerung)\b"
                        ),
                        routing.Test(Field.HEADER, Operator.EXISTS, name="X-Faktura", negated=True),
                    )
                ),
                routing.Group((routing.Test(Field.FROM, Operator.WITHIN, "northwind.example"),)),
            ),
        ),
        actions=routing.Actions(priority=Priority.HIGH, tags=("mahnung",)),
        stop=True,
    ),
    RuleValues(name="Alles zählen", scope=RoutingScope.BOTH, valid=False),
]


def add_firm(session: Session) -> None:
    """Add to the organisation of ``tests.support.portal`` what makes it as big as a real one."""
    for name, comment in GROUPS.items():
        save_group(session, SETUP, GroupValues(name=name, comment=comment))
    for queue in QUEUES:
        save_queue(session, SETUP, queue)
    for customer in CUSTOMERS:
        save_customer(session, SETUP, customer)
    for first_name, last_name, number in PEOPLE:
        save_customer_user(session, SETUP, _account(first_name, last_name, number))
    for template in TEMPLATES:
        save_template(session, SETUP, template)
    for rule in RULES:
        save_rule(session, SETUP, rule)
    block(session, SETUP, BlockedKind.DOMAIN, "werbung.example", "Nur Werbung")
    _permit(session)


def make_findable(session: Session) -> None:
    """Give what ``tests.support.portal`` has stored the texts of lists and searches."""
    for customer in session.scalars(select(Customer)):
        customer.search_text = searchable(customer.number, customer.name)
        customer.sort_key = sort_key(customer.name)
    for account in session.scalars(select(CustomerUser)):
        account.search_text = customer_user_search_text(account, account.customer)
        account.sort_key = sort_key(account.last_name, account.first_name)


def let_mail_come_back(session: Session, login: str) -> str:
    """Have mail to somebody's main address come back three times; return the address."""
    address = account_named(session, login).email
    said = "smtp; 550 5.1.1 <anna@muster.example>: Recipient address rejected: User unknown"
    session.add(
        BouncingAddress(address_key=address.lower(), bounces=3, last_at=now(), last_text=said)
    )
    return address


def account_named(session: Session, login: str) -> CustomerUser:
    """Return the customer user with exactly this login."""
    return session.scalars(select(CustomerUser).where(CustomerUser.login == login)).one()


def customer_named(session: Session, name: str) -> Customer:
    """Return the customer with exactly this name."""
    return session.scalars(select(Customer).where(Customer.name == name)).one()


def group_id(session: Session, name: str) -> int:
    """Return the id of a group."""
    return session.scalars(select(Group.id).where(Group.name == name)).one()


def _account(first_name: str, last_name: str, number: str) -> CustomerUserValues:
    login = f"{first_name}.{last_name}".lower().translate(_PLAIN)
    away = last_name == "Jäger"
    return CustomerUserValues(
        login=login,
        customer_number=number,
        email=f"{login}@{number.lower().replace('@', '.').replace('praxis.', '')}.example",
        first_name=first_name,
        last_name=last_name,
        phone="+49 89 123456" if number == "K-1040" else "",
        valid=Validity.INVALID_TEMPORARILY if away else Validity.VALID,
        invalid_reason="Elternzeit" if away else "",
    )


_PLAIN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ç": "c", "ğ": "g"})


def _permit(session: Session) -> None:
    for name, number, permission in (
        ("technik", "K-1010", Permission.RW),
        ("fertigung", "K-1010", Permission.RO),
        ("vertrieb", "K-1020", Permission.RW),
        ("technik", "K-1030", Permission.RW),
        ("buchhaltung", "K-1050", Permission.RW),
    ):
        customer = session.scalars(select(Customer).where(Customer.number == number)).one()
        wanted = {**_stored(customer), group_id(session, name): permission}
        save_customer_cells(session, SETUP, customer_changes(session, customer, wanted))
        session.expire(customer)
    for login, name, permission in (
        ("olivia.bennett", "buchhaltung", Permission.RO),
        ("joerg.grossmann", "fertigung", Permission.RW),
        ("maren.lehmann", "technik", Permission.RW),
        ("mehmet.oeztuerk", "fertigung", Permission.RW),
    ):
        account = account_named(session, login)
        wanted = {group_id(session, name): permission}
        save_customer_user_cells(session, SETUP, customer_user_changes(session, account, wanted))


def _stored(customer: Customer) -> dict[int, Permission]:
    return {row.group_id: row.permission for row in customer.permissions}

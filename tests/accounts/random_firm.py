"""Random organisations, and what their customer users may do by the words of the handbook.

The oracle here is written from the specification, in the plainest way, and shares no code with
the program: effective permission = direct, through the customer, or always-groups; ``rw`` contains
``ro``; an invalid group grants nothing; an invalid queue can only be read; without group support
every valid customer user may use every valid queue.
"""

from dataclasses import dataclass
from email.message import EmailMessage

from hypothesis import strategies as st
from sqlalchemy.orm import Session

from core.ids import new_public_id
from core.mail.message import parse
from core.models import (
    Article,
    Attachment,
    Customer,
    CustomerGroup,
    CustomerUser,
    CustomerUserAddress,
    CustomerUserGroup,
    Group,
    Mail,
    Queue,
    QueueAddress,
    RawMail,
    Setting,
    Staff,
    Ticket,
    now,
)
from core.words import Author, Evidence, Permission, Protocol, Role, Validity
from tests.accounts.people import in_days

# What is stored of an account's validity, its last day counted from today, and whether that
# counts as valid today.
VALIDITIES = (
    (Validity.VALID, None, True),
    (Validity.INVALID, None, False),
    (Validity.INVALID_TEMPORARILY, None, False),
    (Validity.INVALID_TEMPORARILY, 3, False),
    (Validity.INVALID_TEMPORARILY, 0, False),
    (Validity.INVALID_TEMPORARILY, -3, True),
)


@dataclass(frozen=True)
class RandomAccount:
    """A customer user: which customer, permissions by group, validity."""

    customer: int
    groups: dict[int, Permission]
    validity: int  # place in VALIDITIES
    sees_all: bool


@dataclass(frozen=True)
class RandomTicket:
    """A ticket: its queue, the account it is from, or only the customer, or neither."""

    queue: int
    account: int | None
    customer: int | None


@dataclass(frozen=True)
class RandomFirm:
    """An organisation; everything is named by its place in these tuples."""

    support: bool  # customer_group_support
    always: frozenset[int]
    groups: tuple[bool, ...]  # valid
    queues: tuple[tuple[int, bool], ...]  # group, valid
    customers: tuple[tuple[bool, dict[int, Permission]], ...]  # valid, permissions
    accounts: tuple[RandomAccount, ...]
    tickets: tuple[RandomTicket, ...]

    def is_valid(self, account: int) -> bool:
        """Whether an account counts as valid today."""
        found = self.accounts[account]
        return VALIDITIES[found.validity][2] and self.customers[found.customer][0]

    def permission(self, account: int, queue: int) -> str:
        """Return what an account may do in a queue: ``""``, ``ro`` or ``rw``."""
        if not self.is_valid(account):
            return ""
        group, queue_valid = self.queues[queue]
        if not self.support:
            return "rw" if queue_valid and self.groups[group] else "ro"
        if not self.groups[group]:
            return ""
        found = self.accounts[account]
        given = {found.groups.get(group), self.customers[found.customer][1].get(group)}
        if group in self.always or Permission.RW in given:
            return "rw" if queue_valid else "ro"
        return "ro" if Permission.RO in given else ""

    def sees(self, account: int, ticket: int) -> bool:
        """Whether an account may see a ticket."""
        me, it = self.accounts[account], self.tickets[ticket]
        if not self.permission(account, it.queue):
            return False
        if it.account == account:
            return True
        its_customer = self.accounts[it.account].customer if it.account is not None else it.customer
        return me.sees_all and its_customer == me.customer

    def replies(self, account: int, ticket: int) -> bool:
        """Whether an account may write to a ticket."""
        queue = self.tickets[ticket].queue
        return self.sees(account, ticket) and self.permission(account, queue) == "rw"


def random_firms() -> st.SearchStrategy[RandomFirm]:
    """Return the strategy of organisations with up to 3 groups, 4 queues and 4 accounts."""
    return st.builds(_sizes, st.integers(1, 3), st.integers(1, 4), st.integers(1, 2)).flatmap(
        lambda sizes: _firm(*sizes)
    )


def _sizes(groups: int, queues: int, customers: int) -> tuple[int, int, int]:
    return groups, queues, customers


def _firm(groups: int, queues: int, customers: int) -> st.SearchStrategy[RandomFirm]:
    mostly = st.sampled_from([True, True, True, False])
    permissions = st.dictionaries(
        st.integers(0, groups - 1),
        st.sampled_from([Permission.RW, Permission.RW, Permission.RO]),
        max_size=groups,
    )
    accounts = st.lists(
        st.builds(
            RandomAccount,
            customer=st.integers(0, customers - 1),
            groups=permissions,
            validity=st.sampled_from([0, 0, 0, 0, 1, 2, 3, 4, 5]),
            sees_all=st.booleans(),
        ),
        min_size=1,
        max_size=4,
    )
    return accounts.flatmap(
        lambda found: st.builds(
            RandomFirm,
            support=mostly,
            always=st.frozensets(st.integers(0, groups - 1), max_size=groups - 1),
            groups=st.tuples(*[mostly] * groups),
            queues=st.tuples(*[st.tuples(st.integers(0, groups - 1), mostly)] * queues),
            customers=st.tuples(*[st.tuples(mostly, permissions)] * customers),
            accounts=st.just(tuple(found)),
            tickets=st.lists(_tickets(queues, customers, len(found)), max_size=6).map(tuple),
        )
    )


def _tickets(queues: int, customers: int, accounts: int) -> st.SearchStrategy[RandomTicket]:
    queue = st.integers(0, queues - 1)
    none = st.none()
    return st.one_of(
        st.builds(RandomTicket, queue, st.integers(0, accounts - 1), none),
        st.builds(RandomTicket, queue, none, st.integers(0, customers - 1)),
        st.builds(RandomTicket, queue, none, none),
    )


@dataclass(frozen=True)
class Stored:
    """The rows of a random organisation, in its order."""

    queues: tuple[Queue, ...]
    accounts: tuple[CustomerUser, ...]
    tickets: tuple[Ticket, ...]
    attachments: tuple[Attachment, ...]  # one of each ticket
    admin: Staff


def store(session: Session, firm: RandomFirm) -> Stored:
    """Store an organisation, each ticket with an article that has a file."""
    names = [f"g{number}" for number in range(len(firm.groups))]
    groups = [Group(name=n, valid=v) for n, v in zip(names, firm.groups, strict=True)]
    admin = Staff(login="root", login_key="root", email="root@example.org", role=Role.ADMIN)
    session.add_all([*groups, admin])
    always = [names[group] for group in sorted(firm.always)]
    session.add(Setting(key="customer_group_support", value=firm.support))
    session.add(Setting(key="customer_group_always_groups", value=[*always, "unknown"]))
    session.add(Setting(key="sender_policy", value="open"))
    queues = [
        Queue(
            name=f"Queue {number}",
            group=groups[group],
            valid=valid,
            addresses=[
                QueueAddress(address=f"q{number}@example.org", address_key=f"q{number}@example.org")
            ],
        )
        for number, (group, valid) in enumerate(firm.queues)
    ]
    customers = [
        Customer(
            number=f"K-{number}",
            name=f"Firma {number}",
            valid=valid,
            permissions=[CustomerGroup(group=groups[g], permission=p) for g, p in given.items()],
        )
        for number, (valid, given) in enumerate(firm.customers)
    ]
    accounts = [_account(n, each, customers, groups) for n, each in enumerate(firm.accounts)]
    session.add_all([*queues, *customers, *accounts])
    session.flush()  # the tickets need all these ids
    tickets, attachments = _store_tickets(session, firm, queues, accounts, customers)
    return Stored(tuple(queues), tuple(accounts), tickets, attachments, admin)


def _account(
    number: int, each: RandomAccount, customers: list[Customer], groups: list[Group]
) -> CustomerUser:
    word, until, _counts = VALIDITIES[each.validity]
    address = f"u{number}@firma.example"
    return CustomerUser(
        login=f"u{number}",
        login_key=f"u{number}",
        customer=customers[each.customer],
        first_name="U",
        last_name=str(number),
        valid=word,
        invalid_until=None if until is None else in_days(until),
        sees_customer_tickets=each.sees_all,
        addresses=[
            CustomerUserAddress(
                address=address, address_key=address, exclusive=word is not Validity.INVALID
            )
        ],
        permissions=[
            CustomerUserGroup(group=groups[g], permission=p) for g, p in each.groups.items()
        ],
    )


def _store_tickets(
    session: Session,
    firm: RandomFirm,
    queues: list[Queue],
    accounts: list[CustomerUser],
    customers: list[Customer],
) -> tuple[tuple[Ticket, ...], tuple[Attachment, ...]]:
    mail, part = _mail_with_a_file(session)
    tickets, attachments = [], []
    for number, each in enumerate(firm.tickets):
        account = accounts[each.account] if each.account is not None else None
        customer = customers[each.customer] if each.customer is not None else None
        ticket = Ticket(
            public_id=new_public_id(),
            queue=queues[each.queue],
            customer_user=account,
            customer=account.customer if account is not None else customer,
            requester="x@firma.example",
            subject=f"Ticket {number}",
            created_at=now(),
            changed_at=now(),
        )
        attachment = Attachment(part=part, filename="a.txt", content_type="text/plain", size=5)
        article = Article(
            ticket=ticket,
            mail=mail,
            author=Author.CUSTOMER,
            text="Text",
            visible=True,
            created_at=now(),
            attachments=[attachment],
        )
        session.add(article)
        tickets.append(ticket)
        attachments.append(attachment)
    session.flush()  # everything is asked for by id
    return tuple(tickets), tuple(attachments)


def _mail_with_a_file(session: Session) -> tuple[Mail, int]:
    message = EmailMessage()
    message["Subject"] = "Mit Anhang"
    message.set_content("Text")
    message.add_attachment("Datei", filename="a.txt")
    raw = message.as_bytes()
    mail = Mail(
        reference=new_public_id(),
        raw=RawMail(content=raw),
        received_at=now(),
        protocol=Protocol.SMTP,
        mail_from="",
        size=len(raw),
        evidence=Evidence.NEUTRAL,
        defects=[],
    )
    session.add(mail)
    return mail, parse(raw).attachments[0].part

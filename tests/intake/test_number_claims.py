"""A registered contact is asked about mail that names a Kunden#; nobody else is told anything."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from core import audit
from core.accounts.addresses import MAX_ADDRESSES
from core.db import Database
from core.intake.blocking import block
from core.intake.held import discard
from core.intake.number_claims.answers import (
    CONFIRMED,
    DENIED,
    asked_about,
    confirm,
    deny,
    question_of,
)
from core.intake.number_claims.asking import (
    CLAIMS_A_DAY,
    CLAIMS_AN_HOUR,
    MAX_AT_ONCE,
    MAX_CONTACTS,
    SENDER_CLAIMS_A_DAY,
    ask_contacts,
)
from core.intake.number_claims.claim import REASON
from core.intake.pipeline import take_in
from core.models import (
    AuditEvent,
    BouncingAddress,
    Customer,
    CustomerGroup,
    CustomerUser,
    CustomerUserAddress,
    Delivery,
    Mail,
    NumberClaim,
    OutgoingMail,
    Staff,
    Ticket,
    now,
)
from core.words import (
    ActorKind,
    BlockedKind,
    Evidence,
    HeldState,
    OutgoingKind,
    Permission,
    Validity,
)
from tests.accounts.people import at_the_same_time
from tests.intake.mails import a_mail
from tests.outgoing.automatic import Office, an_office, text_of

SENDER = "wer@fremd.example"
LINK = re.compile(r"^https://hilfe\.example\.org/claims/([0-9a-f]{64})$", re.MULTILINE)
PEER = "192.0.2.5"
BOSS = audit.Actor(ActorKind.STAFF, None, "ada")


@pytest.fixture
def office(database: Database, tmp_path: Path) -> Office:
    return an_office(database, tmp_path)


@pytest.fixture
def sqlite_office(sqlite_database: Database, tmp_path: Path) -> Office:
    return an_office(sqlite_database, tmp_path)


def claim(
    office: Office,
    sender: str = SENDER,
    *,
    number: str = "K-1000",
    to: str = "vertrieb@example.org",
    evidence: Evidence = Evidence.VERIFIED,
) -> int:
    """Let a mail come in that names a Kunden#; return its delivery."""
    office.mails += 1
    with office.database.write() as session:
        text = f"Kunden#: {number}\r\n\r\nGeheimer Text\r\n"
        message_id = f"<{office.mails}@x>"
        mail = a_mail(text, sender=sender, to=to, subject="Geheim", message_id=message_id)
        take_in(session, [mail])
        newest = session.scalars(select(Delivery).order_by(Delivery.id.desc()).limit(1)).one()
        newest.mail.evidence = evidence
        newest.mail.received_at = now()
        assert newest.reason == REASON
        return newest.id


def ask(office: Office) -> list[OutgoingMail]:
    """Let the worker ask; return all questions there are."""
    with office.database.write() as session:
        ask_contacts(session)
    with office.database.read() as session:
        kind = OutgoingMail.kind == OutgoingKind.NUMBER_CLAIM
        return list(session.scalars(select(OutgoingMail).where(kind).order_by(OutgoingMail.id)))


def token_in(mail: EmailMessage) -> str:
    (token,) = LINK.findall(text_of(mail))
    return str(token)


def asked(office: Office) -> tuple[str, str]:
    """Let a mail come in and the questions go out; return the tokens of Anna and Bert."""
    claim(office)
    anna, bert = (token_in(office.composed(mail.id)) for mail in ask(office))
    return anna, bert


def the_delivery(office: Office) -> Delivery:
    with office.database.read() as session:
        return session.scalars(select(Delivery)).one()


def test_contacts_are_asked_once_and_read_nothing_of_the_mail(office: Office) -> None:
    delivery_id = claim(office)
    mails = ask(office)
    assert [mail.recipient for mail in mails] == ["anna@muster.example", "bert@muster.example"]
    assert [mail.id for mail in ask(office)] == [mail.id for mail in mails]
    sent = office.composed(mails[0].id)
    text = text_of(sent)
    for shown in (SENDER, "K-1000", "Vertrieb", "Anna Test"):
        assert shown in text
    assert "Geheim" not in text + str(sent["Subject"])
    assert sent["Auto-Submitted"] == "auto-generated"
    with office.database.read() as session:
        found = asked_about(session, session.get_one(Delivery, delivery_id))
        assert [(each.login, each.answer) for each in found] == [("anna", ""), ("bert", "")]
        assert session.get_one(OutgoingMail, mails[0].id).raw_id is None  # it holds a secret


def test_a_yes_files_the_mail_for_who_says_it(office: Office) -> None:
    anna, bert = asked(office)
    with office.database.read() as session:
        question = question_of(session, anna)
        assert question is not None
        assert (question.sender, question.queue, question.account.login) == (
            SENDER,
            "Vertrieb",
            "anna",
        )
    with office.database.write() as session:
        done = confirm(session, anna, remember=False, peer=PEER)
        assert done is not None
        ticket = session.get_one(Ticket, done.receipt.ticket_id)
        account = session.get_one(CustomerUser, ticket.customer_user_id)
        assert (account.login, ticket.queue.name, ticket.requester) == ("anna", "Vertrieb", SENDER)
        assert [row.address for row in account.addresses] == ["anna@muster.example"]
    delivery = the_delivery(office)
    assert (delivery.held, delivery.settled_by_id) == (HeldState.RELEASED, None)
    assert delivery.trace[-1]["rule"] == CONFIRMED
    with office.database.write() as session:
        event = session.scalars(select(AuditEvent).where(AuditEvent.action == "released")).one()
        assert (event.actor_kind, event.actor_name, event.peer) == (
            ActorKind.CUSTOMER,
            "anna",
            PEER,
        )
        assert asked_about(session, session.get_one(Delivery, delivery.id))[0].answer == CONFIRMED
        for used in (anna, bert):
            assert question_of(session, used) is None
            assert confirm(session, used, remember=True, peer=PEER) is None
            assert deny(session, used, peer=PEER) is None
        assert len(session.scalars(select(Ticket)).all()) == 1
        assert set(session.scalars(select(NumberClaim.token_hash))) == {None}


def test_a_no_leaves_it_to_staff(office: Office) -> None:
    anna, bert = asked(office)
    with office.database.write() as session:
        assert deny(session, bert, peer=PEER) is not None
    delivery = the_delivery(office)
    assert delivery.held is HeldState.WAITING
    assert delivery.trace[-1]["rule"] == DENIED
    with office.database.write() as session:
        event = session.scalars(
            select(AuditEvent).where(AuditEvent.action == "number-denied")
        ).one()
        assert event.actor_name == "bert"
        found = asked_about(session, session.get_one(Delivery, delivery.id))
        assert [each.answer for each in found] == ["", DENIED]
        assert confirm(session, anna, remember=False, peer=PEER) is None  # one answer is enough
    assert len(ask(office)) == 2


@pytest.mark.parametrize(
    ("policy", "evidence", "remembered"),
    [("balanced", Evidence.VERIFIED, True), ("open", Evidence.NEUTRAL, False)],
)
def test_only_a_proven_address_is_remembered(
    sqlite_database: Database, tmp_path: Path, policy: str, evidence: Evidence, remembered: bool
) -> None:
    """Who forges an address must not get the mail of whoever has it."""
    office = an_office(sqlite_database, tmp_path, sender_policy=policy)
    claim(office, evidence=evidence)
    token = token_in(office.composed(ask(office)[0].id))
    with office.database.write() as session:
        question = question_of(session, token)
        assert question is not None
        assert question.may_remember is remembered
        done = confirm(session, token, remember=True, peer=PEER)
        assert done is not None
        assert done.remembered is remembered
        account = session.get_one(CustomerUser, question.account.id)
        assert (SENDER in [row.address for row in account.addresses]) is remembered


@pytest.mark.parametrize("evidence", [Evidence.NEUTRAL, Evidence.FAILED])
def test_nobody_is_asked_about_who_is_not_verified(office: Office, evidence: Evidence) -> None:
    claim(office, evidence=evidence)
    assert ask(office) == []
    with office.database.read() as session:
        row = session.scalars(select(NumberClaim)).one()  # so it is not looked at again
        assert (row.outgoing_id, row.customer_user_id, row.token_hash) == (None, None, None)


def test_who_may_be_asked(office: Office) -> None:
    """Who may write to the queue; those who see all tickets of the customer first."""
    with office.database.write() as session:
        session.execute(
            update(CustomerUser)
            .where(CustomerUser.login == "bert")
            .values(sees_customer_tickets=True)
        )
    claim(office)
    assert [mail.recipient for mail in ask(office)] == [
        "bert@muster.example",
        "anna@muster.example",
    ]
    claim(office, "zwei@fremd.example", to="technik@example.org")
    assert [mail.recipient for mail in ask(office)[2:]] == ["anna@muster.example"]
    claim(office, "drei@fremd.example", to="rechnung@example.org")
    assert len(ask(office)) == 3


@pytest.mark.parametrize("why", ["invalid", "notices", "bouncing", "customer"])
def test_who_is_not_asked(sqlite_office: Office, why: str) -> None:
    office = sqlite_office
    claim(office)
    with office.database.write() as session:
        anna = session.scalars(select(CustomerUser).where(CustomerUser.login == "anna")).one()
        match why:
            case "invalid":
                anna.valid = Validity.INVALID_TEMPORARILY
            case "notices":
                anna.notices = False
            case "bouncing":
                session.add(
                    BouncingAddress(address_key="anna@muster.example", bounces=9, last_at=now())
                )
            case _:
                anna.customer.valid = False
    expected = [] if why == "customer" else ["bert@muster.example"]
    assert [mail.recipient for mail in ask(office)] == expected


Breaks = Callable[[CustomerUser, Delivery, NumberClaim], None]


def make_invalid(anna: CustomerUser, _delivery: Delivery, _claim: NumberClaim) -> None:
    anna.valid = Validity.INVALID


def take_right(anna: CustomerUser, _delivery: Delivery, _claim: NumberClaim) -> None:
    anna.customer.permissions = []


def let_time_pass(_anna: CustomerUser, _delivery: Delivery, row: NumberClaim) -> None:
    row.expires_at = now()


def settle(_anna: CustomerUser, delivery: Delivery, _claim: NumberClaim) -> None:
    delivery.held = HeldState.DISCARDED


@pytest.mark.parametrize("breaks", [make_invalid, take_right, let_time_pass, settle])
def test_links_that_open_nothing(sqlite_office: Office, breaks: Breaks) -> None:
    anna, _bert = asked(sqlite_office)
    with sqlite_office.database.write() as session:
        account = session.scalars(select(CustomerUser).where(CustomerUser.login == "anna")).one()
        row = session.scalars(
            select(NumberClaim).where(NumberClaim.customer_user_id == account.id)
        ).one()
        breaks(account, session.scalars(select(Delivery)).one(), row)
    with sqlite_office.database.write() as session:
        for token in (anna, "0" * 64, "x", ""):
            assert question_of(session, token) is None
            assert confirm(session, token, remember=True, peer=PEER) is None
            assert deny(session, token, peer=PEER) is None
        assert session.scalars(select(Ticket)).all() == []
    assert isinstance(sqlite_office.send(ask(sqlite_office)[0].id), str)  # why it is not sent


BLOCKED = [(BlockedKind.ADDRESS, SENDER), (BlockedKind.DOMAIN, "fremd.example")]


@pytest.mark.parametrize(("kind", "value"), BLOCKED)
def test_a_blocked_sender_gets_in_by_no_answer(
    sqlite_office: Office, kind: BlockedKind, value: str
) -> None:
    anna, _bert = asked(sqlite_office)
    with sqlite_office.database.write() as session:
        block(session, BOSS, kind, value)
    with sqlite_office.database.write() as session:
        assert question_of(session, anna) is None
        assert confirm(session, anna, remember=True, peer=PEER) is None
    assert isinstance(sqlite_office.send(ask(sqlite_office)[0].id), str)


def test_nobody_is_asked_about_a_blocked_sender(sqlite_office: Office) -> None:
    claim(sqlite_office)
    with sqlite_office.database.write() as session:
        block(session, BOSS, BlockedKind.ADDRESS, SENDER)
    assert ask(sqlite_office) == []


def test_who_went_to_another_customer_cannot_answer(sqlite_office: Office) -> None:
    anna, _bert = asked(sqlite_office)
    with sqlite_office.database.write() as session:
        other = session.get_one(Customer, sqlite_office.firm.customers["K-2000"])
        group = sqlite_office.firm.groups["vertrieb"]
        other.permissions = [CustomerGroup(group_id=group, permission=Permission.RW)]
        session.execute(
            update(CustomerUser).where(CustomerUser.login == "anna").values(customer_id=other.id)
        )
    with sqlite_office.database.read() as session:
        assert question_of(session, anna) is None


def test_an_address_that_is_known_by_now_is_left_to_staff(sqlite_office: Office) -> None:
    anna, _bert = asked(sqlite_office)
    with sqlite_office.database.write() as session:
        carol = session.scalars(select(CustomerUser).where(CustomerUser.login == "carol")).one()
        carol.addresses.append(
            CustomerUserAddress(address=SENDER, address_key=SENDER, exclusive=True, position=1)
        )
    with sqlite_office.database.write() as session:
        assert question_of(session, anna) is None
        assert confirm(session, anna, remember=True, peer=PEER) is None


def test_a_full_account_keeps_no_mail_out(sqlite_office: Office) -> None:
    anna, _bert = asked(sqlite_office)
    with sqlite_office.database.write() as session:
        account = session.scalars(select(CustomerUser).where(CustomerUser.login == "anna")).one()
        account.addresses.extend(
            CustomerUserAddress(
                address=f"a{each}@muster.example",
                address_key=f"a{each}@muster.example",
                exclusive=True,
                position=each,
            )
            for each in range(1, MAX_ADDRESSES)
        )
    with sqlite_office.database.write() as session:
        done = confirm(session, anna, remember=True, peer=PEER)
        assert done is not None
        assert (done.remembered, done.question.may_remember) == (False, False)
        assert done.receipt.ticket_id is not None


def test_a_new_try_ends_the_link_of_the_last_one(sqlite_office: Office) -> None:
    anna, _bert = asked(sqlite_office)
    newer = token_in(sqlite_office.composed(ask(sqlite_office)[0].id))
    with sqlite_office.database.read() as session:
        assert question_of(session, anna) is None
        assert question_of(session, newer) is not None


def test_nobody_is_asked_about_mail_that_staff_were_faster_with(sqlite_office: Office) -> None:
    delivery_id = claim(sqlite_office)
    (first, _second) = ask(sqlite_office)
    with sqlite_office.database.write() as session:
        root = session.scalars(select(Staff).where(Staff.login == "root")).one()
        actor = audit.staff_actor(root)
        discard(session, actor, root, delivery_id, "Werbung")
    assert sqlite_office.send(first.id) == "Nobody waits for an answer any more."


def test_the_link_ends_with_the_held_mail(sqlite_database: Database, tmp_path: Path) -> None:
    office = an_office(sqlite_database, tmp_path, held_days=3)
    claim(office)
    ask(office)
    with office.database.read() as session:
        row = session.scalars(select(NumberClaim).limit(1)).one()
        received = session.scalars(select(Mail)).one().received_at
        assert row.expires_at == received + timedelta(days=3)


def test_one_sender_is_asked_about_once_a_day(office: Office) -> None:
    for _each in range(3):
        claim(office)
    claim(office, SENDER.upper())
    assert len(ask(office)) == 2


def add_customers(office: Office, numbers: Sequence[str], accounts: int) -> None:
    """Store customers who may write to the queue Vertrieb."""
    with office.database.write() as session:
        for number in numbers:
            customer = Customer(number=number, name=number)
            session.add(customer)
            session.flush()  # its id is asked for
            group = office.firm.groups["vertrieb"]
            customer.permissions = [CustomerGroup(group_id=group, permission=Permission.RW)]
            for each in range(accounts):
                login = f"{number}-{each}".lower()
                address = f"{login}@kunde.example"
                session.add(
                    CustomerUser(
                        login=login,
                        login_key=login,
                        customer_id=customer.id,
                        first_name="A",
                        last_name="B",
                        addresses=[CustomerUserAddress(address=address, address_key=address)],
                    )
                )


def test_a_thousand_guessed_numbers_cause_few_mails(office: Office) -> None:
    """Threats I9 and L3: only contacts are written to, and no more than the caps say."""
    numbers = [f"N-{number:04}" for number in range(40)]
    add_customers(office, numbers, MAX_CONTACTS + 1)
    mails = [
        a_mail(
            f"Kunden#: {numbers[each % 40] if each % 2 else f'X-{each}'}\r\n",
            sender=f"s{each % 200}@fremd.example",
            message_id=f"<{each}@x>",
        )
        for each in range(1000)
    ]
    with office.database.write() as session:
        for start in range(0, 1000, 50):
            take_in(session, mails[start : start + 50])
        session.execute(update(Mail).values(evidence=Evidence.VERIFIED))
    for _run in range(11):  # at most 50 of the 500 that name a customer at once
        found = ask(office)
    assert len(found) == CLAIMS_AN_HOUR * MAX_CONTACTS
    assert {mail.recipient.partition("@")[2] for mail in found} == {"kunde.example"}
    by_contact = Counter(mail.recipient for mail in found)
    assert max(by_contact.values()) <= CLAIMS_A_DAY
    with office.database.read() as session:
        seen = session.scalars(select(func.count(NumberClaim.delivery_id.distinct()))).one()
        assert seen == 500
        assert session.scalars(select(func.count(OutgoingMail.id))).one() == len(found)


def test_one_customer_is_asked_about_few_senders(sqlite_office: Office) -> None:
    for each in range(CLAIMS_A_DAY + 2):
        claim(sqlite_office, f"s{each}@fremd.example")
    assert len(ask(sqlite_office)) == CLAIMS_A_DAY * 2  # Anna and Bert


def test_one_sender_may_ask_about_few_customers(sqlite_office: Office) -> None:
    numbers = [f"M-{each}" for each in range(5)]
    add_customers(sqlite_office, numbers, 1)
    for number in numbers:
        claim(sqlite_office, number=number)
    assert len(ask(sqlite_office)) == SENDER_CLAIMS_A_DAY


def test_one_address_of_several_customers_is_asked_little(sqlite_office: Office) -> None:
    """As that of a bookkeeper who works for many firms."""
    office = sqlite_office
    numbers = [f"M-{each}" for each in range(5)]
    add_customers(office, numbers, 1)
    with office.database.write() as session:
        for row in session.scalars(select(CustomerUserAddress)):
            if row.address.startswith("m-"):
                row.address = row.address_key = "buero@steuer.example"
                row.shared, row.exclusive = True, False
    for each, number in enumerate(numbers):
        claim(office, f"s{each}@fremd.example", number=number)
    assert [mail.recipient for mail in ask(office)] == ["buero@steuer.example"] * CLAIMS_A_DAY


def test_several_workers_ask_no_more_than_one(office: Office) -> None:
    mails = [
        a_mail("Kunden#: K-1000\r\n", sender=f"s{each}@fremd.example", message_id=f"<{each}@x>")
        for each in range(MAX_AT_ONCE * 3)
    ]
    with office.database.write() as session:
        take_in(session, mails)
        session.execute(update(Mail).values(evidence=Evidence.VERIFIED))

    def work() -> None:
        with office.database.write() as session:
            ask_contacts(session)

    at_the_same_time(*[work] * 4)
    assert len(ask(office)) == CLAIMS_A_DAY * 2  # Anna and Bert


def test_of_several_answers_at_once_one_counts(office: Office) -> None:
    anna, bert = asked(office)
    answers: list[object] = []

    def yes(token: str) -> Callable[[], None]:
        def answer() -> None:
            with office.database.write() as session:
                answers.append(confirm(session, token, remember=True, peer=PEER))

        return answer

    def no() -> None:
        with office.database.write() as session:
            answers.append(deny(session, bert, peer=PEER))

    at_the_same_time(yes(anna), yes(bert), yes(anna), no)
    assert sum(answer is not None for answer in answers) == 1
    with office.database.read() as session:
        tickets = session.scalars(select(func.count(Ticket.id))).one()
        assert tickets == (the_delivery(office).held is HeldState.RELEASED)

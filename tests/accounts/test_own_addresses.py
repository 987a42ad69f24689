"""A customer user's own addresses: proving, choosing and removing, and what is told to nobody."""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select, update

from core.accounts.customer_users import save_customer_user
from core.accounts.own_addresses import (
    MAX_ASKED_A_DAY,
    MAX_MAILS_A_DAY,
    address_of_link,
    ask_for_address,
    link_posting_of,
    make_main,
    notice_posting_of,
    prove_address,
    remove_address,
    remove_old_links,
    waiting_addresses,
)
from core.accounts.password_links import LINK_MINUTES
from core.audit import customer_actor
from core.config import RelaySection
from core.db import Database
from core.errors import Invalid, NotFound, Stale
from core.models import (
    AccountToken,
    AddressLink,
    BouncingAddress,
    CustomerUser,
    CustomerUserAddress,
    OutgoingMail,
    now,
)
from core.outgoing.courier import Courier
from core.outgoing.installation import Installation
from core.outgoing.outbox import Posting, Suppressed
from core.secret_key import Keys, ensure_secret_key
from core.words import OutgoingKind, OutgoingState, TokenPurpose, Validity
from tests.accounts.people import (
    ADMIN,
    ANNA,
    BERT,
    at_the_same_time,
    customers,
    events,
    saved,
    the_account,
)
from tests.support.relay import run_relay

NEW = "anna@privat.example"
SHARED = "info@muster.example"
LINK = re.compile(r"^https://help\.example/desk/addresses/confirm/([0-9a-f]{64})$", re.MULTILINE)
PEER = "192.0.2.5"


@pytest.fixture
def people(database: Database) -> Database:
    return filled(database)


@pytest.fixture
def sqlite_people(sqlite_database: Database) -> Database:
    return filled(sqlite_database)


def filled(database: Database) -> Database:
    """Store Anna and Bert, and Carl who is invalid and has given his address up."""
    customers(database)
    carl = replace(BERT, login="carl", email="carl@muster.example", valid=Validity.INVALID)
    saved(database, ANNA, BERT, carl)
    return database


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    key = str(tmp_path / "secret.key")
    ensure_secret_key(key)
    return Installation(Keys(key), "https://help.example/desk", "mx.help.example")


def ask(database: Database, address: str = NEW, login: str = "anna") -> OutgoingMail:
    """Ask for a link; return the mail in the outbox."""
    with database.write() as session:
        who = the_account(session, login)
        ask_for_address(session, customer_actor(who, PEER), who, address, "en")
    with database.read() as session:
        newest = select(OutgoingMail).order_by(OutgoingMail.id.desc()).limit(1)
        return session.scalars(newest).one()


def composed(database: Database, installation: Installation, mail: OutgoingMail) -> Posting:
    with database.write() as session:
        return link_posting_of(session, installation, session.get_one(OutgoingMail, mail.id))


def token_in(posting: Posting) -> str:
    (token,) = LINK.findall(posting.text)
    return str(token)


def prove(database: Database, token: str, login: str = "anna") -> str | None:
    with database.write() as session:
        who = the_account(session, login)
        return prove_address(session, customer_actor(who, PEER), who, token)


def addresses(database: Database, login: str = "anna") -> list[str]:
    with database.read() as session:
        return [row.address for row in the_account(session, login).addresses]


def id_of(database: Database, address: str) -> int:
    with database.read() as session:
        return session.scalars(
            select(CustomerUserAddress.id).where(CustomerUserAddress.address == address)
        ).one()


def give(database: Database, *more: str) -> None:
    """Let an admin give Anna further addresses."""
    with database.write() as session:
        save_customer_user(
            session, ADMIN, replace(ANNA, more_addresses=more), the_account(session, "anna")
        )


def waiting(database: Database, login: str = "anna") -> list[str]:
    with database.read() as session:
        return list(waiting_addresses(session, the_account(session, login)))


def test_an_address_is_proven_by_its_link(people: Database, installation: Installation) -> None:
    mail = ask(people, "  Anna@PRIVAT.example ")
    assert (mail.kind, mail.recipient_key) == (OutgoingKind.ADDRESS_LINK, NEW)
    assert waiting(people) == ["Anna@privat.example"]
    posting = composed(people, installation, mail)
    assert posting.automatic == "auto-generated"
    assert "anna" not in posting.text.lower().replace("anna@", "")  # it may be anybody's mailbox
    token = token_in(posting)
    with people.read() as session:
        stored = session.scalars(select(AddressLink.token_hash)).one()
        assert stored is not None
        assert token.encode() not in stored
        assert address_of_link(session, the_account(session, "anna"), token) is not None
    assert addresses(people) == ["anna@muster.example"]  # looking has changed nothing
    assert prove(people, token) == "Anna@privat.example"
    assert addresses(people) == ["anna@muster.example", "Anna@privat.example"]
    assert waiting(people) == []
    assert prove(people, token) is None
    asked, changed = events(people, "customer-user")[-2:]
    assert (asked.action, asked.actor_name, asked.peer) == ("address-link-asked", "anna", PEER)
    assert (changed.action, changed.actor_name) == ("changed", "anna")
    assert changed.after == {"more_addresses": ["Anna@privat.example"]}
    with people.read() as session:
        assert "privat.example" in the_account(session, "anna").search_text
        row = session.scalars(
            select(CustomerUserAddress).where(CustomerUserAddress.address_key == NEW)
        ).one()
        assert row.exclusive
        assert not row.shared


def test_a_link_opens_nothing_for_others(people: Database, installation: Installation) -> None:
    token = token_in(composed(people, installation, ask(people)))
    assert prove(people, token, "bert") is None
    for wrong in ("", "x", "0" * 64, token[:-1], token.upper() + "\0", "\udcff" * 64):
        assert prove(people, wrong) is None
    assert prove(people, token) == NEW


def test_a_link_is_good_for_half_an_hour(people: Database, installation: Installation) -> None:
    token = token_in(composed(people, installation, ask(people)))
    with people.write() as session:
        row = session.scalars(select(AddressLink)).one()
        assert timedelta(0) < row.expires_at - now() <= timedelta(minutes=LINK_MINUTES)
        row.expires_at = now()
    assert prove(people, token) is None
    assert waiting(people) == []


def test_a_newer_link_takes_the_place_of_an_older(
    people: Database, installation: Installation
) -> None:
    first = token_in(composed(people, installation, ask(people)))
    second = token_in(composed(people, installation, ask(people)))
    assert waiting(people) == [NEW]
    assert prove(people, first) is None
    assert prove(people, second) == NEW


def test_of_many_at_once_one_uses_a_link(people: Database, installation: Installation) -> None:
    token = token_in(composed(people, installation, ask(people)))
    found = at_the_same_time(*[lambda: prove(people, token)] * 4)
    assert sorted(map(str, found)) == ["None", "None", "None", NEW]
    assert addresses(people) == ["anna@muster.example", NEW]


@pytest.mark.parametrize("address", ["bert@muster.example", "BERT@muster.example"])
def test_an_address_of_somebody_else_is_answered_alike(
    people: Database, installation: Installation, address: str
) -> None:
    mail = ask(people, address)
    assert mail.state is OutgoingState.WAITING
    assert len(waiting(people)) == 1
    with pytest.raises(Suppressed, match="belongs to an account"):
        composed(people, installation, mail)
    assert addresses(people, "bert") == ["bert@muster.example"]


def test_an_address_that_was_given_up_is_free(people: Database, installation: Installation) -> None:
    token = token_in(composed(people, installation, ask(people, "carl@muster.example")))
    assert prove(people, token) == "carl@muster.example"


def test_who_got_the_address_meanwhile_keeps_it(
    people: Database, installation: Installation
) -> None:
    """Also from an account with a shared address, for which admins may add what others have."""
    give(people, SHARED)
    with people.write() as session:
        bert = the_account(session, "bert")
        wanted = replace(BERT, more_addresses=(SHARED,), share_address=True)
        session.execute(
            update(CustomerUserAddress)
            .where(CustomerUserAddress.address == SHARED)
            .values(shared=True, exclusive=False)
        )
        session.expire_all()
        save_customer_user(session, ADMIN, wanted, bert)
    token = token_in(composed(people, installation, ask(people)))
    with people.write() as session:
        wanted = replace(BERT, more_addresses=(SHARED, NEW), share_address=True)
        save_customer_user(session, ADMIN, wanted, the_account(session, "bert"))
    assert prove(people, token) is None
    assert NEW not in addresses(people)
    assert NEW in addresses(people, "bert")


def test_two_accounts_prove_one_address_at_the_same_moment(
    people: Database, installation: Installation
) -> None:
    """Both can read the mailbox: one gets the address, the other nothing."""
    tokens = {
        login: token_in(composed(people, installation, ask(people, NEW, login)))
        for login in ("anna", "bert")
    }
    found = at_the_same_time(
        lambda: prove(people, tokens["anna"], "anna"), lambda: prove(people, tokens["bert"], "bert")
    )
    assert found.count(NEW) == 1
    assert all(each in (NEW, None) or isinstance(each, Stale) for each in found)
    assert [NEW in addresses(people, login) for login in ("anna", "bert")].count(True) == 1


@pytest.mark.parametrize(
    ("entered", "why"),
    [
        ("", "one @"),
        ("Anna <anna@privat.example>", "without a name"),
        ("anna@privat.example\r\nBcc: x@y.example", "one @"),
        ("anna@muster.example", "already"),
        ("ANNA@muster.example", "already"),
    ],
)
def test_what_cannot_be_asked_for(sqlite_people: Database, entered: str, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        ask(sqlite_people, entered)
    with sqlite_people.read() as session:
        assert session.scalars(select(func.count(OutgoingMail.id))).one() == 0


def test_nobody_bombs_an_address(people: Database, installation: Installation) -> None:
    """Whoever asks, and under whatever spelling: a few mails a day, and the first ones are sent."""
    mails = [
        ask(people, spelling, login)
        for login in ("anna", "bert")
        for spelling in (NEW, NEW.title(), NEW)
    ]
    for mail in mails[:MAX_MAILS_A_DAY]:
        composed(people, installation, mail)
    for mail in mails[MAX_MAILS_A_DAY:]:
        with pytest.raises(Suppressed, match="enough mail"):
            composed(people, installation, mail)
    with people.write() as session:
        session.execute(update(OutgoingMail).values(created_at=now() - timedelta(hours=25)))
    composed(people, installation, ask(people))


def test_an_account_asks_so_often_a_day(sqlite_people: Database) -> None:
    for number in range(MAX_ASKED_A_DAY):
        ask(sqlite_people, f"a{number}@privat.example")
    with pytest.raises(Invalid, match="tomorrow"):
        ask(sqlite_people, NEW)
    ask(sqlite_people, NEW, "bert")
    with sqlite_people.write() as session:
        session.execute(update(AddressLink).values(created_at=now() - timedelta(hours=25)))
        remove_old_links(session)
        assert session.scalars(select(func.count(AddressLink.id))).one() == 0
    ask(sqlite_people, NEW)


def test_what_is_not_sent_after_all(people: Database, installation: Installation) -> None:
    mail = ask(people, "noreply@privat.example")
    with pytest.raises(Suppressed, match="Nobody reads"):
        composed(people, installation, mail)
    mail = ask(people)
    with people.write() as session:
        session.add(BouncingAddress(address_key=NEW, bounces=99, last_at=now()))
    with pytest.raises(Suppressed, match="came back"):
        composed(people, installation, mail)
    with people.write() as session:
        session.execute(delete(BouncingAddress))
        session.execute(update(OutgoingMail).values(created_at=now() - timedelta(minutes=61)))
    with pytest.raises(Suppressed, match="an hour old"):
        composed(people, installation, mail)
    mail = ask(people)
    with people.write() as session:
        session.execute(update(AddressLink).values(expires_at=now()))
    with pytest.raises(Suppressed, match="not to be confirmed"):
        composed(people, installation, mail)
    with people.write() as session:
        session.execute(
            update(CustomerUser).where(CustomerUser.login == "anna").values(valid=Validity.INVALID)
        )
    with pytest.raises(Suppressed, match="not valid"):
        composed(people, installation, mail)


def test_the_courier_sends_both_and_keeps_no_secret(
    people: Database, installation: Installation
) -> None:
    ask(people)
    give(people, "zweite@muster.example")
    chosen = id_of(people, "zweite@muster.example")
    with people.write() as session:
        anna = the_account(session, "anna")
        make_main(session, customer_actor(anna), anna, chosen)
    with run_relay() as relay:
        Courier(
            people, installation, RelaySection(host="127.0.0.1", port=relay.port, tls="none")
        ).run_due()
    with people.read() as session:
        mails = session.scalars(select(OutgoingMail).order_by(OutgoingMail.id)).all()
    assert [(each.state, each.raw_id is None) for each in mails] == [
        (OutgoingState.SENT, True),
        (OutgoingState.SENT, False),
    ]
    assert [each.recipient for each in relay.messages] == [NEW, "anna@muster.example"]


def test_another_main_address(people: Database, installation: Installation) -> None:
    give(people, "zweite@muster.example", "dritte@muster.example")
    with people.write() as session:
        anna = the_account(session, "anna")
        session.add(
            AccountToken(
                token_hash=b"x" * 32,
                purpose=TokenPurpose.RESET,
                customer_user_id=anna.id,
                created_at=now(),
                expires_at=now() + timedelta(minutes=30),
            )
        )
    chosen = id_of(people, "dritte@muster.example")
    with people.write() as session:
        anna = the_account(session, "anna")
        assert make_main(session, customer_actor(anna), anna, chosen) == "dritte@muster.example"
    assert addresses(people) == [
        "dritte@muster.example",
        "anna@muster.example",
        "zweite@muster.example",
    ]
    with people.write() as session:
        assert session.scalars(select(AccountToken)).all() == []  # it was in the old mailbox
        mail = session.scalars(select(OutgoingMail)).one()
        assert (mail.kind, mail.recipient) == (OutgoingKind.ADDRESS_CHANGED, "anna@muster.example")
        posting = notice_posting_of(session, installation, mail)
    assert "anna" in posting.text
    assert "dritte" not in posting.text  # the old mailbox may be somebody else's by now
    (event,) = events(people, "customer-user")[-1:]
    assert (event.action, event.actor_name) == ("changed", "anna")
    with people.write() as session:  # the same once more changes nothing and tells nobody
        anna = the_account(session, "anna")
        make_main(session, customer_actor(anna), anna, chosen)
        assert session.scalars(select(func.count(OutgoingMail.id))).one() == 1


def test_removing(people: Database) -> None:
    give(people, "zweite@muster.example")
    chosen = id_of(people, "zweite@muster.example")
    with people.write() as session:
        anna = the_account(session, "anna")
        remove_address(session, customer_actor(anna), anna, chosen)
    assert addresses(people) == ["anna@muster.example"]
    (event,) = events(people, "customer-user")[-1:]
    assert (event.before, event.after) == (
        {"more_addresses": ["zweite@muster.example"]},
        {"more_addresses": []},
    )
    with people.write() as session:
        anna = the_account(session, "anna")
        with pytest.raises(Invalid, match="main address"):
            remove_address(session, customer_actor(anna), anna, anna.addresses[0].id)


def test_nobody_touches_the_addresses_of_others(sqlite_people: Database) -> None:
    theirs = id_of(sqlite_people, "bert@muster.example")
    with sqlite_people.write() as session:
        anna = the_account(session, "anna")
        for change in (make_main, remove_address):
            with pytest.raises(NotFound):
                change(session, customer_actor(anna), anna, theirs)


def test_shared_addresses_stay_shared(people: Database) -> None:
    give(people, SHARED)
    with people.write() as session:
        wanted = replace(BERT, more_addresses=(SHARED,), share_address=True)
        save_customer_user(session, ADMIN, wanted, the_account(session, "bert"))
    chosen = id_of_shared(people)
    with people.write() as session:
        bert = the_account(session, "bert")
        make_main(session, customer_actor(bert), bert, chosen)
        assert [(row.shared, row.exclusive) for row in bert.addresses] == [
            (True, False),
            (False, True),
        ]


def id_of_shared(database: Database) -> int:
    """Return Bert's row of the shared address."""
    with database.read() as session:
        rows = the_account(session, "bert").addresses
        return next(row.id for row in rows if row.address == SHARED)

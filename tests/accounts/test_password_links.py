"""Links for a new password: who gets one, how often, and what it opens for how long."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes
from email.policy import default
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import event, func, select, update

from core.accounts.customer_users import save_customer_user
from core.accounts.password_links import (
    MAX_LINKS_PER_HOUR,
    MAX_WAITING,
    account_of_token,
    answer_requests,
    ask_for_password,
    invite,
    last_invitation,
    posting_of,
    remove_expired_links,
    set_password_with,
)
from core.accounts.passwords import verify_password
from core.accounts.sessions import start_session
from core.accounts.staff import save_staff
from core.accounts.throttle import ACCOUNT_LIMIT, Attempt, Wait, count_attempt
from core.config import RelaySection
from core.db import Database
from core.errors import Invalid
from core.models import (
    AccountToken,
    OutgoingMail,
    PasswordRequest,
    SignInThrottle,
    Staff,
    WebSession,
    now,
)
from core.outgoing.compose import compose
from core.outgoing.courier import Courier
from core.outgoing.installation import Installation
from core.outgoing.outbox import Posting, Suppressed, bounce_address, letter_of
from core.secret_key import Keys, ensure_secret_key
from core.words import AccountKind, OutgoingKind, OutgoingState, Role, TokenPurpose, Validity
from core.worker import Worker
from tests.accounts.people import (
    ADMIN,
    ANNA,
    BERT,
    JONAS,
    at_the_same_time,
    customers,
    events,
    saved,
    staff_saved,
    the_account,
)
from tests.accounts.test_passwords import HASH, PASSWORD
from tests.support.relay import Script, run_relay

PEER = "192.0.2.1"
OFFICE = "office@muster.example"
SHARED = "info@muster.example"
LINK = re.compile(r"^https://help\.example/desk/password/([0-9a-f]{64})$", re.MULTILINE)


@pytest.fixture
def people(database: Database) -> Database:
    """Anna with three addresses, Bert who shares two, an invalid Carl, Jonas."""
    return filled(database)


@pytest.fixture
def sqlite_people(sqlite_database: Database) -> Database:
    """The same people, where it does not matter which system the database is."""
    return filled(sqlite_database)


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """An installation whose pages have a path of their own."""
    key = str(tmp_path / "secret.key")
    ensure_secret_key(key)
    return Installation(Keys(key), "https://help.example/desk", "mx.help.example")


def filled(database: Database) -> Database:
    """Store these people, who have no password yet."""
    customers(database)
    saved(
        database,
        replace(ANNA, more_addresses=(SHARED, OFFICE), share_address=True),
        replace(BERT, more_addresses=(SHARED,), share_address=True),
        replace(BERT, login="carl", email="carl@muster.example", valid=Validity.INVALID),
    )
    staff_saved(database, JONAS)
    staff_saved(database, replace(JONAS, login="kim", email="team@example.org"))
    staff_saved(database, replace(JONAS, login="lea", email="team@example.org"))
    with database.write() as session:
        for row in the_account(session, "anna").addresses:
            row.exclusive = row.address != SHARED
        for row in the_account(session, "bert").addresses:
            row.exclusive = row.address != SHARED
    return database


def ask(
    database: Database, login: str = "anna", *, staff: bool = False, peer: str = PEER
) -> Wait | None:
    """Ask for a new password."""
    with database.write() as session:
        return ask_for_password(session, login, staff=staff, language="de", peer=peer)


def answer(database: Database) -> int:
    """Let the worker answer; return how many mails it put into the outbox."""
    with database.write() as session:
        return answer_requests(session)


def outbox(database: Database) -> list[OutgoingMail]:
    """Return the mails that were put into the outbox."""
    with database.read() as session:
        return list(session.scalars(select(OutgoingMail).order_by(OutgoingMail.id)))


def asked(database: Database, login: str = "anna", *, staff: bool = False) -> OutgoingMail:
    """Ask for a new password; return the mail about it."""
    assert ask(database, login, staff=staff) is None
    assert answer(database) == 1
    return outbox(database)[-1]


def invited(database: Database, login: str = "anna") -> OutgoingMail:
    """Invite a customer user; return the mail about it."""
    with database.write() as session:
        invite(session, ADMIN, the_account(session, login))
    return outbox(database)[-1]


def composed(database: Database, installation: Installation, mail: OutgoingMail) -> Posting:
    """Return a mail as the worker composes it."""
    with database.write() as session:
        return posting_of(session, installation, session.get_one(OutgoingMail, mail.id))


def link_in(posting: Posting) -> str:
    """Return the token of the one link in a mail for a new password."""
    (token,) = LINK.findall(posting.text)
    assert isinstance(token, str)
    return token


def link_in_bytes(raw: bytes) -> str:
    """Return the token of the one link in a message as it goes out."""
    text = message_from_bytes(raw, policy=default).get_content()
    (token,) = LINK.findall(text.replace("\r\n", "\n"))
    assert isinstance(token, str)
    return token


def link_of(database: Database, installation: Installation, mail: OutgoingMail) -> str:
    """Compose a mail and return the token in it."""
    return link_in(composed(database, installation, mail))


def opened(database: Database, token: str) -> str | None:
    """Return the login of the account that a token opens."""
    with database.read() as session:
        account = account_of_token(session, token)
        return None if account is None else account.login


def used(database: Database, token: str, password_hash: str = HASH) -> str | None:
    """Set a password by a link; return the login of its account, None where it opens nothing."""
    with database.write() as session:
        account = set_password_with(session, token, password_hash, peer=PEER)
        return None if account is None else account.login


def time_passes(database: Database, time: timedelta) -> None:
    """Let everything that was asked, sent or linked be so much older."""
    with database.write() as session:
        for request in session.scalars(select(PasswordRequest)):
            request.created_at -= time
        for mail in session.scalars(select(OutgoingMail)):
            mail.created_at -= time
        for token in session.scalars(select(AccountToken)):
            token.expires_at -= time
        for row in session.scalars(select(SignInThrottle)):
            row.last_failure_at -= time


def count(database: Database, model: type[object]) -> int:
    """Return how many rows a table has."""
    with database.read() as session:
        return session.scalars(select(func.count()).select_from(model)).one()


@pytest.mark.parametrize(
    ("login", "staff", "recipient"),
    [
        ("anna", False, "anna@muster.example"),
        (" ANNA ", False, "anna@muster.example"),
        ("anna@muster.example", False, "anna@muster.example"),
        (OFFICE, False, "anna@muster.example"),  # hers alone, but the mail goes to the main one
        ("jonas", True, "jonas@example.org"),
        ("Jonas@example.org", True, "jonas@example.org"),
        pytest.param(SHARED, False, None, id="ambiguous"),
        pytest.param("team@example.org", True, None, id="ambiguous-staff"),
        pytest.param("carl", False, None, id="invalid"),
        pytest.param("nobody@example.net", False, None, id="unknown"),
        pytest.param("jonas", False, None, id="staff-at-the-customers-page"),
        pytest.param("anna", True, None, id="customer-at-the-page-of-staff"),
        pytest.param("' OR 1=1 --", False, None, id="strange"),
        pytest.param("x" * 5000 + "\0\udc80", False, None, id="long"),
    ],
)
def test_who_gets_a_mail(people: Database, login: str, staff: bool, recipient: str | None) -> None:
    assert ask(people, login, staff=staff) is None
    assert answer(people) == (recipient is not None)
    assert [mail.recipient for mail in outbox(people)] == ([recipient] if recipient else [])
    assert count(people, PasswordRequest) == 0


@pytest.mark.parametrize(
    ("stored", "expected"), [("", "de"), ("en", "en")], ids=["of-the-request", "of-the-account"]
)
def test_the_mail_has_the_language_of_its_reader(
    sqlite_people: Database, installation: Installation, stored: str, expected: str
) -> None:
    with sqlite_people.write() as session:
        the_account(session, "anna").language = stored
    mail = asked(sqlite_people)
    assert mail.language == expected
    posting = composed(sqlite_people, installation, mail)
    assert ("Guten Tag" in posting.text) == (expected == "de")


def test_a_request_does_the_same_work_for_every_login(people: Database) -> None:
    """What the page does must not tell by its time which accounts there are (threat W5)."""
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        statements.append(statement)

    event.listen(people.writer, "before_cursor_execute", note)
    done: list[list[str]] = []
    for login in ("anna", "anna@muster.example", SHARED, "carl", "nobody", "nobody@example.net"):
        ask(people, login, peer=f"192.0.2.{len(done)}")
        done.append(list(statements))
        statements.clear()
    event.remove(people.writer, "before_cursor_execute", note)
    assert done[0]
    assert all(each == done[0] for each in done)
    assert not any("customer_users" in statement for statement in done[0])


def test_the_same_login_again_and_again_is_slowed_down(sqlite_people: Database) -> None:
    for _attempt in range(ACCOUNT_LIMIT.free):
        assert ask(sqlite_people, "nobody") is None
    assert ask(sqlite_people, "nobody") == Wait(1)
    assert ask(sqlite_people, "anna") is None
    assert ask(sqlite_people, "nobody", peer="198.51.100.7") is None
    with sqlite_people.write() as session:
        signing_in = count_attempt(session, AccountKind.CUSTOMER, "nobody", PEER)
    assert isinstance(signing_in, Attempt)  # asking for a password delays no sign-in
    assert signing_in.failures == 0


def test_a_stranger_cannot_fill_the_table(sqlite_people: Database) -> None:
    with sqlite_people.write() as session:
        session.add_all(PasswordRequest(login=f"x{n}", staff=False) for n in range(MAX_WAITING))
    assert ask(sqlite_people, "anna") == Wait(60)
    assert count(sqlite_people, PasswordRequest) == MAX_WAITING
    while count(sqlite_people, PasswordRequest):
        assert answer(sqlite_people) == 0
    assert ask(sqlite_people, "anna") is None


def test_an_account_gets_few_links_an_hour(people: Database) -> None:
    for number in range(10):
        ask(people, "anna" if number % 2 else OFFICE, peer=f"192.0.2.{number}")
    assert answer(people) == MAX_LINKS_PER_HOUR
    ask(people, "bert")
    assert answer(people) == 1
    time_passes(people, timedelta(minutes=61))
    ask(people, "anna")
    assert answer(people) == 1


def test_an_old_request_is_not_answered(sqlite_people: Database) -> None:
    ask(sqlite_people)
    time_passes(sqlite_people, timedelta(minutes=61))
    assert answer(sqlite_people) == 0
    assert count(sqlite_people, PasswordRequest) == 0


def test_the_mail_says_what_its_reader_needs(people: Database, installation: Installation) -> None:
    mail = asked(people)
    posting = composed(people, installation, mail)
    for part in ("Anna Müller", "„anna“", PEER, "30 Minuten", "/desk/password/"):
        assert part in posting.text
    raw = compose(letter_of(installation, posting, mail.id, now()))
    message = message_from_bytes(raw, policy=default)
    assert message["To"] == "Anna Müller <anna@muster.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert link_in(posting) not in str(message["Subject"])
    assert link_in_bytes(raw) == link_in(posting)
    assert bounce_address(installation, posting, mail.id).startswith("schalter+b")


def test_the_secret_is_stored_nowhere(people: Database, installation: Installation) -> None:
    mail = asked(people)
    token = link_of(people, installation, mail)
    (row,) = tokens(people)
    assert row.purpose is TokenPurpose.RESET
    assert timedelta(minutes=29) < row.expires_at - now() <= timedelta(minutes=30)
    assert row.token_hash != bytes.fromhex(token)
    assert token not in repr([vars(each) for each in (row, *outbox(people))])
    assert token not in repr([vars(each) for each in events(people, "customer-user")])


def test_a_link_sets_the_password_once(people: Database, installation: Installation) -> None:
    token = link_of(people, installation, asked(people))
    with people.write() as session:
        start_session(session, the_account(session, "anna"), peer="", agent="")
        start_session(session, the_account(session, "bert"), peer="", agent="")
    assert opened(people, token) == opened(people, token) == "anna"
    assert used(people, token) == "anna"
    assert used(people, token) is None
    assert opened(people, token) is None
    with people.read() as session:
        assert verify_password(PASSWORD, the_account(session, "anna").password_hash)
        (left,) = session.scalars(select(WebSession))
        assert left.customer_user_id == the_account(session, "bert").id
    assert count(people, AccountToken) == 0
    changed = events(people, "customer-user")[-1]
    assert (changed.action, changed.actor_name, changed.peer) == ("password-set", "anna", PEER)


def test_a_link_of_staff_ends_the_one_time_password(
    people: Database, installation: Installation
) -> None:
    with people.write() as session:
        session.execute(update(Staff).values(must_change_password=True))
    token = link_of(people, installation, asked(people, "jonas", staff=True))
    assert used(people, token) == "jonas"
    with people.read() as session:
        forced = select(Staff.login).where(Staff.must_change_password)
        assert set(session.scalars(forced)) == {"kim", "lea"}


def test_of_many_at_once_one_gets_through(people: Database, installation: Installation) -> None:
    token = link_of(people, installation, asked(people))
    results = at_the_same_time(*[partial(used, people, token) for _ in range(4)])
    assert sorted(map(str, results)) == ["None", "None", "None", "anna"]


def test_two_links_of_one_account_at_once(people: Database, installation: Installation) -> None:
    first = link_of(people, installation, asked(people))
    second = link_of(people, installation, invited(people))
    results = at_the_same_time(partial(used, people, first), partial(used, people, second))
    assert sorted(map(str, results)) == ["None", "anna"]


@pytest.mark.parametrize(
    ("minutes", "opens"), [(29, True), (31, False)], ids=["in-time", "too-late"]
)
def test_a_link_is_good_for_half_an_hour(
    people: Database, installation: Installation, minutes: int, opens: bool
) -> None:
    token = link_of(people, installation, asked(people))
    time_passes(people, timedelta(minutes=minutes))
    expected = "anna" if opens else None
    assert opened(people, token) == expected
    assert used(people, token) == expected
    with people.write() as session:
        remove_expired_links(session)
    assert count(people, AccountToken) == 0


@pytest.mark.parametrize(
    "token",
    ["", "0" * 64, "x" * 64, "ä" * 64, "\udc80" * 64, "0" * 63, "0" * 100_000, "nix"],
)
def test_what_is_no_token_opens_nothing(sqlite_people: Database, token: str) -> None:
    assert opened(sqlite_people, token) is None
    assert used(sqlite_people, token) is None


def test_the_hash_of_a_token_opens_nothing(
    sqlite_people: Database, installation: Installation
) -> None:
    link_of(sqlite_people, installation, asked(sqlite_people))
    (row,) = tokens(sqlite_people)
    assert opened(sqlite_people, row.token_hash.hex()) is None


def test_a_retry_makes_a_new_link_and_ends_the_old_one(
    people: Database, installation: Installation
) -> None:
    mail = asked(people)
    first = link_of(people, installation, mail)
    second = link_of(people, installation, mail)
    assert opened(people, first) is None
    assert opened(people, second) == "anna"


def test_the_worker_answers_and_sends(people: Database, installation: Installation) -> None:
    ask(people)
    Worker(people).run_due()
    later = Script({"message": lambda _command, before: None if before else b"451 later"})
    with run_relay(later) as relay:
        section = RelaySection(host="127.0.0.1", port=relay.port, tls="none")
        for _try in range(2):
            Courier(people, installation, section).run_due()
            with people.write() as session:
                session.execute(update(OutgoingMail).values(next_try_at=now()))
    (mail,) = outbox(people)
    assert (mail.state, mail.raw_id) == (OutgoingState.SENT, None)
    (first,), (second,) = relay.unanswered, relay.messages
    assert second.recipient == "anna@muster.example"
    assert used(people, link_in_bytes(first.content)) is None
    assert used(people, link_in_bytes(second.content)) == "anna"


def test_a_link_for_one_purpose_leaves_the_other_alone(
    people: Database, installation: Installation
) -> None:
    invitation = link_of(people, installation, invited(people))
    reset = link_of(people, installation, asked(people))
    assert opened(people, invitation) == opened(people, reset) == "anna"
    assert used(people, reset) == "anna"
    assert opened(people, invitation) is None  # no link outlives a new password


def invalidate(database: Database) -> None:
    """Set Anna invalid."""
    with database.write() as session:
        account = the_account(session, "anna")
        save_customer_user(
            session,
            ADMIN,
            replace(ANNA, more_addresses=(OFFICE,), valid=Validity.INVALID),
            account,
        )


def close_customer(database: Database) -> None:
    """Set Anna's customer invalid."""
    with database.write() as session:
        the_account(session, "anna").customer.valid = False


def move_address(database: Database) -> None:
    """Give Anna another main address."""
    with database.write() as session:
        save_customer_user(
            session, ADMIN, replace(ANNA, email="new@muster.example"), the_account(session, "anna")
        )


def wait_an_hour(database: Database) -> None:
    """Let the mail wait for an hour."""
    time_passes(database, timedelta(minutes=61))


def ask_again(database: Database) -> None:
    """Put a newer mail into the outbox."""
    asked(database)


@pytest.mark.parametrize(
    ("happens", "reason"),
    [
        (invalidate, "not valid"),
        (close_customer, "not valid"),
        (move_address, "another mail address"),
        (wait_an_hour, "more than an hour"),
        (ask_again, "newer"),
    ],
)
def test_what_is_not_to_be_sent_after_all(
    people: Database,
    installation: Installation,
    happens: Callable[[Database], None],
    reason: str,
) -> None:
    mail = asked(people)
    happens(people)
    with pytest.raises(Suppressed, match=reason):
        composed(people, installation, mail)
    assert count(people, AccountToken) == 0


@pytest.mark.parametrize("happens", [invalidate, close_customer])
def test_a_link_ends_with_its_account(
    people: Database, installation: Installation, happens: Callable[[Database], None]
) -> None:
    token = link_of(people, installation, asked(people))
    happens(people)
    assert opened(people, token) is None
    assert used(people, token) is None


def test_an_invitation_says_what_it_is_for(people: Database, installation: Installation) -> None:
    mail = invited(people)
    assert (mail.kind, mail.recipient) == (OutgoingKind.INVITATION, "anna@muster.example")
    posting = composed(people, installation, mail)
    assert "anna" in posting.text
    assert "https://help.example/desk/password\n" in posting.text
    assert used(people, link_in(posting)) == "anna"
    names = [(each.action, each.actor_name) for each in events(people, "customer-user")]
    assert names[-2:] == [("invited", "root"), ("password-set", "anna")]


def test_an_invitation_of_staff(people: Database, installation: Installation) -> None:
    with people.write() as session:
        jonas = session.scalars(select(Staff).where(Staff.login == "jonas")).one()
        invite(session, ADMIN, jonas)
    (mail,) = outbox(people)
    posting = composed(people, installation, mail)
    assert "https://help.example/desk/staff/password\n" in posting.text
    assert used(people, link_in(posting)) == "jonas"


def test_only_valid_accounts_are_invited(people: Database) -> None:
    with people.write() as session, pytest.raises(Invalid):
        invite(session, ADMIN, the_account(session, "carl"))
    with people.write() as session:
        jonas = session.scalars(select(Staff).where(Staff.login == "jonas")).one()
        save_staff(session, ADMIN, replace(JONAS, role=Role.AGENT, valid=False), jonas)
        with pytest.raises(Invalid):
            invite(session, ADMIN, jonas)
    assert outbox(people) == []


def test_what_became_of_an_invitation(people: Database, installation: Installation) -> None:
    def state() -> tuple[OutgoingState, bool] | None:
        with people.read() as session:
            found = last_invitation(session, the_account(session, "anna"))
            return None if found is None else (found.state, found.good_until is not None)

    assert state() is None
    mail = invited(people)
    assert state() == (OutgoingState.WAITING, False)
    token = link_of(people, installation, mail)
    with people.write() as session:
        session.get_one(OutgoingMail, mail.id).state = OutgoingState.SENT
    assert state() == (OutgoingState.SENT, True)
    used(people, token)
    assert state() == (OutgoingState.SENT, False)


def tokens(database: Database) -> list[AccountToken]:
    """Return the stored links."""
    with database.read() as session:
        return list(session.scalars(select(AccountToken)))

"""Web sessions: whose token opens what, when a session ends, and which ones an account has."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import delete, event, func, select, text

from core.accounts.account import Account, actor_of
from core.accounts.sessions import (
    MAX_SESSIONS,
    Visit,
    end_other_sessions,
    end_session,
    remove_expired,
    sessions_of,
    sign_out,
    start_session,
    touch,
    visit_of,
)
from core.accounts.staff import save_staff, staff_with_login
from core.db import Database
from core.models import CustomerUser, Staff, WebSession, now
from core.settings import Settings
from core.words import Validity
from tests.accounts.people import (
    ADMIN,
    ANNA,
    BERT,
    JONAS,
    customers,
    events,
    in_days,
    saved,
    staff_saved,
    the_account,
)

SETTINGS = Settings(session_idle_minutes=30, session_hours=12)


@pytest.fixture
def people(database: Database) -> Database:
    """Anna, Bert and Jonas."""
    customers(database)
    saved(database, ANNA, BERT)
    staff_saved(database, JONAS)
    return database


def begin(database: Database, login: str = "anna", agent: str = "Firefox") -> str:
    """Begin a session and return its token."""
    with database.write() as session:
        account: Account = (
            staff_with_login(session, login) if login == "jonas" else the_account(session, login)
        )
        return start_session(session, account, peer="192.0.2.1", agent=agent)


def found(database: Database, token: str, settings: Settings = SETTINGS) -> Visit | None:
    """Return what a token opens."""
    with database.read() as session:
        return visit_of(session, settings, token)


def opened(database: Database, token: str) -> Visit:
    """Return the visit that a token must open."""
    visit = found(database, token)
    assert visit is not None
    return visit


def time_passes(database: Database, since_start: timedelta, since_use: timedelta) -> None:
    """Let every session be so much older, and unused for so long."""
    with database.write() as session:
        for row in session.scalars(select(WebSession)):
            row.created_at = now() - since_start
            row.seen_at = now() - since_use


def test_a_token_opens_the_session_of_its_account_only(people: Database) -> None:
    tokens = {login: begin(people, login) for login in ("anna", "bert", "jonas")}
    assert {login: opened(people, token).account.login for login, token in tokens.items()} == {
        "anna": "anna",
        "bert": "bert",
        "jonas": "jonas",
    }
    assert isinstance(opened(people, tokens["anna"]).account, CustomerUser)
    assert isinstance(opened(people, tokens["jonas"]).account, Staff)


def test_what_is_no_token_opens_nothing(people: Database) -> None:
    token = begin(people)
    with people.read() as session:
        stored = session.scalars(select(WebSession.token_hash)).one()
    wrong = [
        "",
        "x",
        token[:-1],
        token + "A",
        token.swapcase(),
        stored.hex(),
        "\ud800",
        "x" * 10**6,
    ]
    assert [found(people, each) for each in wrong] == [None] * len(wrong)


def test_the_token_is_not_in_the_database(people: Database) -> None:
    token = begin(people)
    assert len(token) >= 43, "256 bits"
    with people.read() as session:
        rows = str(session.execute(text("SELECT * FROM web_sessions")).all())
    assert token not in rows


def test_tokens_differ(people: Database) -> None:
    assert len({begin(people) for _n in range(10)}) == 10


def test_what_a_browser_says_of_itself_is_cut(people: Database) -> None:
    begin(people, agent="Fire\r\nfox\x00" + "x" * 1000)
    with people.read() as session:
        agent = session.scalars(select(WebSession.agent)).one()
    assert agent.startswith("Fire fox")
    assert len(agent) == 200


MINUTE = timedelta(minutes=1)
LIFETIMES = [
    # since its start, since its last use, still open
    (29 * MINUTE, 29 * MINUTE, True),
    (31 * MINUTE, 31 * MINUTE, False),
    (31 * MINUTE, 1 * MINUTE, True),
    (12 * 60 * MINUTE - MINUTE, MINUTE, True),
    (12 * 60 * MINUTE + MINUTE, MINUTE, False),
]


def test_a_session_ends_when_idle_and_after_hours(people: Database) -> None:
    forever = Settings(session_hours=168, session_idle_minutes=1440)
    for since_start, since_use, open_ in LIFETIMES:
        token = begin(people)
        time_passes(people, since_start, since_use)
        assert (found(people, token) is not None) is open_, (since_start, since_use)
        assert found(people, token, forever) is not None
        with people.write() as session:
            assert remove_expired(session, SETTINGS) == (0 if open_ else 1)
        assert (found(people, token, forever) is not None) is open_
        with people.write() as session:
            session.execute(delete(WebSession))


VALIDITIES = [
    # stored word, last day counted from today, customer valid, has a session
    (Validity.VALID, None, True, True),
    (Validity.VALID, None, False, False),
    (Validity.INVALID, None, True, False),
    (Validity.INVALID_TEMPORARILY, None, True, False),
    (Validity.INVALID_TEMPORARILY, 0, True, False),
    (Validity.INVALID_TEMPORARILY, -1, True, True),
]


@pytest.mark.parametrize(("word", "until", "customer_valid", "open_"), VALIDITIES)
def test_an_account_that_is_not_valid_has_no_session_whoever_made_it_so(
    sqlite_database: Database, word: Validity, until: int | None, customer_valid: bool, open_: bool
) -> None:
    customers(sqlite_database)
    saved(sqlite_database, ANNA)
    token = begin(sqlite_database)
    with sqlite_database.write() as session:  # past the save functions, which would end it
        session.execute(
            text("UPDATE customer_users SET valid = :word, invalid_until = :until"),
            {"word": word, "until": None if until is None else in_days(until)},
        )
        session.execute(text("UPDATE customers SET valid = :valid"), {"valid": customer_valid})
    assert (found(sqlite_database, token) is not None) is open_


def test_staff_who_are_not_valid_have_no_session(people: Database) -> None:
    token = begin(people, "jonas")
    with people.write() as session:
        session.execute(text("UPDATE staff SET valid = false"))
    assert found(people, token) is None


def test_a_session_is_found_with_one_statement(sqlite_database: Database) -> None:
    customers(sqlite_database)
    saved(sqlite_database, ANNA)
    token = begin(sqlite_database)
    statements: list[str] = []
    event.listen(
        sqlite_database.reader, "before_cursor_execute", lambda *args: statements.append(args[2])
    )
    with sqlite_database.read() as session:
        visit = visit_of(session, SETTINGS, token)
        assert visit is not None
        assert isinstance(visit.account, CustomerUser)
        assert visit.account.customer.number == "K-1000"
    assert len([each for each in statements if each.startswith("SELECT")]) == 1


def test_use_is_written_down_at_most_once_a_minute(people: Database) -> None:
    token = begin(people)
    assert not opened(people, token).needs_touch
    time_passes(people, 20 * MINUTE, 20 * MINUTE)
    visit = opened(people, token)
    assert visit.needs_touch
    with people.write() as session:
        touch(session, visit)
    assert not opened(people, token).needs_touch
    time_passes(people, 20 * MINUTE, timedelta(seconds=59))
    assert not opened(people, token).needs_touch


def test_signing_out_ends_this_session_only(people: Database) -> None:
    here, there = begin(people), begin(people)
    with people.write() as session:
        sign_out(session, opened(people, here), "192.0.2.1")
    assert found(people, here) is None
    assert found(people, there) is not None
    assert events(people, "customer-user")[-1].action == "signed-out"


def test_the_sessions_of_an_account_are_listed_the_last_used_first(people: Database) -> None:
    first, second = begin(people, agent="Chrome"), begin(people)
    begin(people, "bert")
    with people.write() as session:
        touch(session, opened(people, first))
    with people.read() as session:
        visit = opened(people, second)
        listed = sessions_of(session, SETTINGS, visit.account, visit)
    assert [(each.agent, each.is_current) for each in listed] == [
        ("Chrome", False),
        ("Firefox", True),
    ]
    assert listed[0].peer == "192.0.2.1"


def test_a_session_that_can_no_longer_be_used_is_not_listed(people: Database) -> None:
    visit = opened(people, begin(people))
    time_passes(people, 31 * MINUTE, 31 * MINUTE)
    with people.read() as session:
        assert sessions_of(session, SETTINGS, visit.account) == []


def test_a_handle_ends_a_session_of_the_same_account_and_opens_nothing(people: Database) -> None:
    here, there, berts = begin(people), begin(people), begin(people, "bert")
    with people.write() as session:
        anna, bert = (the_account(session, login) for login in ("anna", "bert"))
        handles = [s.handle for s in sessions_of(session, SETTINGS, anna, opened(people, here))
                   if not s.is_current]  # fmt: skip
        assert found(people, handles[0]) is None
        foreign = sessions_of(session, SETTINGS, bert)[0].handle
        actor = actor_of(anna)
        assert not end_session(session, actor, anna, foreign)
        assert not end_session(session, actor, anna, "nonsense")
        assert end_session(session, actor, anna, handles[0])
        assert not end_session(session, actor, anna, handles[0])
    assert [found(people, token) is not None for token in (here, there, berts)] == [
        True,
        False,
        True,
    ]
    assert events(people, "customer-user")[-1].action == "session-ended"


def test_all_other_sessions_of_an_account_can_be_ended(people: Database) -> None:
    here, there, berts = begin(people), begin(people), begin(people, "bert")
    with people.write() as session:
        visit = opened(people, here)
        assert end_other_sessions(session, actor_of(visit.account), visit) == 1
        assert end_other_sessions(session, actor_of(visit.account), visit) == 0
    assert [found(people, token) is not None for token in (here, there, berts)] == [
        True,
        False,
        True,
    ]
    assert [e.action for e in events(people, "customer-user")].count("sessions-ended") == 1


def test_customers_and_staff_with_one_id_have_sessions_of_their_own(people: Database) -> None:
    with people.read() as session:
        assert the_account(session, "anna").id == staff_with_login(session, "jonas").id
    anna, jonas = begin(people), begin(people, "jonas")
    with people.write() as session:
        visit = opened(people, anna)
        end_other_sessions(session, actor_of(visit.account), visit)
        save_staff(session, ADMIN, replace(JONAS, valid=False), staff_with_login(session, "jonas"))
    assert found(people, anna) is not None
    assert found(people, jonas) is None


def test_an_account_has_a_limited_number_of_sessions(sqlite_database: Database) -> None:
    customers(sqlite_database)
    saved(sqlite_database, ANNA, BERT)
    berts = begin(sqlite_database, "bert")
    tokens = [begin(sqlite_database) for _n in range(MAX_SESSIONS + 2)]
    with sqlite_database.read() as session:
        count = session.scalar(select(func.count()).select_from(WebSession))
    assert count == MAX_SESSIONS + 1
    assert found(sqlite_database, tokens[-1]) is not None
    assert found(sqlite_database, tokens[0]) is None
    assert found(sqlite_database, berts) is not None

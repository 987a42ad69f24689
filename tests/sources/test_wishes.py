"""Reading a source because somebody asks: once for each wish, whatever becomes of it."""

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from core.audit import Actor
from core.claims import claimed
from core.config import Config, load_config
from core.db import Database
from core.errors import ConfigError, Stale
from core.models import AuditEvent, now
from core.models import CustomerSource as SourceState
from core.sources.mirroring import schedule
from core.sources.mirroring.passes import Busy, Stopped, read_all, state_of
from core.sources.mirroring.schedule import LOOK_SECONDS, RETRY_SECONDS, Reader, reading
from core.sources.mirroring.wishes import (
    UNHEARD_AFTER,
    Reading,
    ask_to_read,
    asked_sources,
    reading_of,
)
from core.sources.records import SourceRecord
from core.sources.source import SourceAway
from core.words import ActorKind
from tests.cli.conftest import Installation, an_installation
from tests.sources.counting import Statements
from tests.sources.crm import ANNA, BERT, Crm, logins
from tests.sources.records import ANNA as ANNA_LISTED
from tests.sources.records import Listed
from tests.sources.test_ldap_whole import ENTRIES
from tests.sources.test_ldap_whole import SECTION as DIRECTORY
from tests.sources.test_schedule import SECTION, Clock, passes_of, set_last_pass
from tests.sources.test_schedule import state_of as stored
from tests.support.processes import run_process, wait_until
from tests.support.slapd import PEOPLE, group_dn, run_slapd

ADA = Actor(ActorKind.STAFF, 1, "ada", "192.0.2.7")
TAKE_AWAY = 'ALTER TABLE "Kunden Benutzer" RENAME TO away'
BRING_BACK = 'ALTER TABLE away RENAME TO "Kunden Benutzer"'
PERSONS = [
    ANNA | {"id": number, "login": f"user{number}", "mail": f"u{number}@muster.example"}
    for number in range(50)
]


def ask(database: Database, name: str = "crm") -> None:
    with database.write() as session:
        ask_to_read(session, ADA, name)


def how(database: Database, name: str = "crm") -> Reading:
    return reading_of(database, stored(database, name))


def asked(database: Database) -> set[str]:
    with database.read() as session:
        return set(asked_sources(session))


def reader(database: Database, crm: Crm, clock: Clock | None = None, minutes: int = 0) -> Reader:
    """Return what reads the source, only when somebody asks where ``minutes`` are 0."""
    section = crm.section(sync_minutes=minutes)
    return Reader(database, section, [section.name], clock or Clock())


class TestAsking:
    """The wish itself."""

    def test_two_wishes_are_one(self, database: Database) -> None:
        ask(database)
        first = stored(database).read_asked_at
        ask(database)
        assert first is not None
        assert stored(database).read_asked_at == first
        with database.read() as session:
            (event,) = session.scalars(select(AuditEvent)).all()
        told = (event.action, event.object_kind, event.object_id, event.object_name)
        assert told == ("reading-asked", "customer-source", None, "crm")
        assert Actor(event.actor_kind, event.actor_id, event.actor_name, event.peer) == ADA

    def test_all_wishes_are_found_by_one_query(self, database: Database) -> None:
        for name in ("crm", "erp"):
            ask(database, name)
        with database.write() as session:
            state_of(session, "ad")
        with Statements(database) as statements:
            assert asked(database) == {"crm", "erp"}
        assert sum(each.startswith("SELECT") for each in statements.sent) == 1

    def test_two_ask_first_at_the_same_moment(self, database: Database) -> None:
        """Both make the row of a source that nobody has ever read."""
        other = threading.Thread(target=ask, args=(database,))
        with database.write() as session:
            ask_to_read(session, ADA, "crm")
            session.flush()
            other.start()
            time.sleep(0.3)  # in which the other comes to wait for us, if it can
        other.join()
        with database.read() as session:
            assert len(session.scalars(select(AuditEvent)).all()) == 1


class TestReader:
    """What the worker's reader makes of a wish."""

    def test_it_is_read_once(self, database: Database, crm: Crm) -> None:
        crm.hold(ANNA)
        source = reader(database, crm)
        assert source.run_due() == LOOK_SECONDS
        assert logins(database) == {}
        ask(database)
        assert how(database) is Reading.ASKED_FOR
        assert source.run_due() == LOOK_SECONDS
        assert "anna" in logins(database)
        assert how(database) is Reading.AT_REST
        assert asked(database) == set()
        crm.hold(ANNA, BERT)
        source.run_due()
        assert "bert" not in logins(database)

    def test_also_where_it_is_not_due(self, sqlite_database: Database, crm: Crm) -> None:
        crm.hold(ANNA)
        source = reader(sqlite_database, crm, minutes=60)
        source.run_due()
        crm.hold(ANNA, BERT)
        ask(sqlite_database)
        source.run_due()
        assert "bert" in logins(sqlite_database)

    def test_a_failure_answers_the_wish(
        self, database: Database, crm: Crm, caplog: pytest.LogCaptureFixture
    ) -> None:
        crm.execute(TAKE_AWAY)
        source = reader(database, crm)
        ask(database)
        began = now()
        assert source.run_due() == RETRY_SECONDS
        assert caplog.messages[0].endswith("it is tried again when asked")
        state = stored(database)
        assert how(database) is Reading.FAILED
        assert state.read_error == state.last_error
        assert "no such table" in state.read_error
        assert state.read_failed_at is not None
        assert began <= state.read_failed_at <= now()
        assert asked(database) == set()

        crm.execute(BRING_BACK)
        crm.hold(ANNA)
        source.run_due()
        assert "anna" not in logins(database)  # nobody has asked for another
        ask(database)
        source.run_due()
        assert "anna" in logins(database)
        state = stored(database)
        assert (how(database), state.read_error) == (Reading.AT_REST, "")
        assert state.read_failed_at is None

    def test_asking_does_not_wait_for_the_rest_after_a_failure(
        self, sqlite_database: Database, crm: Crm
    ) -> None:
        crm.hold(ANNA)
        clock = Clock()
        source = reader(sqlite_database, crm, clock, minutes=60)
        crm.execute(TAKE_AWAY)
        assert source.run_due() == RETRY_SECONDS
        crm.execute(BRING_BACK)
        clock.passes(RETRY_SECONDS / 2)
        assert 0 < source.run_due() <= RETRY_SECONDS / 2  # woken for nothing, it rests on
        assert logins(sqlite_database) == {}
        ask(sqlite_database)
        source.run_due()
        assert "anna" in logins(sqlite_database)
        set_last_pass(sqlite_database, now() - timedelta(hours=2))
        crm.hold(ANNA, BERT)
        source.run_due()  # the rest has ended with the failure
        assert "bert" in logins(sqlite_database)

    def test_asking_again_and_again_does_not_lengthen_the_rest(
        self, sqlite_database: Database, crm: Crm
    ) -> None:
        crm.execute(TAKE_AWAY)
        clock = Clock()
        source = reader(sqlite_database, crm, clock, minutes=60)
        clock.passes(source.run_due())
        for _time in range(5):
            ask(sqlite_database)
            assert clock.passes(source.run_due()) == 2 * RETRY_SECONDS
        assert source.run_due() == 2 * RETRY_SECONDS
        assert clock.passes(4 * RETRY_SECONDS) == source.run_due()

    def test_a_lost_half_is_told_with_the_command_that_accepts_it(
        self, sqlite_database: Database, crm: Crm
    ) -> None:
        crm.hold(*PERSONS)
        source = reader(sqlite_database, crm)
        ask(sqlite_database)
        source.run_due()
        crm.hold(*PERSONS[:10])
        for _time in range(2):
            ask(sqlite_database)
            assert source.run_due() == RETRY_SECONDS
            assert how(sqlite_database) is Reading.FAILED
            told = stored(sqlite_database).read_error
            assert "schalter sources sync crm --accept-loss" in told
        assert logins(sqlite_database)["user49"] == ("crm", "valid")
        listed = Listed("crm", [ANNA_LISTED])
        read_all(sqlite_database, listed, ["crm"], listed.all_records(), accept_loss=True)
        assert how(sqlite_database) is Reading.AT_REST

    @pytest.mark.parametrize(
        ("error", "told"),
        [
            (ConfigError("crm.password: no such file"), "crm.password: no such file"),
            (Stale("somebody was faster"), "somebody was faster"),
            (KeyError("oops"), ""),  # a defect: the log says where
        ],
    )
    def test_a_pass_that_cannot_begin(
        self,
        database: Database,
        crm: Crm,
        monkeypatch: pytest.MonkeyPatch,
        error: Exception,
        told: str,
    ) -> None:
        def fail(_section: object) -> None:
            raise error

        monkeypatch.setattr(schedule, "make_source", fail)
        ask(database)
        assert reader(database, crm).run_due() == RETRY_SECONDS
        assert how(database) is Reading.FAILED
        assert stored(database).read_error == told
        assert asked(database) == set()

    def test_who_asks_while_it_cannot_begin_is_not_forgotten(
        self, sqlite_database: Database, crm: Crm, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_section: object) -> None:
            ask(sqlite_database)
            raise ConfigError("crm.password: no such file")

        monkeypatch.setattr(schedule, "make_source", fail)
        assert reader(sqlite_database, crm, minutes=60).run_due() == RETRY_SECONDS
        assert asked(sqlite_database) == {"crm"}

    def test_while_somebody_else_reads_the_wish_stays(
        self, sqlite_database: Database, crm: Crm
    ) -> None:
        crm.hold(ANNA)
        ask(sqlite_database)
        source = reader(sqlite_database, crm)
        with claimed(sqlite_database, "source-crm"):
            assert source.run_due() == LOOK_SECONDS
            assert how(sqlite_database) is Reading.ASKED_FOR
        source.run_due()
        assert "anna" in logins(sqlite_database)


class TestPass:
    """What a pass does with wishes, however it began."""

    def test_a_wish_during_a_pass_leads_to_one_more(self, database: Database) -> None:
        seen: list[Reading] = []

        def records() -> Iterator[SourceRecord]:
            seen.append(how(database))
            yield ANNA_LISTED
            for _time in range(2):
                ask(database)
            seen.append(how(database))

        ask(database)
        read_all(database, Listed("crm", []), ["crm"], records())
        assert seen == [Reading.UNDER_WAY, Reading.UNDER_WAY]
        assert how(database) is Reading.ASKED_FOR
        read_all(database, Listed("crm", []), ["crm"], iter([ANNA_LISTED]))
        assert how(database) is Reading.AT_REST
        with database.read() as session:
            asked_for = select(AuditEvent).where(AuditEvent.action == "reading-asked")
            assert len(session.scalars(asked_for).all()) == 2

    def test_a_wish_during_a_pass_that_fails_stays(self, sqlite_database: Database) -> None:
        def records() -> Iterator[SourceRecord]:
            yield ANNA_LISTED
            ask(sqlite_database)
            raise SourceAway("crm", "it is gone")

        with pytest.raises(SourceAway):
            read_all(sqlite_database, Listed("crm", []), ["crm"], records())
        assert how(sqlite_database) is Reading.ASKED_FOR
        assert stored(sqlite_database).read_error == "it is gone"

    @pytest.mark.parametrize("was_asked_for", [True, False])
    def test_a_pass_that_is_stopped_gives_the_wish_back(
        self, database: Database, was_asked_for: bool
    ) -> None:
        if was_asked_for:
            ask(database)
            first = stored(database).read_asked_at
        listed = Listed("crm", [ANNA_LISTED])
        with pytest.raises(Stopped):
            read_all(database, listed, ["crm"], listed.all_records(), stops=lambda: True)
        if was_asked_for:
            assert stored(database).read_asked_at == first
            assert how(database) is Reading.ASKED_FOR
        else:
            assert how(database) is Reading.AT_REST

    def test_who_comes_second_does_not_read_again(self, database: Database) -> None:
        """Both have seen the wish; the first has read the source when the second begins."""
        ask(database)
        listed = Listed("crm", [ANNA_LISTED])

        def is_wanted(state: SourceState) -> bool:
            return state.read_asked_at is not None

        def read_if_wanted() -> None:
            read_all(database, listed, ["crm"], listed.all_records(), is_wanted=is_wanted)

        read_if_wanted()
        before = stored(database).last_pass_at
        with pytest.raises(Busy):
            read_if_wanted()
        assert stored(database).last_pass_at == before
        assert how(database) is Reading.AT_REST


@pytest.mark.parametrize(
    ("asked_ago", "began", "failed", "expected"),
    [
        (None, False, False, Reading.AT_REST),
        (None, False, True, Reading.FAILED),
        (None, True, False, Reading.BROKEN_OFF),
        (None, True, True, Reading.BROKEN_OFF),
        (UNHEARD_AFTER / 2, False, True, Reading.ASKED_FOR),
        (UNHEARD_AFTER / 2, True, True, Reading.ASKED_FOR),
        (UNHEARD_AFTER * 2, False, False, Reading.UNHEARD),
        (UNHEARD_AFTER * 2, True, False, Reading.UNHEARD),
    ],
)
def test_how_the_reading_stands(
    database: Database,
    asked_ago: timedelta | None,
    began: bool,
    failed: bool,
    expected: Reading,
) -> None:
    with database.write() as session:
        state = state_of(session, "crm")
        state.read_asked_at = None if asked_ago is None else now() - asked_ago
        state.read_began_at = now() - timedelta(minutes=5) if began else None
        state.read_failed_at = now() - timedelta(minutes=9) if failed else None
    assert reading_of(database, state) is expected
    assert expected.goes_on == (asked_ago is not None)
    with claimed(database, "source-crm"):
        assert reading_of(database, state) is (Reading.UNDER_WAY if began else expected)


def test_a_pass_that_ends_while_somebody_looks_is_not_broken_off(database: Database) -> None:
    states: list[SourceState] = []

    def records() -> Iterator[SourceRecord]:
        yield ANNA_LISTED
        states.append(stored(database))

    read_all(database, Listed("crm", []), ["crm"], records())
    assert reading_of(database, states[0]) is Reading.UNDER_WAY


def read_soon(database: Database, login: str) -> None:
    """Wait for an account, less long than it takes a reader to look by itself."""
    wait_until(lambda: login in logins(database), f"account {login}", LOOK_SECONDS * 2 / 3)


def test_a_wish_reaches_a_source_that_nothing_else_reads(
    sqlite_database: Database, crm: Crm
) -> None:
    crm.hold(ANNA)
    config = Config(customer_sources=[crm.section(sync_minutes=0)])
    ask(sqlite_database)  # before there is a worker, as when it is restarted
    with reading(sqlite_database, config):
        read_soon(sqlite_database, "anna")
        wait_until(lambda: how(sqlite_database) is Reading.AT_REST, "end of the pass", 60)
        crm.hold(ANNA, BERT)
        ask(sqlite_database)
        read_soon(sqlite_database, "bert")


def test_a_directory_is_read_when_somebody_asks(sqlite_database: Database, tmp_path: Path) -> None:
    with run_slapd(ENTRIES) as slapd:
        names = {"techs": group_dn("techs"), "sellers": group_dn("sellers"), "base": PEOPLE}
        text = DIRECTORY.format(slapd=slapd, **names)
        made = an_installation(tmp_path, sqlite_database)
        config = load_config(str(made.file("schalter.toml", text)))
        (section,) = config.customer_sources
        sections = [section.model_copy(update={"sync_minutes": 0})]
        with reading(sqlite_database, config.model_copy(update={"customer_sources": sections})):
            ask(sqlite_database, "firm")
            read_soon(sqlite_database, "sara")


def worker_of(installation: Installation, crm: Crm) -> Mapping[str, str]:
    """Return the environment of a worker that reads the source only when somebody asks."""
    text = SECTION.format(url=crm.url).replace('kind = "sql"', 'kind = "sql"\nsync_minutes = 0')
    file = installation.file("sources.toml", text)
    return {**installation.env, "SCHALTER_CONFIG": str(file)}


@pytest.mark.slow
def test_two_workers_read_once_for_one_wish(database: Database, crm: Crm, tmp_path: Path) -> None:
    crm.hold(*PERSONS)
    env = worker_of(an_installation(tmp_path, database), crm)
    command = (sys.executable, "-m", "core.worker")
    with ExitStack() as stack:
        workers = [stack.enter_context(run_process(*command, env=env)) for _each in range(2)]
        for worker in workers:
            worker.wait_for_output('"started"')
        ask(database)
        workers[0].wait_for(lambda: passes_of(workers) != [], "a pass", 60)
        time.sleep(2 * schedule.WISH_SECONDS)  # in which the other would read it as well
        for worker in workers:
            assert worker.stop() == 0, worker.output
        (told,) = passes_of(workers)
    assert "50 new" in told


NEVER_ENDS = """
import sys, time
from core.db import Database
from core.sources.mirroring.passes import read_all
from tests.sources.records import ANNA, Listed

def records():
    yield ANNA
    time.sleep(1000)  # until it is killed

read_all(Database(sys.argv[1]), Listed("crm", []), ["crm"], records())
"""


def test_a_process_that_is_killed_while_it_reads(database: Database, crm: Crm) -> None:
    """It is told that nothing came of it, and nobody begins again unless asked."""
    ask(database)
    url = database.url.render_as_string(hide_password=False)
    with run_process(sys.executable, "-c", NEVER_ENDS, url) as process:
        process.wait_for(lambda: how(database) is Reading.UNDER_WAY, "a pass", 60)
        process.kill()
    wait_until(lambda: how(database) is Reading.BROKEN_OFF, "notice of its end", 60)
    crm.hold(ANNA)
    source = reader(database, crm)
    source.run_due()
    assert logins(database) == {}
    ask(database)
    source.run_due()
    assert "anna" in logins(database)
    assert how(database) is Reading.AT_REST

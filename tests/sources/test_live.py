"""Sources asked while mail waits: what they say is in our tables at once, and an answer is due."""

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import event

from core.db import Database
from core.models import CustomerSource as SourceState
from core.sources.asking import breaker, live_source
from core.sources.asking.asked import Asked
from core.sources.asking.askers import THREADS
from core.sources.asking.breaker import FAILURES, Breaker, Permit
from core.sources.asking.live import LiveSources
from core.sources.asking.live_source import NOT_ASKED
from core.sources.asking.losses import Losses
from core.sources.mirroring.passes import MIN_LOSS
from core.sources.records import SourceRecord
from core.sources.source import By, SourceAway
from core.words import Validity
from tests.sources.crm import ANNA, BERT, WITH_PASSWORD, Crm, account, conflicts, logins, read
from tests.sources.live import Watched, live, section_of
from tests.support.processes import wait_until

VALID, INVALID = "valid", "invalid"
ADDRESS = "anna@muster.example"
PATIENCE = 20.0  # seconds for what answers


def of_address(sources: LiveSources, database: Database, address: str = ADDRESS) -> tuple[str, ...]:
    """Look an address up; return the sources that did not answer."""
    return sources.look_up(database, {By.ADDRESS: [address]}).away(By.ADDRESS, [address])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a second or so for a source that stalls, longer for the others: machines are busy.

    Once a source is away it is not tried again before the test ends.
    """
    monkeypatch.setattr(live_source, "SECONDS", 1.5)
    monkeypatch.setattr("core.sources.asking.live.SECONDS", PATIENCE)
    monkeypatch.setattr("core.sources.asking.live.FIRST_SECONDS", 1.5)
    monkeypatch.setattr(breaker, "FIRST_PAUSE", 600.0)


@pytest.fixture
def writes(sqlite_database: Database) -> list[str]:
    """Count the writing transactions."""
    begun: list[str] = []
    event.listen(sqlite_database.writer, "begin", lambda _connection: begun.append("begin"))
    return begun


class TestFreshness:
    """What the owner of a source changes counts with the next mail."""

    def test_a_new_account(self, database: Database, crm: Crm) -> None:
        crm.hold(ANNA)
        with live(section_of(crm)) as (sources, _watched):
            assert of_address(sources, database) == ()
        assert logins(database) == {"anna": ("crm", VALID)}

    @pytest.mark.parametrize(
        ("by", "value"),
        [(By.LOGIN, "ANNA"), (By.NUMBER, "k-1000"), (By.ADDRESS, "Anna@MUSTER.example")],
    )
    def test_whatever_the_case(
        self, sqlite_database: Database, crm: Crm, by: By, value: str
    ) -> None:
        crm.hold(ANNA)
        with live(section_of(crm)) as (sources, _watched):
            sources.look_up(sqlite_database, {by: [value]})
        assert logins(sqlite_database) == {"anna": ("crm", VALID)}

    def test_a_sharp_s_is_no_double_s(self, sqlite_database: Database, crm: Crm) -> None:
        crm.hold(ANNA | {"mail": "STRAßE@muster.example"}, BERT | {"mail": "b@muster.example"})
        with live(section_of(crm)) as (sources, _watched):
            assert of_address(sources, sqlite_database, "strasse@muster.example") == ()
            assert logins(sqlite_database) == {}
            assert of_address(sources, sqlite_database, "straße@muster.example") == ()
        assert logins(sqlite_database) == {"anna": ("crm", VALID)}

    def test_a_changed_address(self, database: Database, crm: Crm) -> None:
        crm.hold(ANNA)
        read(database, crm.section())
        crm.hold(ANNA | {"mail": "neu@muster.example"})
        with live(section_of(crm)) as (sources, _watched):
            of_address(sources, database, "neu@muster.example")
        addresses = [row.address for row in account(database, "anna").addresses]
        assert addresses == ["neu@muster.example"]

    def test_an_address_given_up(self, database: Database, crm: Crm) -> None:
        """Found by the old address, which the source does not know any more."""
        crm.hold(ANNA)
        read(database, crm.section())
        crm.hold(ANNA | {"mail": "neu@muster.example"})
        with live(section_of(crm)) as (sources, _watched):
            of_address(sources, database)
        assert account(database, "anna").email == "neu@muster.example"
        assert logins(database) == {"anna": ("crm", VALID)}

    def test_an_address_moved_to_another_account(self, database: Database, crm: Crm) -> None:
        crm.hold(ANNA, BERT)
        read(database, crm.section())
        crm.hold(ANNA | {"mail": "neu@muster.example"}, BERT | {"mail2": ADDRESS})
        with live(section_of(crm)) as (sources, _watched):
            of_address(sources, database)
        assert [row.address for row in account(database, "anna").addresses] == [
            "neu@muster.example"
        ]
        bert = account(database, "bert").addresses
        assert [(row.address, row.shared) for row in bert][1] == (ADDRESS, False)
        assert conflicts(database) == []

    def test_an_address_of_somebody_who_has_left_goes_to_a_successor(
        self, database: Database, crm: Crm
    ) -> None:
        crm.hold(ANNA)
        read(database, crm.section())
        crm.hold(BERT | {"mail": ADDRESS})
        with live(section_of(crm)) as (sources, _watched):
            of_address(sources, database)
        assert logins(database) == {"anna": ("crm", INVALID), "bert": ("crm", VALID)}
        assert [row.shared for row in account(database, "bert").addresses] == [False]

    @pytest.mark.parametrize("wanted", [{By.ADDRESS: [ADDRESS]}, {By.LOGIN: ["anna"]}])
    def test_who_is_gone(self, database: Database, crm: Crm, wanted: dict[By, list[str]]) -> None:
        crm.hold(ANNA, BERT)
        read(database, crm.section())
        crm.hold(BERT)
        with live(section_of(crm)) as (sources, _watched):
            sources.look_up(database, wanted)
        assert logins(database) == {"anna": ("crm", INVALID), "bert": ("crm", VALID)}
        anna = account(database, "anna")
        assert anna.invalid_reason == "Nicht mehr in der Kundenquelle."
        assert anna.source_gone_at is not None

    def test_an_empty_source_makes_nobody_invalid(
        self, sqlite_database: Database, crm: Crm
    ) -> None:
        crm.hold(ANNA)
        read(sqlite_database, crm.section())
        crm.hold()
        with live(section_of(crm)) as (sources, _watched):
            assert of_address(sources, sqlite_database) == ("crm",)
        assert logins(sqlite_database) == {"anna": ("crm", VALID)}

    def test_only_a_pass_believes_that_many_are_gone(
        self, sqlite_database: Database, crm: Crm
    ) -> None:
        """The table may be in the middle of being filled anew."""
        people = [ANNA | {"id": n, "login": f"a{n}", "mail": f"a{n}@x.example"} for n in range(30)]
        crm.hold(*people, BERT | {"id": 99})
        read(sqlite_database, crm.section())
        crm.hold(BERT | {"id": 99})
        with live(section_of(crm)) as (sources, _watched):
            for number in range(30):
                of_address(sources, sqlite_database, f"a{number}@x.example")
        left = [valid for _source, valid in logins(sqlite_database).values()]
        assert left.count(INVALID) == MIN_LOSS

    def test_who_returns(self, sqlite_database: Database, crm: Crm) -> None:
        crm.hold(ANNA, BERT)
        read(sqlite_database, crm.section())
        crm.hold(BERT)
        with live(section_of(crm)) as (sources, _watched):
            of_address(sources, sqlite_database)
            assert logins(sqlite_database)["anna"] == ("crm", INVALID)
            crm.hold(ANNA, BERT)
            of_address(sources, sqlite_database)
        assert logins(sqlite_database)["anna"] == ("crm", VALID)
        assert account(sqlite_database, "anna").source_gone_at is None

    def test_a_key_that_cannot_be_looked_up_makes_nobody_invalid(
        self, sqlite_database: Database, crm: Crm
    ) -> None:
        """A key with blanks around it, as in columns of fixed width, is read without them."""
        columns = crm.section().columns.model_dump() | {"key": "tel"}
        row = ANNA | {"tel": " 0228 "}
        crm.hold(row)
        section = section_of(crm, columns=columns)
        read(sqlite_database, section)
        crm.hold(row | {"mail": "neu@muster.example"})
        with live(section) as (sources, _watched):
            of_address(sources, sqlite_database)
            assert logins(sqlite_database) == {"anna": ("crm", VALID)}
            of_address(sources, sqlite_database, "neu@muster.example")
        assert account(sqlite_database, "anna").email == "neu@muster.example"

    @pytest.mark.parametrize("by", [By.KEY, By.LOGIN])
    def test_a_source_that_fails_half_way_makes_nobody_invalid(
        self, sqlite_database: Database, crm: Crm, by: By
    ) -> None:
        """It has told that nobody has the address, but not whether the account is there."""

        class Failing(Watched):
            def find(self, by_: By, values: Collection[str], limit: int) -> Sequence[SourceRecord]:
                if by_ is by:
                    raise SourceAway(self.name, "gone at this moment")
                return super().find(by_, values, limit)

        crm.hold(ANNA, BERT)
        read(sqlite_database, crm.section())
        crm.hold(BERT)
        section = section_of(crm, cache_seconds=60)
        failing = LiveSources([Failing(section)], [section])
        for _mail in range(2):  # and it is no answer to remember
            assert of_address(failing, sqlite_database) == ("crm",)
        failing.close()
        assert logins(sqlite_database) == {"anna": ("crm", VALID), "bert": ("crm", VALID)}

    @pytest.mark.parametrize("known", [True, False])
    def test_a_source_that_is_left_alone_half_way_has_not_answered(
        self, sqlite_database: Database, crm: Crm, monkeypatch: pytest.MonkeyPatch, known: bool
    ) -> None:
        """Others have found out that it is away: nobody is brought in, and nobody made invalid."""
        crm.hold(ANNA, BERT)
        if known:
            read(sqlite_database, crm.section())
            crm.hold(BERT)
        before = logins(sqlite_database)
        with live(section_of(crm, cache_seconds=60)) as (sources, _watched):
            permits = iter([Permit.ASK, Permit.LEAVE])
            with monkeypatch.context() as patched:
                patched.setattr(sources._each[0].breaker, "permit", lambda: next(permits))
                assert of_address(sources, sqlite_database) == ("crm",)
            assert logins(sqlite_database) == before
            assert of_address(sources, sqlite_database) == ()
            assert logins(sqlite_database)["anna"] == ("crm", INVALID if known else VALID)

    def test_two_records_with_one_key_do_not_take_turns(
        self, sqlite_database: Database, crm: Crm
    ) -> None:
        crm.hold(ANNA, BERT | {"id": 1})
        read(sqlite_database, crm.section())
        with live(section_of(crm)) as (sources, _watched):
            of_address(sources, sqlite_database, "bert@muster.example")
        assert account(sqlite_database, "anna").email == ADDRESS
        assert logins(sqlite_database) == {"anna": ("crm", VALID)}
        assert [each[:3] for each in conflicts(sqlite_database)] == [("crm", "1", "key")]

    def test_a_customer_keeps_its_name(self, sqlite_database: Database, crm: Crm) -> None:
        """Records that disagree do not take turns, and do not cost a transaction each time."""
        crm.hold(ANNA, BERT | {"firma": "Muster AG"})
        read(sqlite_database, crm.section())
        crm.hold(ANNA, BERT | {"firma": "Muster AG", "tel": "1"})
        with live(section_of(crm)) as (sources, _watched):
            of_address(sources, sqlite_database, "bert@muster.example")
        bert = account(sqlite_database, "bert")
        assert (bert.phone, bert.customer.name) == ("1", "Muster GmbH")

    def test_an_address_of_two_sources_is_shared(
        self, database: Database, crm: Crm, erp: Crm
    ) -> None:
        crm.hold(ANNA)
        erp.hold(BERT | {"mail": ADDRESS})
        with live(section_of(crm), section_of(erp, "erp")) as (sources, _watched):
            of_address(sources, database)
        assert [row.shared for row in account(database, "bert").addresses] == [True]

    def test_the_earlier_of_two_sources_has_a_login(
        self, sqlite_database: Database, crm: Crm, erp: Crm
    ) -> None:
        crm.hold(ANNA)
        erp.hold(ANNA | {"id": 7})
        with live(section_of(erp, "erp"), section_of(crm)) as (sources, _watched):
            of_address(sources, sqlite_database)
        assert logins(sqlite_database) == {"anna": ("erp", VALID)}
        assert [each[:3] for each in conflicts(sqlite_database)] == [("crm", "1", "login")]


def test_two_programs_bring_the_same_in(database: Database, crm: Crm) -> None:
    """At the same moment, as two gateways do: whoever comes second finds it there."""
    addresses = [f"a{number}@x.example" for number in range(8)]
    crm.hold(
        *(
            ANNA | {"id": number, "login": f"a{number}", "mail": address, "number": f"K-{number}"}
            for number, address in enumerate(addresses)
        )
    )
    section = section_of(crm)
    with live(section) as (one, _), live(section) as (other, _), ThreadPoolExecutor(8) as pool:
        for address in addresses:
            tries = [pool.submit(of_address, each, database, address) for each in (one, other) * 3]
            assert [each.result() for each in tries] == [()] * 6
    assert set(logins(database)) == {f"a{number}" for number in range(8)}


class TestCost:
    """What is not asked, and what is not written."""

    def test_each_kind_is_one_question(self, sqlite_database: Database, crm: Crm) -> None:
        crm.hold(*(ANNA | {"id": n, "login": f"a{n}", "mail": f"a{n}@x.example"} for n in range(9)))
        read(sqlite_database, crm.section())
        wanted = {By.ADDRESS: [f"a{n}@x.example" for n in range(64)], By.NUMBER: ["K-1", "K-2"]}
        with live(section_of(crm)) as (sources, (watched,)):
            sources.look_up(sqlite_database, wanted)
        assert [by for by, _values in watched.asked] == [By.ADDRESS, By.NUMBER]

    def test_an_unchanged_record_is_not_written(
        self, sqlite_database: Database, crm: Crm, writes: list[str]
    ) -> None:
        crm.hold(ANNA)
        with live(section_of(crm)) as (sources, _watched):
            of_address(sources, sqlite_database)
            writes.clear()
            of_address(sources, sqlite_database)
            of_address(sources, sqlite_database, "nobody@muster.example")
        assert writes == []

    def test_nor_is_one_that_is_kept_in_another_form(
        self, sqlite_database: Database, crm: Crm, writes: list[str]
    ) -> None:
        crm.hold(ANNA | {"mail": "Anna@MUSTER.example", "vorname": "Anna  Maria"})
        with live(section_of(crm)) as (sources, _watched):
            of_address(sources, sqlite_database)
            writes.clear()
            of_address(sources, sqlite_database)
        assert writes == []

    def test_what_is_brought_in_is_one_transaction(
        self, sqlite_database: Database, crm: Crm, writes: list[str]
    ) -> None:
        crm.hold(ANNA)
        with live(section_of(crm)) as (sources, _watched):
            of_address(sources, sqlite_database)
        assert len(writes) == 2  # the other is the note that the source has answered

    def test_a_refused_record_is_not_written_each_time(
        self, sqlite_database: Database, crm: Crm, writes: list[str]
    ) -> None:
        crm.hold(ANNA | {"number": ""})
        with live(section_of(crm)) as (sources, _watched):
            of_address(sources, sqlite_database)
            assert len(conflicts(sqlite_database)) == 1
            writes.clear()
            of_address(sources, sqlite_database)
            assert writes == []
            crm.hold(ANNA)
            of_address(sources, sqlite_database)
        assert logins(sqlite_database) == {"anna": ("crm", VALID)}

    @pytest.mark.parametrize(("seconds", "questions"), [(0, 2), (60, 1)])
    def test_what_was_asked_a_moment_ago(
        self, sqlite_database: Database, crm: Crm, seconds: int, questions: int
    ) -> None:
        with live(section_of(crm, cache_seconds=seconds)) as (sources, (watched,)):
            for _time in range(2):
                of_address(sources, sqlite_database)
            assert len(watched.asked) == questions
            sources.look_up(sqlite_database, {By.ADDRESS: [ADDRESS]}, fresh=True)
            assert len(watched.asked) == questions + 1

    def test_an_answer_is_remembered_for_its_seconds(
        self, sqlite_database: Database, crm: Crm
    ) -> None:
        at = 100.0
        with live(section_of(crm)) as (sources, (watched,)):
            sources._each[0].asked = Asked(1, lambda: at)
            of_address(sources, sqlite_database)
            crm.hold(ANNA)
            of_address(sources, sqlite_database)
            assert logins(sqlite_database) == {}
            at += 1.0
            of_address(sources, sqlite_database)
        assert logins(sqlite_database) == {"anna": ("crm", VALID)}
        assert len(watched.asked) == 3  # two by address, and one by the key of what is new

    def test_nonsense_is_not_asked(self, sqlite_database: Database, crm: Crm) -> None:
        nonsense = ["", "a\0b", "a\nb", "\ud800", "x" * 401]
        with live(section_of(crm)) as (sources, (watched,)):
            looked_up = sources.look_up(sqlite_database, {By.NUMBER: nonsense})
        assert looked_up.unanswered == {}
        assert watched.asked == []

    def test_many_with_one_number(self, sqlite_database: Database, crm: Crm) -> None:
        """Some of them are enough to know the customer; nobody is taken for gone."""
        rows = [ANNA | {"id": n, "login": f"a{n}", "mail": f"a{n}@x.example"} for n in range(300)]
        crm.hold(*rows, BERT | {"id": 300, "number": "K-2"})
        with live(section_of(crm)) as (sources, _watched):
            sources.look_up(sqlite_database, {By.NUMBER: ["K-1000", "K-2"]})
        found = logins(sqlite_database)
        assert len(found) == live_source.RECORDS_OF_NUMBER + 1
        assert found["bert"] == ("crm", VALID)

    def test_without_sources_nothing_happens(self, sqlite_database: Database) -> None:
        begun: list[object] = []
        event.listen(sqlite_database.reader, "begin", begun.append)
        sources = LiveSources([], [])
        assert sources.look_up(sqlite_database, {By.ADDRESS: [ADDRESS]}).unanswered == {}
        assert begun == []


@pytest.mark.usefixtures("quick")
class TestOutage:
    """A source that is away: the answer comes in time, and nobody waits for it again and again."""

    def test_a_stalled_source(self, sqlite_database: Database, crm: Crm, erp: Crm) -> None:
        crm.hold(ANNA)
        erp.hold(BERT)
        with live(section_of(crm), section_of(erp, "erp")) as (sources, (first, _second)):
            first.stall()
            assert of_address(sources, sqlite_database, "bert@muster.example") == ("crm",)
            assert logins(sqlite_database) == {"bert": ("erp", VALID)}
            assert of_address(sources, sqlite_database) == ("crm",)
            for _mail in range(50):
                assert of_address(sources, sqlite_database) == ("crm",)
            assert list(sources.away()) == ["crm"]
            assert len(first.asked) == FAILURES  # and not once more

    def test_it_comes_back(
        self, sqlite_database: Database, crm: Crm, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(live_source, "TRY_SECONDS", PATIENCE)
        at = 100.0
        crm.hold(ANNA)
        with live(section_of(crm)) as (sources, (watched,)):
            sources._each[0].breaker = Breaker(lambda: at)
            watched.stall()
            for _mail in range(FAILURES):
                of_address(sources, sqlite_database)
            with sqlite_database.read() as session:
                state = session.get_one(SourceState, "crm")
            assert state.last_error == "Sie hat nicht rechtzeitig geantwortet."
            watched.go_on()
            assert of_address(sources, sqlite_database) == ("crm",)
            at += breaker.FIRST_PAUSE  # until the breaker lets a question through
            assert of_address(sources, sqlite_database) == ()
            assert sources.away() == {}
        assert logins(sqlite_database) == {"anna": ("crm", VALID)}
        with sqlite_database.read() as session:
            state = session.get_one(SourceState, "crm")
        assert (state.last_error, state.last_error_at) == ("", None)
        assert state.last_contact_at is not None

    def test_threads_that_hang_are_few(
        self, sqlite_database: Database, crm: Crm, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(live_source, "TRY_SECONDS", 0.1)
        monkeypatch.setattr(breaker, "FIRST_PAUSE", 0.0)
        monkeypatch.setattr(breaker, "LONGEST_PAUSE", 0.0)
        with live(section_of(crm)) as (sources, (watched,)):
            sources._each[0].breaker = Breaker()
            watched.stall()
            for _mail in range(8):
                of_address(sources, sqlite_database)
            wait_until(lambda: len(watched.asked) >= THREADS, "questions")
            assert len(watched.asked) == THREADS

    def test_what_is_remembered_needs_no_source(self, sqlite_database: Database, crm: Crm) -> None:
        with live(section_of(crm, cache_seconds=60)) as (sources, (watched,)):
            of_address(sources, sqlite_database)
            watched.stall()
            assert of_address(sources, sqlite_database) == ()
            assert of_address(sources, sqlite_database, "other@x.example") == ("crm",)

    def test_a_source_that_is_gone(
        self, sqlite_database: Database, crm: Crm, tmp_path: Path
    ) -> None:
        crm.hold(ANNA)
        with live(section_of(crm)) as (sources, _watched):
            (tmp_path / "crm.db").rename(tmp_path / "gone.db")
            assert of_address(sources, sqlite_database) == ("crm",)
        with sqlite_database.read() as session:
            assert "unable to open" in session.get_one(SourceState, "crm").last_error

    def test_an_error_of_any_kind(self, sqlite_database: Database, crm: Crm) -> None:
        class Broken(Watched):
            def find(self, by: By, values: Collection[str], limit: int) -> Sequence[SourceRecord]:
                raise RuntimeError("secret")

        section = section_of(crm)
        sources = LiveSources([Broken(section)], [section])
        assert of_address(sources, sqlite_database) == ("crm",)
        sources.close()
        with sqlite_database.read() as session:
            assert session.get_one(SourceState, "crm").last_error == "RuntimeError"

    def test_a_text_that_a_source_cannot_take_is_no_outage(
        self, sqlite_database: Database, crm: Crm
    ) -> None:
        class Latin(Watched):
            def find(self, by: By, values: Collection[str], limit: int) -> Sequence[SourceRecord]:
                if not all(value.isascii() for value in values):
                    raise SourceAway(self.name, "no equivalent in encoding LATIN1")
                return super().find(by, values, limit)

        crm.hold(ANNA)
        section = section_of(crm)
        sources = LiveSources([Latin(section)], [section])
        for _mail in range(3):
            wanted = {By.ADDRESS: [ADDRESS], By.NUMBER: ["К-1000"]}
            looked_up = sources.look_up(sqlite_database, wanted)
            assert looked_up.away(By.ADDRESS, [ADDRESS]) == ()
            assert looked_up.away(By.NUMBER, ["К-1000"]) == ("crm",)
        assert sources.away() == {}
        sources.close()

    def test_records_that_cannot_be_brought_in(
        self, sqlite_database: Database, crm: Crm, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever they are of is not known then, so the source has not answered."""
        crm.hold(ANNA)
        monkeypatch.setattr("core.sources.mirroring.mirror.Mirror.bring", lambda *_: 1 / 0)
        with live(section_of(crm)) as (sources, _watched):
            assert of_address(sources, sqlite_database) == ("crm",)
            monkeypatch.undo()
            assert of_address(sources, sqlite_database) == ()
        assert account(sqlite_database, "anna").valid is Validity.VALID

    def test_passwords_do_not_wait_either(
        self, sqlite_database: Database, crm: Crm, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        crm.hold(ANNA)
        crm.give_passwords()
        with live(section_of(crm, **WITH_PASSWORD)) as (sources, (watched,)):
            with monkeypatch.context() as patient:
                patient.setattr(live_source, "SECONDS", PATIENCE)
                assert not sources.check_password("crm", "1", "wrong")
            watched.stall()
            for _time in range(FAILURES):
                with pytest.raises(SourceAway):
                    sources.check_password("crm", "1", "wrong")
            with pytest.raises(SourceAway) as away:
                sources.check_password("crm", "1", "wrong")
            assert away.value.reason == NOT_ASKED
            with pytest.raises(SourceAway, match="not configured"):
                sources.check_password("erp", "1", "wrong")


def test_losses_are_forgotten_after_an_hour() -> None:
    at = 0.0
    losses = Losses(lambda: at)
    assert losses.allow(MIN_LOSS)
    assert not losses.allow(1)
    at = 3600.0
    assert losses.allow(1)
    assert not losses.allow(MIN_LOSS)


class TestBreaker:
    """The memory of failures, by a clock of our own."""

    @pytest.fixture(autouse=True)
    def _clock(self) -> None:
        self.at = 100.0
        self.breaker = Breaker(lambda: self.at)

    def fail(self, times: int = 1, permit: Permit = Permit.ASK) -> None:
        for _time in range(times):
            self.breaker.failed(permit, "down")

    def test_one_failure_is_none(self) -> None:
        self.fail()
        assert (self.breaker.permit(), self.breaker.away) == (Permit.ASK, None)
        self.breaker.answered()
        self.fail()
        assert self.breaker.permit() is Permit.ASK

    def test_tried_after_pauses_that_grow(self) -> None:
        self.fail(FAILURES)
        tried = []
        for second in range(1, 300):
            self.at = 100.0 + second
            if self.breaker.permit() is Permit.TRY:
                tried.append(second)
                self.fail(permit=Permit.TRY)
        assert tried == [10, 30, 70, 130, 190, 250]
        self.breaker.answered()
        assert self.breaker.permit() is Permit.ASK
        self.fail(FAILURES)
        self.at += 10
        assert self.breaker.permit() is Permit.TRY

    def test_a_try_that_nobody_hears_of_is_not_the_last(self) -> None:
        self.fail(FAILURES)
        self.at += 10
        assert self.breaker.permit() is Permit.TRY
        assert self.breaker.permit() is Permit.LEAVE
        self.at += 10
        assert self.breaker.permit() is Permit.TRY

    def test_failures_of_many_at_once_count_as_one(self) -> None:
        self.fail(10)
        self.at += 10
        assert self.breaker.permit() is Permit.TRY

    def test_what_fails_later_puts_no_try_off(self) -> None:
        self.fail(FAILURES)
        self.at += 9
        self.fail()  # asked before it was away
        self.at += 1
        assert self.breaker.permit() is Permit.TRY

    def test_since_when(self) -> None:
        self.fail(FAILURES)
        away = self.breaker.away
        assert away is not None
        self.fail(permit=Permit.TRY)
        assert self.breaker.away is not None
        assert (self.breaker.away.since, away.reason) == (away.since, "down")

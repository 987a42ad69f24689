"""Every kind of source asked while mail waits: what has changed there counts at once."""

from collections.abc import Iterator

import pytest

from core.config import LdapSourceSection
from core.config.sources import SourceAttributes
from core.db import Database
from core.models import CustomerUserGroup
from core.sources.asking.breaker import FAILURES
from core.sources.asking.live import LiveSources
from core.sources.configured import make_source
from core.sources.kinds.ldap import LdapSource
from core.sources.source import By
from core.words import Permission
from tests.intake.firm import a_firm
from tests.sources.crm import ANNA, BERT, Crm, account, logins
from tests.sources.live import section_of
from tests.support.slapd import PEOPLE, Slapd, group, group_dn, person, person_dn, run_slapd

GONE, THERE = "invalid", "valid"
SARA, TIMO, TECHS = person_dn("sara"), person_dn("timo"), group_dn("techs")


def of_address(sources: LiveSources, database: Database, address: str) -> tuple[str, ...]:
    """Look an address up; return the sources that did not answer."""
    return sources.look_up(database, {By.ADDRESS: [address]}).away(By.ADDRESS, [address])


def test_a_database_of_each_system(sqlite_database: Database, any_crm: Crm) -> None:
    section = section_of(any_crm)
    sources = LiveSources([make_source(section)], [section])
    any_crm.hold(ANNA, BERT)
    assert of_address(sources, sqlite_database, "Anna@MUSTER.example") == ()
    assert logins(sqlite_database) == {"anna": ("crm", THERE)}
    any_crm.hold(ANNA | {"mail": "neu@muster.example"}, BERT | {"mail2": "anna@muster.example"})
    assert of_address(sources, sqlite_database, "anna@muster.example") == ()
    assert account(sqlite_database, "anna").email == "neu@muster.example"
    assert [row.shared for row in account(sqlite_database, "bert").addresses] == [False, False]
    any_crm.hold(BERT)
    assert of_address(sources, sqlite_database, "neu@muster.example") == ()
    assert logins(sqlite_database) == {"anna": ("crm", GONE), "bert": ("crm", THERE)}
    sources.look_up(sqlite_database, {By.NUMBER: ["Ж-1"], By.LOGIN: ["ä" * 300]})
    assert sources.away() == {}
    sources.close()


class TestDirectory:
    """The same of a real slapd."""

    @pytest.fixture
    def directory(self) -> Iterator[Slapd]:
        entries = {
            SARA: person("sara", "sara@muster.example", "secret", first="Sara", last="Sommer"),
            TECHS: group(SARA),
        }
        with run_slapd(entries) as slapd:
            yield slapd

    @pytest.fixture
    def sources(self, sqlite_database: Database, directory: Slapd) -> Iterator[LiveSources]:
        a_firm(sqlite_database)
        sqlite_database.managed_groups = {"firm": frozenset({"technik"})}
        section = LdapSourceSection(
            name="firm",
            kind="ldap",
            servers=[directory.server],
            ca_file=str(directory.ca_file),
            bind_dn=directory.bind_dn,
            password_file=str(directory.password_file),
            base=PEOPLE,
            filter="(objectClass=inetOrgPerson)",
            attributes=SourceAttributes(),
            customer_number="K-1000",
            groups={TECHS: {"technik": Permission.RW}},
            cache_seconds=0,
        )
        made = LiveSources([make_source(section)], [section])
        yield made
        made.close()

    def test_whoever_is_new_has_changed_or_has_left(
        self, sqlite_database: Database, directory: Slapd, sources: LiveSources
    ) -> None:
        assert of_address(sources, sqlite_database, "sara@muster.example") == ()
        sara = account(sqlite_database, "sara")
        assert (sara.source, sara.first_name) == ("firm", "Sara")

        directory.add(
            {TIMO: person("timo", "timo@muster.example", "secret", first="Timo", last="Tann")}
        )
        sources.look_up(sqlite_database, {By.LOGIN: ["TIMO"]})
        assert account(sqlite_database, "timo").source == "firm"

        directory.modify(SARA, {"mail": "s.sommer@muster.example"})
        assert of_address(sources, sqlite_database, "sara@muster.example") == ()
        assert account(sqlite_database, "sara").email == "s.sommer@muster.example"

        directory.delete(SARA)
        assert of_address(sources, sqlite_database, "s.sommer@muster.example") == ()
        with sqlite_database.read() as session:
            assert session.get_one(type(sara), sara.id).valid.value == GONE

    def test_a_paused_one_is_not_waited_for(
        self,
        sqlite_database: Database,
        directory: Slapd,
        sources: LiveSources,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        assert of_address(sources, sqlite_database, "sara@muster.example") == ()
        directory.pause()  # for good, so whatever comes back was not waiting for it
        for _mail in range(FAILURES):
            assert of_address(sources, sqlite_database, "timo@muster.example") == ("firm",)
        asked: list[object] = []
        monkeypatch.setattr(LdapSource, "find", lambda *question: asked.append(question))
        assert of_address(sources, sqlite_database, "timo@muster.example") == ("firm",)
        assert asked == []

    def test_groups_follow_too(
        self, sqlite_database: Database, directory: Slapd, sources: LiveSources
    ) -> None:
        def permissions() -> list[str]:
            with sqlite_database.read() as session:
                sara = account(sqlite_database, "sara")
                rows = session.query(CustomerUserGroup).filter_by(customer_user_id=sara.id)
                return [row.permission.value for row in rows]

        of_address(sources, sqlite_database, "sara@muster.example")
        before = permissions()
        directory.modify(TECHS, {"member": TIMO})
        of_address(sources, sqlite_database, "sara@muster.example")
        assert (before, permissions()) == (["rw"], [])

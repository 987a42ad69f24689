"""A directory with very many entries: read whole, read again, searched. Results, not times.

``tests.bench.sources`` measures the same with 100,000.
"""

import resource
from collections.abc import Iterator

import pytest
from sqlalchemy import func, select

from core.accounts.lists import CustomerUserFilter, find_customer_users
from core.db import Database
from core.models import Customer, CustomerUser, RecordConflict
from core.sources.kinds.ldap import LdapSource
from core.sources.mirroring.passes import COMPARED_AT_ONCE, read_all
from tests.bench.sources import MAP, PER_CUSTOMER, entries_of
from tests.sources.counting import Statements
from tests.sources.firm import section_of
from tests.support.slapd import Slapd, person_dn, run_slapd

ENTRIES = 60_000
MAX_MEMORY = 200  # MiB that two passes may need

pytestmark = pytest.mark.slow


@pytest.fixture
def many() -> Iterator[Slapd]:
    """The directory."""
    with run_slapd(entries_of(ENTRIES), member_of=False) as slapd:
        yield slapd


def test_it_is_read_and_searched(sqlite_database: Database, many: Slapd) -> None:
    source = LdapSource(section_of(many, attributes=MAP), many.password)
    before = _peak_mib()
    with Statements(sqlite_database) as first:
        tally = read_all(sqlite_database, source, [source.name], source.all_records())
    assert (tally.new, tally.refused, tally.conflicts) == (ENTRIES, 0, 0)
    assert len(first.sent) < ENTRIES / 4
    with sqlite_database.read() as session:
        assert session.scalar(select(func.count(CustomerUser.id))) == ENTRIES
        assert session.scalar(select(func.count(Customer.id))) == ENTRIES / PER_CUSTOMER

    many.modify(person_dn("p4444"), {"sn": "Zander", "telephoneNumber": "0228 12"})
    many.delete(person_dn("p3"))
    with Statements(sqlite_database) as again:
        tally = read_all(sqlite_database, source, [source.name], source.all_records())
    source.close()
    assert (tally.new, tally.changed, tally.vanished) == (0, 1, 1)
    assert tally.unchanged == ENTRIES - 2
    assert again.writes == 4  # who has changed, who is gone, that it was begun and ended
    assert len(again.sent) < 5 * ENTRIES / COMPARED_AT_ONCE + 50
    assert _peak_mib() - before < MAX_MEMORY
    with sqlite_database.read() as session:
        assert session.scalar(select(func.count(RecordConflict.id))) == 0

    # Each key press reads the table once, and finds what there is in the order of names.
    expected = [
        ("zander", 1, ["p4444"]),
        ("p444", sum("p444" in f"p{number}" for number in range(ENTRIES)), None),
        ("bert vogel p4261@", 1, ["p4261"]),
        ("bert müller p4261@", 0, []),
        ("p4711@firm.example", 1, ["p4711"]),
        ("nobody", 0, []),
    ]
    for query, count, logins in expected:
        with sqlite_database.read() as session, Statements(sqlite_database) as search:
            page = find_customer_users(session, CustomerUserFilter(query=query))
        assert page.count == count, query
        assert len([each for each in search.sent if "LIKE" in each]) == 1
        assert len(search.sent) <= 4
        found = [each.login for each in page.items]
        assert len(found) == min(count, 25)
        assert logins in (None, found)
        assert [each.sort_key for each in page.items] == sorted(e.sort_key for e in page.items)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

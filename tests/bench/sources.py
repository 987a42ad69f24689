"""The bars of customer sources: a directory with 100,000 entries, read whole, and searched.

What a pass costs is told as a ratio to only reading the directory, which takes the same time on
the same machine whatever we do with the entries.
"""

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import median, quantiles
from typing import TypeVar

import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import Connection

from core.accounts.lists import CustomerUserFilter, count_customer_users, find_customer_users
from core.db import Database
from core.migrate import upgrade
from core.sources.kinds.ldap import LdapSource
from core.sources.mirroring.passes import read_all
from core.sources.mirroring.verdicts import Tally
from tests.bench.organisation import sqlite_folder
from tests.bench.report import Bar, at_most, not_measured
from tests.sources.firm import section_of
from tests.support.postgresql import run_postgresql
from tests.support.slapd import (
    Attributes,
    Entries,
    person,
    person_dn,
    run_slapd,
)

T = TypeVar("T")

MAP = {"customer_number": "customerNumber", "phone": "telephoneNumber", "city": "l"}
PER_CUSTOMER = 20
ROUNDS = 5
FIRST = ("Anna", "Bert", "Jörg", "Erika", "Max", "Sören", "Käthe", "Uwe", "Jürgen", "Monika")
LAST = ("Müller", "Schmidt", "Weber", "Meyer", "Groß", "Jäger", "Vogel", "Weiß", "Koch", "Łukasz")
# As somebody types: much is found, some, one, nothing.
TYPED = ("m", "mü", "müll", "müller", "müller jö", "p4711", "p4711@firm.ex", "k-42", "nobody")


def entries_of(count: int) -> Entries:
    """Return so many people, twenty with each Kunden#."""
    return {person_dn(f"p{number}"): _person(number) for number in range(count)}


def _person(number: int) -> Attributes:
    last = LAST[number // 10 % 10]
    return {
        **person(f"p{number}", f"p{number}@firm.example", first=FIRST[number % 10], last=last),
        "customerNumber": f"K-{number // PER_CUSTOMER}",
        "telephoneNumber": "0228 4711",
        "l": "Bonn",
    }


def measure(count: int) -> Iterator[Bar]:
    """Measure with so many entries."""
    with ExitStack() as stack:
        url, _folder = stack.enter_context(sqlite_folder())
        database = Database(url)
        stack.callback(database.dispose)
        try:
            slapd = stack.enter_context(run_slapd(entries_of(count)))
        except pytest.skip.Exception as missing:
            yield not_measured("customer sources", str(missing))
            return
        source = LdapSource(section_of(slapd, attributes=MAP), slapd.password)
        stack.callback(source.close)
        size = f"{count:,} entries"
        reading, read = _timed(lambda: sum(1 for _record in source.all_records()))
        assert read == count
        before = _peak_mib()
        with _longest_write(database) as writes:
            first, tally = _timed(lambda: _pass(database, source))
        assert tally.new == count
        yield at_most(f"first pass / reading, {size}", first / reading, 6, f"{first:.0f} s")
        longest = quantiles(writes, n=20)[-1] * 1000
        yield at_most("19 of 20 transactions of it are done in", longest, 300, unit=" ms")
        with _longest_write(database) as writes:
            again, tally = _timed(lambda: _pass(database, source))
        assert tally.unchanged == count
        yield at_most(f"unchanged pass / reading, {size}", again / reading, 1.5, f"{again:.0f} s")
        yield at_most("transactions that write of it", len(writes), 1)
        yield at_most("memory for both", _peak_mib() - before, 150, unit=" MiB")
        yield _search("SQLite", database, size)
        server = stack.enter_context(run_postgresql())
        other = Database(server.url(server.create()))
        stack.callback(other.dispose)
        upgrade(other)
        _pass(other, source)
        with other.writer.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(
                text("VACUUM ANALYZE")
            )
        yield _search("PostgreSQL", other, size)


def _pass(database: Database, source: LdapSource) -> Tally:
    return read_all(database, source, [source.name], source.all_records())


def _search(system: str, database: Database, size: str) -> Bar:
    """Return the line for the slowest key press: a page of what is found, and how many that are."""
    times = {}
    for typed in TYPED:
        wanted = CustomerUserFilter(query=typed)
        seconds = []
        for _round in range(ROUNDS):
            with database.read() as session:
                started = time.perf_counter()
                page = find_customer_users(session, wanted)
                page.count_or(lambda: count_customer_users(session, wanted))  # noqa: B023 - asked for at once, within the same round
                seconds.append(time.perf_counter() - started)
        times[typed] = median(seconds) * 1000
    slowest = max(times, key=lambda typed: times[typed])
    what = f"search as you type, {system}, {size}"
    return at_most(what, times[slowest], 100, f"{slowest!r}", " ms")


@contextmanager
def _longest_write(database: Database) -> Iterator[list[float]]:
    """Gather the seconds that each writing transaction takes; nobody else writes."""
    begun: list[float] = []
    seconds: list[float] = []

    def begin(_connection: Connection) -> None:
        begun.append(time.perf_counter())

    def end(_connection: Connection) -> None:
        seconds.append(time.perf_counter() - begun[-1])

    event.listen(database.writer, "begin", begin)
    event.listen(database.writer, "commit", end)
    try:
        yield seconds
    finally:
        event.remove(database.writer, "begin", begin)
        event.remove(database.writer, "commit", end)


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

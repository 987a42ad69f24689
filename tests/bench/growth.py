"""The bar of growth: what a million tickets cost that ten thousand did not.

The tickets are written past the pipeline, straight into the tables, because taking in a million
mails would measure patience. What is measured goes through the same functions as the pages do.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from statistics import median

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from core.accounts.lists import CustomerUserFilter, find_customer_users
from core.accounts.permissions import customer_user_access
from core.accounts.staff import staff_queue_ids
from core.db import Database
from core.models import CustomerUser, Staff
from core.organisation import load_organisation
from core.tickets.lists import StaffFilter, StateFilter, customer_tickets, staff_tickets
from tests.bench.organisation import AGENT, CUSTOMER, sqlite_folder
from tests.bench.report import Bar, at_least, at_most
from tests.bench.servers import program, send_load

SMALL = 10_000
MAILS = 2_000
ACCOUNTS = 20_000
ROUNDS = 15

# One statement a table. Every hundredth ticket speaks of a paper jam, spread over all of them.
_TEXT = (
    "'Guten Tag, Anfrage Nummer ' || n || ': der Drucker im Stockwerk ' || (n % 37) || ' druckt "
    "nicht mehr' || CASE n % 100 WHEN 0 THEN ', Papierstau ' || n ELSE '' END"
)
_NUMBERS = (
    "WITH RECURSIVE numbers (n) AS (SELECT :first UNION ALL SELECT n + 1 FROM numbers "
    "WHERE n < :last) "
)
_FILL = (
    "INSERT INTO tickets (id, public_id, queue_id, customer_id, customer_user_id, requester, "
    "subject, state, priority, created_at, changed_at, version) " + _NUMBERS + "SELECT n, "
    "printf('%026d', n), 1, 1, 1 + n % 200, 'user' || (n % 200) || '@customer.example', "
    "'Anfrage ' || n, CASE n % 20 WHEN 0 THEN 'open' ELSE 'closed' END, 'normal', "
    "datetime('2020-01-01', '+' || n || ' minutes') || '.000000', "
    "datetime('2020-01-01', '+' || n || ' minutes') || '.000000', 1 FROM numbers",
    "INSERT INTO articles (id, ticket_id, author, from_address, from_name, subject, text, "
    "has_html, visible, created_at) " + _NUMBERS + "SELECT n, n, 'customer', "
    f"'user' || (n % 200) || '@customer.example', '', 'Anfrage ' || n, {_TEXT}, 0, 1, "
    "datetime('2020-01-01', '+' || n || ' minutes') || '.000000' FROM numbers",
    "INSERT INTO article_search (rowid, subject, body) SELECT id, lower(subject), lower(text) "
    "FROM articles WHERE id BETWEEN :first AND :last",
)
_ACCOUNTS = (
    "INSERT INTO customer_users (id, login, login_key, customer_id, title, first_name, last_name, "
    "phone, mobile, street, postcode, city, country, comment, valid, invalid_reason, "
    "sees_customer_tickets, language, theme, time_zone, tickets_per_page, notices, search_text, "
    "sort_key, created_at, changed_at, version) " + _NUMBERS + "SELECT n, 'konto' || n, "
    "'konto' || n, 1, '', 'Jörg', 'Weiß-' || n, '', '', '', '', '', '', '', 'valid', '', 0, '', "
    "'auto', '', 25, 1, 'konto' || n || char(10) || 'jorg' || char(10) || 'weiss-' || n, "
    "'weiss-' || n || ' jorg', '2020-01-01 00:00:00.000000', '2020-01-01 00:00:00.000000', 1 "
    "FROM numbers"
)


def measure(large: int) -> Iterator[Bar]:
    """Measure the same work with ten thousand tickets and with ``large``."""
    with ExitStack() as stack:
        url, folder = stack.enter_context(sqlite_folder())
        database = Database(url)
        stack.callback(database.dispose)
        with database.write() as session:
            session.execute(text(_ACCOUNTS), {"first": 1_001, "last": 1_000 + ACCOUNTS})
        numbers = count(1, MAILS)

        def rate() -> float:
            with program("gateway", url, folder) as gateway:
                runs = [send_load(gateway.port, 50, MAILS, "small", next(numbers)) for _ in "123"]
            return float(median(run["rate"] for run in runs[1:]))

        _fill(database, SMALL)
        rates, times = [rate()], [_times(database)]
        _fill(database, large)
        rates.append(rate())
        times.append(_times(database))
    size = f"{large:,} tickets / {SMALL:,}"
    yield at_least(f"intake rate, {size}", rates[1] / rates[0], 0.8, f"{rates[1]:.0f}/s")
    for what, small in times[0].items():
        big = times[1][what]
        yield at_most(f"{what}, {size}", big / small, 1.2, f"{big:.2f} ms")


def _fill(database: Database, upto: int) -> None:
    with database.write() as session:
        first = session.execute(text("SELECT coalesce(max(id), 0) + 1 FROM articles")).scalar_one()
        for statement in _FILL:
            session.execute(text(statement), {"first": first, "last": upto})
    with database.write() as session:
        session.execute(text("ANALYZE"))


def _times(database: Database) -> dict[str, float]:
    """Return the median time of each kind of look-up, in milliseconds."""
    with database.read() as session:
        organisation = load_organisation(session)
        customer = session.scalars(
            select(CustomerUser).where(CustomerUser.login_key == CUSTOMER)
        ).one()
        access = customer_user_access(session, organisation, customer)
        agent = session.scalars(select(Staff).where(Staff.login_key == AGENT)).one()
        queues = staff_queue_ids(session, organisation, agent)
    look_ups: dict[str, Callable[[Session], object]] = {
        "customer's ticket list": lambda session: customer_tickets(session, access),
        "staff's ticket list": lambda session: staff_tickets(session, queues, StaffFilter()),
        "customer search": lambda session: find_customer_users(
            session, CustomerUserFilter(query="weiß-190")
        ),
        "full-text search, a rare word": lambda session: staff_tickets(
            session, queues, StaffFilter(state=StateFilter.ALL, query="Papierstau")
        ),
        "full-text search, a word in every mail": lambda session: staff_tickets(
            session, queues, StaffFilter(state=StateFilter.ALL, query="Drucker")
        ),
    }
    return {what: _median_ms(database, look_up) for what, look_up in look_ups.items()}


def _median_ms(database: Database, look_up: Callable[[Session], object]) -> float:
    seconds = []
    for _round in range(ROUNDS):
        with database.read() as session:
            started = time.perf_counter()
            look_up(session)
            seconds.append(time.perf_counter() - started)
    return median(seconds[2:]) * 1000

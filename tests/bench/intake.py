"""The bars of intake: rate and latency against a bare server, Postfix, and two gateways."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from statistics import median

from tests.bench.organisation import fill, sqlite_folder
from tests.bench.report import Bar, at_least, at_most, not_measured
from tests.bench.servers import (
    Server,
    postfix_to_discard,
    program,
    send_load,
    yardstick,
)
from tests.support.postgresql import run_postgresql

CONNECTIONS = 50
Figures = list[dict[str, float]]


def measure(rounds: int, mails: int) -> Iterator[Bar]:
    """Measure against the bare server and Postfix, in turn, so that a slow minute hits all."""
    numbers = count(1, mails)
    with ExitStack() as stack:
        url, folder = stack.enter_context(sqlite_folder())
        servers: dict[str, Server | None] = {
            "ours": stack.enter_context(program("gateway", url, folder)),
            "bare": stack.enter_context(yardstick("bare_smtp")),
            "postfix": stack.enter_context(postfix_to_discard()),
        }
        running = {name: server for name, server in servers.items() if server is not None}
        for kind in ("small", "mixed"):
            figures = _in_turn(running, CONNECTIONS, mails, kind, rounds, numbers)
            note = _rates(figures)
            yield at_least(
                f"intake, SQLite, {CONNECTIONS} connections, {kind} mails / bare server",
                _ratio(figures["ours"], figures["bare"], "rate"),
                0.5,
                note,
            )
            against = f"intake, SQLite, {CONNECTIONS} connections, {kind} mails / Postfix"
            if "postfix" in figures:
                yield at_least(against, _ratio(figures["ours"], figures["postfix"], "rate"), 1.0)
            else:
                yield not_measured(against, "no Postfix could be started here")
        both = {name: running[name] for name in ("ours", "bare")}
        figures = _in_turn(both, 1, max(200, mails // 10), "small", rounds, numbers)
        yield at_most(
            "intake, SQLite, one connection, median latency / bare server",
            _ratio(figures["ours"], figures["bare"], "median_ms"),
            2.5,
            f"{_median(figures['ours'], 'median_ms'):.2f} ms",
        )


def measure_two_gateways(rounds: int, mails: int) -> Iterator[Bar]:
    """Measure one gateway on PostgreSQL and two that share the database and the connections."""
    numbers = count(1, mails)
    with ExitStack() as stack:
        server = stack.enter_context(run_postgresql(durable=True))
        url = server.url(server.create())
        fill(url)
        _sqlite, folder = stack.enter_context(sqlite_folder())
        first = stack.enter_context(program("gateway", url, folder))
        second = stack.enter_context(program("gateway", url, folder))
        ratios = []
        for _round in range(rounds):
            alone = send_load(first.port, CONNECTIONS, mails, "small", next(numbers))["rate"]
            ratios.append(_together((first, second), mails, numbers) / alone)
        yield at_least("two gateways on PostgreSQL / one", median(ratios), 1.5, "2 KB mails")


def _together(servers: tuple[Server, Server], mails: int, numbers: Iterator[int]) -> float:
    """Return the rate of both at once, half of the connections and mails each."""

    with ThreadPoolExecutor(2) as pool:
        loads = [
            pool.submit(
                send_load, server.port, CONNECTIONS // 2, mails // 2, "small", next(numbers)
            )
            for server in servers
        ]
        return float(sum(load.result()["rate"] for load in loads))


def _in_turn(
    servers: Mapping[str, Server],
    connections: int,
    mails: int,
    kind: str,
    rounds: int,
    numbers: Iterator[int],
) -> dict[str, Figures]:
    figures: dict[str, Figures] = {name: [] for name in servers}
    for number in range(rounds + 1):
        for name, server in servers.items():
            found = send_load(server.port, connections, mails, kind, next(numbers))
            if number:  # the first round warms up
                figures[name].append(found)
    return figures


def _ratio(one: Figures, other: Figures, key: str) -> float:
    return median(a[key] / b[key] for a, b in zip(one, other, strict=True))


def _median(figures: Figures, key: str) -> float:
    return median(each[key] for each in figures)


def _rates(figures: Mapping[str, Figures]) -> str:
    return ", ".join(f"{name} {_median(each, 'rate'):.0f}/s" for name, each in figures.items())

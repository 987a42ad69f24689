"""Every cap on time and connections, each made small enough to be reached in a test."""

import ipaddress
import socket
import time
from contextlib import ExitStack, suppress

import pytest

from gateway.connections import LOCAL, Client, Connections
from gateway.limits import Limits
from gateway.session import Session
from tests.gateway.conftest import Run
from tests.gateway.running import DATA, ENVELOPE, HELLO, MESSAGE, Running
from tests.gateway.transcripts import Conversation, conversation
from tests.support.processes import wait_until

TIMEOUT = "S: 421 4.4.2 Timeout, closing the connection\nS: (closed)"
TOO_MANY = "S: 421 4.7.0 Too many connections, try again later\nS: (closed)"
RELAY = ["127.0.0.0/8"]


def test_a_silent_client_is_cut(run: Run) -> None:
    gateway = run(limits=Limits(command_seconds=0.2))
    gateway.play(f"S: 220 *\n{TIMEOUT}")


def test_a_command_that_drips_in_is_cut(run: Run) -> None:
    gateway = run(limits=Limits(command_seconds=0.5))
    with gateway.client() as client:
        assert is_cut(client, b"NOOP " + b"x" * 500)
        client.play(TIMEOUT)


def test_a_busy_client_is_cut_when_its_session_is_over(run: Run) -> None:
    """Threat P7: NOOP keeps no session for ever, nor do messages."""
    gateway = run(limits=Limits(session_seconds=2.0, idle_commands=1_000_000))
    with gateway.client() as client:
        for _command in range(600):  # half a minute
            if client.line_after(b"NOOP\r\n") != "250 2.0.0 OK":
                break
            time.sleep(0.05)  # a client that is busy, not one that floods
        else:
            pytest.fail("it goes on for ever")


def test_a_relay_may_stay_longer(run: Run) -> None:
    gateway = run(
        limits=Limits(session_seconds=0.2, relay_session_seconds=60), trusted_relays=RELAY
    )
    with gateway.client() as client:
        time.sleep(0.5)  # more than a stranger's session has
        client.play("C: NOOP\nS: 250 2.0.0 OK")


def test_data_that_drips_in_is_cut(run: Run) -> None:
    """Threat P7: each byte is in time, the message is not."""
    limits = Limits(data_grace_seconds=0.5, data_bytes_per_second=1_000)
    gateway = run(limits=limits)
    with gateway.client() as client:
        client.play(ENVELOPE + DATA)
        assert is_cut(client, b"x" * 500)
        client.play(TIMEOUT)
    assert gateway.stored() == []


def test_data_that_takes_too_long_is_cut_at_any_rate(run: Run) -> None:
    gateway = run(limits=Limits(data_seconds=0.5, data_bytes_per_second=1))
    with gateway.client() as client:
        client.play(ENVELOPE + DATA)
        assert is_cut(client, b"x" * 500)
        client.play(TIMEOUT)


def test_slow_data_that_is_fast_enough_is_accepted(run: Run) -> None:
    """Its first piece is worth ten seconds, all that a busy machine may need."""
    limits = Limits(data_grace_seconds=2.0, data_bytes_per_second=1_000)
    gateway = run(limits=limits)
    with gateway.client() as client:
        client.play(ENVELOPE + DATA)
        for _ in range(11):
            client.send((b"x" * 98 + b"\r\n") * 100)
            time.sleep(0.2)  # in all more than the grace
        client.play("C: .\nS: 250 2.0.0 Accepted as *")


def test_a_client_that_never_reads_is_cut(run: Run) -> None:
    """Threat P9: the file descriptor comes back, whatever waits to be sent."""
    limits = Limits(command_seconds=0.5, farewell_seconds=0.3, idle_commands=10_000_000)
    gateway = run(limits=limits)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.connect(("127.0.0.1", gateway.port))
        client.settimeout(0.2)
        try:
            while True:
                client.sendall(b"HELP\r\n" * 10_000)
        except (TimeoutError, ConnectionError):
            pass  # nothing more goes in: the gateway waits for us
        wait_until(lambda: not open_sessions(gateway), "end of the session")


def test_connections_of_one_address(run: Run) -> None:
    gateway = run(limits=Limits(connections_per_address=3))
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(gateway.client())
        gateway.play(TOO_MANY)
    wait_until(lambda: not open_sessions(gateway), "end of the sessions")
    gateway.play(HELLO)  # closed ones count no more


def test_connections_in_all(run: Run) -> None:
    gateway = run(limits=Limits(connections=3))
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(gateway.client())
        gateway.play(TOO_MANY)


def test_relays_have_a_reserve_of_their_own(run: Run) -> None:
    gateway = run(
        limits=Limits(connections=0, connections_per_address=0, relay_connections=2),
        trusted_relays=RELAY,
    )
    with gateway.client(), gateway.client():
        gateway.play(TOO_MANY)


def test_a_flood_of_connections_and_a_relay(run: Run) -> None:
    """Threat P8: 1,000 strangers connect at once; a mail of the relay is still taken in."""
    strangers = Limits(connections=20, connections_per_address=1_000, connections_per_minute=9_999)
    gateway = run(limits=strangers, trusted_relays=["127.0.0.2"])
    with ExitStack() as stack:
        for _ in range(1_000):
            client = stack.enter_context(socket.socket())
            client.connect(("127.0.0.1", gateway.port))
        relay = stack.enter_context(socket.socket())
        relay.settimeout(10)
        relay.bind(("127.0.0.2", 0))
        relay.connect(("127.0.0.1", gateway.port))
        Conversation(relay).play(f"{HELLO}{ENVELOPE}{DATA}{MESSAGE}S: 250 2.0.0 *")
        assert len(open_sessions(gateway)) == 21


@pytest.mark.parametrize("speech", ["", "EHLO x\r\n", "drip"], ids=["silent", "idle", "DATA"])
def test_others_are_served_meanwhile(run: Run, speech: str) -> None:
    """Threat P7: many stuck clients, and a normal one that gets its 250 long before they go.

    Two seconds are asked for; on a busy machine half of the time that those have must do.
    """
    many = Limits(connections=500, connections_per_address=500, connections_per_minute=500)
    gateway = run(limits=many)
    with ExitStack() as stack:
        for _ in range(300):
            client = stack.enter_context(conversation(gateway.address))
            if speech == "drip":
                client.play(HELLO + ENVELOPE + DATA)
            client.send(speech.encode())
        started = time.monotonic()
        gateway.play(f"{HELLO}{ENVELOPE}{DATA}{MESSAGE}S: 250 2.0.0 *")
        assert time.monotonic() - started < many.command_seconds / 2


class Clock:
    """A clock that is moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_connections_of_one_address_in_a_minute() -> None:
    clock = Clock()
    connections = Connections(Limits(connections_per_minute=2), [], clock)
    client, other = Client("192.0.2.1", trusted=False), Client("192.0.2.2", trusted=False)
    admitted = []
    for _ in range(3):
        admitted.append(connections.admit(client))
        if admitted[-1]:
            connections.release(client)
    assert admitted == [True, True, False]
    assert connections.admit(other)
    clock.now = 60.0
    assert connections.admit(client)


def test_a_flood_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    connections = Connections(Limits(connections=0), [])
    for _ in range(1_000):
        assert not connections.admit(Client("192.0.2.1", trusted=False))
    assert [record.getMessage() for record in caplog.records] == [
        "too many connections: refused 192.0.2.1 and perhaps others"
    ]


def test_an_ipv6_network_is_one_client() -> None:
    connections = Connections(Limits(connections_per_address=1), [])
    assert connections.admit(connections.client("2001:db8::1"))
    assert not connections.admit(connections.client("2001:db8::2"))
    assert connections.admit(connections.client("2001:db8:0:1::1"))


RELAYS = [
    ("192.0.2.1", ["192.0.2.0/24"], True),
    ("192.0.3.1", ["192.0.2.0/24"], False),
    ("::ffff:192.0.2.1", ["192.0.2.0/24"], True),
    ("2001:db8::1", ["2001:db8::/32"], True),
    ("fe80::1%eth0", ["fe80::/10"], True),
    ("127.0.0.1", [], False),
]


@pytest.mark.parametrize(("host", "networks", "trusted"), RELAYS)
def test_who_is_a_relay(host: str, networks: list[str], trusted: bool) -> None:
    relays = [ipaddress.ip_network(network) for network in networks]
    assert Connections(Limits(), relays).client(host).trusted is trusted


def test_the_socket_file_is_a_relay() -> None:
    assert LOCAL.trusted
    assert Connections(Limits(), []).admit(LOCAL)


def is_cut(client: Conversation, data: bytes) -> bool:
    """Send a byte ten times a second; return whether the connection ends before the last one."""
    client.socket.settimeout(0.1)
    try:
        for byte in data:
            client.send(bytes([byte]))
            with suppress(TimeoutError):
                client.socket.recv(1, socket.MSG_PEEK)
                return True
    except ConnectionError:
        return True
    finally:
        client.socket.settimeout(10)
    return False


def open_sessions(gateway: Running) -> set[Session]:
    """Return the sessions that the gateway has now."""

    async def copy() -> set[Session]:
        return set(gateway.gateway.sessions)

    return gateway.run(copy())

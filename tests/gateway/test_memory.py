"""What a stranger can make the gateway hold in memory (threats P5, P6), in a process of its own."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.db import Database
from gateway.limits import MIB
from tests.gateway.program import gateway_program
from tests.gateway.running import DATA, ENVELOPE, HELLO
from tests.gateway.transcripts import Conversation, conversation
from tests.intake.firm import a_firm
from tests.support.processes import RunningProcess, free_port

LIMIT = 8 * MIB


@pytest.fixture
def gateway(
    sqlite_database: Database, tmp_path: Path
) -> Iterator[tuple[RunningProcess, Conversation]]:
    """A gateway process with a limit of 8 MiB, and a client that is sending DATA to it."""
    a_firm(sqlite_database, sender_policy="open")
    port = free_port()
    with gateway_program(
        tmp_path, sqlite_database.address, port, max_message_bytes=str(LIMIT)
    ) as process:
        process.wait_for_port(port)
        with conversation(("127.0.0.1", port)) as client:
            client.play(f"{HELLO}{ENVELOPE}{DATA}C: warm\nC: .\nS: 250 *\n{ENVELOPE}{DATA}")
            yield process, client


def test_an_endless_line(gateway: tuple[RunningProcess, Conversation]) -> None:
    """400 MB without a line end: cut off early, and never twice the limit in memory."""
    process, client = gateway
    before = process.peak_memory
    with pytest.raises(ConnectionError):
        client.socket.sendall(b"A" * 400_000_000)
    assert process.peak_memory - before < 2 * LIMIT


def test_tiny_lines(gateway: tuple[RunningProcess, Conversation]) -> None:
    """8 MB of empty lines cost what 8 MB of long lines cost: bytes, no object for each line."""
    process, client = gateway
    client.send((b"x" * 78 + b"\r\n") * (LIMIT // 80 - 1) + b".\r\n")
    client.play(f"S: 250 2.0.0 Accepted as *\n{ENVELOPE}{DATA}")
    before = process.peak_memory
    client.send(b"\r\n" * (LIMIT // 2 - 1) + b".\r\n")
    client.play("S: 250 2.0.0 Accepted as *")
    # The database keeps what it wrote last in memory.
    assert process.peak_memory - before < 2 * LIMIT


def test_many_messages_that_never_end(
    gateway: tuple[RunningProcess, Conversation],
) -> None:
    """Each of ten connections sends 8 MB and waits: what waits is on disk, not in memory."""
    process, client = gateway
    before = process.peak_memory
    port = client.socket.getpeername()[1]
    connections: list[socket.socket] = []
    try:
        for _ in range(9):  # with the first one, as many as one address may have
            connection = socket.create_connection(("127.0.0.1", port), timeout=15)
            connections.append(connection)
            other = Conversation(connection).play(HELLO + ENVELOPE + DATA)
            other.send((b"x" * 78 + b"\r\n") * (LIMIT // 80 - 1))
        client.play("C: the other one goes on\nC: .\nS: 250 2.0.0 Accepted as *")
        assert process.peak_memory - before < LIMIT
    finally:
        for connection in connections:
            connection.close()

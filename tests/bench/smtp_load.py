"""A load client for SMTP: the same one for every server that is measured.

Run as a program of its own, so that it does not share an interpreter with the server:
``python -m tests.bench.smtp_load PORT CONNECTIONS MAILS small|mixed FIRST``; prints one JSON
document with the rate (mails/s) and latencies (ms).
"""

import asyncio
import json
import random
import statistics
import sys
import time

import uvloop

from tests.bench import mails

SENDERS = 200
RECIPIENT = "support@bench.example"


async def _session(
    port: int, messages: list[tuple[str, bytes]], latencies: list[float], refused: list[str]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def answer() -> str:
        while True:
            line = await reader.readline()
            if not line:
                raise ConnectionError("the server closed the connection")
            if line[3:4] != b"-":
                return line.decode().strip()

    async def say(command: str) -> str:
        writer.write(command.encode() + b"\r\n")
        return await answer()

    await answer()
    await say("EHLO load.example")
    for sender, message in messages:
        started = time.perf_counter()
        await say(f"MAIL FROM:<{sender}>")
        await say(f"RCPT TO:<{RECIPIENT}>")
        await say("DATA")
        writer.write(message)
        writer.write(b".\r\n")
        reply = await answer()
        latencies.append(time.perf_counter() - started)
        if not reply.startswith("250"):
            refused.append(reply)
    await say("QUIT")
    writer.close()


async def _run(port: int, connections: int, total: int, kind: str, first: int) -> dict[str, object]:
    rng = random.Random(first)  # the same mails in every run
    make = {"small": mails.small, "mixed": mails.mixed}[kind]
    shares: list[list[tuple[str, bytes]]] = [[] for _ in range(connections)]
    size = 0
    for number in range(first, first + total):
        sender = f"user{number % SENDERS}@customer.example"
        message = make(sender, RECIPIENT, number, rng)
        size += len(message)
        shares[number % connections].append((sender, message))
    latencies: list[float] = []
    refused: list[str] = []
    started = time.perf_counter()
    await asyncio.gather(*(_session(port, share, latencies, refused) for share in shares))
    seconds = time.perf_counter() - started
    return {
        "rate": total / seconds,
        "median_ms": statistics.median(latencies) * 1000,
        "p99_ms": sorted(latencies)[int(len(latencies) * 0.99)] * 1000,
        "mean_bytes": size // total,
        "refused": len(refused),
        "first_refusal": refused[0] if refused else None,
    }


if __name__ == "__main__":
    port, connections, total, kind, first = sys.argv[1:6]
    result = uvloop.run(_run(int(port), int(connections), int(total), kind, int(first)))
    sys.stdout.write(json.dumps(result) + "\n")

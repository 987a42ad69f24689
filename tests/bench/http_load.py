"""A load client for pages: the same one for every server that is measured.

``python -m tests.bench.http_load PORT CONNECTIONS REQUESTS PATH [COOKIE]``; prints one JSON
document with the rate (pages/s), or fails when an answer is not 200.
"""

import asyncio
import json
import sys
import time

import uvloop


async def _session(port: int, requests: int, head: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _number in range(requests):
        writer.write(head)
        status = await reader.readline()
        if b" 200 " not in status:
            raise ConnectionError(f"the server answered {status!r}")
        length = 0
        while (line := await reader.readline()) not in (b"\r\n", b""):
            name, _colon, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        await reader.readexactly(length)
    writer.close()


async def _run(port: int, connections: int, requests: int, path: str, cookie: str) -> float:
    head = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept-Language: de\r\n"
        + (f"Cookie: {cookie}\r\n" if cookie else "")
        + "\r\n"
    ).encode()
    started = time.perf_counter()
    share = requests // connections
    await asyncio.gather(*(_session(port, share, head) for _each in range(connections)))
    return share * connections / (time.perf_counter() - started)


if __name__ == "__main__":
    port, connections, requests, path, *cookie = sys.argv[1:]
    rate = uvloop.run(
        _run(int(port), int(connections), int(requests), path, cookie[0] if cookie else "")
    )
    sys.stdout.write(json.dumps({"rate": rate}) + "\n")

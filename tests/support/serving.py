"""The pages, served to a browser by a thread of this process."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any, cast

from werkzeug.serving import WSGIRequestHandler, make_server

Environ = dict[str, Any]

_ANSWER = "tests.answer"


@contextmanager
def serving(app: Callable[[Environ, Any], Iterable[bytes]], port: int = 0) -> Iterator[int]:
    """Serve an application on loopback while the block lasts; yields the port, a free one for 0.

    What a browser has begun to fetch when it goes away is no error.
    """

    def kept(environ: Environ, start_response: Any) -> Iterable[bytes]:
        environ[_ANSWER] = answer = _Answer(app(environ, start_response))
        return answer

    server = make_server("127.0.0.1", port, kept, threaded=True, request_handler=_Handler)
    thread = Thread(target=server.serve_forever, name="portal", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


class _Answer:
    """What an application answers, closed once."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = parts
        self._is_open = True

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._parts)

    def close(self) -> None:
        if self._is_open and hasattr(self._parts, "close"):
            self._parts.close()
        self._is_open = False


class _Handler(WSGIRequestHandler):
    def connection_dropped(self, error: BaseException, environ: Environ | None = None) -> None:
        # Werkzeug does not close the answer where it cannot read what else the browser has sent:
        # the file of a style sheet would stay open.
        if environ is not None and _ANSWER in environ:
            cast("_Answer", environ[_ANSWER]).close()

"""Asking a provider, with bounds to what that may cost: time, bytes, redirections.

A provider is believed to say who somebody is, but not to be quick, or small, or always there.
"""

import ssl
from collections.abc import Callable, Mapping
from io import BytesIO
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final, TypeVar

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as SocketTimeout

from core.openid.faults import ProviderAway, ProviderFault

SILENCE_SECONDS: Final = 4.0  # without a byte
TOTAL_SECONDS: Final = 8.0  # from the first step to the last byte
MAX_BYTES: Final = 256 * 1024  # of an answer; the largest real ones are some 20 KB
_CHUNK: Final = 16 * 1024

T = TypeVar("T")


class BoundedAdapter(HTTPAdapter):
    """Carries the requests of a session: no redirection, no large answer, certificates verified.

    ``ca_file`` vouches for the provider instead of the system's certificates.
    """

    def __init__(self, ca_file: str) -> None:
        super().__init__(max_retries=0)
        self._trusted = ca_file or _system_certificates()

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: object = None,
        verify: bool | str = True,
        cert: object = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send a request and read its answer; what the session wishes otherwise is not asked.

        Raises ``ProviderFault`` and what ``requests`` raises.
        """
        response = super().send(
            request,
            stream=True,
            timeout=SILENCE_SECONDS,
            verify=self._trusted,
            proxies=get_environ_proxies(request.url or ""),
        )
        with response:
            if 300 <= response.status_code < 400:
                raise ProviderFault(f"{request.url} leads elsewhere: {response.status_code}")
            body = _read(response.raw)
        response.raw = BytesIO(body)
        return response


def bound(session: requests.Session, ca_file: str) -> None:
    """Let a session ask within the bounds of this module, with nothing of the environment.

    Or a ``.netrc`` could add a password of its own. Proxies of the environment are used.
    """
    session.trust_env = False
    adapter = BoundedAdapter(ca_file)
    for scheme in ("https://", "http://"):
        session.mount(scheme, adapter)


def get_object(url: str, ca_file: str) -> Mapping[str, object]:
    """Return the JSON object at an address. Raises ``ProviderFault``."""

    def ask() -> Mapping[str, object]:
        with requests.Session() as session:
            bound(session, ca_file)
            answer = session.get(url, headers={"Accept": "application/json"})
            if answer.status_code >= 500:
                raise ProviderAway(f"{url} answers {answer.status_code}")
            if answer.status_code != 200:
                raise ProviderFault(f"{url} answers {answer.status_code}")
            try:
                found = answer.json()
            except (ValueError, RecursionError):
                raise ProviderFault(f"{url} is no JSON") from None
            if not isinstance(found, dict):
                raise ProviderFault(f"{url} is no JSON object")
            return found

    return in_time(ask)


def in_time(ask: Callable[[], T]) -> T:
    """Return what ``ask`` returns, in time. Raises ``ProviderFault``, and what else it raises.

    A time limit of sockets begins anew with each byte, so the whole has one of its own; what is
    late is left behind in its thread.
    """
    answers: SimpleQueue[tuple[T, None] | tuple[None, BaseException]] = SimpleQueue()

    def run() -> None:
        try:
            answers.put((ask(), None))
        except BaseException as error:  # noqa: BLE001 - raised again by who waits
            answers.put((None, error))

    Thread(target=run, name="openid", daemon=True).start()
    try:
        answer, error = answers.get(timeout=TOTAL_SECONDS)
    except Empty:
        raise ProviderAway(f"no answer within {TOTAL_SECONDS:g} s") from None
    if isinstance(error, HTTPError | OSError):  # those of requests are OSErrors
        raise ProviderAway(_reason(error)) from None
    if error is not None:
        raise error
    return answer  # type: ignore[return-value]  # what is no error is an answer


def _read(raw: BaseHTTPResponse) -> bytes:
    body = bytearray()
    for chunk in raw.stream(_CHUNK, decode_content=True):
        body += chunk
        if len(body) > MAX_BYTES:
            raise ProviderFault(f"an answer is larger than {MAX_BYTES} bytes")
    return bytes(body)


def _system_certificates() -> bool | str:
    """Return where the system's certificates are; ``requests`` would bring its own."""
    paths = ssl.get_default_verify_paths()
    return paths.cafile or paths.capath or True


def _reason(error: BaseException) -> str:
    """Return what went wrong at the bottom, without the address and the layers around it."""
    if isinstance(error, requests.Timeout | SocketTimeout):
        return f"no answer within {SILENCE_SECONDS:g} s"
    cause: BaseException | None = error
    reason = "does not answer"
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {cause.verify_message}"
        if isinstance(cause, OSError) and cause.strerror:
            reason = cause.strerror.lower()
        cause = cause.__cause__ or cause.__context__
    return reason

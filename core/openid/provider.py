"""An identity provider: its addresses and keys, where a browser is sent, and what comes back.

The authorization code flow of OpenID Connect Core 1.0 with PKCE (RFC 7636, S256). What binds an
answer to the browser that asked (``Secrets``) is kept by the caller. Nothing that a provider hands
out but the claims is kept, and nothing of it is logged.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import BoundedSemaphore, Lock
from time import monotonic
from typing import Final, Generic, TypeVar
from urllib.parse import urlsplit

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from joserfc.jwk import KeySet

from core.config import SingleSignOnSection
from core.mail.text import one_line
from core.openid.faults import ProviderAway, ProviderDeclined, ProviderFault
from core.openid.limits import bound, get_object, in_time
from core.openid.tokens import Claims, UnknownKey, public_keys, verified_claims

FRESH_SECONDS: Final = 3600.0  # that addresses and keys are kept
REST_SECONDS: Final = 5.0  # after a failure, in which the provider is not asked again
WAIT_SECONDS: Final = 2.0  # for another thread that asks already
MAX_AT_ONCE: Final = 4  # who redeem a code; half of the portal's threads stay free of a slow one
MAX_CODE: Final = 4096  # characters
MAX_SHOWN: Final = 60  # characters of what a stranger wrote, in the log
_DISCOVERY: Final = "/.well-known/openid-configuration"
_ERRORS: Final[Mapping[str, type[ProviderFault]]] = {  # others should not happen
    "access_denied": ProviderDeclined,
    "login_required": ProviderDeclined,
    "consent_required": ProviderDeclined,
    "interaction_required": ProviderDeclined,
    "server_error": ProviderAway,
    "temporarily_unavailable": ProviderAway,
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Secrets:
    """What binds an answer to the browser in which the sign-in was begun, and to nothing else."""

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a provider says of itself.

    ``names_itself`` says whether its answers carry ``iss`` (RFC 9207).
    """

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    client_authentication: tuple[str, ...]
    names_itself: bool


class Provider:
    """A configured provider. Used by several threads; nothing is asked before it is needed."""

    def __init__(self, section: SingleSignOnSection, public_url: str) -> None:
        self.section = section
        self.redirect_uri = f"{public_url}/sign-on/{section.name}/callback"
        self._metadata = _Kept(self._discover)
        self._keys = _Kept(self._fetch_keys)
        self._redeeming = BoundedSemaphore(MAX_AT_ONCE)

    def begin(self) -> tuple[Secrets, str]:
        """Return new secrets, and where to send the browser. Raises ``ProviderFault``."""
        metadata = self._metadata.get()
        made = Secrets(*(secrets.token_urlsafe(32) for _each in range(3)))
        with self._session(metadata) as session:
            address, _state = session.create_authorization_url(
                metadata.authorization_endpoint,
                state=made.state,
                nonce=made.nonce,
                code_verifier=made.verifier,
            )
        return made, address

    def finish(self, made: Secrets, answer: Mapping[str, str]) -> Claims:
        """Return what the provider says about who came back with this answer.

        The caller has compared its ``state``. Raises ``ProviderFault``.
        """
        metadata = self._metadata.get()
        self._check_sender(metadata, answer)
        if "error" in answer:
            kind = _ERRORS.get(answer["error"], ProviderFault)
            raise kind(f"it answers {_shown(answer['error'])}")
        code = answer.get("code", "")
        if not 0 < len(code) <= MAX_CODE:
            raise ProviderFault("its answer holds no code")
        if not self._redeeming.acquire(timeout=WAIT_SECONDS):
            raise ProviderAway("too many wait for its answer")
        try:
            token = in_time(lambda: self._redeem(metadata, code, made.verifier))
        finally:
            self._redeeming.release()
        try:
            return self._verified(token, self._keys.get(), made)
        except UnknownKey:
            return self._verified(token, self._keys.get(anew=True), made)

    def check(self) -> None:
        """Ask for everything anew, once. Raises ``ProviderFault``."""
        _read_secret(self.section)
        metadata = self._discover()
        _client_authentication(self.section, metadata)
        public_keys(get_object(metadata.jwks_uri, self.section.ca_file))

    def _check_sender(self, metadata: Metadata, answer: Mapping[str, str]) -> None:
        """Refuse the answer of another provider, which would learn the code (RFC 9207)."""
        issuer = answer.get("iss")
        if issuer is None and metadata.names_itself:
            raise ProviderFault("its answer does not name the provider")
        if issuer is not None and issuer != self.section.issuer:
            raise ProviderFault(f"the answer is of another provider: {_shown(issuer)}")

    def _redeem(self, metadata: Metadata, code: str, verifier: str) -> str:
        try:
            with self._session(metadata) as session:
                answer = session.fetch_token(
                    metadata.token_endpoint,
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=verifier,
                )
        except AuthlibBaseError as error:
            raise ProviderFault(f"it does not take the code: {_shown(error.error)}") from None
        except requests.HTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            kind = ProviderAway if status >= 500 else ProviderFault
            raise kind(f"its token endpoint answers {status}") from None
        except requests.RequestException:
            raise
        except (ValueError, TypeError, RecursionError):
            raise ProviderFault("its token endpoint answers in no known form") from None
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise ProviderFault("its answer holds no identity token")
        return token

    def _verified(self, token: str, keys: KeySet, made: Secrets) -> Claims:
        section = self.section
        return verified_claims(
            token, keys, issuer=section.issuer, client_id=section.client_id, nonce=made.nonce
        )

    def _session(self, metadata: Metadata) -> OAuth2Session:
        section = self.section
        session = OAuth2Session(
            section.client_id,
            _read_secret(section),
            scope=" ".join(section.scopes),
            redirect_uri=self.redirect_uri,
            code_challenge_method="S256",
            token_endpoint_auth_method=_client_authentication(section, metadata),
        )
        bound(session, section.ca_file)
        return session

    def _discover(self) -> Metadata:
        section = self.section
        document = get_object(section.issuer.rstrip("/") + _DISCOVERY, section.ca_file)
        if document.get("issuer") != section.issuer:
            raise ProviderFault(f"it calls itself {_shown(document.get('issuer'))}")
        methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        return Metadata(
            authorization_endpoint=_address(document, "authorization_endpoint", section.issuer),
            token_endpoint=_address(document, "token_endpoint", section.issuer),
            jwks_uri=_address(document, "jwks_uri", section.issuer),
            client_authentication=_texts(methods),
            names_itself=document.get("authorization_response_iss_parameter_supported") is True,
        )

    def _fetch_keys(self) -> KeySet:
        return public_keys(get_object(self._metadata.get().jwks_uri, self.section.ca_file))


class _Kept(Generic[T]):
    """Something of a provider that is asked for when it is needed and kept for a while.

    One thread asks, others wait a little for its answer; after a failure they get the same one
    for ``REST_SECONDS``, so that a provider that is away does not hold up every thread in turn.
    """

    def __init__(self, ask: Callable[[], T]) -> None:
        self._ask = ask
        self._lock = Lock()
        self._value: T | None = None
        self._good_until = 0.0
        self._fault: ProviderFault | None = None
        self._rests_until = 0.0

    def get(self, *, anew: bool = False) -> T:
        """Return it, not older than ``FRESH_SECONDS``. Raises ``ProviderFault``."""
        if not self._lock.acquire(timeout=WAIT_SECONDS):
            raise ProviderAway("it has been asked already, and has not answered yet")
        try:
            return self._locked_get(anew)
        finally:
            self._lock.release()

    def _locked_get(self, anew: bool) -> T:
        moment = monotonic()
        if self._value is not None and moment < self._good_until and not anew:
            return self._value
        if self._fault is not None and moment < self._rests_until:
            raise type(self._fault)(str(self._fault))
        try:
            self._value = self._ask()
        except ProviderFault as fault:
            self._fault, self._rests_until = fault, monotonic() + REST_SECONDS
            raise
        self._good_until = monotonic() + FRESH_SECONDS
        return self._value


def _read_secret(section: SingleSignOnSection) -> str | None:
    """Return the secret, None for none; read each time, so that a new one needs no restart."""
    if not section.client_secret_file:
        return None
    try:
        return Path(section.client_secret_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise ProviderFault(f"client_secret_file {section.client_secret_file}: {reason}") from None


def _client_authentication(section: SingleSignOnSection, metadata: Metadata) -> str:
    """Return how to show who we are: by what both sides can."""
    if not section.client_secret_file:
        return "none"
    for method in ("client_secret_basic", "client_secret_post"):
        if method in metadata.client_authentication:
            return method
    raise ProviderFault("it takes no client_secret, neither by basic nor by post")


def _address(document: Mapping[str, object], name: str, issuer: str) -> str:
    """Return an address that a provider names; https unless the provider is on this machine."""
    text = document.get(name)
    if not isinstance(text, str) or not text.isascii() or not text.isprintable() or " " in text:
        raise ProviderFault(f"its {name} is no address")
    parts, own = urlsplit(text), urlsplit(issuer)
    is_here = parts.scheme == own.scheme == "http" and parts.hostname == own.hostname
    if not parts.hostname or not (parts.scheme == "https" or is_here) or parts.fragment:
        raise ProviderFault(f"its {name} is no address with https://")
    return text


def _texts(found: object) -> tuple[str, ...]:
    """Return the texts of what should be a list of them."""
    return tuple(each for each in found if isinstance(each, str)) if isinstance(found, list) else ()


def _shown(text: object) -> str:
    """Return what somebody else wrote, for the log: one short line."""
    return repr(one_line(str(text)[: 4 * MAX_SHOWN])[:MAX_SHOWN])

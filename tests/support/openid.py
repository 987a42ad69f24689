"""An OpenID provider that lies on demand: what it says is the test's to choose.

It does what a provider must (one use of a code, PKCE, the client's password) and plays the person
at its sign-in page itself: ``authorize`` is given the address to which a browser was sent and
returns what the browser would come back with.
"""

import hashlib
import json
import secrets
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Final
from urllib.parse import parse_qs, parse_qsl, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey
from joserfc.jws import JWSRegistry

from tests.support.certificates import Certificate

CLIENT_ID: Final = "schalter"
SECRET: Final = "a secret of the two"
WHO: Final = {"sub": "4711", "email": "anna@muster.example", "email_verified": True}

Reply = Callable[[BaseHTTPRequestHandler], None]


class _Unlimited(JWSRegistry):
    """Lets a token hold anything."""

    max_header_length = 100_000
    max_payload_length = 1_000_000


@cache  # making one takes longer than most tests
def make_key(kid: str) -> RSAKey:
    """Return a private key with this name, the same each time."""
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": "RS256"})


def signed(claims: Mapping[str, object], key: RSAKey, **header: object) -> str:
    """Return a token that is signed as it should be."""

    registry = _Unlimited(algorithms=["RS256"], strict_check_header=False)
    return jwt.encode(
        {"alg": "RS256", "kid": key.kid, **header}, dict(claims), key, registry=registry
    )


@dataclass
class ScriptedProvider:
    """A provider; every attribute may be changed while it runs."""

    url: str
    key: RSAKey
    claims: dict[str, object] = field(default_factory=lambda: dict(WHO))
    left_out: frozenset[str] = frozenset()
    is_public: bool = False  # whether its client has no secret
    metadata: dict[str, object] = field(default_factory=dict)  # besides what is there, or instead
    replies: dict[str, Reply] = field(default_factory=dict)  # by path, instead of its own
    make_token: Callable[[Mapping[str, object]], str] | None = None
    published: list[RSAKey] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)  # the paths, in their order
    closing: Event = field(default_factory=Event)
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def issuer(self) -> str:
        return self.url

    def authorize(self, address: str, **changed: str) -> dict[str, str]:
        """Sign somebody in and return the query with which their browser comes back."""
        parts = urlsplit(address)
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{self.url}/authorize", address
        wanted = dict(parse_qsl(parts.query, strict_parsing=True))
        assert wanted["response_type"] == "code", wanted
        assert wanted["client_id"] == CLIENT_ID, wanted
        assert wanted["code_challenge_method"] == "S256", wanted
        assert "openid" in wanted["scope"].split(), wanted
        code = secrets.token_urlsafe(16)
        self._codes[code] = wanted
        return {"code": code, "state": wanted["state"], **changed}

    def answer(self, handler: BaseHTTPRequestHandler, body: Mapping[str, str]) -> None:
        """Answer a request."""
        path = urlsplit(handler.path).path
        self.asked.append(path)
        if path in self.replies:
            self.replies[path](handler)
        elif path == "/.well-known/openid-configuration":
            send_json(handler, self._discovery())
        elif path == "/keys":
            keys: list[object] = [key.as_dict(private=False) for key in self.published]
            send_json(handler, {"keys": keys})
        elif path == "/token":
            status, content = self._token(handler.headers.get("Authorization", ""), body)
            send_json(handler, content, status)
        else:
            send(handler, 404, b"nothing here", "text/plain")

    def _discovery(self) -> dict[str, object]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "response_types_supported": ["code"],
            **self.metadata,
        }

    def _token(self, credentials: str, body: Mapping[str, str]) -> tuple[int, dict[str, object]]:
        if not self._knows(credentials, body):
            return 401, {"error": "invalid_client"}
        wanted = self._codes.pop(body.get("code", ""), None)
        if wanted is None or body.get("grant_type") != "authorization_code":
            return 400, {"error": "invalid_grant"}
        if body.get("redirect_uri") != wanted["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        digest = hashlib.sha256(body.get("code_verifier", "").encode()).digest()
        if urlsafe_b64encode(digest).rstrip(b"=").decode() != wanted["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        moment = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": moment,
            "exp": moment + 300,
            "nonce": wanted["nonce"],
            **self.claims,
        }
        claims = {name: value for name, value in claims.items() if name not in self.left_out}
        token = self.make_token(claims) if self.make_token else signed(claims, self.key)
        return 200, {"access_token": "unused", "token_type": "Bearer", "id_token": token}

    def _knows(self, credentials: str, body: Mapping[str, str]) -> bool:
        """Whether the client has shown itself, in the one way that it may."""
        scheme, _blank, encoded = credentials.partition(" ")
        if self.is_public:
            return body.get("client_id") == CLIENT_ID
        if self.metadata.get("token_endpoint_auth_methods_supported") == ["client_secret_post"]:
            return (body.get("client_id"), body.get("client_secret")) == (CLIENT_ID, SECRET)
        return scheme == "Basic" and b64decode(encoded).decode() == f"{CLIENT_ID}:{SECRET}"


@contextmanager
def run_provider(certificate: Certificate | None = None) -> Iterator[ScriptedProvider]:
    """Run a provider that says the truth, until it is told otherwise, while the block lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    scheme = "http"
    if certificate is not None:
        scheme = "https"
        context = certificate.server_context()
        server.socket = context.wrap_socket(server.socket, server_side=True)
    key = make_key("first")
    provider = ScriptedProvider(f"{scheme}://127.0.0.1:{server.server_port}", key, published=[key])
    server.provider = provider  # type: ignore[attr-defined]  # for the handler below
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        provider.closing.set()
        server.shutdown()
        thread.join(10)
        server.server_close()


def section_of(provider: ScriptedProvider, folder: Path, **changed: object) -> dict[str, object]:
    """Return the table of the configuration for a provider."""
    secret = folder / "client-secret"
    secret.write_text(f"{SECRET}\n")
    return {
        "name": "work",
        "label": "Work ID",
        "issuer": provider.issuer,
        "client_id": CLIENT_ID,
        "client_secret_file": str(secret),
        "accounts": "both",
        **changed,
    }


def send_json(
    handler: BaseHTTPRequestHandler, content: Mapping[str, object], status: int = 200
) -> None:
    """Answer with a JSON object."""
    send(handler, status, json.dumps(content).encode(), "application/json")


def send(
    handler: BaseHTTPRequestHandler, status: int, body: bytes, kind: str, **header: str
) -> None:
    """Answer with anything."""
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body)))
    for name, value in header.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


class _Handler(BaseHTTPRequestHandler):
    """Hands requests to the provider."""

    def do_GET(self) -> None:
        provider_of(self).answer(self, {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        fields = {name: values[0] for name, values in parse_qs(body).items()}
        provider_of(self).answer(self, fields)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


def provider_of(handler: BaseHTTPRequestHandler) -> ScriptedProvider:
    """Return the provider for which a handler answers."""
    found = handler.server.provider  # type: ignore[attr-defined]  # see run_provider
    assert isinstance(found, ScriptedProvider)
    return found

"""What an identity provider, or somebody in its name, may try: nobody gets in, and all is bounded.

Every lie is told apart by its line in the log, so that none passes for another.
"""

import gzip
import hmac
import json
import logging
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from core.db import Database
from core.openid import limits, tokens
from core.openid import provider as openid_provider
from portal import sign_on_attempts
from tests.support.certificates import make_certificate
from tests.support.openid import (
    SECRET,
    ScriptedProvider,
    make_key,
    provider_of,
    run_provider,
    section_of,
    send,
    send_json,
    signed,
)
from tests.support.portal import PASSWORD, RunningPortal, make_app, post, token_of
from tests.support.processes import free_port, wait_until
from tests.support.single_sign_on import (
    Configure,
    begin,
    come_back,
    let_in_by,
    press,
    sessions_of,
    sign_on,
    told,
    visitor,
)

AWAY = "Work ID cannot be reached at the moment. Please try again later, or sign in with your"
DISTRUSTED = "The sign-in with Work ID did not work. Please try again"
DECLINED = "The sign-in with Work ID was not completed."
NOT_BEGUN = "This sign-in took too long or was not begun in this browser. Please try again."
DISCOVERY = "/.well-known/openid-configuration"
ANOTHER = make_key("second")
NOW = time.time

Lie = Callable[[ScriptedProvider], None]


def in_seconds(seconds: int) -> Callable[[], int]:
    """Return what gives a moment so long after the one at which it is asked."""
    return lambda: int(NOW()) + seconds


def says(**claims: object) -> Lie:
    """The token says something else; what ``in_seconds`` gives is told from when it is said."""

    def tell(provider: ScriptedProvider) -> None:
        provider.claims |= {
            name: claim() if callable(claim) else claim for name, claim in claims.items()
        }

    return tell


def omits(name: str) -> Lie:
    """The token says something not at all."""

    def tell(provider: ScriptedProvider) -> None:
        provider.left_out = frozenset([name])

    return tell


def makes(token: Callable[[ScriptedProvider, Mapping[str, object]], str]) -> Lie:
    """The token is made in another way."""

    def tell(provider: ScriptedProvider) -> None:
        provider.make_token = lambda claims: token(provider, claims)

    return tell


def declares(**metadata: object) -> Lie:
    """The document about the provider says something else."""

    def tell(provider: ScriptedProvider) -> None:
        provider.metadata |= metadata

    return tell


def replies(path: str, reply: Callable[[BaseHTTPRequestHandler], None]) -> Lie:
    """An address answers something else."""

    def tell(provider: ScriptedProvider) -> None:
        provider.replies[path] = reply

    return tell


def encoded(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def parts_of(header: Mapping[str, object], claims: Mapping[str, object]) -> str:
    return ".".join(encoded(json.dumps(part).encode()) for part in (header, claims))


def unsigned(_provider: ScriptedProvider, claims: Mapping[str, object]) -> str:
    return parts_of({"alg": "none", "kid": "first"}, claims) + "."


def signed_with_the_public_key(provider: ScriptedProvider, claims: Mapping[str, object]) -> str:
    content = parts_of({"alg": "HS256", "kid": "first"}, claims)
    public = provider.key.as_pem(private=False)
    return f"{content}.{encoded(hmac.digest(public, content.encode(), 'sha256'))}"


def signed_with_the_secret(_provider: ScriptedProvider, claims: Mapping[str, object]) -> str:
    return jwt.encode({"alg": "HS256"}, dict(claims), OctKey.import_key(SECRET), ["HS256"])


def signed_by_another(_provider: ScriptedProvider, claims: Mapping[str, object]) -> str:
    return signed(claims, ANOTHER, kid="first")


def signed_by_the_key_inside(_provider: ScriptedProvider, claims: Mapping[str, object]) -> str:
    return signed(claims, ANOTHER, kid="first", jwk=dict(ANOTHER.as_dict(private=False)))


def with_a_critical_header(provider: ScriptedProvider, claims: Mapping[str, object]) -> str:
    good = signed(claims, provider.key).split(".")
    good[0] = encoded(
        json.dumps({"alg": "RS256", "kid": "first", "crit": ["urn:x"], "urn:x": 1}).encode()
    )
    return ".".join(good)


def signed_by_an_unknown_key(_provider: ScriptedProvider, claims: Mapping[str, object]) -> str:
    return signed(claims, ANOTHER)


def changed_after_it_was_signed(provider: ScriptedProvider, claims: Mapping[str, object]) -> str:
    header, _claims, signature = signed(claims, provider.key).split(".")
    other = json.dumps({**claims, "email": "ada@example.org"}).encode()
    return f"{header}.{encoded(other)}.{signature}"


TOKENS: list[tuple[str, Lie, str]] = [
    ("another nonce", says(nonce="another"), "Invalid claim: 'nonce'"),
    ("no nonce", omits("nonce"), "Missing claim: 'nonce'"),
    ("another issuer", says(iss="https://evil.example"), "Invalid claim: 'iss'"),
    ("no issuer", omits("iss"), "Missing claim: 'iss'"),
    ("for another client", says(aud="another"), "Invalid claim: 'aud'"),
    ("for nobody", omits("aud"), "Missing claim: 'aud'"),
    ("for several", says(aud=["schalter", "another"]), "Missing claim: 'azp'"),
    ("for another of several", says(aud=["schalter", "another"], azp="another"),
     "Invalid claim: 'azp'"),
    ("given to another", says(azp="another"), "Invalid claim: 'azp'"),
    ("about nobody", omits("sub"), "Missing claim: 'sub'"),
    ("expired", says(exp=in_seconds(-tokens.LEEWAY_SECONDS - 1)), "expired_token"),
    ("without an end", omits("exp"), "Missing claim: 'exp'"),
    ("with no number as its end", says(exp="never"), "'exp' must be a NumericDate"),
    ("with an end that is no number", says(exp=float("nan")), "'exp' must be a NumericDate"),
    ("of the future", says(iat=in_seconds(3600)), "issued in the future"),
    ("without a beginning", omits("iat"), "Missing claim: 'iat'"),
    ("old", says(iat=in_seconds(-tokens.MAX_AGE_SECONDS - tokens.LEEWAY_SECONDS - 2)), "is old"),
    ("not yet valid", says(nbf=in_seconds(3600)), "not yet valid"),
    ("not signed", makes(unsigned), "unsupported_algorithm"),
    ("signed with the public key", makes(signed_with_the_public_key), "unsupported_algorithm"),
    ("signed with our secret", makes(signed_with_the_secret), "unsupported_algorithm"),
    ("signed by another", makes(signed_by_another), "bad_signature"),
    ("signed by a key that it brings", makes(signed_by_the_key_inside), "bad_signature"),
    ("signed by an unknown key", makes(signed_by_an_unknown_key), "unknown key"),
    ("changed afterwards", makes(changed_after_it_was_signed), "bad_signature"),
    ("with a critical header", makes(with_a_critical_header), "unsupported_header"),
    ("no token", makes(lambda _provider, _claims: "anna"), "its identity token"),
    ("empty", makes(lambda _provider, _claims: ""), "its identity token"),
    ("endless", makes(lambda _provider, _claims: "x" * (tokens.MAX_TOKEN + 1)), "longer than"),
]  # fmt: skip


@pytest.mark.parametrize(("lie", "reason"), [row[1:] for row in TOKENS], ids=[r[0] for r in TOKENS])
def test_a_token_that_is_not_for_this_sign_in(
    lie: Lie,
    reason: str,
    pages: RunningPortal,
    provider: ScriptedProvider,
    configure: Configure,
    caplog: pytest.LogCaptureFixture,
) -> None:
    lie(provider)
    client = visitor(pages)
    assert told(client, sign_on(client, provider)).startswith(DISTRUSTED)
    assert sessions_of(pages) == []
    assert reason in refusal(caplog)


def refusal(caplog: pytest.LogCaptureFixture) -> str:
    """Return the line of the log about the refused sign-in."""
    (line,) = [r.getMessage() for r in caplog.records if r.name == "portal.single_sign_on"]
    assert line.startswith("sign-on refused: work")
    return line


@pytest.mark.parametrize(
    "truth",
    [
        says(aud=["schalter", "another"], azp="schalter"),
        says(aud=["schalter"]),
        makes(
            lambda provider, claims: signed(claims, provider.key, x5t="t", rh="", x5c=["M" * 4000])
        ),
        says(exp=in_seconds(-20)),  # the clocks differ a little
        says(iat=in_seconds(20)),
    ],
)
def test_a_token_that_is_good(
    truth: Lie, pages: RunningPortal, provider: ScriptedProvider, configure: Configure
) -> None:
    truth(provider)
    sign_on(visitor(pages), provider)
    assert sessions_of(pages) == ["anna"]


def test_a_new_key_is_fetched_once(
    pages: RunningPortal, provider: ScriptedProvider, configure: Configure
) -> None:
    sign_on(visitor(pages), provider)
    provider.key = ANOTHER
    provider.published = [ANOTHER]
    sign_on(visitor(pages), provider)
    assert sessions_of(pages) == ["anna", "anna"]
    assert provider.asked.count("/keys") == 2
    assert provider.asked.count(DISCOVERY) == 1
    provider.key = make_key("third")
    sign_on(visitor(pages), provider)
    assert provider.asked.count("/keys") == 3


def test_keys_that_nobody_here_knows_are_left_out(
    pages: RunningPortal, provider: ScriptedProvider, configure: Configure
) -> None:
    keys: list[object] = [
        "key", {"kty": "AKP", "kid": "first"}, {"kty": "RSA", "kid": "first"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "first"},
        {**ANOTHER.as_dict(private=False), "kid": "first", "use": "enc"},
        provider.key.as_dict(private=False),
    ]  # fmt: skip
    provider.replies["/keys"] = lambda handler: send_json(handler, {"keys": keys})
    sign_on(visitor(pages), provider)
    assert sessions_of(pages) == ["anna"]


# What comes back with the browser: another value of the query, None for none.
ANSWERS: list[tuple[dict[str, str | None], str, str]] = [
    ({"state": "another"}, NOT_BEGUN, "not begun in this browser"),
    ({"state": None}, NOT_BEGUN, "not begun in this browser"),
    ({"state": ""}, NOT_BEGUN, "not begun in this browser"),
    ({"state": "\u212a\r\n\0;="}, NOT_BEGUN, "not begun in this browser"),
    ({"code": None}, DISTRUSTED, "no code"),
    ({"code": ""}, DISTRUSTED, "no code"),
    ({"code": "x" * 5000}, DISTRUSTED, "no code"),
    ({"code": "guessed"}, DISTRUSTED, "does not take the code: 'invalid_grant'"),
    ({"iss": "https://evil.example"}, DISTRUSTED, "of another provider: 'https://evil.example'"),
    ({"iss": ""}, DISTRUSTED, "of another provider: ''"),
    ({"error": "access_denied"}, DECLINED, "it answers 'access_denied'"),
    ({"error": "temporarily_unavailable"}, AWAY, "it answers 'temporarily_unavailable'"),
    ({"error": "invalid_scope"}, DISTRUSTED, "it answers 'invalid_scope'"),
    ({"error": "x\r\nforged line" + "y" * 500}, DISTRUSTED, "it answers 'x forged lineyyy"),
]


@pytest.mark.parametrize(
    ("changed", "sentence", "reason"), ANSWERS, ids=[str(r[0])[:50] for r in ANSWERS]
)
def test_an_answer_that_is_not_to_what_was_asked(
    changed: dict[str, str | None],
    sentence: str,
    reason: str,
    pages: RunningPortal,
    provider: ScriptedProvider,
    configure: Configure,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    client = visitor(pages)
    answer = {**provider.authorize(begin(client)), **changed}
    given = {name: value for name, value in answer.items() if value is not None}
    assert told(client, come_back(client, given)).startswith(sentence)
    assert sessions_of(pages) == []
    line = refusal(caplog)
    assert reason in line
    assert "\n" not in line
    assert len(line) < 250


def test_an_answer_that_says_something_twice(
    pages: RunningPortal, provider: ScriptedProvider, configure: Configure
) -> None:
    client = visitor(pages)
    answer = provider.authorize(begin(client))
    path = f"/sign-on/work/callback?code={answer['code']}&state={answer['state']}&code=a"
    assert told(client, client.get(path)).startswith(DISTRUSTED)
    assert sessions_of(pages) == []


def test_a_provider_that_names_itself_must_do_so(
    pages: RunningPortal, provider: ScriptedProvider, configure: Configure
) -> None:
    provider.metadata["authorization_response_iss_parameter_supported"] = True
    client = visitor(pages)
    answer = provider.authorize(begin(client))
    assert told(client, come_back(client, answer)).startswith(DISTRUSTED)
    answer = provider.authorize(begin(client), iss=provider.issuer)
    come_back(client, answer)
    assert sessions_of(pages) == ["anna"]


def test_an_answer_is_taken_once(
    pages: RunningPortal, provider: ScriptedProvider, configure: Configure
) -> None:
    client = visitor(pages)
    answer = provider.authorize(begin(client))
    assert come_back(client, answer).headers["Location"] == "/tickets"
    client.delete_cookie("schalter")
    asked = len(provider.asked)
    assert told(client, come_back(client, answer)) == NOT_BEGUN
    assert len(provider.asked) == asked


def test_a_refused_answer_is_taken_once_as_well(
    pages: RunningPortal, provider: ScriptedProvider, configure: Configure
) -> None:
    client = visitor(pages)
    answer = provider.authorize(begin(client))
    provider.claims["nonce"] = "another"
    told(client, come_back(client, answer))
    assert told(client, come_back(client, answer)) == NOT_BEGUN


def test_an_answer_in_another_browser(
    pages: RunningPortal, provider: ScriptedProvider, configure: Configure
) -> None:
    """Who sends somebody the end of their own sign-in does not get them into their account."""
    answer = provider.authorize(begin(visitor(pages)))
    victim = visitor(pages)
    assert told(victim, come_back(victim, answer)) == NOT_BEGUN
    begin(victim)  # or has begun one of their own
    assert told(victim, come_back(victim, answer)) == NOT_BEGUN
    assert sessions_of(pages) == []


def test_a_code_of_somebody_else(
    pages: RunningPortal, provider: ScriptedProvider, configure: Configure
) -> None:
    """A stolen code is worth nothing without the verifier of the browser that it was meant for."""
    stolen = provider.authorize(begin(visitor(pages)))["code"]
    thief = visitor(pages)
    answer = {**provider.authorize(begin(thief)), "code": stolen}
    assert told(thief, come_back(thief, answer)).startswith(DISTRUSTED)
    assert sessions_of(pages) == []


@pytest.mark.parametrize("issuer_is_named", [True, False])
def test_an_answer_of_another_provider(
    issuer_is_named: bool, pages: RunningPortal, provider: ScriptedProvider, tmp_path: Path
) -> None:
    """The code of an honest provider does not reach another that is configured, too (mix-up)."""
    with ExitStack() as stack:
        evil = stack.enter_context(run_provider())
        stack.callback(let_in_by, pages.app)
        let_in_by(
            pages.app,
            section_of(provider, tmp_path),
            section_of(evil, tmp_path, name="evil", label="Evil ID"),
        )
        client = visitor(pages)
        begin_there = begin(client)
        begin_evil = begin(client, name="evil")
        changed = {"iss": provider.issuer} if issuer_is_named else {}
        answer = provider.authorize(begin_there, **changed)
        assert told(client, come_back(client, answer, "evil")) == NOT_BEGUN
        # The evil one sends the browser on to the honest one, with its own state.
        state = parse_qs(urlsplit(begin_evil).query)["state"][0]
        swapped = {**provider.authorize(begin(client), **changed), "state": state}
        assert told(client, come_back(client, swapped)) == NOT_BEGUN
        assert "/token" not in evil.asked
        assert sessions_of(pages) == []


def test_a_sign_in_that_takes_too_long(
    pages: RunningPortal, provider: ScriptedProvider, configure: Configure,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    client = visitor(pages)
    answer = provider.authorize(begin(client))
    later = NOW() + sign_on_attempts.MAX_AGE_S + 1
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: later)
    assert told(client, come_back(client, answer)) == NOT_BEGUN


def test_a_state_that_only_begins_like_ours(
    pages: RunningPortal, provider: ScriptedProvider, configure: Configure
) -> None:
    client = visitor(pages)
    answer = provider.authorize(begin(client))
    answer["state"] = answer["state"][:20] + "x" * 23
    assert told(client, come_back(client, answer)) == NOT_BEGUN


def test_a_sign_in_for_which_the_provider_is_no_longer_there(
    pages: RunningPortal, provider: ScriptedProvider, configure: Configure
) -> None:
    client = visitor(pages)
    answer = provider.authorize(begin(client))
    configure(accounts="staff")
    assert told(client, come_back(client, answer)) == NOT_BEGUN
    assert sessions_of(pages) == []


def test_the_cookie_is_for_this_host_by_https_only(
    sqlite_database: Database, provider: ScriptedProvider, tmp_path: Path
) -> None:
    app = make_app(sqlite_database, tmp_path, "https://support.example.org")
    let_in_by(app, section_of(provider, tmp_path))
    client = app.test_client()
    site = {"base_url": "https://support.example.org"}
    form = client.get("/sign-in", **site).get_data(as_text=True)
    token = form.partition('name="csrf_token" value="')[2].partition('"')[0]
    begun = client.post("/sign-on/work/customers", data={"csrf_token": token}, **site)
    (cookie,) = [line for line in begun.headers.getlist("Set-Cookie") if "sign-on" in line]
    assert cookie.startswith("__Host-sign-on-")
    for part in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=600"):
        assert part in cookie.split("; ")
    assert "Domain" not in cookie


def test_a_token_of_a_form_from_before_is_worth_nothing(
    pages: RunningPortal, provider: ScriptedProvider, configure: Configure
) -> None:
    client = visitor(pages)
    before = token_of(client, "/sign-in")
    sign_on(client, provider)
    assert client.post("/sign-out", data={"csrf_token": before}).status_code == 400


def test_a_password_of_the_environment_is_not_sent(
    pages: RunningPortal,
    provider: ScriptedProvider,
    configure: Configure,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(file))
    seen: list[str | None] = []
    provider.replies[DISCOVERY] = lambda handler: seen.append(handler.headers["Authorization"])
    press(visitor(pages))
    assert seen == [None]


def test_a_cookie_that_is_not_ours(
    pages: RunningPortal, provider: ScriptedProvider, configure: Configure
) -> None:
    client = visitor(pages)
    answer = provider.authorize(begin(client))
    name = f"sign-on-{answer['state'][:12]}"
    cookie = client.get_cookie(name)
    assert cookie is not None
    assert (cookie.http_only, cookie.same_site, cookie.max_age) == (True, "Lax", 600)
    middle = len(cookie.value) // 2
    another = "b" if cookie.value[middle] == "a" else "a"
    changed = f"{cookie.value[:middle]}{another}{cookie.value[middle + 1 :]}"
    for planted in (changed, "x", f"{cookie.value}x"):
        client.set_cookie(name, planted)
        assert told(client, come_back(client, answer)) == NOT_BEGUN
    assert sessions_of(pages) == []


def redirect(handler: BaseHTTPRequestHandler) -> None:
    host = handler.headers["Host"]
    send(handler, 302, b"", "text/plain", Location=f"http://{host}/elsewhere")


def oversize(handler: BaseHTTPRequestHandler) -> None:
    send(handler, 200, b" " * (limits.MAX_BYTES + 1), "application/json")


def nested(handler: BaseHTTPRequestHandler) -> None:
    send(handler, 200, b"[" * 100_000, "application/json")


def page(handler: BaseHTTPRequestHandler) -> None:
    send(handler, 200, b"<h1>Welcome</h1>", "text/html")


def a_list(handler: BaseHTTPRequestHandler) -> None:
    send(handler, 200, b"[1]", "application/json")


def broken(handler: BaseHTTPRequestHandler) -> None:
    send(handler, 503, b"{}", "application/json")


def gone(handler: BaseHTTPRequestHandler) -> None:
    send(handler, 404, b"gone", "text/plain")


def cut_off(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"{")


def bomb(handler: BaseHTTPRequestHandler) -> None:
    packed = gzip.compress(b" " * 50_000_000)
    send(handler, 200, packed, "application/json", Content_Encoding="gzip")


def without_keys(handler: BaseHTTPRequestHandler) -> None:
    send_json(handler, {"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "first"}]})


def token_that_is_a_number(handler: BaseHTTPRequestHandler) -> None:
    send_json(handler, {"access_token": "x", "id_token": 1})


def odd_error(handler: BaseHTTPRequestHandler) -> None:
    send_json(handler, {"error": {"a": 1}, "error_description": "\u00e4\n"}, 400)


DOCUMENTS: list[tuple[str, Lie, str, str]] = [
    ("another's name", declares(issuer="https://evil.example"), DISTRUSTED,
     "it calls itself 'https://evil.example'"),
    ("no name", declares(issuer=None), DISTRUSTED, "it calls itself 'None'"),
    ("discovery leads elsewhere", replies(DISCOVERY, redirect), DISTRUSTED, "leads elsewhere: 302"),
    ("discovery is endless", replies(DISCOVERY, oversize), DISTRUSTED, "larger than"),
    ("discovery is a bomb", replies(DISCOVERY, bomb), DISTRUSTED, "larger than"),
    ("discovery is nested", replies(DISCOVERY, nested), DISTRUSTED, "is no JSON"),
    ("discovery is a page", replies(DISCOVERY, page), DISTRUSTED, "is no JSON"),
    ("discovery is a list", replies(DISCOVERY, a_list), DISTRUSTED, "is no JSON object"),
    ("discovery is gone", replies(DISCOVERY, gone), DISTRUSTED, "answers 404"),
    ("discovery is broken", replies(DISCOVERY, broken), AWAY, "answers 503"),
    ("discovery is cut off", replies(DISCOVERY, cut_off), AWAY, "does not answer"),
    ("no authorization endpoint", declares(authorization_endpoint=None), DISTRUSTED,
     "its authorization_endpoint is no address"),
    ("a script", declares(authorization_endpoint="javascript:alert(1)"), DISTRUSTED,
     "its authorization_endpoint is no address"),
    ("breaks out of the page", declares(authorization_endpoint='https://a.example/">'), "", ""),
    ("keys in plain text", declares(jwks_uri="http://a.example/keys"), DISTRUSTED,
     "its jwks_uri is no address with https://"),
    ("token endpoint in plain text", declares(token_endpoint="http://a.example/"), DISTRUSTED,
     "its token_endpoint is no address with https://"),
    ("a file", declares(jwks_uri="file:///etc/passwd"), DISTRUSTED, "its jwks_uri is no address"),
    ("keys lead elsewhere", replies("/keys", redirect), DISTRUSTED, "leads elsewhere: 302"),
    ("keys are endless", replies("/keys", oversize), DISTRUSTED, "larger than"),
    ("keys are no keys", replies("/keys", without_keys), DISTRUSTED, "holds no public key"),
    ("keys are away", replies("/keys", broken), AWAY, "answers 503"),
    ("token leads elsewhere", replies("/token", redirect), DISTRUSTED, "leads elsewhere: 302"),
    ("token is endless", replies("/token", oversize), DISTRUSTED, "larger than"),
    ("token is nested", replies("/token", nested), DISTRUSTED, "in no known form"),
    ("token is a page", replies("/token", page), DISTRUSTED, "in no known form"),
    ("token is a number", replies("/token", token_that_is_a_number), DISTRUSTED, "no identity"),
    ("token is broken", replies("/token", broken), AWAY, "answers 503"),
    ("token is gone", replies("/token", gone), DISTRUSTED, "answers 404"),
    ("token is an odd error", replies("/token", odd_error), DISTRUSTED, "does not take the code"),
    ("no way to show who we are",
     declares(token_endpoint_auth_methods_supported=["private_key_jwt"]), DISTRUSTED,
     "takes no client_secret"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("lie", "sentence", "reason"),
    [row[1:] for row in DOCUMENTS if row[2]],
    ids=[row[0] for row in DOCUMENTS if row[2]],
)
def test_a_document_that_cannot_be_used(
    lie: Lie,
    sentence: str,
    reason: str,
    pages: RunningPortal,
    provider: ScriptedProvider,
    configure: Configure,
    caplog: pytest.LogCaptureFixture,
) -> None:
    lie(provider)
    client = visitor(pages)
    answer = press(client)
    if answer.status_code == 200:
        there = begin(client)
        caplog.clear()
        answer = come_back(client, provider.authorize(there))
    assert told(client, answer).startswith(sentence)
    assert sessions_of(pages) == []
    assert reason in refusal(caplog)
    assert "/elsewhere" not in provider.asked


def test_an_address_cannot_break_out_of_the_page(
    pages: RunningPortal, provider: ScriptedProvider, configure: Configure
) -> None:
    provider.metadata["authorization_endpoint"] = "https://a.example/'\"><script>/"
    text = press(visitor(pages)).get_data(as_text=True)
    assert "<script>/" not in text
    assert "0; url=https://a.example/&#39;&#34;&gt;&lt;script&gt;/" in text


def silent(handler: BaseHTTPRequestHandler) -> None:
    provider_of(handler).closing.wait(60)


def dripping(handler: BaseHTTPRequestHandler) -> None:
    """Send a byte before each time limit of the socket ends."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    with suppress(OSError):
        while not provider_of(handler).closing.wait(0.05):
            handler.wfile.write(b" ")
            handler.wfile.flush()


def dripping_before_its_first_line_ends(handler: BaseHTTPRequestHandler) -> None:
    with suppress(OSError):
        while not provider_of(handler).closing.wait(0.05):
            handler.wfile.write(b"H")
            handler.wfile.flush()


@pytest.mark.parametrize(
    ("slow", "limit"),
    [(silent, "0.8"), (dripping, "1.5"), (dripping_before_its_first_line_ends, "1.5")],
)
@pytest.mark.parametrize("path", [DISCOVERY, "/token", "/keys"])
def test_a_provider_that_is_slow(
    path: str,
    slow: Callable[[BaseHTTPRequestHandler], None],
    limit: str,
    pages: RunningPortal,
    provider: ScriptedProvider,
    configure: Configure,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(limits, "SILENCE_SECONDS", 0.8)
    monkeypatch.setattr(limits, "TOTAL_SECONDS", 1.5)
    provider.replies[path] = slow
    client = visitor(pages)
    answer = press(client)
    if answer.status_code == 200:
        answer = come_back(client, provider.authorize(begin(client)))
    assert told(client, answer).startswith(AWAY)
    assert f"no answer within {limit} s" in refusal(caplog)
    assert sessions_of(pages) == []


def test_nobody_waits_twice_for_a_provider_that_is_away(
    pages: RunningPortal,
    provider: ScriptedProvider,
    configure: Configure,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openid_provider, "REST_SECONDS", 600.0)
    provider.replies[DISCOVERY] = broken
    client = visitor(pages)
    for _each in range(3):
        assert told(client, press(client)).startswith(AWAY)
    assert provider.asked == [DISCOVERY]
    del provider.replies[DISCOVERY]
    assert told(client, press(client)).startswith(AWAY)
    monkeypatch.setattr(openid_provider, "REST_SECONDS", -1.0)
    configure()
    sign_on(client, provider)
    assert sessions_of(pages) == ["anna"]


def test_a_slow_provider_leaves_threads_for_the_others(
    pages: RunningPortal,
    provider: ScriptedProvider,
    configure: Configure,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openid_provider, "WAIT_SECONDS", 0.1)
    monkeypatch.setattr(limits, "SILENCE_SECONDS", 60.0)
    monkeypatch.setattr(limits, "TOTAL_SECONDS", 60.0)
    clients = [visitor(pages) for _each in range(openid_provider.MAX_AT_ONCE + 1)]
    answers = [provider.authorize(begin(client)) for client in clients]
    provider.replies["/token"] = silent
    waiting = [
        Thread(target=come_back, args=pair, daemon=True)
        for pair in zip(clients[1:], answers[1:], strict=True)
    ]
    for thread in waiting:
        thread.start()
    wait_until(lambda: provider.asked.count("/token") == len(waiting), "requests at the provider")
    assert told(clients[0], come_back(clients[0], answers[0])).startswith(AWAY)
    assert provider.asked.count("/token") == len(waiting)  # not once more
    assert all(thread.is_alive() for thread in waiting)
    provider.closing.set()  # which ends their waiting
    for thread in waiting:
        thread.join(30)


def test_a_provider_that_is_not_there_does_not_matter_to_who_has_a_password(
    pages: RunningPortal, provider: ScriptedProvider, configure: Configure
) -> None:
    configure(issuer=f"http://127.0.0.1:{free_port()}")
    client = visitor(pages)
    assert told(client, press(client)).startswith(AWAY)
    answer = post(client, "/sign-in", {"login": "anna", "password": PASSWORD})
    assert answer.headers["Location"] == "/tickets"


@pytest.mark.parametrize(
    ("secret", "reason"),
    [(None, "No such file or directory"), (b"\xff\xfe", "is not UTF-8")],
)
def test_a_secret_that_cannot_be_read(
    secret: bytes | None,
    reason: str,
    pages: RunningPortal,
    provider: ScriptedProvider,
    configure: Configure,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    file = tmp_path / "another"
    if secret is not None:
        file.write_bytes(secret)
    configure(client_secret_file=str(file))
    client = visitor(pages)
    assert told(client, press(client)).startswith(DISTRUSTED)
    assert reason in refusal(caplog)


def test_a_certificate_that_nobody_vouches_for(
    pages: RunningPortal,
    provider: ScriptedProvider,
    configure: Configure,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    certificate = make_certificate(tmp_path, "IP:127.0.0.1")
    with run_provider(certificate) as secure:
        let_in_by(pages.app, section_of(secure, tmp_path))
        client = visitor(pages)
        assert told(client, press(client)).startswith(AWAY)
        assert "its certificate is not trusted" in refusal(caplog)
        let_in_by(pages.app, section_of(secure, tmp_path, ca_file=str(certificate.file)))
        sign_on(client, secure)
        assert sessions_of(pages) == ["anna"]
        caplog.clear()
        let_in_by(pages.app, section_of(secure, tmp_path, ca_file=str(tmp_path / "none.pem")))
        client = visitor(pages)
        assert told(client, press(client)).startswith(AWAY)


def test_no_secret_is_kept_or_logged(
    pages: RunningPortal,
    provider: ScriptedProvider,
    configure: Configure,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = [SECRET]
    made: list[str] = []

    def make(claims: Mapping[str, object]) -> str:
        made.append(signed(claims, provider.key))
        return made[-1]

    provider.make_token = make
    for email in ("nobody@muster.example", "anna@muster.example"):
        client = visitor(pages)
        provider.claims["email"] = email
        there = begin(client)
        answer = provider.authorize(there)
        secrets += [*answer.values(), parse_qs(urlsplit(there).query)["nonce"][0]]
        page = come_back(client, answer)
        assert not any(secret in page.headers["Location"] for secret in secrets)
    session_token = client.get_cookie("schalter")
    assert session_token is not None
    with pages.database.read() as session:
        stored = "\n".join(session.connection().connection.driver_connection.iterdump())
    for secret in [*secrets, *made, session_token.value, provider.issuer]:
        assert secret not in stored
    for secret in [*secrets, *made, session_token.value]:
        assert secret not in caplog.text

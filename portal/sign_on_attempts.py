"""Sign-ins that have been begun at an identity provider, each in a signed cookie of its own.

The browser that comes back must be the one that went, and the answer must be to what it asked:
``state`` in the address names the cookie and stands in it. One cookie for each, so that several
tabs do not undo each other; removed when the answer comes, so that it is taken once. With
``__Host-`` no other host of the domain can plant one (threat model, W4).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hmac import compare_digest

from flask import current_app, request
from itsdangerous import BadData, URLSafeTimedSerializer
from werkzeug.wrappers import Response

from core.openid.provider import Secrets
from core.words import AccountKind
from portal.visitors import is_secure

MAX_AGE_S = 600
MAX_TABS = 4  # cookies are sent with every request: proxies allow some 8 KB of them
MAX_NEXT = 500  # characters; a longer address is not kept
_NAMED_BY = 12  # characters of the state


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sign-in that has been begun: at which provider, as what, and to which page of ours."""

    provider: str
    kind: AccountKind
    next: str
    secrets: Secrets


def remember(response: Response, attempt: Attempt) -> None:
    """Give a browser the cookie of an attempt; of many, the oldest are forgotten."""
    content = {
        "provider": attempt.provider,
        "kind": attempt.kind.value,
        "next": attempt.next if len(attempt.next) <= MAX_NEXT else "",
        **asdict(attempt.secrets),
    }
    for name in _oldest_cookies():
        _remove(response, name)
    response.set_cookie(
        _cookie(attempt.secrets.state),
        _serializer().dumps(content),
        max_age=MAX_AGE_S,
        path="/",
        secure=is_secure(),
        httponly=True,
        samesite="Lax",  # not "Strict": the provider's page leads back here
    )


def recall(state: str) -> Attempt | None:
    """Return the attempt with this state, None when this browser has none that is young enough."""
    try:
        found = _serializer().loads(request.cookies.get(_cookie(state), ""), max_age=MAX_AGE_S)
    except BadData:
        return None
    if not compare_digest(found["state"].encode(), state.encode(errors="replace")):
        return None
    secrets = Secrets(found["state"], found["nonce"], found["verifier"])
    return Attempt(found["provider"], AccountKind(found["kind"]), found["next"], secrets)


def forget(response: Response, state: str) -> None:
    """Take the cookie of an attempt back: its answer has come."""
    _remove(response, _cookie(state))


def _cookie(state: str) -> str:
    return _prefix() + "".join(filter(_is_plain, state[:_NAMED_BY]))


def _is_plain(character: str) -> bool:
    """Whether the name of a cookie may hold a character of a state, which anybody can write."""
    return character.isascii() and (character.isalnum() or character in "-_")


def _prefix() -> str:
    return "__Host-sign-on-" if is_secure() else "sign-on-"


def _oldest_cookies() -> Sequence[str]:
    """Return the cookies that make room for one more: the unreadable, then the oldest."""
    begun = {
        name: _begun_at(value)
        for name, value in request.cookies.items()
        if name.startswith(_prefix())
    }
    return sorted(begun, key=lambda name: begun[name], reverse=True)[MAX_TABS - 1 :]


def _begun_at(value: str) -> float:
    try:
        _content, moment = _serializer().loads(value, max_age=MAX_AGE_S, return_timestamp=True)
    except BadData:
        return 0.0
    return float(moment.timestamp())


def _remove(response: Response, name: str) -> None:
    response.delete_cookie(name, path="/", secure=is_secure(), httponly=True, samesite="Lax")


def _serializer() -> URLSafeTimedSerializer:
    keys = current_app.config["WTF_CSRF_SECRET_KEY"]  # all that are believed, the newest last
    return URLSafeTimedSerializer(keys, salt="schalter.sign-on")

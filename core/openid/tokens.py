"""Identity tokens: whether the provider has said this, to us, just now, for this sign-in."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import Key, KeySet, import_key
from joserfc.jws import JWSRegistry

from core.models import now
from core.openid.faults import ProviderFault

Claims = Mapping[str, object]

# Signatures by a private key that only the provider has. Never "none", and never HS256: its key
# would be one that we have as well, or, to a verifier that is fooled, the provider's public one.
ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512",
    "EdDSA", "Ed25519",
)  # fmt: skip
PUBLIC: Final = ("RSA", "EC", "OKP")  # kinds of keys; a shared secret is none of them
LEEWAY_SECONDS: Final = 60  # by which clocks may differ
MAX_AGE_SECONDS: Final = 600  # of a token; it is fetched as soon as it was made
MAX_TOKEN: Final = 64 * 1024  # characters
MAX_KEYS: Final = 100


class _Registry(JWSRegistry):
    """What a header may hold: more than joserfc expects, as certificates, but nothing critical."""

    max_header_length = 16 * 1024


_REGISTRY: Final = _Registry(algorithms=ALGORITHMS, strict_check_header=False)


class UnknownKey(ProviderFault):
    """A token is signed with a key that is not among those that are known."""


def public_keys(document: Mapping[str, object]) -> KeySet:
    """Return the public keys of a provider's key set; what nobody here can read is left out.

    Which of them are for signatures is seen when one is used. Raises ``ProviderFault`` when there
    is none.
    """
    entries = document.get("keys")
    found: list[Key] = []
    for entry in entries[:MAX_KEYS] if isinstance(entries, list) else ():
        if isinstance(entry, dict) and entry.get("kty") in PUBLIC:
            with suppress(JoseError, ValueError, TypeError, KeyError):  # where nobody can read it
                found.append(import_key(entry))
    if not found:
        raise ProviderFault("its key set holds no public key")
    return KeySet(found)


def verified_claims(token: str, keys: KeySet, *, issuer: str, client_id: str, nonce: str) -> Claims:
    """Return the claims of a token that is good today.

    Raises ``UnknownKey`` and ``ProviderFault``.
    """
    if len(token) > MAX_TOKEN:
        raise ProviderFault(f"its identity token is longer than {MAX_TOKEN} characters")
    try:
        decoded = jwt.decode(token, keys, registry=_REGISTRY)
    except InvalidKeyIdError:
        raise UnknownKey("its identity token is signed with an unknown key") from None
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        reason = error.error if isinstance(error, JoseError) else "is no token"
        raise ProviderFault(f"its identity token: {reason}") from None
    claims = CodeIDToken(
        decoded.claims,
        decoded.header,
        options={
            "iss": {"essential": True, "value": issuer},
            "aud": {"essential": True, "value": client_id},
        },
        params={"nonce": nonce, "client_id": client_id},
    )
    moment = int(now().timestamp())
    try:
        claims.validate(now=moment, leeway=LEEWAY_SECONDS)
    except JoseError as error:
        raise ProviderFault(f"its identity token: {error.error} {error.description}") from None
    if claims["iat"] < moment - MAX_AGE_SECONDS - LEEWAY_SECONDS:
        raise ProviderFault("its identity token is old")
    return dict(claims)

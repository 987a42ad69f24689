"""The identity providers of the application, kept as long as it is."""

from collections.abc import Mapping, Sequence

from flask import Flask, current_app

from core.accounts.single_sign_on import serves
from core.config import Config
from core.openid.provider import Provider
from core.words import AccountKind

_NAME = "schalter-identity-providers"


def set_identity_providers(app: Flask, config: Config) -> None:
    """Make the providers; none is asked anything by this."""
    app.extensions[_NAME] = {
        section.name: Provider(section, config.public_url) for section in config.single_sign_on
    }


def provider_named(name: str) -> Provider | None:
    """Return the provider with this name, None for one that is not configured."""
    return _all().get(name)


def providers_for(kind: AccountKind) -> Sequence[Provider]:
    """Return the providers through which this kind of account may sign in, in their order."""
    return [each for each in _all().values() if serves(each.section, kind)]


def _all() -> Mapping[str, Provider]:
    found: Mapping[str, Provider] = current_app.extensions[_NAME]
    return found

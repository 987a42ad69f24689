"""What composing mail needs to know of this installation, in the pages that cause mail."""

from flask import Flask, current_app

from core.config import Config
from core.models import now
from core.outgoing.installation import Installation, installation_of

_NAME = "schalter-installation"
_RELAY = "schalter-relay"


def set_installation(app: Flask, config: Config) -> Installation:
    """Give the portal its installation. Raises ``ConfigError`` when there is no secret key."""
    found = installation_of(config)
    app.extensions[_NAME] = found
    app.extensions[_RELAY] = bool(config.relay.host)
    return found


def installation() -> Installation:
    """Return the installation of the portal that answers this request."""
    found: Installation = current_app.extensions[_NAME]
    return found


def believed_keys() -> tuple[bytes, ...]:
    """Return the keys whose tokens in a mail count today."""
    return installation().keys.ring.believed(now().date())


def relay_is_set_up() -> bool:
    """Whether there is a server that mail goes out through; without one it waits."""
    return bool(current_app.extensions[_RELAY])

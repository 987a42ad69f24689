"""What composing mail needs to know of this installation, in the pages that cause mail."""

from flask import Flask, current_app

from core.config import Config
from core.outgoing.installation import Installation, installation_of

_NAME = "schalter-installation"


def set_installation(app: Flask, config: Config) -> Installation:
    """Give the portal its installation. Raises ``ConfigError`` when there is no secret key."""
    found = installation_of(config)
    app.extensions[_NAME] = found
    return found


def installation() -> Installation:
    """Return the installation of the portal that answers this request."""
    found: Installation = current_app.extensions[_NAME]
    return found

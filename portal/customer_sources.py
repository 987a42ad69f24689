"""The customer sources of the application, kept as long as it is."""

from flask import Flask, current_app

from core.config import Config
from core.sources.asking.live import LiveSources, make_live_sources

_NAME = "schalter-customer-sources"


def set_customer_sources(app: Flask, config: Config) -> None:
    """Make the sources; none is asked anything by this. Raises ``ConfigError``."""
    app.extensions[_NAME] = make_live_sources(config)


def live_sources() -> LiveSources:
    """Return the sources in their order, as they are asked while somebody waits."""
    found: LiveSources = current_app.extensions[_NAME]
    return found

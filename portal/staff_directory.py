"""The directory of staff that the application asks, kept as long as it is."""

from flask import Flask, current_app

from core.accounts.staff_directory import StaffDirectory, staff_directory_of
from core.config import Config

_NAME = "schalter-staff-directory"


def set_staff_directory(app: Flask, config: Config) -> None:
    """Make the directory; it is asked nothing by this. Raises ``ConfigError``."""
    app.extensions[_NAME] = staff_directory_of(config)


def staff_directory() -> StaffDirectory | None:
    """Return the directory, None where none is configured."""
    found: StaffDirectory | None = current_app.extensions[_NAME]
    return found

"""Which recipient addresses exist, answered from memory for RCPT.

The answer depends on the address alone, never on the sender (threat P20). A yes may be a moment
old: the decision at the end of DATA asks again in its transaction. A no is checked against the
database before it is given.
"""

import time
from threading import Lock

from core.db import Database
from core.organisation import Organisation, load_organisation

REFRESH_SECONDS = 0.5


class RecipientDirectory:
    """The routable addresses of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._organisation: Organisation | None = None
        self._refreshed_at = float("-inf")
        self._lock = Lock()

    def knows(self, address: str) -> bool:
        """Whether a queue (or postmaster) has this address, as far as is known; never blocks."""
        return self._organisation is not None and self._organisation.route(address) is not None

    def refresh(self) -> None:
        """Ask the database, at most twice a second whoever guesses addresses; blocks.

        Raises what the database raises when it cannot be asked.
        """
        with self._lock:
            if time.monotonic() - self._refreshed_at < REFRESH_SECONDS:
                return
            with self._database.read() as session:
                self._organisation = load_organisation(session)
            self._refreshed_at = time.monotonic()

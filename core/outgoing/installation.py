"""What composing needs to know of this installation: its keys, its address in browsers, its name.

Made once per process from the configuration and handed to whatever writes mail.
"""

from dataclasses import dataclass

from core.config import Config
from core.organisation import Organisation
from core.outgoing.compose import Mailbox
from core.secret_key import Keys


@dataclass(frozen=True, slots=True)
class Installation:
    """``public_url`` has no slash at its end; ``hostname`` is what our mail servers call us."""

    keys: Keys
    public_url: str
    hostname: str

    def page(self, path: str) -> str:
        """Return the address of a page: always from the configuration (threat W6)."""
        return f"{self.public_url}/{path.lstrip('/')}"


def installation_of(config: Config) -> Installation:
    """Return the installation that a configuration describes. Raises ``ConfigError``."""
    return Installation(Keys(config.secret_key_file), config.public_url, config.smtp.hostname)


def sender_of(
    organisation: Organisation, installation: Installation, queue_id: int | None
) -> Mailbox:
    """Return whom a mail is from: the queue's main address, else the organisation's.

    A mail that belongs to no queue, or to one without an address, comes from the setting
    ``sender_address``; without that from ``schalter@`` our host name.
    """
    settings = organisation.settings
    queue = organisation.queues.get(queue_id or 0)
    if queue is not None and queue.address:
        return Mailbox(queue.address, f"{settings.organisation_name} {queue.name}")
    address = settings.sender_address or f"schalter@{installation.hostname}"
    return Mailbox(address, settings.organisation_name)

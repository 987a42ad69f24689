"""Mail to the sender of held mail that staff refuse: a further kind of outgoing mail."""

from core.migrations.vocabulary import widen

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

KINDS = (
    "reply",
    "notice",
    "received",
    "follow-up-received",
    "follow-up-rejected",
    "new-ticket",
    "password-reset",
    "invitation",
    "address-link",
    "address-changed",
)
NEW_KINDS = ("held-refused",)


def upgrade() -> None:
    """Add the new kind to what the outbox allows."""
    widen("outgoing_mails", "kind", "outgoingkind", KINDS, NEW_KINDS)

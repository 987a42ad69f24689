"""What the checks of a sender found, and which queues demand a verified one."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; no older mail was checked, no queue demands anything."""
    op.execute("ALTER TABLE mails ADD COLUMN authentication JSON")
    op.execute(
        "ALTER TABLE queues ADD COLUMN evidence VARCHAR(32) NOT NULL DEFAULT 'any' "
        "CONSTRAINT ck_queues_evidencedemand CHECK (evidence IN ('any', 'verified'))"
    )

"""Reading a customer source on request: who waits for it, and how the last reading ended."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add to customer sources when a reading was asked for, when it began and why it failed."""
    moment = "DATETIME" if op.get_bind().dialect.name == "sqlite" else "TIMESTAMP WITH TIME ZONE"
    for column in ("read_asked_at", "read_began_at", "read_failed_at"):
        op.execute(f"ALTER TABLE customer_sources ADD COLUMN {column} {moment}")
    op.execute(
        "ALTER TABLE customer_sources ADD COLUMN read_error VARCHAR(500) NOT NULL DEFAULT ''"
    )

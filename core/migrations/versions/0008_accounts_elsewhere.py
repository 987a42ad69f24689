"""Staff who are in a directory, and since when the record of an account is gone."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add to staff where they come from, and to customer users when their record vanished."""
    op.execute("ALTER TABLE staff ADD COLUMN directory_key VARCHAR(200)")
    moment = "DATETIME" if op.get_bind().dialect.name == "sqlite" else "TIMESTAMP WITH TIME ZONE"
    op.execute(f"ALTER TABLE staff ADD COLUMN directory_seen_at {moment}")
    op.create_index("uq_staff_directory_key", "staff", ["directory_key"], unique=True)
    op.execute(f"ALTER TABLE customer_users ADD COLUMN source_gone_at {moment}")

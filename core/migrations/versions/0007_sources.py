"""Customer sources: which account is a copy of whose record, and how the sources are."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the two tables, and to accounts and customers where they come from."""
    op.create_table(
        "customer_sources",
        sa.Column("name", sa.String(length=50), nullable=False),
        sa.Column("last_contact_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_pass_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("records", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.String(length=500), nullable=False),
        sa.Column("last_error_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_customer_sources")),
    )
    op.create_table(
        "source_conflicts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(length=50), nullable=False),
        sa.Column("source_key", sa.String(length=200), nullable=False),
        sa.Column("login", sa.String(length=200), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "login", "address", "key", "faulty",
                name="sourceconflict", native_enum=False, create_constraint=True, length=32,
            ),
            nullable=False,
        ),
        sa.Column("detail", sa.String(length=500), nullable=False),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source_conflicts")),
    )  # fmt: skip
    op.create_index("ix_source_conflicts_record", "source_conflicts", ["source", "source_key"])
    for column in ("source VARCHAR(50)", "source_key VARCHAR(200)"):
        op.execute(f"ALTER TABLE customer_users ADD COLUMN {column}")
    op.execute("ALTER TABLE customers ADD COLUMN source VARCHAR(50)")
    seen = "DATETIME" if op.get_bind().dialect.name == "sqlite" else "TIMESTAMP WITH TIME ZONE"
    op.execute(f"ALTER TABLE customer_users ADD COLUMN source_seen_at {seen}")
    op.create_index(
        "uq_customer_users_source", "customer_users", ["source", "source_key"], unique=True
    )

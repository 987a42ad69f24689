"""Links that prove a customer user's further address, and the mails about their addresses."""

import sqlalchemy as sa
from alembic import op

from core.migrations.vocabulary import widen

revision = "0004"
down_revision = "0003"
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
)
NEW_KINDS = ("address-link", "address-changed")


def upgrade() -> None:
    """Add the table, and the new kinds to what the outbox allows."""
    op.create_table(
        "address_links",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("customer_user_id", sa.Integer(), nullable=False),
        sa.Column("address", sa.String(length=320), nullable=False),
        sa.Column("address_key", sa.String(length=320), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(length=32), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["customer_user_id"],
            ["customer_users.id"],
            name=op.f("fk_address_links_customer_user_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_address_links")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_address_links_token_hash")),
    )
    for column in ("customer_user_id", "created_at"):
        op.create_index(op.f(f"ix_address_links_{column}"), "address_links", [column], unique=False)
    widen("outgoing_mails", "kind", "outgoingkind", KINDS, NEW_KINDS)

"""Links that prove a customer user's further address, and the mails about their addresses."""

import sqlalchemy as sa
from alembic import op

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
    _widen("outgoing_mails", "kind", "outgoingkind", KINDS, NEW_KINDS)


def _widen(
    table: str, column: str, constraint: str, old: tuple[str, ...], new: tuple[str, ...]
) -> None:
    """Let a column have further words, on SQLite by the way that its manual names (0002)."""
    before, after = (", ".join(f"'{word}'" for word in words) for words in (old, (*old, *new)))
    if op.get_bind().dialect.name == "sqlite":
        connection = op.get_bind()
        version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
        connection.exec_driver_sql("PRAGMA writable_schema = ON")
        changed = connection.execute(
            sa.text(
                "UPDATE sqlite_schema SET sql = replace(sql, :before, :after) "
                "WHERE type = 'table' AND name = :table AND instr(sql, :before)"
            ),
            {
                "before": f"{column} IN ({before})",
                "after": f"{column} IN ({after})",
                "table": table,
            },
        )
        if changed.rowcount != 1:
            raise RuntimeError(f"{table}.{column}: the constraint is not the one expected")
        connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
        connection.exec_driver_sql("PRAGMA writable_schema = OFF")
        return
    op.drop_constraint(op.f(f"ck_{table}_{constraint}"), table, type_="check")
    op.create_check_constraint(op.f(f"ck_{table}_{constraint}"), table, f"{column} IN ({after})")

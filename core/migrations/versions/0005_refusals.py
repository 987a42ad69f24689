"""Mail to the sender of held mail that staff refuse: a further kind of outgoing mail."""

import sqlalchemy as sa
from alembic import op

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

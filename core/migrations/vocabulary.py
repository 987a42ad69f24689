"""Letting a column of a closed vocabulary have further words."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op


def widen(table: str, column: str, constraint: str, old: Sequence[str], new: Sequence[str]) -> None:
    """Allow ``new`` words in a column beside the ``old`` ones, which its CHECK names in order.

    SQLite cannot change a constraint. Its manual (*ALTER TABLE*, 7) names the way for changes that
    leave what is stored as it is: to write the new text of the table into the schema. Raises
    ``RuntimeError`` when the constraint is not the one expected.
    """
    before, after = (", ".join(f"'{word}'" for word in words) for words in (old, (*old, *new)))
    connection = op.get_bind()
    if connection.dialect.name != "sqlite":
        name = op.f(f"ck_{table}_{constraint}")
        op.drop_constraint(name, table, type_="check")
        op.create_check_constraint(name, table, f"{column} IN ({after})")
        return
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    changed = connection.execute(
        sa.text(
            "UPDATE sqlite_schema SET sql = replace(sql, :before, :after) "
            "WHERE type = 'table' AND name = :table AND instr(sql, :before)"
        ),
        {"before": f"{column} IN ({before})", "after": f"{column} IN ({after})", "table": table},
    )
    if changed.rowcount != 1:
        raise RuntimeError(f"{table}.{column}: the constraint is not the one expected")
    connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema = OFF")

"""Writing the exact bytes of messages: together, and big ones in pieces where a database copies.

SQLite's driver holds two more copies of what it is given; ten mails of 25 MB at once would need
three times their size. A place for the bytes is made first and filled piece by piece, in the same
transaction.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table, bindparam, func, insert

from core.models import RawMail

IN_PIECES = 1024 * 1024  # bytes: from this size on
PIECE = 256 * 1024

_TABLE = RawMail.__table__
assert isinstance(_TABLE, Table)
_INSERT = insert(_TABLE)
_RESERVE = insert(_TABLE).values(id=bindparam("row"), content=func.zeroblob(bindparam("size")))


def store_raw(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Write ``{"id", "content"}`` rows of ``raw_mails``."""
    in_pieces = connection.dialect.name == "sqlite"
    together = []
    for row in rows:
        if in_pieces and len(row["content"]) >= IN_PIECES:
            _store_in_pieces(connection, row["id"], row["content"])
        else:
            together.append(row)
    if together:
        connection.execute(_INSERT, together)


def _store_in_pieces(connection: Connection, row_id: int, content: bytes) -> None:
    connection.execute(_RESERVE, {"row": row_id, "size": len(content)})
    driver: Any = connection.connection.driver_connection
    with driver.blobopen("raw_mails", "content", row_id) as blob:
        whole = memoryview(content)
        for start in range(0, len(whole), PIECE):
            blob.write(whole[start : start + PIECE])

"""Counting how often something that admins have made was used: one statement for a batch."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, update

from core.models import BlockedSender, RoutingRule


def count_hits(
    connection: Connection,
    model: type[BlockedSender] | type[RoutingRule],
    hits: Mapping[int, int],
    at: datetime,
) -> None:
    """Add to the hits of rows by their ids; ``at`` is when the last one was.

    The rows are changed in the order of their ids, as by everybody who counts, so that two
    transactions wait for each other and never in a circle.
    """
    if not hits:
        return
    table: Any = model.__table__
    statement = (
        update(table)
        .where(table.c.id == bindparam("counted"))
        .values(hits=table.c.hits + bindparam("more"), last_hit_at=bindparam("at"))
    )
    rows = [{"counted": id_, "more": hits[id_], "at": at} for id_ in sorted(hits)]
    connection.execute(statement, rows)

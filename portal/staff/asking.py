"""Who asks on the pages of staff, and which queues they work: asked of core for each request."""

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.accounts.staff import StaffQueues, staff_queue_ids
from core.models import Staff
from core.organisation import QueueFacts, load_organisation
from portal.database import reading
from portal.visitors import organisation, the_viewer


def member() -> Staff:
    """Return who asks, for reading."""
    account = the_viewer().account
    assert isinstance(account, Staff)  # the area lets nobody else in
    return account


def queues() -> StaffQueues:
    """Return the queues of who asks, for reading."""
    return staff_queue_ids(reading(), organisation(), member())


def member_in(session: Session) -> tuple[Staff, StaffQueues]:
    """Return who asks and their queues as they are in a writing transaction."""
    staff = the_viewer().staff_in(session)
    return staff, staff_queue_ids(session, load_organisation(session), staff)


def named(queue_ids: Iterable[int]) -> list[QueueFacts]:
    """Return queues in the order of their names."""
    wanted = frozenset(queue_ids)
    return [queue for queue in organisation().queues.values() if queue.id in wanted]


def colleagues(session: Session) -> list[Staff]:
    """Return everybody who works here, by name."""
    return list(
        session.scalars(
            select(Staff)
            .where(Staff.valid)
            .order_by(Staff.last_name, Staff.first_name, Staff.login)
        )
    )

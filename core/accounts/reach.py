"""How many customer users a queue is open to: the permissions counted, not decided anew."""

from collections.abc import Collection

from sqlalchemy import func, select, union
from sqlalchemy.orm import Session

from core.accounts.permissions import valid_account
from core.models import Customer, CustomerGroup, CustomerUser, CustomerUserGroup
from core.organisation import Organisation, QueueFacts
from core.words import Permission


def queue_reaches(session: Session, organisation: Organisation) -> dict[int, int]:
    """Return, for each queue, how many valid customer users may write to it.

    It is the number of those for whom ``core.accounts.permissions.effective`` says so.
    """
    everybody = _valid_accounts(session)
    by_group = _writers_by_group(session, organisation.groups)

    def reach(queue: QueueFacts) -> int:
        if not queue.valid:
            return 0
        for_all = queue.group_id in organisation.always_groups
        if for_all or not organisation.settings.customer_group_support:
            return everybody
        return by_group.get(queue.group_id, 0)

    return {queue.id: reach(queue) for queue in organisation.queues.values()}


def queue_reach(session: Session, organisation: Organisation, queue_id: int) -> int:
    """Return how many valid customer users may write to one queue."""
    return queue_reaches(session, organisation).get(queue_id, 0)


def _valid_accounts(session: Session) -> int:
    statement = (
        select(func.count(CustomerUser.id))
        .join(Customer, Customer.id == CustomerUser.customer_id)
        .where(valid_account())
    )
    return session.scalars(statement).one()


def _writers_by_group(session: Session, group_ids: Collection[int]) -> dict[int, int]:
    """Count an account once per group, whether it has the permission itself or inherits it."""
    direct = select(CustomerUserGroup.group_id, CustomerUserGroup.customer_user_id).where(
        CustomerUserGroup.permission == Permission.RW
    )
    inherited = (
        select(CustomerGroup.group_id, CustomerUser.id)
        .join(CustomerUser, CustomerUser.customer_id == CustomerGroup.customer_id)
        .where(CustomerGroup.permission == Permission.RW)
    )
    writers = union(direct, inherited).subquery()  # without duplicates
    rows = session.execute(
        select(writers.c.group_id, func.count())
        .join(CustomerUser, CustomerUser.id == writers.c.customer_user_id)
        .join(Customer, Customer.id == CustomerUser.customer_id)
        .where(valid_account(), writers.c.group_id.in_(group_ids))
        .group_by(writers.c.group_id)
    )
    return dict(rows.all())

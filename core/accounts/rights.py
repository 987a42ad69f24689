"""What an account may do, told to people: each queue with the permission and its reasons."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from core.accounts.permissions import Access, Grant, Through
from core.i18n import gettext as _
from core.organisation import Organisation, QueueFacts
from core.words import Permission


@dataclass(frozen=True, slots=True)
class Reason:
    """One grant with the name of its group, "" without group support."""

    group: str
    through: Through
    permission: Permission


@dataclass(frozen=True, slots=True)
class QueueRight:
    """A queue that an account may see at all, and why."""

    queue: QueueFacts
    permission: Permission
    reasons: tuple[Reason, ...]


def queue_rights(organisation: Organisation, access: Access) -> Sequence[QueueRight]:
    """Return what an account may do in each queue, in the order of the queues' names."""
    return [
        QueueRight(
            organisation.queues[queue_id],
            opened.permission,
            tuple(reason_of(organisation, grant) for grant in opened.grants),
        )
        for queue_id, opened in access.queues.items()
    ]


def reason_of(organisation: Organisation, grant: Grant) -> Reason:
    """Return a grant with the name of its group."""
    group = organisation.groups[grant.group_id] if grant.group_id is not None else ""
    return Reason(group, grant.through, grant.permission)


def through_text(through: Through) -> str:
    """Return by which way a permission comes, in the language of the reader."""
    match through:
        case Through.DIRECT:
            return _("given directly")
        case Through.CUSTOMER:
            return _("through the customer")
        case Through.ALWAYS:
            return _("given to everybody")
        case Through.NO_GROUP_SUPPORT:
            return _("customer groups are not in use")
        case _:
            assert_never(through)

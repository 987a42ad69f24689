"""Groups that a customer source decides: nobody here gives or takes them from its accounts.

Which these are the configuration says; each session brings them along (``core.db``). Other groups
of such an account, and all groups of a customer, are kept here. The directory of staff decides
groups of its staff in the same way.
"""

from collections.abc import Mapping

from sqlalchemy.orm import Session

from core.config import STAFF_DIRECTORY
from core.db import MANAGED_GROUPS
from core.errors import Invalid
from core.i18n import gettext as _
from core.models import Customer, CustomerUser, Staff

NO_GROUPS: frozenset[str] = frozenset()


def managed_groups(session: Session) -> Mapping[str, frozenset[str]]:
    """Return the names of the groups that each source alone gives, by its name."""
    managed: Mapping[str, frozenset[str]] = session.info.get(MANAGED_GROUPS, {})
    return managed


def groups_of_source(session: Session, holder: Customer | CustomerUser | None) -> frozenset[str]:
    """Return the names of the groups that are not given or taken here from this holder."""
    if not isinstance(holder, CustomerUser) or holder.source is None:
        return NO_GROUPS
    return managed_groups(session).get(holder.source, NO_GROUPS)


def groups_of_directory(session: Session, staff: Staff | None) -> frozenset[str]:
    """Return the names of the groups that only the directory gives to a member of staff."""
    if staff is None or staff.directory_key is None:
        return NO_GROUPS
    return managed_groups(session).get(STAFF_DIRECTORY, NO_GROUPS)


def decided_there(account: CustomerUser, group: str) -> Invalid:
    """Return the error that a permission is decided by the source of an account."""
    return Invalid(
        "groups",
        _(
            'The customer source "%(source)s" decides the group "%(group)s" of "%(login)s".',
            source=account.source or "",
            group=group,
            login=account.login,
        ),
    )

"""The pages of admins: accounts, groups, permissions, queues, staff, settings, the audit log."""

from portal.admin import (
    audit,
    customer_users,
    customers,
    groups,
    permissions,
    queues,
    settings,
    staff,
)
from portal.areas import Area

AREAS: tuple[Area, ...] = (
    customer_users.area,
    customers.area,
    groups.area,
    permissions.area,
    queues.area,
    staff.area,
    settings.area,
    audit.area,
)

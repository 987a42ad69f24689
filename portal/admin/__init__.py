"""The pages of admins: accounts, groups, permissions, queues, texts, settings, the audit log."""

from portal.admin import (
    audit,
    auto_responses,
    blocklist,
    customer_users,
    customers,
    exchange,
    groups,
    permissions,
    queues,
    rules,
    settings,
    simulator,
    source_map,
    source_renames,
    source_trials,
    sources,
    staff,
    templates,
)
from portal.areas import Area

AREAS: tuple[Area, ...] = (
    customer_users.area,
    customers.area,
    sources.area,
    source_map.area,
    source_trials.area,
    exchange.area,
    groups.area,
    permissions.area,
    queues.area,
    rules.area,
    auto_responses.area,
    templates.area,
    staff.area,
    blocklist.area,
    simulator.area,
    source_renames.area,
    settings.area,
    audit.area,
)

"""Routing rules as admins keep them: checked, in an order without gaps, and audited.

Whoever changes one locks the organisation's version first, as intake does before it counts hits.
"""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_network

import re2
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from core import audit
from core.accounts.saving import Problems, check_version, clean_texts, holder_of_name, store
from core.audit import Actor
from core.errors import Duplicate, Invalid, NotFound
from core.i18n import gettext as _
from core.mail.addresses import domain_key
from core.mail.text import clean_text
from core.models import OrganisationVersion, Queue, RoutingRule
from core.routing import rule
from core.routing.conditions import OPERATORS, compiled
from core.routing.rule import (
    MAX_GROUPS,
    MAX_RULES,
    MAX_TESTS,
    MAX_VALUE,
    Actions,
    Conditions,
    Field,
    Group,
    Operator,
    RuleValues,
    Test,
    actions_from_json,
    actions_to_json,
    conditions_from_json,
    conditions_to_json,
)
from core.routing.tag_names import clean_tags
from core.settings import FIELD_NAME
from core.text import exact
from core.words import Evidence

MAX_NAME = 64  # characters of the name of a header field
KIND = "routing-rule"  # as the audit log calls it


def all_rules(session: Session) -> Sequence[RoutingRule]:
    """Return all rules, also those that are not valid, in their order."""
    order = (RoutingRule.position, RoutingRule.id)
    return session.scalars(select(RoutingRule).order_by(*order)).all()


def rule_with_id(session: Session, rule_id: int) -> RoutingRule:
    """Return a rule. Raises ``NotFound``."""
    found = session.get(RoutingRule, rule_id)
    if found is None:
        raise NotFound(_("There is no such rule."))
    return found


def rule_values(row: RoutingRule) -> RuleValues:
    """Return what is stored of a rule, as an admin writes it."""
    return RuleValues(
        name=row.name,
        scope=row.scope,
        conditions=conditions_from_json(row.conditions),
        actions=actions_from_json(row.actions),
        stop=row.stop,
        valid=row.valid,
        comment=row.comment,
    )


def rule_facts(row: RoutingRule) -> rule.RoutingRule:
    """Return a rule as intake asks it."""
    return facts_of(row.id, rule_values(row))


def facts_of(rule_id: int, values: RuleValues) -> rule.RoutingRule:
    """Return a rule that may not be stored yet as intake would ask it."""
    return rule.RoutingRule(
        rule_id, values.name, values.scope, values.conditions, values.actions, values.stop
    )


def save_rule(
    session: Session,
    actor: Actor,
    values: RuleValues,
    current: RoutingRule | None = None,
    version: int | None = None,
) -> RoutingRule:
    """Create a rule behind all others, or change ``current`` where it differs.

    Raises ``InvalidFields`` as ``check_values`` does, and ``Stale`` when ``version`` is not the
    stored one.
    """
    _lock(session)
    check_version(session, current, version)
    values = check_values(session, values, current)
    before = rule_values(current) if current is not None else None
    if current is not None and values == before:
        return current
    row = current if current is not None else RoutingRule(position=_count(session) + 1)
    row.name, row.comment, row.scope = values.name, values.comment, values.scope
    row.stop, row.valid = values.stop, values.valid
    row.conditions = conditions_to_json(values.conditions)
    row.actions = actions_to_json(values.actions)
    store(session, actor, KIND, row, row.name, before, values)
    return row


def move_rule(
    session: Session, actor: Actor, rule_id: int, position: int, version: int | None = None
) -> None:
    """Put a rule at a position, the first being 1; beyond the ends it is the first or the last.

    The versions of the rules stay as they are, so that nobody's form becomes stale by it. Raises
    ``NotFound``, and ``Stale`` when the rule itself was changed since ``version``.
    """
    _lock(session)
    row = rule_with_id(session, rule_id)
    check_version(session, row, version)
    session.refresh(row)
    old, new = row.position, min(max(position, 1), _count(session))
    if old == new:
        return
    _shift(session, min(old, new), max(old, new), 1 if new < old else -1)
    session.execute(update(RoutingRule).where(RoutingRule.id == rule_id).values(position=new))
    session.expire_all()
    before, after = {"position": old}, {"position": new}
    audit.record(session, actor, "changed", KIND, rule_id, row.name, before, after)


def delete_rule(session: Session, actor: Actor, rule_id: int) -> None:
    """Delete a rule; mails keep what it did to them. Raises ``NotFound``."""
    _lock(session)
    row = rule_with_id(session, rule_id)
    session.refresh(row)
    before = {"position": row.position, "conditions": row.conditions, "actions": row.actions}
    audit.record(session, actor, "deleted", KIND, row.id, row.name, before, None)
    position = row.position
    session.delete(row)
    session.flush()
    _shift(session, position + 1, MAX_RULES + position, -1)
    session.expire_all()


def check_values(
    session: Session, values: RuleValues, current: RoutingRule | None = None
) -> RuleValues:
    """Return the values as they are stored.

    Raises ``InvalidFields``: the fields are called ``name``, ``actions.queue_id``,
    ``actions.tags``, ``conditions``, ``conditions.0`` (a group) and, for a test in it,
    ``conditions.0.1.value``, ``….operator`` or ``….name``, counted from 0.
    """
    problems = Problems()
    cleaned = clean_texts(values, RoutingRule, problems, required=("name",), long=("comment",))
    with problems.gathered():
        _check_name(session, cleaned.name, current)
    if current is None and _count(session) >= MAX_RULES:
        problems.add(Invalid("name", _("There are at most %(limit)d rules.", limit=MAX_RULES)))
    if len(values.conditions.groups) > MAX_GROUPS:
        problems.add(Invalid("conditions", _("At most %(limit)d groups.", limit=MAX_GROUPS)))
    groups = tuple(
        _checked_group(group, f"conditions.{number}", problems)
        for number, group in enumerate(values.conditions.groups[:MAX_GROUPS])
    )
    actions = _checked_actions(session, values.actions, current, problems)
    problems.raise_any()
    return replace(cleaned, conditions=Conditions(groups, values.conditions.join), actions=actions)


def _lock(session: Session) -> None:
    session.execute(select(OrganisationVersion.version).with_for_update())


def _count(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(RoutingRule)) or 0


def _shift(session: Session, first: int, last: int, by: int) -> None:
    """Move the rules at these positions up or down by one, without counting that as a change."""
    session.execute(
        update(RoutingRule)
        .where(RoutingRule.position.between(first, last))
        .values(position=RoutingRule.position + by)
        .execution_options(synchronize_session=False)
    )


def _check_name(session: Session, name: str, current: RoutingRule | None) -> None:
    holder = holder_of_name(session, RoutingRule, name, current)
    if holder is not None:
        text = _('There is already a rule "%(name)s".', name=holder.name)
        raise Duplicate("name", text, holder)


def _checked_group(group: Group, field: str, problems: Problems) -> Group:
    if not group.tests:
        problems.add(Invalid(field, _("Please add a condition, or remove the group.")))
    if len(group.tests) > MAX_TESTS:
        problems.add(Invalid(field, _("At most %(limit)d conditions.", limit=MAX_TESTS)))
    tests = []
    for number, test in enumerate(group.tests[:MAX_TESTS]):
        with problems.gathered():
            tests.append(_checked_test(test, f"{field}.{number}"))
    return Group(tuple(tests), group.join)


def _checked_test(test: Test, field: str) -> Test:
    if test.operator not in OPERATORS[test.field]:
        raise Invalid(f"{field}.operator", _("This cannot be compared in this way."))
    name = exact(test.name) if test.field is Field.HEADER else ""
    if test.field is Field.HEADER:
        if not name:
            raise Invalid(f"{field}.name", _("Please fill this in."))
        if len(name) > MAX_NAME or not FIELD_NAME.fullmatch(name):
            text = _('"%(name)s" is not the name of a header field.', name=name[:MAX_NAME])
            raise Invalid(f"{field}.name", text)
    return replace(test, name=name, value=_checked_value(test, f"{field}.value"))


def _checked_value(test: Test, field: str) -> str:
    """Return the value to compare with; a pattern keeps its blanks."""
    if test.operator is Operator.EXISTS:
        return ""
    is_pattern = test.operator is Operator.MATCHES
    value = clean_text(test.value) if is_pattern else exact(clean_text(test.value))
    if not value.strip():
        raise Invalid(field, _("Please fill this in."))
    if len(value) > MAX_VALUE:
        raise Invalid(field, _("At most %(limit)d characters.", limit=MAX_VALUE))
    if is_pattern:
        _check_pattern(value, field)
    elif test.field is Field.SIZE:
        if not (value.isascii() and value.isdigit() and len(value) <= 12):
            raise Invalid(field, _("Please enter a whole number."))
    elif test.field is Field.EVIDENCE:
        if value not in {Evidence.VERIFIED, Evidence.NEUTRAL}:
            raise Invalid(field, _("A mail that is asked about is verified or neutral."))
    elif test.field is Field.PEER:
        _check_network(value, field)
    elif test.operator is Operator.WITHIN and domain_key(value) is None:
        raise Invalid(field, _("This is not a domain."))
    return value


def _check_pattern(pattern: str, field: str) -> None:
    try:
        compiled(pattern)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        shown = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        text = _("This regular expression cannot be used: %(reason)s", reason=shown)
        raise Invalid(field, text) from None


def _check_network(value: str, field: str) -> None:
    try:
        ip_network(value, strict=False)
    except ValueError:
        text = _("This is neither an IP address nor a network, as in 192.0.2.0/24.")
        raise Invalid(field, text) from None


def _checked_actions(
    session: Session, actions: Actions, current: RoutingRule | None, problems: Problems
) -> Actions:
    tags: tuple[str, ...] = ()
    with problems.gathered():
        tags = clean_tags(actions.tags, "actions.tags")
    with problems.gathered():
        kept = actions_from_json(current.actions).queue_id if current is not None else None
        _check_queue(session, actions.queue_id, kept)
    return replace(actions, tags=tags)


def _check_queue(session: Session, queue_id: int | None, kept: int | None) -> None:
    """Refuse a queue that does not exist, and an invalid one unless it was chosen before."""
    if queue_id is None:
        return
    queue = session.get(Queue, queue_id)
    if queue is None:
        raise Invalid("actions.queue_id", _("There is no such queue."))
    if queue_id != kept and not (queue.valid and queue.group.valid):
        raise Invalid("actions.queue_id", _("This queue is invalid."))

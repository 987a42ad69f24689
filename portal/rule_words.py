"""Routing rules in words: what a rule looks at, and what it does."""

from collections.abc import Iterator, Mapping

from core.i18n import gettext as _
from core.labels import label
from core.routing.rule import Actions, Conditions, Group, Join, Operator, Test
from core.routing.rule import Field as What
from core.words import Evidence


def conditions_in_words(conditions: Conditions) -> str:
    """Return in one sentence which mail fits."""
    if not conditions.groups:
        return _("every mail")
    several = len(conditions.groups) > 1
    groups = [_group(group, in_brackets=several) for group in conditions.groups]
    return _joined(groups, conditions.join)


def actions_in_words(actions: Actions, queues: Mapping[int, str]) -> str:
    """Return what is done with mail that fits; ``queues`` are names by id."""
    return ", ".join(_actions(actions, queues)) or _("nothing, but it is counted")


def _group(group: Group, *, in_brackets: bool) -> str:
    text = _joined([_test(test) for test in group.tests], group.join)
    return f"({text})" if in_brackets and len(group.tests) > 1 else text


def _joined(parts: list[str], join: Join) -> str:
    return (_(" and ") if join is Join.ALL else _(" or ")).join(parts)


def _test(test: Test) -> str:
    what = test.name if test.field is What.HEADER else label(test.field)
    compared = label(test.operator)
    text = f"{what} {compared}"
    if test.operator is not Operator.EXISTS:
        value = test.value
        if test.field is What.EVIDENCE and value in set(Evidence):
            value = label(Evidence(value))
        text = _('%(what)s %(compared)s "%(value)s"', what=what, compared=compared, value=value)
    return _("not (%(test)s)", test=text) if test.negated else text


def _actions(actions: Actions, queues: Mapping[int, str]) -> Iterator[str]:
    if actions.queue_id is not None:
        yield _("Queue %(queue)s", queue=queues.get(actions.queue_id, f"#{actions.queue_id}"))
    if actions.priority is not None:
        yield _("Priority %(priority)s", priority=label(actions.priority))
    if actions.state is not None:
        yield _("State %(state)s", state=label(actions.state))
    if actions.tags:
        yield _("Tags %(tags)s", tags=", ".join(actions.tags))
    if actions.ending is not None:
        yield label(actions.ending)

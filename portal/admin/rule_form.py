"""The form of a routing rule: fields for as many conditions as there are.

Its fields are called as core calls them in its errors (``core.routing.rules.check_values``), and
it works without JavaScript: a button adds or removes a condition and returns what was typed.
"""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict
from wtforms import BooleanField, RadioField, SelectField
from wtforms.fields.choices import SelectChoice

from core.i18n import gettext as _
from core.i18n import lazy_gettext as _l
from core.labels import label
from core.models import AuditEvent, Queue
from core.routing.rule import (
    MAX_GROUPS,
    MAX_TESTS,
    Actions,
    Conditions,
    Ending,
    Field,
    Group,
    Join,
    Operator,
    RuleValues,
    Test,
)
from core.words import Priority, RoutingScope, TicketState
from portal.admin.forms import EditForm, ValidField, left_alone, long_text, text
from portal.forms import choices, put

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
else:
    DataclassInstance = Any

DO = "do"  # name of the buttons that change the form and save nothing
CHECK = "check"

Typed = dict[str, str]  # the fields of one condition
_TEST = re.compile(r"conditions\.(\d{1,3})\.(\d{1,3})\.([a-z]+)")
_EDIT = re.compile(r"(add-group|add-test|remove-group|remove-test)(?:\.(\d{1,3}))?(?:\.(\d{1,3}))?")


class RuleForm(EditForm):
    """What can be entered for a rule; ``shape`` is how many conditions each group has."""

    name = text(_l("Name"), starred=True)
    scope = RadioField(_l("Applies to"), default=RoutingScope.NEW.value)
    comment = long_text(_l("Comment"))
    valid = ValidField(_l("Valid"))
    join = SelectField(_l("Groups are joined by"))
    stop = BooleanField(_l("Ask no further rule when this one fits"))

    def process(
        self,
        formdata: Any = None,
        obj: RuleValues | None = None,
        data: Mapping[str, Any] | None = None,
        extra_filters: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Add a field for each value, and fill all of them."""
        typed = self.meta.wrap_formdata(self, formdata)
        values = obj or RuleValues(name="", conditions=_one_test())
        groups = groups_of(typed) if typed is not None else None
        self.shape = (
            tuple(len(group) for group in groups)
            if groups is not None
            else tuple(len(group.tests) for group in values.conditions.groups)
        )
        self._add_fields()
        super().process(typed, obj, data, extra_filters, **_flat(values), **kwargs)

    def _add(self, name: str, unbound: Any) -> None:
        self._fields[name] = self.meta.bind_field(
            self, unbound, {"name": name, "prefix": self._prefix}
        )

    def _add_fields(self) -> None:
        self.scope.choices = choices([(word.value, label(word)) for word in RoutingScope])
        self.join.choices = _words(Join)
        for g, size in enumerate(self.shape):
            self._add(
                f"conditions.{g}",
                SelectField(
                    _("Conditions of group %(number)d", number=g + 1), choices=_words(Join)
                ),
            )
            for t in range(size):
                self._add_test(f"conditions.{g}.{t}", f"{g + 1}.{t + 1}")
        anything = SelectChoice("", _("unchanged"))
        self._add("actions.queue_id", SelectField(_("Queue")))
        self._add(
            "actions.priority", SelectField(_("Priority"), choices=[anything, *_words(Priority)])
        )
        self._add(
            "actions.state", SelectField(_("State"), choices=[anything, *_words(TicketState)])
        )
        self._add("actions.tags", text(_("Tags")))
        self._add(
            "actions.ending",
            SelectField(
                _("What becomes of the mail"),
                choices=[SelectChoice("", _("it goes its way")), *_words(Ending)],
            ),
        )

    def _add_test(self, name: str, number: str) -> None:
        self._add(f"{name}.negated", BooleanField(_("not")))
        self._add(
            f"{name}.field",
            SelectField(
                _("Condition %(number)s: what is looked at", number=number), choices=_words(Field)
            ),
        )
        self._add(
            f"{name}.name",
            text(_("Condition %(number)s: name of the header field", number=number)),
        )
        self._add(
            f"{name}.operator",
            SelectField(
                _("Condition %(number)s: comparison", number=number), choices=_words(Operator)
            ),
        )
        self._add(f"{name}.value", text(_("Condition %(number)s: value", number=number)))

    def offer(self, session: Session, kept: int | None) -> None:
        """Fill in the queues that can be chosen; an invalid one only where it was chosen before."""
        queues = session.scalars(select(Queue).order_by(Queue.name))
        offered = [
            (str(queue.id), queue.name)
            for queue in queues
            if queue.id == kept or (queue.valid and queue.group.valid)
        ]
        self["actions.queue_id"].choices = choices([("", _("unchanged")), *offered])

    def values(self) -> RuleValues:
        """Return what was entered; only after the form was validated."""
        return RuleValues(
            name=self.name.data,
            scope=RoutingScope(self.scope.data),
            conditions=Conditions(
                tuple(self._group(g, size) for g, size in enumerate(self.shape)),
                Join(self.join.data),
            ),
            actions=self._actions(),
            stop=self.stop.data,
            valid=self.valid.data,
            comment=self.comment.data,
        )

    def take_over(
        self, now: DataclassInstance, typed: DataclassInstance, events: Sequence[AuditEvent]
    ) -> None:
        """Take over conditions and actions as a whole, as they are stored."""
        super().take_over(now, typed, events)
        current = type(self)(formdata=None, obj=now)
        for name in {"conditions", "actions"}.intersection(left_alone(typed, events)):
            queues = self["actions.queue_id"].choices
            for mine in [key for key in self._fields if key.startswith(f"{name}.")]:
                del self._fields[mine]
            for key, field in current._fields.items():
                if key.startswith(f"{name}."):
                    self._fields[key] = field
            self["actions.queue_id"].choices = queues
            if name == "conditions":
                put(self.join, current.join.data)
                self.shape = current.shape

    def _group(self, g: int, size: int) -> Group:
        tests = tuple(self._test(f"conditions.{g}.{t}") for t in range(size))
        return Group(tests, Join(self[f"conditions.{g}"].data))

    def _test(self, name: str) -> Test:
        return Test(
            Field(self[f"{name}.field"].data),
            Operator(self[f"{name}.operator"].data),
            self[f"{name}.value"].data,
            self[f"{name}.name"].data,
            self[f"{name}.negated"].data,
        )

    def _actions(self) -> Actions:
        queue, priority, state, tags, ending = (
            self[f"actions.{name}"].data
            for name in ("queue_id", "priority", "state", "tags", "ending")
        )
        return Actions(
            queue_id=int(queue) if queue else None,
            priority=Priority(priority) if priority else None,
            state=TicketState(state) if state else None,
            tags=tuple(tag.strip() for tag in tags.split(",") if tag.strip()),
            ending=Ending(ending) if ending else None,
        )


def groups_of(typed: MultiDict[str, str]) -> list[dict[int, Typed]]:
    """Return the conditions of a form that was sent, in their groups; too many are left out.

    Numbers in the names are only the order: what was removed leaves no gap.
    """
    found: dict[int, dict[int, Typed]] = {}
    for name, value in typed.items():
        if match := _TEST.fullmatch(name):
            group, test, part = match.groups()
            found.setdefault(int(group), {}).setdefault(int(test), {})[part] = value
    kept = [found[g] for g in sorted(found)[:MAX_GROUPS]]
    return [{t: group[t] for t in sorted(group)[:MAX_TESTS]} for group in kept]


def edited(typed: MultiDict[str, str]) -> MultiDict[str, str]:
    """Return a form that was sent as its button changes it: with a condition more, or less."""
    groups = [list(group.values()) for group in groups_of(typed)]
    joins = [typed.get(f"conditions.{g}", Join.ALL.value) for g in range(len(groups))]
    match = _EDIT.fullmatch(typed.get(DO, ""))
    if match is not None:
        _edit(groups, joins, match[1], int(match[2] or 0), int(match[3] or 0))
    result = MultiDict(
        pair for pair in typed.items(multi=True) if not pair[0].startswith("conditions.")
    )
    for g, group in enumerate(groups):
        result[f"conditions.{g}"] = joins[g]
        for t, test in enumerate(group):
            result.update({f"conditions.{g}.{t}.{part}": value for part, value in test.items()})
    return result


def _edit(groups: list[list[Typed]], joins: list[str], what: str, g: int, t: int) -> None:
    if what == "add-group" and len(groups) < MAX_GROUPS:
        groups.append([_new_test()])
        joins.append(Join.ALL.value)
    elif what == "add-test" and g < len(groups) and len(groups[g]) < MAX_TESTS:
        groups[g].append(_new_test())
    elif what == "remove-test" and g < len(groups) and t < len(groups[g]):
        del groups[g][t]
        if not groups[g]:
            del groups[g], joins[g]
    elif what == "remove-group" and g < len(groups):
        del groups[g], joins[g]


def _new_test() -> Typed:
    return {
        "field": Field.SUBJECT.value,
        "operator": Operator.CONTAINS.value,
        "name": "",
        "value": "",
    }


def _one_test() -> Conditions:
    return Conditions((Group((Test(Field.SUBJECT, Operator.CONTAINS),)),))


def _flat(values: RuleValues) -> dict[str, Any]:
    """Return values by the names of their fields, where these are not those of the values."""
    actions = values.actions
    flat: dict[str, Any] = {
        "join": values.conditions.join.value,
        "actions.queue_id": str(actions.queue_id or ""),
        "actions.priority": actions.priority or "",
        "actions.state": actions.state or "",
        "actions.tags": ", ".join(actions.tags),
        "actions.ending": actions.ending or "",
    }
    for g, group in enumerate(values.conditions.groups):
        flat[f"conditions.{g}"] = group.join.value
        for t, test in enumerate(group.tests):
            name = f"conditions.{g}.{t}"
            flat[f"{name}.field"], flat[f"{name}.operator"] = test.field, test.operator
            flat[f"{name}.name"], flat[f"{name}.value"] = test.name, test.value
            flat[f"{name}.negated"] = test.negated
    return flat


def _words(words: type[Any]) -> list[SelectChoice]:
    return choices([(word.value, label(word)) for word in words])

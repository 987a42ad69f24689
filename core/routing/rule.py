"""What a routing rule is made of: conditions in groups, and what is done with mail that fits.

OTRS: *PostMaster filters*. A condition is a group of groups of tests, each joined by *all* or
*any* and each test negatable: two levels say whatever and, or and not can say, and fit in a form.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from core.words import Priority, RoutingScope, TicketState

MAX_RULES = 200
MAX_GROUPS = 10
MAX_TESTS = 20  # of one group
MAX_TAGS = 10
MAX_TAG = 50  # characters
MAX_VALUE = 500  # characters


class Join(StrEnum):
    """How tests, and groups of them, are joined."""

    ALL = "all"
    ANY = "any"


class Field(StrEnum):
    """What a test looks at."""

    SUBJECT = "subject"
    TEXT = "text"
    FROM = "from"  # address of the one From mailbox
    MAIL_FROM = "mail-from"  # reverse-path of the envelope, "" is the null one
    RECIPIENT = "recipient"  # of the envelope
    HEADER = "header"  # the field that the test names; several of the name count as lines
    ATTACHMENT = "attachment"  # the name of any attachment
    SIZE = "size"  # of the message, in bytes
    EVIDENCE = "evidence"  # verified, neutral
    CUSTOMER_NUMBER = "customer-number"  # of the matched customer, "" without one
    CUSTOMER_USER = "customer-user"  # login of the matched account, "" without one
    PEER = "peer"  # IP address of the client


class Operator(StrEnum):
    """How a test compares; text without regard to case and accents."""

    CONTAINS = "contains"
    EQUALS = "equals"
    BEGINS = "begins"
    ENDS = "ends"
    MATCHES = "matches"  # a regular expression, of RE2: in linear time
    EXISTS = "exists"  # is there, and is not empty
    MORE = "more"  # than so many bytes
    WITHIN = "within"  # a domain or one below it; a network


class Ending(StrEnum):
    """What ends the way of a mail."""

    HOLD = "hold"
    REJECT = "reject"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True)
class Test:
    """One comparison; ``name`` is that of the header field."""

    field: Field
    operator: Operator
    value: str = ""
    name: str = ""
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Tests of which all must hold, or any."""

    tests: tuple[Test, ...]
    join: Join = Join.ALL


@dataclass(frozen=True, slots=True)
class Conditions:
    """Groups of which all must hold, or any; without a group every mail fits."""

    groups: tuple[Group, ...] = ()
    join: Join = Join.ALL


@dataclass(frozen=True, slots=True)
class Actions:
    """What is done with mail that fits.

    ``queue_id``, ``priority``, ``state`` and ``tags`` are for the ticket that it opens, where the
    sender's permission in that queue is asked as ever. A follow-up changes nothing of its ticket
    but gives it the tags. ``ending`` is for both.
    """

    queue_id: int | None = None
    priority: Priority | None = None
    state: TicketState | None = None
    tags: tuple[str, ...] = ()
    ending: Ending | None = None


@dataclass(frozen=True, slots=True)
class RoutingRule:
    """A rule as intake asks it; ``stop`` asks no rule behind one that fits."""

    id: int
    name: str
    scope: RoutingScope
    conditions: Conditions
    actions: Actions
    stop: bool = False


@dataclass(frozen=True, slots=True)
class RuleValues:
    """A rule as an admin writes it."""

    name: str
    scope: RoutingScope = RoutingScope.NEW
    conditions: Conditions = field(default_factory=Conditions)
    actions: Actions = field(default_factory=Actions)
    stop: bool = False
    valid: bool = True
    comment: str = ""


def conditions_to_json(conditions: Conditions) -> dict[str, Any]:
    """Return conditions as they are stored."""
    return {
        "join": conditions.join.value,
        "groups": [
            {"join": group.join.value, "tests": [_test_to_json(test) for test in group.tests]}
            for group in conditions.groups
        ],
    }


def conditions_from_json(stored: Mapping[str, Any]) -> Conditions:
    """Return conditions as they were stored. Raises ``KeyError``, ``ValueError`` for others."""
    return Conditions(
        tuple(
            Group(tuple(_test_from_json(test) for test in group["tests"]), Join(group["join"]))
            for group in stored["groups"]
        ),
        Join(stored["join"]),
    )


def actions_to_json(actions: Actions) -> dict[str, Any]:
    """Return actions as they are stored, without those that there are none of."""
    values = {
        "queue_id": actions.queue_id,
        "priority": actions.priority,
        "state": actions.state,
        "tags": list(actions.tags),
        "ending": actions.ending,
    }
    return {name: value for name, value in values.items() if value}


def actions_from_json(stored: Mapping[str, Any]) -> Actions:
    """Return actions as they were stored. Raises ``ValueError`` for others."""
    priority, state, ending = (stored.get(name) for name in ("priority", "state", "ending"))
    return Actions(
        queue_id=stored.get("queue_id"),
        priority=Priority(priority) if priority else None,
        state=TicketState(state) if state else None,
        tags=tuple(stored.get("tags", ())),
        ending=Ending(ending) if ending else None,
    )


def _test_to_json(test: Test) -> dict[str, Any]:
    return {
        "field": test.field.value,
        "operator": test.operator.value,
        "value": test.value,
        "name": test.name,
        "negated": test.negated,
    }


def _test_from_json(stored: Mapping[str, Any]) -> Test:
    return Test(
        Field(stored["field"]),
        Operator(stored["operator"]),
        stored["value"],
        stored["name"],
        stored["negated"],
    )

"""Routing rules as admins keep them: what is refused, their order, versions and the audit log."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core.audit import SYSTEM
from core.db import Database
from core.errors import InvalidFields, NotFound, Stale
from core.models import AuditEvent, OrganisationVersion, Queue, RoutingRule
from core.organisation import load_organisation
from core.routing.rule import (
    MAX_TAGS,
    MAX_TESTS,
    Actions,
    Conditions,
    Ending,
    Field,
    Group,
    Operator,
    RuleValues,
)
from core.routing.rule import Test as Condition
from core.routing.rules import (
    all_rules,
    check_values,
    delete_rule,
    move_rule,
    rule_values,
    save_rule,
)
from tests.intake.firm import a_firm
from tests.routing.contents import one

F, Op = Field, Operator
VALUES = RuleValues(
    "Rechnungen",
    conditions=one(F.SUBJECT, Op.CONTAINS, "Rechnung"),
    actions=Actions(tags=("Geld",)),
)


def names(session: Session) -> list[tuple[int, str]]:
    session.expire_all()
    return [(row.position, row.name) for row in all_rules(session)]


def three(session: Session) -> list[int]:
    return [save_rule(session, SYSTEM, replace(VALUES, name=name)).id for name in "ABC"]


def test_a_rule_is_stored_as_it_was_written(database: Database) -> None:
    firm = a_firm(database)
    values = RuleValues(
        "Alles",
        conditions=Conditions(
            (Group((Condition(F.HEADER, Op.MATCHES, " a|b ", "X-Team", negated=True),)),)
        ),
        actions=Actions(firm.queues["Technik"], tags=(" VIP ", "vip", "Eilt  sehr"),
                        ending=Ending.HOLD),
        stop=True,
        comment="warum",
    )  # fmt: skip
    with database.write() as session:
        row = save_rule(session, SYSTEM, values)
        rule_id = row.id
    with database.read() as session:
        stored = rule_values(session.get_one(RoutingRule, rule_id))
        assert stored == replace(values, actions=replace(values.actions, tags=("vip", "eilt sehr")))
        (asked,) = load_organisation(session).routing
        assert (asked.id, asked.stop, asked.conditions) == (rule_id, True, values.conditions)
        event = session.scalars(select(AuditEvent)).one()
        assert (event.action, event.object_kind, event.object_name) == (
            "created", "routing-rule", "Alles",
        )  # fmt: skip


def test_a_second_save_of_the_same_changes_nothing(sqlite_database: Database) -> None:
    with sqlite_database.write() as session:
        row = save_rule(session, SYSTEM, VALUES)
        save_rule(session, SYSTEM, VALUES, row, row.version)
        assert row.version == 1
        with pytest.raises(Stale):
            save_rule(session, SYSTEM, replace(VALUES, name="B"), row, 7)
        save_rule(session, SYSTEM, replace(VALUES, name="B"), row, 1)
        assert (row.name, row.version) == ("B", 2)
        assert len(session.scalars(select(AuditEvent)).all()) == 2


def rule_with(*tests: Condition) -> RuleValues:
    return replace(VALUES, conditions=Conditions((Group(tests),)))


GOOD = Condition(F.SUBJECT, Op.CONTAINS, "x")
WRONG: list[tuple[RuleValues, str]] = [
    (replace(VALUES, name=" "), "name"),
    (replace(VALUES, name="x" * 101), "name"),
    (replace(VALUES, name="ALT"), "name"),  # differs only by case
    (rule_with(GOOD, replace(GOOD, value=" ")), "conditions.0.1.value"),
    (rule_with(replace(GOOD, value="x" * 501)), "conditions.0.0.value"),
    (rule_with(Condition(F.SUBJECT, Op.MATCHES, "(")), "conditions.0.0.value"),
    (rule_with(Condition(F.SUBJECT, Op.MATCHES, r"(a)\1")), "conditions.0.0.value"),
    (rule_with(Condition(F.SUBJECT, Op.MATCHES, "[äöü]{10}.{900}x")), "conditions.0.0.value"),
    (rule_with(Condition(F.SUBJECT, Op.MORE, "3")), "conditions.0.0.operator"),
    (rule_with(Condition(F.SIZE, Op.MORE, "-3")), "conditions.0.0.value"),
    (rule_with(Condition(F.EVIDENCE, Op.EQUALS, "good")), "conditions.0.0.value"),
    (rule_with(Condition(F.PEER, Op.WITHIN, "muster.example")), "conditions.0.0.value"),
    (rule_with(Condition(F.FROM, Op.WITHIN, "a b")), "conditions.0.0.value"),
    (rule_with(Condition(F.HEADER, Op.EXISTS)), "conditions.0.0.name"),
    (rule_with(Condition(F.HEADER, Op.EXISTS, name="X:Team")), "conditions.0.0.name"),
    (rule_with(Condition(F.HEADER, Op.EXISTS, name="X-Größe")), "conditions.0.0.name"),
    (rule_with(), "conditions.0"),
    (rule_with(*[GOOD] * (MAX_TESTS + 1)), "conditions.0"),
    (replace(VALUES, conditions=Conditions((Group((GOOD,)),) * 11)), "conditions"),
    (replace(VALUES, actions=Actions(queue_id=999)), "actions.queue_id"),
    (replace(VALUES, actions=Actions(tags=("a,b",))), "actions.tags"),
    (replace(VALUES, actions=Actions(tags=("a" * 51,))), "actions.tags"),
    (replace(VALUES, actions=Actions(tags=tuple(map(str, range(MAX_TAGS + 1))))), "actions.tags"),
]


@pytest.mark.parametrize(("values", "field"), WRONG)
def test_what_is_refused(sqlite_database: Database, values: RuleValues, field: str) -> None:
    with sqlite_database.write() as session:
        save_rule(session, SYSTEM, replace(VALUES, name="Alt"))
        with pytest.raises(InvalidFields) as wrong:
            check_values(session, values)
        assert [error.field for error in wrong.value.errors] == [field]


def test_the_engine_says_what_is_wrong_with_a_pattern(sqlite_database: Database) -> None:
    with sqlite_database.read() as session, pytest.raises(InvalidFields, match=r"missing \)"):
        check_values(session, rule_with(Condition(F.SUBJECT, Op.MATCHES, "(a")))


def test_an_invalid_queue_may_stay_but_not_be_chosen(sqlite_database: Database) -> None:
    firm = a_firm(sqlite_database)
    values = replace(VALUES, actions=Actions(firm.queues["Technik"]))
    with sqlite_database.write() as session:
        row = save_rule(session, SYSTEM, values)
        session.get_one(Queue, firm.queues["Technik"]).valid = False
        session.flush()
        save_rule(session, SYSTEM, replace(values, comment="neu"), row)
        with pytest.raises(InvalidFields):
            save_rule(session, SYSTEM, replace(values, name="Andere"))


@pytest.mark.parametrize(
    ("moved", "position", "order"),
    [(0, 3, "BCA"), (2, 1, "CAB"), (1, 99, "ACB"), (1, -5, "BAC"), (1, 2, "ABC")],
)
def test_moving(sqlite_database: Database, moved: int, position: int, order: str) -> None:
    with sqlite_database.write() as session:
        ids = three(session)
        move_rule(session, SYSTEM, ids[moved], position, 1)
        assert names(session) == list(enumerate(order, 1))
        assert {row.version for row in all_rules(session)} == {1}


def test_deleting_leaves_no_gap(database: Database) -> None:
    with database.write() as session:
        ids = three(session)
        delete_rule(session, SYSTEM, ids[0])
        assert names(session) == [(1, "B"), (2, "C")]
        with pytest.raises(NotFound):
            delete_rule(session, SYSTEM, ids[0])
        save_rule(session, SYSTEM, replace(VALUES, name="D"))
        assert names(session)[-1] == (3, "D")


CHANGES: list[tuple[Callable[[Session, list[int]], object], bool]] = [
    (lambda session, ids: save_rule(session, SYSTEM, replace(VALUES, name="neu")), True),
    (lambda session, ids: delete_rule(session, SYSTEM, ids[1]), True),
    (lambda session, ids: move_rule(session, SYSTEM, ids[0], 3), True),
    (
        lambda session, ids: save_rule(
            session, SYSTEM, replace(VALUES, name="A", valid=False),
            session.get(RoutingRule, ids[0]),
        ),
        True,
    ),
    (lambda session, ids: session.execute(update(RoutingRule).values(hits=9)), False),
]  # fmt: skip


@pytest.mark.parametrize(("change", "renews"), CHANGES)
def test_what_renews_the_organisation(
    database: Database, change: Callable[[Session, list[int]], object], renews: bool
) -> None:
    with database.write() as session:
        ids = three(session)
    with database.read() as session:
        before = session.scalar(select(OrganisationVersion.version))
        assert [each.name for each in load_organisation(session).routing] == ["A", "B", "C"]
    with database.write() as session:
        change(session, ids)
    with database.read() as session:
        after = session.scalar(select(OrganisationVersion.version))
        assert (before != after) is renews
        valid = [row.name for row in all_rules(session) if row.valid]
        assert [each.name for each in load_organisation(session).routing] == valid


def test_a_rule_that_cannot_be_read_stops_no_mail(sqlite_database: Database) -> None:
    with sqlite_database.write() as session:
        ids = three(session)
        broken = update(RoutingRule).where(RoutingRule.id == ids[0])
        session.execute(broken.values(conditions={"groups": [{"join": "perhaps"}]}))
    with sqlite_database.read() as session:
        assert [each.name for each in load_organisation(session).routing] == ["B", "C"]

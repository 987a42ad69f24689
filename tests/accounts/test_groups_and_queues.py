"""Groups and queues: names, the group that a queue must have, addresses, always-groups."""

from dataclasses import replace

import pytest
from sqlalchemy import func, select

from core.accounts.groups import (
    GroupUsage,
    GroupValues,
    group_named,
    group_usage,
    group_usages,
    group_values,
    save_group,
)
from core.accounts.queues import QueueValues, queue_named, queue_values, save_queue
from core.db import Database
from core.errors import Duplicate, InvalidFields, NotFound, SchalterError, Stale
from core.models import Group, Queue
from core.organisation import load_organisation
from core.settings import change_settings, load_settings
from core.words import EvidenceDemand, FollowUp, ForbiddenRule, StrangersRule
from tests.accounts.people import ADMIN, at_the_same_time, events, fields_of
from tests.intake.firm import a_firm

TECHNIK = GroupValues(name="technik")
SUPPORT = QueueValues(name="Support", group="technik", addresses=("support@example.org",))


def groups_saved(database: Database, *names: str) -> None:
    """Store groups."""
    with database.write() as session:
        for name in names:
            save_group(session, ADMIN, GroupValues(name=name))


def save(database: Database, *values: QueueValues) -> None:
    """Store queues as they are."""
    with database.write() as session:
        for each in values:
            save_queue(session, ADMIN, each)


# Groups


def test_a_group_is_stored_and_changed(database: Database) -> None:
    with database.write() as session:
        group = save_group(session, ADMIN, GroupValues(name=" tech\nnik ", comment="a\nb"))
    with database.write() as session:
        assert group_values(group_named(session, "tech nik")).comment == "a\nb"
        changed = GroupValues(name="technik", comment="c", valid=False)
        save_group(session, ADMIN, changed, session.get_one(Group, group.id), group.version)
    with database.read() as session:
        assert group_values(group_named(session, "technik")) == changed
    assert [event.action for event in events(database, "group")] == ["created", "changed"]


@pytest.mark.parametrize("name", ["", "  ", "x" * 101])
def test_a_group_needs_a_name(sqlite_database: Database, name: str) -> None:
    with sqlite_database.write() as session, pytest.raises(InvalidFields) as refused:
        save_group(session, ADMIN, GroupValues(name=name))
    assert fields_of(refused.value) == ["name"]


@pytest.mark.parametrize("name", ["technik", "Technik", "TECHNIK ", "téchnik"])
def test_no_two_groups_have_names_that_look_alike(sqlite_database: Database, name: str) -> None:
    groups_saved(sqlite_database, "technik")
    with sqlite_database.write() as session, pytest.raises(InvalidFields) as refused:
        save_group(session, ADMIN, GroupValues(name=name))
    problem = refused.value.errors[0]
    assert isinstance(problem, Duplicate)
    assert problem.holder.name == "technik"


def test_a_renamed_always_group_stays_one(database: Database) -> None:
    groups_saved(database, "technik", "vertrieb")
    with database.write() as session:
        names = ["vertrieb", "technik"]
        change_settings(session, ADMIN, {"customer_group_always_groups": names})
    with database.write() as session:
        save_group(session, ADMIN, GroupValues(name="service"), group_named(session, "technik"))
    with database.read() as session:
        settings = load_settings(session)
        assert settings.customer_group_always_groups == ("vertrieb", "service")
        service = group_named(session, "service").id
        assert service in load_organisation(session).always_groups


def test_an_invalid_or_unknown_always_group_is_none(database: Database) -> None:
    groups_saved(database, "technik")
    with database.write() as session:
        names = ["technik", "gibt es nicht"]
        change_settings(session, ADMIN, {"customer_group_always_groups": names})
    with database.write() as session:
        technik = group_named(session, "technik")
        assert load_organisation(session).always_groups == {technik.id}
        save_group(session, ADMIN, replace(TECHNIK, valid=False), technik)
    with database.read() as session:
        assert load_organisation(session).always_groups == frozenset()


def test_what_uses_a_group_is_counted(database: Database) -> None:
    firm = a_firm(database)
    with database.read() as session:
        usages = group_usages(session)
        assert usages[firm.groups["vertrieb"]] == GroupUsage(queues=1, customers=1, staff=1)
        assert usages[firm.groups["technik"]] == GroupUsage(queues=1, customer_users=2)
        assert group_usage(session, firm.groups["rechnung"]) == GroupUsage(queues=1)
        assert group_usage(session, 999) == GroupUsage()


def test_a_second_admin_does_not_save_over_the_first(database: Database) -> None:
    groups_saved(database, "technik")
    with database.write() as session:
        group = group_named(session, "technik")
        save_group(session, ADMIN, replace(TECHNIK, comment="a"), group, group.version)
    with pytest.raises(Stale), database.write() as session:
        save_group(
            session, ADMIN, replace(TECHNIK, comment="b"), group_named(session, "technik"), 1
        )


def test_of_two_who_take_one_name_at_once_one_wins(database: Database) -> None:
    def take(name: str) -> None:
        groups_saved(database, name)

    results = at_the_same_time(lambda: take("technik"), lambda: take("technik"))
    assert len([each for each in results if isinstance(each, SchalterError)]) == 1
    with database.read() as session:
        assert session.scalar(select(func.count(Group.id))) == 1


# Queues


def test_every_field_of_a_queue_is_stored_and_read_back(database: Database) -> None:
    groups_saved(database, "technik", "vertrieb")
    everything = QueueValues(
        name="Verkauf",
        group="vertrieb",
        addresses=("verkauf@example.org", "sales+eu@bücher.example"),
        purpose="Angebote und Preise",
        comment="zwei\nZeilen",
        follow_up=FollowUp.NEW_TICKET,
        forbidden=ForbiddenRule.FALLBACK,
        fallback_queue="Support",
        strangers=StrangersRule.ACCEPT,
        evidence=EvidenceDemand.VERIFIED,
        signature="Mit freundlichen Grüßen\n{staff_name}\n{organisation}",
        valid=False,
    )
    save(database, SUPPORT, everything)
    with database.read() as session:
        assert queue_values(queue_named(session, "Verkauf")) == everything
    assert events(database, "queue")[-1].after is not None


BAD_QUEUES = [
    ({"name": ""}, "name"),
    ({"name": "x" * 101}, "name"),
    ({"group": ""}, "group"),
    ({"group": "gibt es nicht"}, "group"),
    ({"addresses": ("kein",)}, "addresses"),
    ({"forbidden": ForbiddenRule.FALLBACK}, "fallback_queue"),
    ({"forbidden": ForbiddenRule.FALLBACK, "fallback_queue": "Support"}, "fallback_queue"),
    ({"forbidden": ForbiddenRule.FALLBACK, "fallback_queue": "nirgends"}, "fallback_queue"),
]


@pytest.mark.parametrize(("change", "field"), BAD_QUEUES)
def test_a_bad_value_is_refused_at_its_field(
    sqlite_database: Database, change: dict[str, object], field: str
) -> None:
    groups_saved(sqlite_database, "technik")
    with sqlite_database.write() as session, pytest.raises(InvalidFields) as refused:
        save_queue(session, ADMIN, replace(SUPPORT, **change))
    assert set(fields_of(refused.value)) == {field}
    with sqlite_database.read() as session:
        assert session.scalar(select(func.count(Queue.id))) == 0


@pytest.mark.parametrize("address", ["Vertrieb@example.org", "VERTRIEB@EXAMPLE.ORG"])
def test_an_address_of_another_queue_is_refused_naming_it(
    sqlite_database: Database, address: str
) -> None:
    a_firm(sqlite_database)
    with sqlite_database.write() as session, pytest.raises(InvalidFields) as refused:
        save_queue(session, ADMIN, replace(SUPPORT, addresses=(address,)))
    problem = refused.value.errors[0]
    assert isinstance(problem, Duplicate)
    assert (problem.holder.kind, problem.holder.name) == ("queue", "Vertrieb")


def test_an_address_of_a_customer_is_no_address_of_a_queue(sqlite_database: Database) -> None:
    a_firm(sqlite_database)
    with sqlite_database.write() as session, pytest.raises(InvalidFields) as refused:
        save_queue(session, ADMIN, replace(SUPPORT, addresses=("Anna@muster.example",)))
    problem = refused.value.errors[0]
    assert isinstance(problem, Duplicate)
    assert (problem.holder.kind, problem.holder.name) == ("customer-user", "anna")
    with sqlite_database.write() as session:  # an invalid account has given its addresses up
        save_queue(session, ADMIN, replace(SUPPORT, addresses=("gone@acme.example",)))


def test_a_queue_without_a_rule_for_falling_back_forgets_the_queue(database: Database) -> None:
    groups_saved(database, "technik")
    save(database, SUPPORT)
    fallback = replace(
        SUPPORT,
        name="Zwei",
        addresses=(),
        forbidden=ForbiddenRule.FALLBACK,
        fallback_queue="Support",
    )
    save(database, fallback)
    with database.write() as session:
        hold = replace(fallback, forbidden=ForbiddenRule.HOLD)
        save_queue(session, ADMIN, hold, queue_named(session, "Zwei"))
    with database.read() as session:
        assert queue_named(session, "Zwei").fallback_queue_id is None


def test_a_renamed_queue_cannot_fall_back_to_itself_by_its_old_name(database: Database) -> None:
    groups_saved(database, "technik")
    save(database, SUPPORT)
    renamed = replace(
        SUPPORT, name="Neu", forbidden=ForbiddenRule.FALLBACK, fallback_queue="Support"
    )
    with database.write() as session, pytest.raises(InvalidFields) as refused:
        save_queue(session, ADMIN, renamed, queue_named(session, "Support"))
    assert fields_of(refused.value) == ["fallback_queue"]


def test_a_change_of_a_queue_counts_at_once(database: Database) -> None:
    firm = a_firm(database)
    with database.read() as session:
        before = load_organisation(session)
        assert before.route("vertrieb@example.org") is not None
    with database.write() as session:
        queue = queue_named(session, "Vertrieb")
        changed = replace(queue_values(queue), addresses=("neu@example.org",), group="technik")
        save_queue(session, ADMIN, changed, queue, queue.version)
    with database.read() as session:
        after = load_organisation(session)
        assert after.route("vertrieb@example.org") is None
        assert after.queues[firm.queues["Vertrieb"]].group_name == "technik"
    event = events(database, "queue")[-1]
    assert event.before == {"group": "vertrieb", "addresses": ["Vertrieb@example.org"]}


def test_a_second_admin_does_not_save_over_the_first_queue(database: Database) -> None:
    groups_saved(database, "technik")
    save(database, SUPPORT)
    with database.write() as session:
        queue = queue_named(session, "Support")
        save_queue(session, ADMIN, replace(SUPPORT, purpose="a"), queue, queue.version)
    with pytest.raises(Stale), database.write() as session:
        save_queue(
            session, ADMIN, replace(SUPPORT, purpose="b"), queue_named(session, "Support"), 1
        )


def test_a_change_of_addresses_alone_counts_as_a_change(database: Database) -> None:
    groups_saved(database, "technik")
    save(database, SUPPORT)
    with database.write() as session:
        queue = queue_named(session, "Support")
        shown = queue.version
        save_queue(session, ADMIN, replace(SUPPORT, addresses=()), queue, shown)
    other = replace(SUPPORT, addresses=("x@example.org",))
    with pytest.raises(Stale), database.write() as session:
        save_queue(session, ADMIN, other, queue_named(session, "Support"), shown)


@pytest.mark.parametrize("look_up", [group_named, queue_named])
@pytest.mark.parametrize("name", ["", "tech%", "TECHNIK", "support"])
def test_names_are_looked_up_exactly(sqlite_database: Database, look_up: object, name: str) -> None:
    groups_saved(sqlite_database, "technik")
    save(sqlite_database, SUPPORT)
    assert callable(look_up)
    with sqlite_database.read() as session, pytest.raises(NotFound):
        look_up(session, name)


def test_what_no_name_can_contain_is_not_found_either(database: Database) -> None:
    for name in ("\x00", "x\x00", "\ud800"):
        with database.read() as session:
            with pytest.raises(NotFound):
                group_named(session, name)
            with pytest.raises(NotFound):
                queue_named(session, name)

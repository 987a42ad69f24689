"""What group permissions come to: a table of single reasons, then how they add up."""

from dataclasses import dataclass, replace
from itertools import product

import pytest

from core.accounts.matrix import CellChange, save_customer_user_cells
from core.accounts.permissions import (
    Access,
    Grant,
    Subject,
    Through,
    access_of,
    customer_user_access,
    effective,
    strongest,
)
from core.accounts.reach import queue_reach, queue_reaches
from core.accounts.rights import Reason, queue_rights, through_text
from core.db import Database
from core.i18n import in_language
from core.organisation import Organisation, load_organisation
from core.settings import change_settings
from core.words import Permission, Validity
from tests.accounts.people import ADMIN, the_account
from tests.intake.facts import ORGANISATION, SALES, SUPPORT
from tests.intake.firm import a_firm

RO, RW = Permission.RO, Permission.RW
DIRECT, CUSTOMER, ALWAYS = Through.DIRECT, Through.CUSTOMER, Through.ALWAYS


@dataclass(frozen=True)
class Case:
    """One account and the sales queue of group 1; a row says only what differs."""

    direct: Permission | None = None
    customer: Permission | None = None
    always: bool = False
    group_valid: bool = True
    queue_valid: bool = True
    support: bool = True


def organisation(case: Case) -> Organisation:
    """Return the organisation of a case, with the one queue."""
    valid = case.queue_valid and case.group_valid  # as it is loaded
    return replace(
        ORGANISATION,
        settings=ORGANISATION.settings.model_copy(update={"customer_group_support": case.support}),
        queues={1: replace(SALES, valid=valid)},
        groups={1: "vertrieb"} if case.group_valid else {},
        always_groups=frozenset({1} if case.always and case.group_valid else ()),
    )


CASES = [
    (Case(), None, []),
    (Case(direct=RO), RO, [(RO, DIRECT)]),
    (Case(direct=RW), RW, [(RW, DIRECT)]),
    (Case(customer=RO), RO, [(RO, CUSTOMER)]),
    (Case(customer=RW), RW, [(RW, CUSTOMER)]),
    (Case(always=True), RW, [(RW, ALWAYS)]),
    # they add up, and the stronger one counts
    (Case(direct=RO, customer=RW), RW, [(RO, DIRECT), (RW, CUSTOMER)]),
    (Case(direct=RW, customer=RO), RW, [(RW, DIRECT), (RO, CUSTOMER)]),
    (Case(direct=RO, customer=RO), RO, [(RO, DIRECT), (RO, CUSTOMER)]),
    (Case(direct=RO, always=True), RW, [(RO, DIRECT), (RW, ALWAYS)]),
    (Case(customer=RO, always=True), RW, [(RO, CUSTOMER), (RW, ALWAYS)]),
    # an invalid queue can be read
    (Case(direct=RW, queue_valid=False), RO, [(RW, DIRECT)]),
    (Case(always=True, queue_valid=False), RO, [(RW, ALWAYS)]),
    (Case(queue_valid=False), None, []),
    # an invalid group grants nothing
    (Case(direct=RW, customer=RW, always=True, group_valid=False), None, []),
    # without group support groups do not count
    (Case(support=False), RW, [(RW, Through.NO_GROUP_SUPPORT)]),
    (Case(direct=RO, support=False), RW, [(RW, Through.NO_GROUP_SUPPORT)]),
    (Case(queue_valid=False, support=False), RO, [(RW, Through.NO_GROUP_SUPPORT)]),
    (Case(group_valid=False, support=False), RO, [(RW, Through.NO_GROUP_SUPPORT)]),
]


@pytest.mark.parametrize(("case", "expected", "reasons"), CASES)
def test_what_a_queue_is_open_for_and_why(
    case: Case, expected: Permission | None, reasons: list[tuple[Permission, Through]]
) -> None:
    direct = {1: case.direct} if case.direct else {}
    customer = {1: case.customer} if case.customer else {}
    found = effective(organisation(case), direct, customer).get(1)
    assert (found.permission if found else None) == expected
    grants = [(grant.permission, grant.through) for grant in found.grants] if found else []
    assert grants == reasons


def test_a_permission_in_one_group_opens_no_queue_of_another() -> None:
    for permission in Permission:
        opened = effective(ORGANISATION, {SALES.group_id: permission}, {})
        assert set(opened) == {SALES.id}


def test_a_group_opens_all_its_queues() -> None:
    queues = {1: SALES, 2: replace(SUPPORT, group_id=SALES.group_id)}
    firm = replace(ORGANISATION, queues=queues)
    assert set(effective(firm, {SALES.group_id: RO}, {})) == {1, 2}


def test_write_contains_read() -> None:
    grants = [Grant(permission, DIRECT, 1) for permission in (RO, RW)]
    assert [strongest([grant]) for grant in grants] == [RO, RW]
    assert strongest(grants) is strongest(grants[::-1]) is RW


@dataclass(frozen=True)
class ATicket:
    """A ticket as far as permission goes."""

    queue_id: int
    customer_user_id: int | None
    customer_id: int | None


ME, MINE, OTHER, OTHERS = 11, 1, 12, 2  # an account and its customer, another and its customer
TICKETS = [
    # of whom, of which customer, sees the customer's → seen
    (ME, MINE, False, True),
    (ME, MINE, True, True),
    (OTHER, MINE, False, False),
    (OTHER, MINE, True, True),
    (None, MINE, False, False),
    (None, MINE, True, True),
    (OTHER, OTHERS, True, False),
    (None, OTHERS, True, False),
    (None, None, True, False),
    (ME, OTHERS, False, True),  # written before the account was given to another customer
]


@pytest.mark.parametrize(("account", "customer", "sees_all", "seen"), TICKETS)
def test_whose_tickets_are_seen(
    account: int | None, customer: int | None, sees_all: bool, seen: bool
) -> None:
    for permission in (RO, RW):
        queues = effective(ORGANISATION, {SALES.group_id: permission}, {})
        access = Access(ME, MINE, sees_all, queues)
        ticket = ATicket(SALES.id, account, customer)
        assert access.may_see_ticket(ticket) is seen
        assert access.may_reply(ticket) is (seen and permission is RW)
        closed_to_me = replace(ticket, queue_id=SUPPORT.id)
        assert not access.may_see_ticket(closed_to_me)
        assert not access.may_reply(closed_to_me)


def test_who_has_no_account_has_no_tickets_of_their_own() -> None:
    access = Access(None, MINE, False, effective(ORGANISATION, {}, {SALES.group_id: RW}))
    assert access.may_write(SALES.id)
    assert not access.may_see_ticket(ATicket(SALES.id, None, MINE))


def test_many_are_asked_for_at_once_and_do_not_mix(database: Database) -> None:
    firm = a_firm(database)
    users, customers = firm.customer_users, firm.customers
    anna = Subject(users["anna"], customers["K-1000"])
    carol = Subject(users["carol"], customers["K-2000"])
    muster = Subject(None, customers["K-1000"])
    with database.read() as session:
        organisation_ = load_organisation(session)
        found = access_of(session, organisation_, [anna, carol, muster])
    names = {queue_id: name for name, queue_id in firm.queues.items()}
    assert {
        subject: {names[queue_id]: each.permission for queue_id, each in access.queues.items()}
        for subject, access in found.items()
    } == {
        anna: {"Technik": RW, "Vertrieb": RW},
        carol: {},
        muster: {"Vertrieb": RW},
    }


@pytest.mark.parametrize("word", [Validity.INVALID, Validity.INVALID_TEMPORARILY])
def test_an_invalid_account_has_access_to_nothing(database: Database, word: Validity) -> None:
    a_firm(database)
    for support in (True, False):
        with database.write() as session:
            the_account(session, "anna").valid = word
            change_settings(session, ADMIN, {"customer_group_support": support})
        with database.read() as session:
            anna = the_account(session, "anna")
            assert customer_user_access(session, load_organisation(session), anna).queues == {}


def test_rights_are_told_with_the_names_of_groups(database: Database) -> None:
    a_firm(database, customer_group_always_groups=["rechnung"])
    with database.read() as session:
        organisation_ = load_organisation(session)
        access = customer_user_access(session, organisation_, the_account(session, "bert"))
        told = queue_rights(organisation_, access)
    assert [(right.queue.name, right.permission, right.reasons) for right in told] == [
        ("Rechnung", RW, (Reason("rechnung", ALWAYS, RW),)),
        ("Technik", RO, (Reason("technik", DIRECT, RO),)),
        ("Vertrieb", RW, (Reason("vertrieb", CUSTOMER, RW),)),
    ]


def test_every_way_has_words_in_both_languages() -> None:
    said = []
    for language, way in product(("en", "de"), Through):
        with in_language(language):
            said.append(through_text(way))
    assert len(set(said)) == 2 * len(Through)


def test_how_many_a_queue_is_open_to(database: Database) -> None:
    firm = a_firm(database)
    with database.read() as session:
        reaches = queue_reaches(session, load_organisation(session))
        assert {name: reaches[queue_id] for name, queue_id in firm.queues.items()} == {
            "Vertrieb": 2,
            "Technik": 1,
            "Rechnung": 0,
        }
    with database.write() as session:
        change_settings(session, ADMIN, {"customer_group_always_groups": ["rechnung"]})
        twice = CellChange(firm.customer_users["anna"], firm.groups["vertrieb"], None, RW)
        save_customer_user_cells(session, ADMIN, [twice])
    with database.read() as session:
        organisation_ = load_organisation(session)
        assert queue_reach(session, organisation_, firm.queues["Rechnung"]) == 3
        assert queue_reach(session, organisation_, 999) == 0
        once = queue_reach(session, organisation_, firm.queues["Vertrieb"])
        assert once == 2, "who has a permission by two ways counts once"

"""An account that is gone takes the place of its successor: nothing of either is lost."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from core.accounts.customer_users import customer_user_values, save_customer_user
from core.accounts.groups import GroupValues, save_group
from core.accounts.matrix import customer_user_changes, save_customer_user_cells
from core.accounts.permissions import customer_user_access
from core.accounts.queues import QueueValues, save_queue
from core.accounts.sessions import start_session
from core.db import Database
from core.errors import Invalid, Stale
from core.intake import submission
from core.intake.pipeline import take_in
from core.models import (
    AccountToken,
    Article,
    AuditEvent,
    Base,
    CustomerUser,
    Delivery,
    Group,
    Ticket,
    TicketMute,
    TicketSeen,
    WebSession,
    now,
)
from core.organisation import load_organisation
from core.sources.matching import renames
from core.sources.matching.candidates import (
    Reason,
    candidates,
    count_gone,
    gone_accounts,
    other_accounts,
)
from core.sources.matching.renames import match_up
from core.words import Permission, TokenPurpose
from tests.accounts.people import ADMIN, the_account
from tests.sources.crm import account, conflicts, logins
from tests.sources.records import ANNA, BERT, look_up, read

RO, RW = Permission.RO, Permission.RW
HANNA = replace(ANNA, key="hanna", login="hanna")


@pytest.fixture
def firm(database: Database) -> Database:
    """Anna, whose record is gone, and Hanna, who is new and the same person; both have tickets."""
    with database.write() as session:
        for name in ("technik", "vertrieb", "rechnung"):
            save_group(session, ADMIN, GroupValues(name=name))
            save_queue(session, ADMIN, QueueValues(name=name.title(), group=name))
    read(database, ANNA, BERT)
    give(database, "anna", {"technik": RW, "vertrieb": RO})
    give(database, "bert", {"technik": RW})
    open_ticket(database, "anna", "Technik", "before")
    open_ticket(database, "bert", "Technik", "of bert")
    read(database, BERT, HANNA)
    give(database, "hanna", {"vertrieb": RW, "rechnung": RO})
    open_ticket(database, "hanna", "Vertrieb", "after")
    return database


def give(database: Database, login: str, groups: Mapping[str, Permission]) -> None:
    with database.write() as session:
        holder = the_account(session, login)
        ids = dict(session.execute(select(Group.name, Group.id)).all())
        wanted = {ids[name]: permission for name, permission in groups.items()}
        save_customer_user_cells(session, ADMIN, customer_user_changes(session, holder, wanted))


def open_ticket(database: Database, login: str, queue: str, subject: str) -> int:
    with database.write() as session:
        holder = the_account(session, login)
        ids = {row.name: row.id for row in load_organisation(session).queues.values()}
        new = submission.new_ticket(holder, ids[queue], subject, "text", [])
        (receipt,) = take_in(session, [new])
        public_id = receipt.recipients[0].ticket_public_id
        assert public_id is not None, receipt
        return session.scalars(select(Ticket.id).where(Ticket.public_id == public_id)).one()


def sees(database: Database, login: str) -> set[str]:
    """Return the subjects of the tickets that somebody sees."""
    with database.read() as session:
        access = customer_user_access(
            session, load_organisation(session), the_account(session, login)
        )
        tickets = session.scalars(select(Ticket).where(access.visible_tickets())).all()
        assert all(map(access.may_see_ticket, tickets))
        return {ticket.subject for ticket in tickets}


def match(database: Database, old: str = "anna", new: str = "hanna") -> CustomerUser:
    with database.write() as session:
        ids = the_account(session, old).id, the_account(session, new).id
        matched = match_up(session, ADMIN, *ids)
        assert matched.id == ids[0]
        return matched


def groups(database: Database, login: str) -> dict[str, Permission]:
    with database.read() as session:
        return {row.group.name: row.permission for row in the_account(session, login).permissions}


def events(database: Database, action: str) -> list[AuditEvent]:
    with database.read() as session:
        return session.query(AuditEvent).filter_by(action=action).all()


class TestOneOfTwo:
    """What becomes of the two accounts."""

    def test_the_old_account_takes_key_login_and_values(self, firm: Database) -> None:
        anna, hanna = account(firm, "anna"), account(firm, "hanna")
        match(firm)
        after = account(firm, "hanna")
        assert (after.id, after.source, after.source_key) == (anna.id, "ad", "hanna")
        assert (after.valid.value, after.source_gone_at) == ("valid", None)
        assert after.source_seen_at == hanna.source_seen_at
        assert [row.exclusive for row in after.addresses] == [True]
        rest = account(firm, f"hanna #{hanna.id}")
        assert (rest.id, rest.source, rest.source_key) == (hanna.id, None, None)
        assert (rest.valid.value, rest.invalid_reason) == (
            "invalid",
            'Matched up with the account "anna".',
        )
        assert groups(firm, rest.login) == {}
        assert conflicts(firm) == []

    def test_the_next_pass_finds_nothing_to_do(self, firm: Database) -> None:
        match(firm)
        before = logins(firm)
        tally = read(firm, BERT, HANNA)
        assert (tally.unchanged, tally.new, tally.vanished, tally.refused) == (2, 0, 0, 0)
        assert logins(firm) == before

    def test_tickets_of_both_are_seen_and_nobody_elses(self, firm: Database) -> None:
        assert sees(firm, "anna") == set()
        assert sees(firm, "hanna") == {"after"}
        match(firm)
        assert sees(firm, "hanna") == {"before", "after"}
        assert sees(firm, "bert") == {"of bert"}

    def test_permissions_of_both(self, firm: Database) -> None:
        match(firm)
        assert groups(firm, "hanna") == {"technik": RW, "vertrieb": RW, "rechnung": RO}

    def test_groups_that_the_source_decides_are_those_of_the_new_one(self, firm: Database) -> None:
        firm.managed_groups = {"ad": frozenset({"technik", "rechnung"})}
        match(firm)
        assert groups(firm, "hanna") == {"vertrieb": RW, "rechnung": RO}

    def test_what_was_kept_here_stays(self, firm: Database) -> None:
        with firm.write() as session:
            anna = the_account(session, "anna")
            values = replace(
                customer_user_values(anna), comment="VIP", language="de", tickets_per_page=50
            )
            save_customer_user(session, ADMIN, replace(values, notices=False), anna)
            hanna = the_account(session, "hanna")
            values = replace(customer_user_values(hanna), comment="new", language="en")
            save_customer_user(session, ADMIN, values, hanna)
        match(firm)
        after = account(firm, "hanna")
        assert (after.comment, after.language, after.tickets_per_page) == ("VIP\nnew", "de", 50)
        assert after.notices is False

    @pytest.mark.parametrize(("number", "expected"), [("K-1000", True), ("K-2000", False)])
    def test_seeing_the_whole_customer_is_for_that_customer(
        self, firm: Database, number: str, expected: bool
    ) -> None:
        look_up(firm, replace(HANNA, customer_number=number, customer_name=""))
        look_up(
            firm, replace(BERT, key="9", login="c", email="c@x.example", customer_number="K-2000")
        )
        give(firm, "c", {"technik": RW})
        open_ticket(firm, "c", "Technik", "of c")
        with firm.write() as session:
            anna = the_account(session, "anna")
            values = replace(customer_user_values(anna), sees_customer_tickets=True)
            save_customer_user(session, ADMIN, values, anna)
        match(firm)
        assert account(firm, "hanna").sees_customer_tickets is expected
        assert ("of bert" in sees(firm, "hanna")) is expected
        assert "of c" not in sees(firm, "hanna")
        assert {"before", "after"} <= sees(firm, "hanna")

    def test_both_have_it_in_their_history(self, firm: Database) -> None:
        anna, hanna = account(firm, "anna"), account(firm, "hanna")
        match(firm)
        (matched,), (dissolved,) = events(firm, "matched-up"), events(firm, "dissolved")
        assert (matched.object_id, matched.before) == (anna.id, {"login": "anna"})
        assert matched.after == {"source": "ad", "login": "hanna", "tickets": 1, "mails": 1}
        assert (dissolved.object_id, dissolved.after) == (hanna.id, {"customer_user": "anna"})

    def test_all_or_nothing(self, firm: Database) -> None:
        before = logins(firm)
        with firm.write() as session:
            anna, hanna = the_account(session, "anna"), the_account(session, "hanna")
            seen = anna.version, hanna.version
            hanna.phone = "1"
            session.flush()
            with pytest.raises(Stale):
                match_up(session, ADMIN, anna.id, hanna.id, seen)
            match_up(session, ADMIN, anna.id, hanna.id, (anna.version, hanna.version))
            session.rollback()
        assert logins(firm) == before

    @pytest.mark.parametrize(
        ("old", "new"), [("hanna", "bert"), ("anna", "anna"), ("bert", "anna"), ("anna", "other")]
    )
    def test_what_cannot_be_matched_up(self, firm: Database, old: str, new: str) -> None:
        other = replace(ANNA, key="9", login="other", email="o@x.example")
        look_up(firm, other, source="crm")
        with pytest.raises((Invalid, Stale)):
            match(firm, old, new)


class TestEveryReference:
    """Nothing refers to the dissolved account any more, but what belongs to it by its nature."""

    def test_each_is_decided(self) -> None:
        decided = {
            f"{column.class_.__tablename__}.{column.key}"
            for column in (
                *renames.GOES_OVER,
                *renames.ENDS,
                *renames.BY_TICKET,
                *renames.WITH_THE_ACCOUNT,
            )
        }
        referring = {
            f"{table.name}.{key.parent.name}"
            for table in Base.metadata.tables.values()
            for key in table.foreign_keys
            if key.column.table.name == "customer_users"
        }
        assert decided == referring

    def test_what_has_happened_goes_over(self, firm: Database) -> None:
        with firm.write() as session:
            hanna, anna = the_account(session, "hanna"), the_account(session, "anna")
            start_session(session, hanna, peer="192.0.2.1", agent="browser")
            articles = dict(
                session.execute(
                    select(Ticket.subject, func.max(Article.id))
                    .join(Article, Article.ticket_id == Ticket.id)
                    .group_by(Ticket.subject)
                ).all()
            )
            tickets = dict(session.execute(select(Ticket.subject, Ticket.id)).all())
            seen = [(anna, "before"), (hanna, "before"), (hanna, "after")]
            for who, subject in seen:
                session.merge(
                    TicketSeen(
                        customer_user_id=who.id,
                        ticket_id=tickets[subject],
                        article_id=articles[subject],
                    )
                )
                session.add(TicketMute(customer_user_id=who.id, ticket_id=tickets[subject]))
            session.add(
                AccountToken(
                    token_hash=b"x" * 32,
                    purpose=TokenPurpose.INVITATION,
                    customer_user_id=hanna.id,
                    created_at=now(),
                    expires_at=now() + timedelta(days=1),
                )
            )
        hanna_id = account(firm, "hanna").id
        anna_id = match(firm).id
        with firm.read() as session:
            for table in Base.metadata.tables.values():
                for key in table.foreign_keys:
                    if key.column.table.name == "customer_users":
                        left = session.execute(
                            select(func.count()).where(key.parent == hanna_id)
                        ).scalar_one()
                        assert left == (1 if table.name == "customer_user_addresses" else 0), key
            assert session.query(WebSession).filter_by(customer_user_id=anna_id).count() == 1
            assert session.query(Delivery).filter_by(customer_user_id=anna_id).count() == 2
            assert session.query(Article).filter_by(customer_user_id=anna_id).count() == 2
            both = {tickets["before"], tickets["after"]}
            of_anna = select(TicketSeen.ticket_id).where(TicketSeen.customer_user_id == anna_id)
            assert set(session.scalars(of_anna)) == both
            of_anna = select(TicketMute.ticket_id).where(TicketMute.customer_user_id == anna_id)
            assert set(session.scalars(of_anna)) == both
            assert session.query(AccountToken).count() == 0


# What of a new account differs from Anna, and what speaks for it then; None: it is no candidate.
WHY: list[tuple[dict[str, object], tuple[Reason, ...] | None]] = [
    ({}, (Reason.MAIN_ADDRESS, Reason.NAME, Reason.NUMBER)),
    ({"last_name": "Schmidt"}, (Reason.MAIN_ADDRESS, Reason.NUMBER)),
    (
        {"last_name": "S", "email": "s@x.example", "more_addresses": ("anna@muster.example",)},
        (Reason.ADDRESS, Reason.NUMBER),
    ),
    ({"email": "s@x.example", "customer_number": "K-2", "customer_name": ""}, (Reason.NAME,)),
    (
        {"email": "s@x.example", "phone": "0228 1"},
        (Reason.NAME, Reason.NUMBER, Reason.PHONE),
    ),
    ({"email": "s@x.example", "last_name": "Schmidt", "phone": "0228 1"}, None),
]


class TestCandidates:
    """Who may be the same person."""

    @pytest.mark.parametrize(("differs", "why"), WHY)
    def test_what_speaks_for_one(
        self, database: Database, differs: dict[str, Any], why: tuple[Reason, ...] | None
    ) -> None:
        anna = replace(ANNA, phone="0228 1")
        new = replace(anna, **{"key": "n", "login": "n", "phone": "", **differs})
        read(database, anna, BERT)
        read(database, BERT, new)
        with database.read() as session:
            gone = the_account(session, "anna")
            found = candidates(session, [gone]).get(gone.id, [])
            assert [(each.account.login, each.reasons) for each in found] == (
                [] if why is None else [("n", why)]
            )
            assert count_gone(session) == 1
            assert count_gone(session, with_candidates=True) == len(found)
            assert len(gone_accounts(session, with_candidates=True).items) == len(found)

    def test_the_likeliest_is_first(self, database: Database) -> None:
        read(database, ANNA, BERT)
        namesake = replace(ANNA, key="n", login="n", email="n@x.example")
        read(database, BERT, namesake, HANNA)
        with database.read() as session:
            gone = the_account(session, "anna")
            found = candidates(session, [gone])[gone.id]
        assert [each.account.login for each in found] == ["hanna", "n"]

    def test_who_was_there_at_the_same_time_is_somebody_else(self, database: Database) -> None:
        read(database, ANNA, replace(HANNA, email="hanna@muster.example"))
        read(database, replace(HANNA, email="hanna@muster.example"))
        with database.read() as session:
            gone = the_account(session, "anna")
            assert candidates(session, [gone]) == {}
            assert [each.account.login for each in other_accounts(session, gone, "hann mül")] == [
                "hanna"
            ]
            assert other_accounts(session, gone, " ") == []

    def test_nobody_without_a_name_is_like_another(self, database: Database) -> None:
        nobody = replace(ANNA, first_name="", last_name="")
        read(database, nobody, BERT)
        read(database, BERT, replace(nobody, key="n", login="n", email="n@x.example"))
        with database.read() as session:
            assert candidates(session, [the_account(session, "anna")]) == {}


class TestALoginOfSomebodyElse:
    """A record wants the login of an account that is gone, and seems to be another person's."""

    OTHER = replace(ANNA, key="7", first_name="Antje", email="antje@muster.example")

    @pytest.fixture(autouse=True)
    def _gone(self, database: Database) -> None:
        read(database, ANNA, BERT)
        read(database, self.OTHER, BERT)

    def claimed(self, database: Database) -> dict[str, list[str]]:
        with database.read() as session:
            gone = [the_account(session, "anna")]
            found = renames.claims(session, gone)
            return {"anna": [each.source_key for each in found.get(gone[0].id, [])]}

    def test_it_is_known(self, database: Database) -> None:
        assert self.claimed(database) == {"anna": ["7"]}

    def test_the_same_person_after_all(self, database: Database) -> None:
        before = account(database, "anna").id
        with database.write() as session:
            renames.take_key(session, ADMIN, before, "7")
        assert read(database, self.OTHER, BERT).changed == 1
        after = account(database, "anna")
        assert (after.id, after.first_name, after.valid.value) == (before, "Antje", "valid")
        assert conflicts(database) == []

    def test_another_person(self, database: Database) -> None:
        before = account(database, "anna").id
        with database.write() as session:
            renames.give_login_up(session, ADMIN, before, "7")
        assert read(database, self.OTHER, BERT).new == 1
        assert account(database, "anna").id != before
        assert account(database, f"anna #{before}").id == before
        assert conflicts(database) == []

    def test_a_record_that_wants_nothing(self, database: Database) -> None:
        with database.write() as session:
            anna = the_account(session, "anna").id
            for work in (renames.take_key, renames.give_login_up):
                with pytest.raises(Invalid):
                    work(session, ADMIN, anna, "2")
                with pytest.raises(Invalid):
                    work(session, ADMIN, the_account(session, "bert").id, "7")

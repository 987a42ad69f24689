"""The last mails decided again under an edit: what would be different, and what is not tried."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.orm import Session

from core.accounts.queues import QueueValues
from core.audit import SYSTEM
from core.db import Database
from core.intake import again
from core.intake.again import Comparison, compare, with_queue, with_rule, with_settings
from core.intake.incoming import Incoming
from core.intake.pipeline import take_in
from core.intake.submission import new_ticket
from core.mail.authentication.findings import Dmarc, DmarcPolicy, Findings, Source
from core.models import CustomerUser, Mail, Setting
from core.organisation import Organisation, load_organisation
from core.routing.rule import (
    Actions,
    Conditions,
    Ending,
    Field,
    Group,
    Operator,
    RuleValues,
)
from core.routing.rule import Test as Compared
from core.routing.rules import save_rule
from core.words import (
    DecisionKind,
    EvidenceDemand,
    Flag,
    ForbiddenRule,
    SenderPolicy,
    StrangersRule,
)
from tests.intake.firm import Firm, a_firm
from tests.intake.mails import a_mail


def taken(database: Database, *mails: Incoming) -> None:
    with database.write() as session:
        take_in(session, list(mails))


def under(session: Session, policy: SenderPolicy) -> Organisation:
    organisation = load_organisation(session)
    settings = organisation.settings.model_copy(update={"sender_policy": policy})
    return with_settings(organisation, settings)


def to_policy(database: Database, policy: SenderPolicy, limit: int = again.LAST) -> Comparison:
    with database.read() as session:
        return compare(session, load_organisation(session), under(session, policy), (), limit)


def a_stranger(number: int = 1) -> Incoming:
    return a_mail(sender="who@else.example", message_id=f"<{number}@else.example>")


def test_nothing_changed_is_no_difference(database: Database) -> None:
    a_firm(database)
    taken(database, a_mail(), a_stranger())
    found = to_policy(database, SenderPolicy.BALANCED)
    assert found == Comparison(tried=2, refused=0, too_big=0, differences=())


def test_a_stricter_policy_refuses_strangers(database: Database) -> None:
    a_firm(database)
    taken(database, a_mail(), a_stranger())
    found = to_policy(database, SenderPolicy.STRICT)
    (difference,) = found.differences
    assert (found.tried, found.different) == (2, 1)
    assert difference.recipient == "vertrieb@example.org"
    assert difference.from_ == "who@else.example"
    assert difference.before.kind is DecisionKind.HOLD
    assert difference.after.kind is DecisionKind.REJECT
    assert (difference.after.reason, difference.after.queue) == ("stranger", "Vertrieb")
    assert difference.after.because.rule == "stranger"


def test_a_flag_is_a_difference(database: Database) -> None:
    a_firm(database)
    taken(database, a_mail())
    (difference,) = to_policy(database, SenderPolicy.OPEN).differences
    assert difference.before.kind is difference.after.kind is DecisionKind.OPEN_TICKET
    assert (difference.before.flag, difference.after.flag) == (Flag.SENDER_NOT_VERIFIED, None)


def test_what_was_found_of_the_sender_counts_again(database: Database) -> None:
    a_firm(database)
    suspected = Findings(Source.EDGE, dmarc=Dmarc(DmarcPolicy.QUARANTINE))
    taken(database, replace(a_mail(), findings=suspected))
    (difference,) = to_policy(database, SenderPolicy.STRICT).differences
    assert (difference.before.reason, difference.after.reason) == ("spoofed", "spoofed")
    assert difference.after.kind is DecisionKind.REJECT


def test_one_mail_to_two_queues_is_one_mail(database: Database) -> None:
    a_firm(database)
    both = ("vertrieb@example.org", "technik@example.org")
    taken(database, a_mail(sender="who@else.example", to=both))
    found = to_policy(database, SenderPolicy.STRICT)
    assert (len(found.differences), found.different) == (2, 1)


def test_group_support_changes_what_may_be_written_to(database: Database) -> None:
    a_firm(database)
    taken(database, a_mail(to="rechnung@example.org"))
    with database.read() as session:
        now = load_organisation(session)
        settings = now.settings.model_copy(update={"customer_group_support": False})
        found = compare(session, now, with_settings(now, settings), ())
        groups = now.settings.model_copy(update={"customer_group_always_groups": ("rechnung",)})
        always = compare(session, now, with_settings(now, groups), ())
    for each in (found, always):
        (difference,) = each.differences
        assert difference.before.reason == "queue-forbidden"
        assert difference.after.reason == "allowed"


@pytest.mark.parametrize(
    ("changes", "reason", "kind"),
    [
        ({"strangers": StrangersRule.ACCEPT}, "stranger", DecisionKind.OPEN_TICKET),
        ({"evidence": EvidenceDemand.VERIFIED, "strangers": StrangersRule.ACCEPT},
         "sender-not-verified", DecisionKind.HOLD),
        ({"valid": False}, "unknown-recipient", DecisionKind.REJECT),
        ({"group": "none of ours"}, "unknown-recipient", DecisionKind.REJECT),
        ({"addresses": ("neu@example.org",)}, "unknown-recipient", DecisionKind.REJECT),
        ({"addresses": ("technik@example.org",)}, "unknown-recipient", DecisionKind.REJECT),
    ],
)  # fmt: skip
def test_a_queue_as_it_would_be(
    sqlite_database: Database, changes: dict[str, Any], reason: str, kind: DecisionKind
) -> None:
    firm = a_firm(sqlite_database)
    taken(
        sqlite_database, a_stranger(), a_mail(sender="who@else.example", to="technik@example.org")
    )
    values = QueueValues(name="Vertrieb", group="vertrieb", addresses=("vertrieb@example.org",))
    with sqlite_database.read() as session:
        now = load_organisation(session)
        edited = with_queue(now, firm.queues["Vertrieb"], replace(values, **changes))
        same = with_queue(now, firm.queues["Vertrieb"], values)
        (difference,) = compare(session, now, edited, ()).differences
        assert compare(session, now, same, ()).differences == ()
    assert difference.recipient == "vertrieb@example.org"  # that of the other queue stays there
    assert (difference.after.reason, difference.after.kind) == (reason, kind)


def test_another_group_and_another_queue_to_fall_back_to(sqlite_database: Database) -> None:
    firm = a_firm(sqlite_database)
    taken(sqlite_database, a_mail(to="rechnung@example.org"))
    values = QueueValues(name="Rechnung", group="vertrieb", addresses=("rechnung@example.org",))
    falls = replace(
        values, group="rechnung", forbidden=ForbiddenRule.FALLBACK, fallback_queue="Technik"
    )
    with sqlite_database.read() as session:
        now = load_organisation(session)
        for edit, reason, queue in (
            (values, "allowed", "Rechnung"),
            (falls, "fallback", "Technik"),
        ):
            edited = with_queue(now, firm.queues["Rechnung"], edit)
            (difference,) = compare(session, now, edited, ()).differences
            assert (difference.after.reason, difference.after.queue) == (reason, queue)


def test_a_rule_as_it_would_be(sqlite_database: Database) -> None:
    a_firm(sqlite_database)
    taken(sqlite_database, a_mail(), a_mail(subject="Angebot", message_id="<2@muster.example>"))
    holds = RuleValues("Angebote", conditions=about("Angebot"), actions=Actions(ending=Ending.HOLD))
    tags = RuleValues("Fragen", conditions=about("Frage"), actions=Actions(tags=("frage",)))
    with sqlite_database.write() as session:
        stored = save_rule(session, SYSTEM, holds)
        rule_id = stored.id
    with sqlite_database.read() as session:
        now = load_organisation(session)
        assert compare(session, now, with_rule(session, now, rule_id, holds), ()).different == 0
        off = with_rule(session, now, rule_id, replace(holds, valid=False))
        (difference,) = compare(session, now, off, ()).differences
        assert (difference.subject, difference.before.reason) == ("Angebot", "held-by-rule")
        assert difference.after.reason == "allowed"
        both = with_rule(session, now, None, tags)
        assert [each.name for each in both.routing] == ["Angebote", "Fragen"]
        (difference,) = compare(session, now, both, ()).differences
        assert (difference.subject, difference.before.tags) == ("Frage", ())
        assert difference.after.tags == ("frage",)


def test_a_rule_that_becomes_valid_keeps_its_place(sqlite_database: Database) -> None:
    a_firm(sqlite_database)
    first = RuleValues("Erste", actions=Actions(ending=Ending.HOLD), valid=False)
    with sqlite_database.write() as session:
        rule_id = save_rule(session, SYSTEM, first).id
        save_rule(session, SYSTEM, RuleValues("Zweite", actions=Actions(tags=("x",))))
    with sqlite_database.read() as session:
        now = load_organisation(session)
        edited = with_rule(session, now, rule_id, replace(first, valid=True))
    assert [each.name for each in now.routing] == ["Zweite"]
    assert [each.name for each in edited.routing] == ["Erste", "Zweite"]


def about(word: str) -> Conditions:
    return Conditions((Group((Compared(Field.SUBJECT, Operator.CONTAINS, word),)),))


def test_what_cannot_be_tried_is_counted(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    firm = a_firm(sqlite_database, sender_policy="strict")
    monkeypatch.setattr(again, "MAX_SIZE", 10_000)
    big = a_mail("x" * 70 + "\r\n" + "y" * 20_000, message_id="<big@muster.example>")
    taken(
        sqlite_database, a_mail(), a_stranger(), big, written_in_the_portal(sqlite_database, firm)
    )
    found = to_policy(sqlite_database, SenderPolicy.BALANCED)
    assert (found.tried, found.refused, found.too_big, found.left_out) == (1, 1, 1, 2)


def test_only_the_last_are_tried(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_firm(sqlite_database)
    monkeypatch.setattr(again, "_PORTION", 2)
    taken(sqlite_database, *[a_stranger(number) for number in range(5)])
    found = to_policy(sqlite_database, SenderPolicy.STRICT, limit=3)
    with sqlite_database.read() as session:
        newest = list(session.scalars(select(Mail.reference).order_by(Mail.id.desc()).limit(3)))
    assert found.tried == 3
    assert [each.reference for each in found.differences] == newest


def test_behind_a_flood_of_refused_mail_nothing_is_searched(sqlite_database: Database) -> None:
    a_firm(sqlite_database)
    taken(sqlite_database, a_mail())
    with sqlite_database.write() as session:
        session.merge(Setting(key="sender_policy", value="strict"))
    taken(sqlite_database, *[a_stranger(number) for number in range(20)])
    assert to_policy(sqlite_database, SenderPolicy.OPEN, limit=2).tried == 0
    assert to_policy(sqlite_database, SenderPolicy.OPEN, limit=3).tried == 1


def test_nothing_is_written(sqlite_database: Database) -> None:
    a_firm(sqlite_database)
    taken(sqlite_database, a_mail(), a_stranger())
    statements: list[str] = []

    def note(_conn: object, _cursor: object, statement: str, *_more: object) -> None:
        statements.append(statement.split(maxsplit=1)[0])

    event.listen(sqlite_database.reader, "before_cursor_execute", note)
    to_policy(sqlite_database, SenderPolicy.STRICT)
    assert set(statements) <= {"BEGIN", "SELECT", "WITH"}
    with sqlite_database.read() as session:
        assert session.scalar(select(func.count(Mail.id))) == 2


def written_in_the_portal(database: Database, firm: Firm) -> Incoming:
    with database.read() as session:
        anna = session.get_one(CustomerUser, firm.customer_users["anna"])
        return new_ticket(anna, firm.queues["Vertrieb"], "Frage", "Guten Tag")

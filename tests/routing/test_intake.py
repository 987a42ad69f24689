"""Routing rules in ``take_in``, against real databases."""

from dataclasses import replace

import pytest
from sqlalchemy import select

from core.audit import SYSTEM
from core.db import Database
from core.intake.gather import gather
from core.intake.incoming import Incoming, Receipt
from core.intake.pipeline import take_in
from core.intake.prepare import prepare
from core.models import Delivery, RoutingRule, Ticket, TicketTag
from core.organisation import load_organisation
from core.routing.rule import Actions, Conditions, Ending, Field, Operator, RuleValues
from core.routing.rules import save_rule
from core.words import DecisionKind, Priority, Protocol, RoutingScope, TicketState
from tests.intake.firm import Firm, a_firm
from tests.intake.mails import AT, a_mail
from tests.routing.contents import one

OPEN = {"sender_policy": "open"}


def add(
    database: Database, name: str, actions: Actions, conditions: Conditions | None = None
) -> int:
    """Store a rule for new mail and replies that every mail fits, unless it has conditions."""
    values = RuleValues(name, RoutingScope.BOTH, conditions or Conditions(), actions)
    with database.write() as session:
        return save_rule(session, SYSTEM, values).id


def taken(database: Database, *mails: Incoming) -> list[Receipt]:
    with database.write() as session:
        return take_in(session, mails)


def hits(database: Database) -> dict[str, int]:
    with database.read() as session:
        return {rule.name: rule.hits for rule in session.scalars(select(RoutingRule))}


@pytest.fixture
def firm(database: Database) -> Firm:
    return a_firm(database, **OPEN)


def test_a_ticket_begins_as_a_rule_wants_it(database: Database, firm: Firm) -> None:
    wanted = Actions(
        firm.queues["Technik"], Priority.URGENT, TicketState.CLOSED, tags=("eilt", "vip")
    )
    add(database, "A", wanted, one(Field.SUBJECT, Operator.CONTAINS, "FRAGE"))
    add(database, "B", Actions(tags=("nie",)), one(Field.SUBJECT, Operator.CONTAINS, "Antwort"))
    receipts = taken(database, a_mail(), a_mail(message_id="<2@x>", text="Anderes"))
    with database.read() as session:
        for receipt in receipts:
            ticket = session.get_one(Ticket, receipt.recipients[0].ticket_id)
            assert ticket.queue_id == firm.queues["Technik"]
            assert (ticket.priority, ticket.state) == (Priority.URGENT, TicketState.CLOSED)
            assert (ticket.closed_at, ticket.waiting_since) == (AT, None)
            tags = select(TicketTag.tag).where(TicketTag.ticket_id == ticket.id)
            assert set(session.scalars(tags)) == {"eilt", "vip"}
        assert session.scalars(select(RoutingRule.last_hit_at).order_by(RoutingRule.id)).all() == [
            AT,
            None,
        ]
    assert hits(database) == {"A": 2, "B": 0}


def test_a_redelivery_is_recognised_and_counts_no_hit(database: Database, firm: Firm) -> None:
    add(database, "A", Actions(firm.queues["Technik"]))
    first, second = (taken(database, a_mail())[0].recipients[0] for _copy in range(2))
    assert second.duplicate
    assert first.ticket_id == second.ticket_id
    assert hits(database) == {"A": 1}


def test_two_addresses_led_to_one_queue_open_one_ticket(database: Database, firm: Firm) -> None:
    add(database, "A", Actions(firm.queues["Technik"]))
    mail = a_mail(to=("vertrieb@example.org", "rechnung@example.org"))
    one_part, other = taken(database, mail)[0].recipients
    assert one_part.ticket_id == other.ticket_id is not None
    with database.read() as session:
        assert len(session.scalars(select(Ticket)).all()) == 1
        reasons = select(Delivery.reason).order_by(Delivery.id)
        assert session.scalars(reasons).all() == ["allowed", "same-ticket"]
    assert hits(database) == {"A": 1}


def test_a_follow_up_gives_its_ticket_tags_once(database: Database, firm: Firm) -> None:
    number = taken(database, a_mail())[0].recipients[0].ticket_id
    add(database, "A", Actions(priority=Priority.HIGH, state=TicketState.CLOSED, tags=("neu",)))
    for copy in ("<2@x>", "<3@x>"):
        subject = f"Re: [Ticket#{100_000 + (number or 0)}] Frage"
        part = taken(database, a_mail(subject=subject, message_id=copy))[0].recipients[0]
        assert (part.decision, part.ticket_id) == (DecisionKind.APPEND_ARTICLE, number)
    with database.read() as session:
        ticket = session.get_one(Ticket, number)
        assert (ticket.state, ticket.priority) == (TicketState.NEW, Priority.NORMAL)
        assert session.scalars(select(TicketTag.tag)).all() == ["neu"]


ENDINGS = [
    (Ending.HOLD, DecisionKind.HOLD, 250),
    (Ending.REJECT, DecisionKind.REJECT, 550),
    (Ending.IGNORE, DecisionKind.DISCARD, 250),
]


@pytest.mark.parametrize(("ending", "kind", "code"), ENDINGS)
def test_endings(
    database: Database, firm: Firm, ending: Ending, kind: DecisionKind, code: int
) -> None:
    add(database, "A", Actions(ending=ending))
    part = taken(database, a_mail())[0].recipients[0]
    assert (part.decision, part.reply.code, part.ticket_id) == (kind, code, None)
    assert hits(database) == {"A": 1}


def test_a_guessed_number_is_no_customer_number_for_rules(database: Database, firm: Firm) -> None:
    for name, field in (("A", Field.CUSTOMER_NUMBER), ("B", Field.CUSTOMER_USER)):
        add(database, name, Actions(ending=Ending.REJECT), one(field, Operator.EXISTS))
    mail = a_mail("Kunden#: K-1000", sender="eve@evil.example")
    assert taken(database, mail)[0].recipients[0].decision is DecisionKind.HOLD
    assert hits(database) == {"A": 0, "B": 0}


CONTROL = "".join(
    f"X-{product}-{name}\r\n"
    for product in ("OTRS", "OTOBO", "Schalter")
    for name in ("Queue: Technik", "Priority: 5 very high", "State: closed", "Ignore: yes",
                 "CustomerNo: K-1000", "CustomerUser: anna", "DynamicField-Tag: x", "Loop: yes")
)  # fmt: skip


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("sender", ["anna@muster.example", "eve@evil.example"])
@pytest.mark.parametrize("with_rule", [False, True])
def test_control_headers_have_no_effect(
    database: Database, firm: Firm, trusted: bool, sender: str, with_rule: bool
) -> None:
    if with_rule:
        add(database, "A", Actions(tags=("a",)), one(Field.HEADER, Operator.EXISTS, "", "X-None"))
    plain, controlled = (
        a_mail(headers=headers, sender=sender, message_id=f"<{number}@x>")
        for number, headers in enumerate(("", CONTROL))
    )
    parts = []
    for mail in (plain, controlled):
        envelope = replace(mail.envelope, trusted=trusted, protocol=Protocol.SMTP)
        parts.append(taken(database, replace(mail, envelope=envelope))[0].recipients[0])
    assert (parts[0].decision, parts[0].reason) == (parts[1].decision, parts[1].reason)
    with database.read() as session:
        tickets = session.scalars(select(Ticket)).all()
        assert len({(t.queue_id, t.state, t.priority, t.customer_user_id) for t in tickets}) <= 1
        assert session.scalars(select(TicketTag)).all() == []


def test_nothing_is_read_where_there_are_no_rules(database: Database, firm: Firm) -> None:
    with database.read() as session:
        facts = gather(session, load_organisation(session), [prepare(a_mail())])[0][0]
    assert facts.content is None

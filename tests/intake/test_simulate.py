"""A mail tried out: as taken in, with what is assumed of its sender; nothing is recorded."""

from dataclasses import replace

import pytest
from sqlalchemy import func, select

from core.audit import SYSTEM
from core.db import Database
from core.intake.assumed import Assumed
from core.intake.incoming import Incoming
from core.intake.prepare import prepare
from core.intake.simulate import Simulation, assuming, simulate
from core.intake.ways import Target, TargetKind
from core.models import Customer, CustomerUserAddress, Mail
from core.organisation import load_organisation
from core.routing.rule import Actions, Conditions, Ending, Field, Group, Operator, RuleValues
from core.routing.rule import Test as Compared
from core.routing.rules import save_rule
from core.words import DecisionKind, Evidence
from tests.intake.firm import a_firm
from tests.intake.mails import a_mail


def simulated(database: Database, incoming: Incoming) -> Simulation:
    with database.read() as session:
        return simulate(session, load_organisation(session), prepare(incoming))


def sentences(simulation: Simulation) -> list[str]:
    (recipient,) = simulation.recipients
    return [" + ".join(change.sentence for change in way.changes) for way in recipient.ways]


def test_a_permission_that_is_missing(database: Database) -> None:
    a_firm(database)
    found = simulated(database, a_mail(to="rechnung@example.org"))
    (recipient,) = found.recipients
    assert recipient.summary.kind is DecisionKind.HOLD
    assert str(recipient.reply) == f"250 2.0.0 Accepted as {found.prepared.reference}"
    assert sentences(found)[:2] == [
        "anna gets read and write permission in the group rechnung.",
        "The customer K-1000 gets read and write permission in the group rechnung, "
        "for all of its accounts.",
    ]
    assert "The mail is sent to Vertrieb@example.org (queue Vertrieb)." in sentences(found)
    with database.read() as session:
        assert session.scalar(select(func.count(Mail.id))) == 0


def test_the_accounts_of_the_kunden_number_could_get_the_address(database: Database) -> None:
    a_firm(database)
    found = simulated(
        database, a_mail("Kunden#: K-1000\r\n", sender="new@else.example", to="technik@example.org")
    )
    assert sentences(found) == ["new@else.example is added to the account anna."]  # bert only reads


def test_an_invalid_account(database: Database) -> None:
    a_firm(database)
    found = simulated(database, a_mail(sender="gone@acme.example"))
    assert sentences(found)[0] == (
        "The account gone and its customer become valid. + "
        "gone gets read and write permission in the group vertrieb."
    )


def test_an_invalid_customer_has_no_account_to_choose(database: Database) -> None:
    a_firm(database)
    with database.write() as session:
        customer = session.scalars(select(Customer).where(Customer.number == "K-2000")).one()
        customer.valid = False
    found = simulated(database, a_mail("Kunden#: K-2000\r\n", sender="new@else.example"))
    assert found.recipients[0].summary.reason == "account-invalid"
    assert sentences(found) == []


def test_an_address_of_two_accounts(database: Database) -> None:
    firm = a_firm(database)
    with database.write() as session:
        session.add(
            CustomerUserAddress(
                customer_user_id=firm.customer_users["carol"],
                address="anna@muster.example",
                address_key="anna@muster.example",
                exclusive=False,
            )
        )
        anna = session.scalars(
            select(CustomerUserAddress).where(
                CustomerUserAddress.customer_user_id == firm.customer_users["anna"]
            )
        ).one()
        anna.exclusive = False
    found = simulated(database, assuming(a_mail(), Assumed.SIGNED))
    assert sentences(found) == ["The mail names the Kunden# K-1000 and no other (account anna)."]


@pytest.mark.parametrize(
    ("assumed", "evidence", "kind"),
    [
        (Assumed.SIGNED, Evidence.VERIFIED, DecisionKind.OPEN_TICKET),
        (Assumed.NOTHING, Evidence.NEUTRAL, DecisionKind.OPEN_TICKET),
        (Assumed.QUARANTINE, Evidence.FAILED, DecisionKind.HOLD),
        (Assumed.REJECT, Evidence.FAILED, DecisionKind.REJECT),
    ],
)
def test_what_is_assumed_of_the_sender(
    sqlite_database: Database, assumed: Assumed, evidence: Evidence, kind: DecisionKind
) -> None:
    a_firm(sqlite_database)
    (recipient,) = simulated(sqlite_database, assuming(a_mail(), assumed)).recipients
    assert recipient.facts.sender.evidence is evidence
    assert recipient.summary.kind is kind


def test_the_header_of_a_relay_of_ours(sqlite_database: Database) -> None:
    a_firm(sqlite_database)
    said = "Authentication-Results: mx.example.org; dkim=pass header.d=muster.example\r\n"
    mail = replace(a_mail(headers=said), authserv_id="mx.example.org")
    inside = replace(mail, envelope=replace(mail.envelope, trusted=True))
    for incoming, evidence in ((mail, Evidence.NEUTRAL), (inside, Evidence.VERIFIED)):
        (recipient,) = simulated(sqlite_database, assuming(incoming, Assumed.HEADER)).recipients
        assert recipient.facts.sender.evidence is evidence


def test_a_routing_rule_could_be_switched_off(sqlite_database: Database) -> None:
    a_firm(sqlite_database)
    holds = RuleValues("Alles", actions=Actions(ending=Ending.HOLD))
    with sqlite_database.write() as session:
        rule_id = save_rule(session, SYSTEM, holds).id
    found = simulated(sqlite_database, a_mail())
    assert found.recipients[0].summary.reason == "held-by-rule"
    assert sentences(found) == ['The routing rule "Alles" is switched off.']
    assert found.recipients[0].ways[0].changes[0].target == Target(TargetKind.RULE, rule_id)


def test_a_rule_that_asks_for_evidence_sees_what_would_be(sqlite_database: Database) -> None:
    a_firm(sqlite_database)
    unverified = Compared(Field.EVIDENCE, Operator.EQUALS, "neutral")
    holds = RuleValues(
        "Ungeprüft",
        conditions=Conditions((Group((unverified,)),)),
        actions=Actions(ending=Ending.HOLD),
    )
    with sqlite_database.write() as session:
        save_rule(session, SYSTEM, holds)
    found = simulated(sqlite_database, assuming(a_mail(), Assumed.NOTHING))
    assert sentences(found) == [
        'The routing rule "Ungeprüft" is switched off.',
        "The sender is verified, for instance by a DKIM signature of muster.example.",
    ]


def test_what_was_found_when_it_came_in_is_kept(sqlite_database: Database) -> None:
    a_firm(sqlite_database)
    mail = assuming(a_mail(), Assumed.REJECT)
    assert assuming(mail, Assumed.FOUND) == mail
    assert assuming(mail, Assumed.HEADER).findings is None

"""A mail tried out: the decision, and what would make it allowed. Nothing is recorded."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.accounts.permissions import Subject, access_of, valid_account
from core.intake.again import Summary, summary_of
from core.intake.assumed import Assumed, assumed_findings
from core.intake.decide import decide
from core.intake.decision import Decision, reply_to
from core.intake.facts import Facts
from core.intake.gather import gather
from core.intake.identify import AccountFacts
from core.intake.incoming import Incoming, Reply
from core.intake.prepare import Prepared, prepare
from core.intake.ways import Known, Way, ways
from core.mail.addresses import address_key
from core.mail.message import parse
from core.models import Customer, CustomerUser
from core.organisation import Organisation

MAX_ACCOUNTS = 5  # of a customer, to which an address could be added


@dataclass(frozen=True, slots=True)
class Tried:
    """What the rules say for one recipient, with the facts that they say it from."""

    facts: Facts
    decision: Decision


@dataclass(frozen=True, slots=True)
class SimulatedRecipient:
    """The same with its names, the exact reply, and what would make it allowed."""

    facts: Facts
    decision: Decision
    summary: Summary
    reply: Reply
    ways: tuple[Way, ...]


@dataclass(frozen=True, slots=True)
class Simulation:
    """A mail as it was understood, and what would become of it for each recipient."""

    prepared: Prepared
    recipients: tuple[SimulatedRecipient, ...]


def try_out(
    session: Session,
    organisation: Organisation,
    incoming: Incoming,
    keys: Sequence[bytes] = (),
    reference: str | None = None,
) -> tuple[Prepared, list[Tried]]:
    """Return what ``take_in`` would decide now.

    ``session`` may be a reading one, ``keys`` are those whose tokens are believed, ``reference``
    is that of a mail that has come in before. Redeliveries are not looked for: the question is
    what the rules say.
    """
    prepared = prepare(incoming, keys, reference=reference)
    return prepared, decide_now(session, organisation, [prepared])[0]


def decide_now(
    session: Session, organisation: Organisation, mails: Sequence[Prepared]
) -> list[list[Tried]]:
    """Return for each mail what ``take_in`` would decide now, were it the only one."""
    gathered = gather(session, organisation, mails)
    return [[Tried(part, decide(part)) for part in facts] for facts in gathered]


def simulate(
    session: Session,
    organisation: Organisation,
    incoming: Incoming,
    keys: Sequence[bytes] = (),
    reference: str | None = None,
) -> Simulation:
    """Return what ``take_in`` would decide under this organisation, and what would change that."""
    prepared, tried = try_out(session, organisation, incoming, keys, reference)
    return Simulation(
        prepared,
        tuple(
            SimulatedRecipient(
                each.facts,
                each.decision,
                summary_of(organisation, each.decision),
                reply_to(each.decision.outcome, prepared.reference),
                ways(each.facts, _known(session, each.facts)),
            )
            for each in tried
        ),
    )


def assuming(incoming: Incoming, assumed: Assumed) -> Incoming:
    """Return a mail with what is assumed to have been found about its sender."""
    if assumed is Assumed.FOUND:
        return incoming
    sender = address_key(parse(incoming.raw).from_.address or "") or ""
    return replace(incoming, findings=assumed_findings(assumed, sender.rpartition("@")[2]))


def _known(session: Session, facts: Facts) -> tuple[Known, ...]:
    """Return the accounts that a mail may be from, and what each may do."""
    accounts = facts.match.candidates or _accounts_of_customer(session, facts)
    subjects = {
        account: Subject(
            account.customer_user_id, account.customer_id, account.sees_customer_tickets
        )
        for account in accounts[:MAX_ACCOUNTS]
    }
    access = access_of(session, facts.organisation, set(subjects.values())) if subjects else {}
    return tuple(Known(account, access[subject]) for account, subject in subjects.items())


def _accounts_of_customer(session: Session, facts: Facts) -> Sequence[AccountFacts]:
    """Return valid accounts with the Kunden# that the mail names."""
    customer = facts.match.customer
    if customer is None:
        return ()
    rows = session.execute(
        select(CustomerUser.id, CustomerUser.login, CustomerUser.sees_customer_tickets)
        .join(Customer, Customer.id == CustomerUser.customer_id)
        .where(CustomerUser.customer_id == customer.customer_id, valid_account())
        .order_by(CustomerUser.sort_key, CustomerUser.id)
        .limit(MAX_ACCOUNTS)
    )
    return [
        AccountFacts(row.id, row.login, customer.customer_id, customer.number, *row[2:], valid=True)
        for row in rows
    ]

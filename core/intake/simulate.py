"""A mail tried out: the decision, and what would make it allowed. Nothing of it is recorded.

The customer sources are asked before that, as for a mail that comes in.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.accounts.permissions import Subject, access_of, valid_account
from core.db import Database
from core.intake.again import Summary, summary_of
from core.intake.assumed import Assumed, assumed_findings
from core.intake.decide import decide, put_off
from core.intake.decision import Decision, reply_to
from core.intake.facts import Facts
from core.intake.gather import gather
from core.intake.identify import AccountFacts
from core.intake.incoming import Incoming, Reply
from core.intake.look_up import PutOff, look_up
from core.intake.prepare import Prepared
from core.intake.ways import Known, Way, ways
from core.mail.addresses import address_key
from core.mail.message import parse
from core.models import Customer, CustomerUser
from core.organisation import Organisation
from core.sources.asking.live import LiveSources

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


def look_up_one(database: Database, sources: LiveSources, prepared: Prepared) -> Prepared | PutOff:
    """Return a mail as it can be decided: after the sources were asked about it, as for real mail.

    They are asked afresh. What they say is brought into our tables, so what is decided from it is
    what becomes of the real mail, whichever process takes that in and whatever it remembers. Takes
    seconds; must not be called inside a transaction.
    """
    return look_up(database, sources, [prepared], fresh=True)[0]


def decide_now(
    session: Session, organisation: Organisation, mails: Sequence[Prepared | PutOff]
) -> list[list[Tried]]:
    """Return for each mail what would become of it now, were it the only one.

    ``session`` may be a reading one. Redeliveries are not looked for: the question is what the
    rules say.
    """
    gathered = gather(session, organisation, [prepared_of(mail) for mail in mails])
    return [
        [Tried(part, _decided(mail, part)) for part in facts]
        for mail, facts in zip(mails, gathered, strict=True)
    ]


def prepared_of(mail: Prepared | PutOff) -> Prepared:
    """Return a mail as it was parsed, whether it waits outside or not."""
    return mail.prepared if isinstance(mail, PutOff) else mail


def _decided(mail: Prepared | PutOff, facts: Facts) -> Decision:
    return put_off(facts, mail.away.source) if isinstance(mail, PutOff) else decide(facts)


def simulate(session: Session, organisation: Organisation, mail: Prepared | PutOff) -> Simulation:
    """Return what would become of a mail under this organisation, and what would change that."""
    prepared = prepared_of(mail)
    (tried,) = decide_now(session, organisation, [mail])
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

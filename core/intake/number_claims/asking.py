"""Whom the worker asks about held mail that names a Kunden#, and how often."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session, contains_eager, selectinload

from core.accounts.permissions import access_of, subject_of, valid_account
from core.intake.facts import counts_as_verified
from core.intake.number_claims.claim import REASON, is_blocked, sender_key
from core.models import Customer, CustomerUser, Delivery, Mail, NumberClaim, OutgoingMail, now
from core.organisation import Organisation, load_organisation
from core.outgoing.bounces import bouncing
from core.outgoing.caps import DAY, HOUR, one_at_a_time
from core.outgoing.compose import to_ascii_domain
from core.settings import Settings
from core.words import HeldState, OutgoingKind

LIFE = timedelta(days=7)
MAX_CONTACTS = 3  # asked about one mail
CLAIMS_A_DAY = 3  # mails that contacts of one customer are asked about, and questions to an address
SENDER_CLAIMS_A_DAY = 3  # mails of one sender that anybody is asked about
CLAIMS_AN_HOUR = 30  # mails that anybody at all is asked about
MAX_AT_ONCE = 50  # held mails in one transaction, which makes intake wait
_LOOKED_AT = 200  # accounts of a customer among which contacts are looked for


def ask_contacts(session: Session) -> int:
    """Put questions into the outbox about held mail that nobody was asked about yet.

    Each mail is looked at once, the oldest first, at most 50. Returns about how many somebody is
    asked: not where the sender is not verified, no contact may write to the queue, or there were
    enough questions.
    """
    unseen = select(NumberClaim.id).where(NumberClaim.delivery_id == Delivery.id).exists()
    organisation = load_organisation(session)
    one_at_a_time(session)
    deliveries = session.scalars(
        select(Delivery)
        .join(Mail, Mail.id == Delivery.mail_id)
        .where(
            Delivery.held == HeldState.WAITING,
            Delivery.reason == REASON,
            Delivery.customer_id.is_not(None),
            Delivery.queue_id.is_not(None),
            ~unseen,
        )
        .options(contains_eager(Delivery.mail))
        .order_by(Delivery.id)
        .limit(MAX_AT_ONCE)
        .with_for_update(of=Delivery, skip_locked=True)
    ).all()
    if not deliveries:
        return 0
    caps = _Caps(_claims_of_the_day(session))
    return sum(_ask(session, organisation, delivery, caps) for delivery in deliveries)


class _Earlier(NamedTuple):
    """A mail that somebody was asked about in the last 24 hours."""

    customer_id: int
    sender: str
    at: datetime


class _Caps:
    """What was asked in the last 24 hours, and whether one more is not too much."""

    def __init__(self, earlier: Iterable[_Earlier]) -> None:
        self._earlier = list(earlier)

    def allow(self, customer_id: int, sender: str) -> bool:
        """Whether somebody may be asked about one more mail of a sender, for a customer."""
        hour = [each for each in self._earlier if each.at > now() - HOUR]
        customers = [each.customer_id for each in self._earlier if each.sender == sender]
        return (
            len(hour) < CLAIMS_AN_HOUR
            and customer_id not in customers
            and len(customers) < SENDER_CLAIMS_A_DAY
            and sum(each.customer_id == customer_id for each in self._earlier) < CLAIMS_A_DAY
        )

    def count(self, customer_id: int, sender: str) -> None:
        """Note down that somebody is asked."""
        self._earlier.append(_Earlier(customer_id, sender, now()))


def _claims_of_the_day(session: Session) -> Iterator[_Earlier]:
    rows = session.execute(
        select(NumberClaim.customer_id, Mail.from_address, func.max(NumberClaim.created_at))
        .join(Delivery, Delivery.id == NumberClaim.delivery_id)
        .join(Mail, Mail.id == Delivery.mail_id)
        .where(NumberClaim.created_at > now() - DAY, NumberClaim.outgoing_id.is_not(None))
        .group_by(NumberClaim.delivery_id, NumberClaim.customer_id, Mail.from_address)
    )
    for customer_id, address, at in rows:
        yield _Earlier(customer_id, sender_key(address), at)


def _ask(session: Session, organisation: Organisation, delivery: Delivery, caps: _Caps) -> bool:
    """Ask contacts about a held mail, or keep a row so that it is not looked at again."""
    assert delivery.customer_id is not None  # ask_contacts has looked for it
    sender = sender_key(delivery.mail.from_address)
    contacts: Sequence[CustomerUser] = ()
    is_verified = counts_as_verified(delivery.mail.evidence, organisation.settings.sender_policy)
    may_ask = is_verified and not is_blocked(organisation, delivery)
    if sender and may_ask and caps.allow(delivery.customer_id, sender):
        contacts = _contacts(session, organisation, delivery)
    if not contacts:
        session.add(_claim(organisation.settings, delivery))
        return False
    caps.count(delivery.customer_id, sender)
    for account in contacts:
        mail = _mail_to(account, delivery)
        session.add(mail)
        session.flush()  # its id is asked for
        claim = _claim(organisation.settings, delivery)
        claim.customer_user_id, claim.outgoing_id = account.id, mail.id
        session.add(claim)
    return True


def _contacts(
    session: Session, organisation: Organisation, delivery: Delivery
) -> Sequence[CustomerUser]:
    """Return whom to ask, at most three: who may write to the queue and reads mail of ours.

    First those who see all tickets of the customer, then the oldest accounts.
    """
    accounts = session.scalars(
        select(CustomerUser)
        .join(Customer, Customer.id == CustomerUser.customer_id)
        .where(
            CustomerUser.customer_id == delivery.customer_id,
            CustomerUser.notices,
            valid_account(),
        )
        .options(contains_eager(CustomerUser.customer), selectinload(CustomerUser.addresses))
        .order_by(CustomerUser.sees_customer_tickets.desc(), CustomerUser.id)
        .limit(_LOOKED_AT)
    ).all()
    access = access_of(session, organisation, [subject_of(account) for account in accounts])
    keys = [account.addresses[0].address_key for account in accounts]
    unasked = {*bouncing(session, keys), *_asked_often(session, keys)}
    found: dict[str, CustomerUser] = {}  # one of those who share an address
    for account, key in zip(accounts, keys, strict=True):
        if access[subject_of(account)].may_write(delivery.queue_id or 0) and key not in unasked:
            found.setdefault(key, account)
    return list(found.values())[:MAX_CONTACTS]


def _asked_often(session: Session, keys: Sequence[str]) -> Sequence[str]:
    """Return the addresses that were asked enough today, for whichever customers."""
    return session.scalars(
        select(OutgoingMail.recipient_key)
        .where(
            OutgoingMail.recipient_key.in_(keys),
            OutgoingMail.created_at > now() - DAY,
            OutgoingMail.kind == OutgoingKind.NUMBER_CLAIM,
        )
        .group_by(OutgoingMail.recipient_key)
        .having(func.count() >= CLAIMS_A_DAY)
    ).all()


def _claim(settings: Settings, delivery: Delivery) -> NumberClaim:
    """Return the row of a claim, good for a week or as long as the mail is held."""
    assert delivery.customer_id is not None  # ask_contacts has looked for it
    moment = now()
    ends = moment + LIFE
    if settings.held_days:
        ends = min(ends, delivery.mail.received_at + timedelta(days=settings.held_days))
    return NumberClaim(
        delivery_id=delivery.id,
        customer_id=delivery.customer_id,
        created_at=moment,
        expires_at=ends,
    )


def _mail_to(account: CustomerUser, delivery: Delivery) -> OutgoingMail:
    address = account.addresses[0]
    return OutgoingMail(
        kind=OutgoingKind.NUMBER_CLAIM,
        queue_id=delivery.queue_id,
        customer_user_id=account.id,
        recipient=to_ascii_domain(address.address),
        recipient_key=address.address_key,
        language=account.language,
    )

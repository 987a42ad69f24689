"""Mail that names a Kunden# from an unknown address: a registered contact says whether it is true.

A Kunden# is printed on every invoice, so it releases nothing (threat I9). Where the sender is
verified, the worker asks contacts of that customer by mail, who answer with one click. The question
names the sender's address, the queue and the time, and nothing that stands in the mail (L3): nobody
but staff and, after a yes, its account read it. What a link can do is no more than a link for a new
password can, which goes to the same address, so it asks for no password.
"""

import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from babel.dates import format_datetime
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session, contains_eager, joinedload, selectinload

from core import audit
from core.accounts.addresses import MAX_ADDRESSES, address_holders
from core.accounts.customer_users import add_address
from core.accounts.password_links import (
    TOKEN_BYTES,
    TOKEN_LENGTH,
    hash_of_token,
    signature_of,
)
from core.accounts.permissions import (
    access_of,
    customer_user_access,
    subject_of,
    valid_account,
)
from core.audit import Actor
from core.errors import SchalterError
from core.i18n import N_, current_language, in_language
from core.i18n import gettext as _
from core.intake.decide import decide
from core.intake.decision import Decision, Hold, OpenTicket, Step
from core.intake.facts import counts_as_verified
from core.intake.gather import gather
from core.intake.held import original, set_ticket, settle
from core.intake.incoming import PortalSubmission, RecipientReceipt
from core.intake.prepare import prepare
from core.intake.record import record_release
from core.intake.rows import Part, trace
from core.mail.addresses import address_key
from core.models import (
    Customer,
    CustomerUser,
    Delivery,
    Mail,
    NumberClaim,
    OutgoingMail,
    now,
)
from core.organisation import Organisation, load_organisation
from core.outgoing.bounces import bouncing
from core.outgoing.caps import DAY, HOUR, check_recipient, one_at_a_time
from core.outgoing.compose import Mailbox, to_ascii_domain
from core.outgoing.installation import Installation, sender_of
from core.outgoing.outbox import Posting, Suppressed
from core.settings import Settings
from core.words import DecisionKind, Evidence, HeldState, OutgoingKind, OutgoingState

REASON = "number-from-unknown-address"
LIFE = timedelta(days=7)
MAX_CONTACTS = 3  # asked about one mail
CLAIMS_A_DAY = 3  # mails that contacts of one customer are asked about, and questions to an address
SENDER_CLAIMS_A_DAY = 3  # mails of one sender that anybody is asked about
CLAIMS_AN_HOUR = 30  # mails that anybody at all is asked about
MAX_AT_ONCE = 50  # held mails in one transaction, which makes intake wait
_LOOKED_AT = 200  # accounts of a customer among which contacts are looked for
CONFIRMED, DENIED = "number_confirmed", "number_denied"  # steps of the explanation


@dataclass(frozen=True, slots=True)
class Question:
    """What a contact is asked: whether this sender belongs to them."""

    account: CustomerUser
    sender: str
    queue: str
    received_at: datetime
    customer_number: str
    may_remember: bool  # the sender's address for the contact's own account


class Confirmed(NamedTuple):
    """What a yes has done: the ticket, and whether the address counts as the contact's now."""

    question: Question
    receipt: RecipientReceipt
    remembered: bool


class Asked(NamedTuple):
    """Who was asked about a held mail, and what became of it, as staff read it."""

    login: str
    name: str
    at: datetime
    state: OutgoingState
    answer: str  # CONFIRMED, DENIED, or "" for none


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


def posting_of(session: Session, installation: Installation, mail: OutgoingMail) -> Posting:
    """Compose a question with a new link, in the writing transaction of whoever sends it.

    The link of an earlier try opens nothing any more. Raises ``Suppressed`` where nobody waits for
    the answer, or the account may not give it (any more).
    """
    account = session.get_one(CustomerUser, mail.customer_user_id, with_for_update=True)
    claim = session.scalars(select(NumberClaim).where(NumberClaim.outgoing_id == mail.id)).one()
    delivery = session.get_one(Delivery, claim.delivery_id)
    if claim.expires_at <= now() or delivery.held is not HeldState.WAITING:
        raise Suppressed(N_("Nobody waits for an answer any more."))
    organisation = load_organisation(session)
    if not _may_answer(session, organisation, account, claim, delivery):
        raise Suppressed(N_("The account may not write to the queue any more."))
    if mail.recipient_key not in {row.address_key for row in account.addresses}:
        raise Suppressed(N_("The address is none of the account's any more."))
    check_recipient(session, organisation, installation, mail)
    token = secrets.token_hex(TOKEN_BYTES)
    claim.token_hash = hash_of_token(token)
    with in_language(mail.language or organisation.settings.language):
        link = installation.page(f"claims/{token}")
        subject = _("Does this sender belong to you?")
        text = "\n\n".join(_asking(organisation, account, delivery, link))
    return Posting(
        kind=mail.kind,
        sender=sender_of(organisation, installation, delivery.queue_id),
        to=(Mailbox(mail.recipient, account.name),),
        subject=subject,
        text=text,
        automatic="auto-generated",
        queue_id=delivery.queue_id,
        customer_user_id=account.id,
    )


def question_of(session: Session, token: str) -> Question | None:
    """Return what a link asks; None for one that is used, too old, or never was one."""
    found = _open_claim(session, token)
    return _question(session, *found) if found is not None else None


def confirm(session: Session, token: str, *, remember: bool, peer: str) -> Confirmed | None:
    """File the mail of a link as that of the contact who was asked.

    The pipeline runs again with the original envelope and bytes, so the permission is asked in
    this transaction. ``remember`` gives the account the sender's address, where it may have it.
    None where the link opens nothing (any more), or the account may not write there.
    """
    found = _open_claim(session, token, lock=True)
    if found is None:
        return None
    claim, account, delivery = found
    question = _question(session, claim, account, delivery)
    actor = audit.customer_actor(account, peer)
    organisation = load_organisation(session, lock=True)
    part = _decided(session, organisation, account, delivery, actor)
    if part is None:
        return None
    _use_up(session, delivery)
    record_release(session, part, delivery.mail_id)
    set_ticket(session, delivery, part)
    delivery.trace = [*delivery.trace, *trace(part.decision)]
    settle(session, actor, delivery, HeldState.RELEASED, "")
    remembered = (
        remember
        and question.may_remember
        and _remembers(session, actor, account, delivery.mail.from_address)
    )
    return Confirmed(question, part.receipt(), remembered)


def deny(session: Session, token: str, *, peer: str) -> Question | None:
    """Write down that a contact does not know the sender: staff decide, and nobody else is asked.

    None where the link opens nothing (any more).
    """
    found = _open_claim(session, token, lock=True)
    if found is None:
        return None
    claim, account, delivery = found
    question = _question(session, claim, account, delivery)
    _use_up(session, delivery)
    step = Step(DENIED, DecisionKind.HOLD, _DENIED, (("login", account.login),))
    said = Decision(Hold(REASON, delivery.queue_id), (step,))
    delivery.trace = [*delivery.trace, *trace(said)]
    audit.record(
        session,
        audit.customer_actor(account, peer),
        "number-denied",
        "held-mail",
        delivery.id,
        delivery.mail.subject,
    )
    return question


def asked_about(session: Session, delivery: Delivery) -> Sequence[Asked]:
    """Return who was asked about a held mail, in the order in which they were asked."""
    answers = {
        step["values"]["login"]: step["rule"]
        for step in delivery.trace
        if step["rule"] in (CONFIRMED, DENIED)
    }
    rows = session.execute(
        select(CustomerUser, OutgoingMail)
        .select_from(NumberClaim)
        .join(CustomerUser, CustomerUser.id == NumberClaim.customer_user_id)
        .join(OutgoingMail, OutgoingMail.id == NumberClaim.outgoing_id)
        .where(NumberClaim.delivery_id == delivery.id)
        .order_by(NumberClaim.id)
    )
    return [
        Asked(
            account.login,
            account.name,
            mail.created_at,
            mail.state,
            answers.get(account.login, ""),
        )
        for account, mail in rows
    ]


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
        yield _Earlier(customer_id, _key(address), at)


def _ask(session: Session, organisation: Organisation, delivery: Delivery, caps: _Caps) -> bool:
    """Ask contacts about a held mail, or keep a row so that it is not looked at again."""
    assert delivery.customer_id is not None  # ask_contacts has looked for it
    sender = _key(delivery.mail.from_address)
    contacts: Sequence[CustomerUser] = ()
    is_verified = counts_as_verified(delivery.mail.evidence, organisation.settings.sender_policy)
    if sender and is_verified and caps.allow(delivery.customer_id, sender):
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


def _open_claim(
    session: Session, token: str, *, lock: bool = False
) -> tuple[NumberClaim, CustomerUser, Delivery] | None:
    """Return what a link is about as long as it can be answered.

    With ``lock`` the mail, the account and the claim stay as they are, in the order of locks
    that staff and the worker keep, too.
    """
    if len(token) != TOKEN_LENGTH:
        return None
    hashed = hash_of_token(token)
    claim = session.scalars(
        select(NumberClaim).where(NumberClaim.token_hash == hashed)
    ).one_or_none()
    if claim is None or claim.customer_user_id is None:
        return None
    delivery = session.get_one(
        Delivery,
        claim.delivery_id,
        options=[joinedload(Delivery.mail).joinedload(Mail.raw)],
        with_for_update={"of": Delivery} if lock else None,
        populate_existing=lock,
    )
    account = session.get_one(CustomerUser, claim.customer_user_id, with_for_update=lock or None)
    if lock:
        session.refresh(claim, with_for_update=True)
    is_open = (
        claim.token_hash == hashed
        and claim.expires_at > now()
        and delivery.held is HeldState.WAITING
        and delivery.mail.raw is not None
        and not address_holders(session, [_key(delivery.mail.from_address)])
        and _may_answer(session, load_organisation(session), account, claim, delivery)
    )
    return (claim, account, delivery) if is_open else None


def _may_answer(
    session: Session,
    organisation: Organisation,
    account: CustomerUser,
    claim: NumberClaim,
    delivery: Delivery,
) -> bool:
    access = customer_user_access(session, organisation, account)
    return account.customer_id == claim.customer_id and access.may_write(delivery.queue_id or 0)


def _question(
    session: Session, claim: NumberClaim, account: CustomerUser, delivery: Delivery
) -> Question:
    mail = delivery.mail
    organisation = load_organisation(session)
    return Question(
        account=account,
        sender=mail.from_address,
        queue=organisation.queues[delivery.queue_id or 0].name,
        received_at=mail.received_at,
        customer_number=account.customer.number,
        # Neutral mail may be anybody's: who forges it would get the mail of whoever has the address
        may_remember=mail.evidence is Evidence.VERIFIED and len(account.addresses) < MAX_ADDRESSES,
    )


def _decided(
    session: Session,
    organisation: Organisation,
    account: CustomerUser,
    delivery: Delivery,
    actor: Actor,
) -> Part | None:
    """Return what the rules say to the mail as one of the account; None where it may not write."""
    asked = PortalSubmission(account.id, queue_id=delivery.queue_id)
    prepared = prepare(replace(original(delivery), portal=asked), reference=delivery.mail.reference)
    facts = gather(session, organisation, [prepared])[0][0]
    outcome = decide(facts).outcome
    if not isinstance(outcome, OpenTicket):
        return None
    step = Step(CONFIRMED, DecisionKind.OPEN_TICKET, _CONFIRMED, (("login", account.login),))
    return Part(
        prepared,
        facts,
        Decision(replace(outcome, reason="number-confirmed"), (step,)),
        b"",
        delivery_id=delivery.id,
        released_by=actor,
        released_at=now(),
    )


_CONFIRMED = N_("%(login)s has confirmed that the sender belongs to the customer.")
_DENIED = N_("%(login)s says that the sender does not belong to the customer.")


def _remembers(session: Session, actor: Actor, account: CustomerUser, address: str) -> bool:
    """Give an account the address, if it may have it: the mail is filed either way."""
    try:
        with session.begin_nested():
            add_address(session, actor, account, address)
    except SchalterError:
        return False
    return True


def _use_up(session: Session, delivery: Delivery) -> None:
    """Let no link about a mail open anything any more: one answer is enough, whoever gives it."""
    session.execute(
        update(NumberClaim)
        .where(NumberClaim.delivery_id == delivery.id)
        .values(token_hash=None, expires_at=now())
    )


def _key(address: str) -> str:
    return address_key(address) or ""


def _asking(
    organisation: Organisation, account: CustomerUser, delivery: Delivery, link: str
) -> Iterator[str]:
    """Give the paragraphs of a question: nothing that stands in the mail but who sent it."""
    settings = organisation.settings
    at = delivery.mail.received_at.astimezone(ZoneInfo(account.time_zone or settings.time_zone))
    yield _("Hello %(name)s,", name=account.name)
    yield _(
        "we got a mail that names your Kunden# %(number)s, from an address that we do not know:",
        number=account.customer.number,
    )
    yield "\n".join(
        (
            _("Sender: %(address)s", address=delivery.mail.from_address),
            _("To: %(queue)s", queue=organisation.queues[delivery.queue_id or 0].name),
            _(
                "Received: %(time)s",
                time=format_datetime(at, "short", locale=current_language()),
            ),
        )
    )
    yield _("Does the sender belong to you? You can say so here; the mail then becomes a ticket:")
    yield link
    yield _(
        "If you do not know the sender, say that there, or do nothing: the mail is then left to "
        "our staff. Please do not pass this link on."
    )
    yield signature_of(organisation)

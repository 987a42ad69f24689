"""What a contact's answer does, and what staff see of questions and answers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select, update
from sqlalchemy.orm import Session, joinedload

from core import audit
from core.accounts.addresses import MAX_ADDRESSES, address_holders
from core.accounts.customer_users import add_address
from core.accounts.password_links import TOKEN_LENGTH, hash_of_token
from core.audit import Actor
from core.errors import SchalterError
from core.i18n import N_
from core.intake.decide import decide
from core.intake.decision import Decision, Hold, OpenTicket, Step
from core.intake.gather import gather
from core.intake.held import original, set_ticket, settle
from core.intake.incoming import PortalSubmission, RecipientReceipt
from core.intake.number_claims.claim import REASON, may_answer, sender_key
from core.intake.prepare import prepare
from core.intake.record import record_release
from core.intake.rows import Part, trace
from core.models import CustomerUser, Delivery, Mail, NumberClaim, OutgoingMail, now
from core.organisation import Organisation, load_organisation
from core.words import DecisionKind, Evidence, HeldState, OutgoingState

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
        and not address_holders(session, [sender_key(delivery.mail.from_address)])
        and may_answer(session, load_organisation(session), account, claim, delivery)
    )
    return (claim, account, delivery) if is_open else None


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

"""Refusing held mail: it is put aside, and its sender is told why, in words of ours.

Only somebody whose address is proven is told (threats L3 and L4): else anybody could have us write
to anybody. Nothing of the mail is in the answer, which nothing answers: its reverse-path is empty.
"""

from collections.abc import Mapping
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core import audit
from core.audit import Actor
from core.errors import Forbidden, Invalid
from core.i18n import LANGUAGES, N_, in_language
from core.i18n import gettext as _
from core.intake.facts import counts_as_verified
from core.intake.held import EXPIRED, REFUSED, held_mail, original, settle, still_waiting
from core.intake.prepare import Prepared, prepare
from core.mail.addresses import address_key
from core.models import CustomerUser, Delivery, OutgoingMail, Staff, now
from core.organisation import Organisation, load_organisation
from core.outgoing.caps import check_recipient
from core.outgoing.compose import Mailbox, to_ascii_domain
from core.outgoing.installation import Installation, sender_of
from core.outgoing.outbox import Posting, Suppressed, post
from core.words import HeldState, OutgoingKind

REFUSALS_A_DAY = 3  # to one address; more is a quarrel of machines
_DAY = timedelta(hours=24)

# What staff choose from.
REASONS: Mapping[str, str] = {
    "unknown": N_("The address belongs to no customer"),
    "queue": N_("The customer may not use this address of ours"),
    "unclear": N_("It is not clear which customer it is from"),
    "not-for-us": N_("It is nothing that we deal with"),
}
# What the sender reads.
_TEXTS: Mapping[str, str] = {
    "unknown": N_(
        "Your mail address belongs to none of our customers. Please write from the address that "
        "we know of you, or ask us to add the new one."
    ),
    "queue": N_(
        "This address of ours is not open to you. Please use one of the addresses that were "
        "agreed on with you."
    ),
    "unclear": N_(
        "We could not tell which customer your mail is from. Please write from the address that "
        "we know of you, and name no other Kunden# than your own."
    ),
    "not-for-us": N_("It is about something that we do not deal with at this address."),
}


def refusal_problem(session: Session, installation: Installation, delivery: Delivery) -> str:
    """Return why nobody may be told that this held mail is refused, "" where they may."""
    organisation = load_organisation(session)
    return _problem(session, organisation, installation, delivery, _prepared(delivery))


def refuse(
    session: Session,
    installation: Installation,
    actor: Actor,
    staff: Staff,
    delivery_id: int,
    reason: str,
    language: str,
) -> None:
    """Put a held mail aside and tell its sender why, in one of our languages.

    Raises ``Invalid`` for an unknown reason or language, ``Forbidden`` where the sender must not
    be told, ``NotFound``, and ``Stale`` when somebody was faster.
    """
    if reason not in REASONS:
        raise Invalid("reason", _("Please choose one."))
    if language not in LANGUAGES:
        raise Invalid("language", _("There is no such language."))
    organisation = load_organisation(session, lock=True)
    delivery = held_mail(session, staff, delivery_id)
    still_waiting(delivery)
    prepared = _prepared(delivery)
    problem = _problem(session, organisation, installation, delivery, prepared)
    if problem:
        raise Forbidden(problem)
    address = _address(prepared)
    with in_language(language):
        posting = Posting(
            kind=OutgoingKind.HELD_REFUSED,
            sender=sender_of(organisation, installation, delivery.queue_id),
            to=(Mailbox(address),),
            subject=_("Your mail to us was not accepted"),
            text=_text(organisation, delivery, reason),
            in_reply_to=prepared.message.message_id,
            references=(prepared.message.message_id,),
            automatic="auto-replied",
            queue_id=delivery.queue_id,
            customer_user_id=delivery.customer_user_id,
        )
        posted = post(session, installation, posting)
    settle(session, actor, delivery, HeldState.DISCARDED, f"{REFUSED}{reason}")
    audit.record(
        session,
        actor,
        "refusal-sent",
        "held-mail",
        delivery.id,
        delivery.mail.subject,
        None,
        {"to": address, "reason": reason, "outgoing": posted.outgoing_ids[0]},
    )


def is_refusal(why: str) -> bool:
    """Whether a mail was put aside with an answer to its sender, by what is stored of it."""
    return why.removeprefix(REFUSED) in REASONS and why.startswith(REFUSED)


def shown_why(why: str) -> str:
    """Return why a held mail was put aside, in the language of the reader."""
    if why == EXPIRED:
        return _("nobody has decided in time")
    if not is_refusal(why):
        return why
    return _("refused, the sender was told: %(reason)s", reason=_(REASONS[why[len(REFUSED) :]]))


def told_why(why: str) -> str:
    """Return what the sender of a mail was told, by what is stored of it; "" where nothing."""
    return _(_TEXTS[why[len(REFUSED) :]]) if is_refusal(why) else ""


def language_of(session: Session, delivery: Delivery) -> str:
    """Return the language to tell the sender in: the account's, else the organisation's."""
    account = session.get(CustomerUser, delivery.customer_user_id or 0)
    own = account.language if account is not None else ""
    return own or load_organisation(session).settings.language


def text_of(session: Session, delivery: Delivery, reason: str, language: str) -> str:
    """Return what the sender would read."""
    with in_language(language):
        return _text(load_organisation(session), delivery, reason)


def _prepared(delivery: Delivery) -> Prepared:
    return prepare(original(delivery), reference=delivery.mail.reference)


def _address(prepared: Prepared) -> str:
    """Return the one clean From address, "" without."""
    sender = prepared.message.from_
    return "" if sender.problem is not None else sender.address or ""


def _problem(
    session: Session,
    organisation: Organisation,
    installation: Installation,
    delivery: Delivery,
    prepared: Prepared,
) -> str:
    mail, message, address = delivery.mail, prepared.message, _address(prepared)
    if not address or not counts_as_verified(mail.evidence, organisation.settings.sender_policy):
        return _("The sender is not verified: somebody else would get the answer.")
    if not mail.mail_from or message.wants_no_answer or message.is_delivery_report:
        return _("A machine has sent it: such mail is never answered.")
    ascii_address = to_ascii_domain(address)
    key = address_key(ascii_address) or ascii_address
    try:
        check_recipient(
            session,
            organisation,
            installation,
            OutgoingMail(recipient=ascii_address, recipient_key=key),
        )
    except Suppressed as why:
        return _(str(why))
    told = select(func.count()).where(
        OutgoingMail.recipient_key == key,
        OutgoingMail.kind == OutgoingKind.HELD_REFUSED,
        OutgoingMail.created_at > now() - _DAY,
    )
    if session.scalars(told).one() >= REFUSALS_A_DAY:
        return _("The address was told of refused mail often enough in 24 hours.")
    return ""


def _text(organisation: Organisation, delivery: Delivery, reason: str) -> str:
    settings = organisation.settings
    paragraphs = [
        _(
            "Your mail to %(address)s was not accepted, and nobody will answer it.",
            address=delivery.recipient,
        ),
        _(_TEXTS[reason]),
        _("How to reach us: %(contact)s", contact=settings.support_contact)
        if settings.support_contact
        else "",
        settings.organisation_name,
    ]
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)

"""The mail that asks a contact."""

import secrets
from collections.abc import Iterator
from zoneinfo import ZoneInfo

from babel.dates import format_datetime
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.accounts.password_links import TOKEN_BYTES, hash_of_token, signature_of
from core.i18n import N_, current_language, in_language
from core.i18n import gettext as _
from core.intake.number_claims.claim import may_answer
from core.models import CustomerUser, Delivery, NumberClaim, OutgoingMail, now
from core.organisation import Organisation, load_organisation
from core.outgoing.caps import check_recipient
from core.outgoing.compose import Mailbox
from core.outgoing.installation import Installation, sender_of
from core.outgoing.outbox import Posting, Suppressed
from core.words import HeldState


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
    if not may_answer(session, organisation, account, claim, delivery):
        raise Suppressed(N_("The account may not answer any more."))
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

"""What a claim is, and who may answer it."""

from sqlalchemy.orm import Session

from core.accounts.permissions import customer_user_access
from core.mail.addresses import address_key
from core.models import CustomerUser, Delivery, NumberClaim
from core.organisation import Organisation

REASON = "number-from-unknown-address"  # why such mail is held


def may_answer(
    session: Session,
    organisation: Organisation,
    account: CustomerUser,
    claim: NumberClaim,
    delivery: Delivery,
) -> bool:
    """Whether an account may say now whose mail it is.

    It is of the customer, it may write to the queue, and nobody has blocked the sender meanwhile.
    """
    if is_blocked(organisation, delivery):
        return False
    access = customer_user_access(session, organisation, account)
    return account.customer_id == claim.customer_id and access.may_write(delivery.queue_id or 0)


def is_blocked(organisation: Organisation, delivery: Delivery) -> bool:
    """Whether the sender of a held mail is on the blocklist."""
    mail = delivery.mail
    senders = (sender_key(mail.from_address), sender_key(mail.mail_from))
    return organisation.blocklist.find(senders) is not None


def sender_key(address: str) -> str:
    """Return by what a sender is compared, "" for none."""
    return address_key(address) or ""

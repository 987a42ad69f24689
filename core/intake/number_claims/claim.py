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
    """Whether an account may say now whose mail it is: it is of the customer and may write."""
    access = customer_user_access(session, organisation, account)
    return account.customer_id == claim.customer_id and access.may_write(delivery.queue_id or 0)


def sender_key(address: str) -> str:
    """Return by what a sender is compared, "" for none."""
    return address_key(address) or ""

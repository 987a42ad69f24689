"""What customer users and staff have in common: both sign in, act and are written about."""

from core.audit import Actor, customer_actor, staff_actor
from core.models import CustomerUser, Staff
from core.words import AccountKind

Account = CustomerUser | Staff


def kind_of(account: Account) -> AccountKind:
    """Return which kind of account this is."""
    return AccountKind.CUSTOMER if isinstance(account, CustomerUser) else AccountKind.STAFF


def object_kind_of(account: Account) -> str:
    """Return the word by which the audit log knows this kind of account."""
    return "customer-user" if isinstance(account, CustomerUser) else "staff"


def actor_of(account: Account, peer: str = "") -> Actor:
    """Return the actor for an account of either kind."""
    if isinstance(account, CustomerUser):
        return customer_actor(account, peer)
    return staff_actor(account, peer)

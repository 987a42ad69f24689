"""Who asks on the pages of customers, and what they may do: asked of core for each request."""

from sqlalchemy.orm import Session

from core.accounts.permissions import Access, customer_user_access
from core.models import CustomerUser
from core.organisation import load_organisation
from portal.database import reading
from portal.visitors import organisation, the_viewer


def access() -> Access:
    """Return what the account of this request may see and write, for reading."""
    account = the_viewer().account
    assert isinstance(account, CustomerUser)  # the area lets nobody else in
    return customer_user_access(reading(), organisation(), account)


def access_in(session: Session) -> tuple[CustomerUser, Access]:
    """Return the account and its access as they are in a writing transaction."""
    account = the_viewer().customer_user_in(session)
    return account, customer_user_access(session, load_organisation(session), account)

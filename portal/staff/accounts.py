"""Choosing the customer user that a ticket or a held mail is from."""

from sqlalchemy.orm import Session

from core.accounts.lists import CustomerUserFilter, find_customer_users
from core.intake.held_list import Candidate, candidates_of
from portal.visitors import organisation

MAX_FOUND = 20


def accounts_found(session: Session, query: str, queue_id: int | None) -> tuple[Candidate, ...]:
    """Return the first accounts that a search finds, and whether each may write to a queue."""
    if not query:
        return ()
    accounts = find_customer_users(session, CustomerUserFilter(query=query), limit=MAX_FOUND).items
    return candidates_of(session, organisation(), accounts, queue_id)

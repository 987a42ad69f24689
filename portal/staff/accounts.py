"""Choosing the customer user that a ticket or a held mail is from."""

from sqlalchemy.orm import Session

from core.accounts.lists import CustomerUserFilter, find_customer_users
from core.accounts.permissions import Subject, access_of, is_valid_account
from core.intake.held_list import Candidate
from core.models import CustomerUser
from portal.visitors import organisation

MAX_FOUND = 20


def accounts_found(session: Session, query: str, queue_id: int | None) -> tuple[Candidate, ...]:
    """Return the first accounts that a search finds, and whether each may write to a queue."""
    if not query:
        return ()
    accounts = find_customer_users(session, CustomerUserFilter(query=query), limit=MAX_FOUND).items
    access = access_of(session, organisation(), [_subject(account) for account in accounts])
    return tuple(
        Candidate(
            account,
            "",
            is_valid_account(account),
            access[_subject(account)].may_write(queue_id or 0),
        )
        for account in accounts
    )


def _subject(account: CustomerUser) -> Subject:
    return Subject(account.id, account.customer_id, account.sees_customer_tickets)

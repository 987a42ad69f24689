"""Two accounts that are one person: what is gone from a source takes the place of its successor.

The account that is gone keeps its id, and so its tickets, groups and preferences. It takes over
key, login and values of the other one, with all that has happened there meanwhile. No account is
ever deleted, because the audit log names it: what is left of the other one is invalid, has no
login that anybody would use, and is kept here.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from core import audit
from core.accounts.copies import KEPT_HERE
from core.accounts.customer_users import (
    CustomerUserValues,
    customer_user_values,
    save_customer_user,
)
from core.accounts.logins import login_key
from core.accounts.managed import groups_of_source
from core.accounts.matrix import customer_user_changes, save_customer_user_cells
from core.accounts.permissions import group_permissions
from core.audit import Actor
from core.errors import Invalid, Stale
from core.i18n import gettext as _
from core.models import (
    AccountToken,
    AddressLink,
    Article,
    CustomerUser,
    CustomerUserAddress,
    CustomerUserGroup,
    Delivery,
    Group,
    NumberClaim,
    OutgoingMail,
    RecordConflict,
    Ticket,
    TicketMute,
    TicketSeen,
    WebSession,
)
from core.words import Permission, SourceConflict, Validity

_MAX_LOGIN = 180  # characters of a login that is given up; a mark follows

# Every reference to an account, and what becomes of it.
GOES_OVER: tuple[InstrumentedAttribute[int | None] | InstrumentedAttribute[int], ...] = (
    Ticket.customer_user_id,
    Article.customer_user_id,
    Delivery.customer_user_id,
    OutgoingMail.customer_user_id,
    NumberClaim.customer_user_id,
    WebSession.customer_user_id,
)
ENDS = (AccountToken.customer_user_id, AddressLink.customer_user_id)  # links with a secret
BY_TICKET = (TicketSeen.customer_user_id, TicketMute.customer_user_id)  # one row for each ticket
WITH_THE_ACCOUNT = (CustomerUserAddress.customer_user_id, CustomerUserGroup.customer_user_id)


@dataclass(frozen=True, slots=True)
class Belongings:
    """How much there is of an account, for the question before two become one."""

    tickets: int
    mails: int
    groups: int
    sessions: int


def belongings(session: Session, account: CustomerUser) -> Belongings:
    """Count what belongs to an account."""

    def count(column: InstrumentedAttribute[int] | InstrumentedAttribute[int | None]) -> int:
        statement: Select[int] = select(func.count()).where(column == account.id)
        return session.scalars(statement).one()

    return Belongings(
        tickets=count(Ticket.customer_user_id),
        mails=count(Delivery.customer_user_id),
        groups=count(CustomerUserGroup.customer_user_id),
        sessions=count(WebSession.customer_user_id),
    )


def match_up(
    session: Session,
    actor: Actor,
    gone_id: int,
    successor_id: int,
    versions: tuple[int, int] | None = None,
) -> CustomerUser:
    """Make one account of two, for good; return the one that was gone.

    ``versions`` are those of both that somebody has seen; None asks for no check. Raises
    ``Invalid`` where the two cannot be matched up, ``Stale`` where one is not as it was seen.
    """
    old, new = _locked(session, gone_id, successor_id)
    check_pair(old, new)
    if versions is not None and versions != (old.version, new.version):
        raise Stale(_("Somebody else has changed this in the meantime. Nothing was saved."))
    before, login, counted = customer_user_values(old), new.login, belongings(session, new)
    source, key, seen_at, hashed = new.source, new.source_key, new.source_seen_at, new.password_hash
    values = _values_of_both(before, customer_user_values(new))
    wanted = _groups_of_both(session, old, new)
    _hand_over(session, new.id, old.id)
    _dissolve(session, actor, new, old)
    old.source_key, old.source_seen_at, old.source_gone_at = key, seen_at, None
    old.password_hash = hashed
    save_customer_user(session, actor, values, old, from_source=True)
    changes = customer_user_changes(session, old, wanted)
    save_customer_user_cells(session, actor, changes, from_source=True)
    _forget_conflicts(session, source, key)
    summary = {"login": login, "tickets": counted.tickets, "mails": counted.mails}
    audit.record(
        session, actor, "matched-up", "customer-user", old.id, old.login,
        {"login": before.login}, {"source": source, **summary},
    )  # fmt: skip
    session.flush()
    session.expire_all()
    return old


def check_pair(old: CustomerUser, new: CustomerUser) -> None:
    """Raise ``Invalid`` unless one is gone from the source that the other one is in."""
    if old.source is None or old.source_key is None or old.source_gone_at is None:
        raise Invalid(
            "old", _('The account "%(login)s" is not gone from a source.', login=old.login)
        )
    if new.source is None or new.source_key is None or new.source_gone_at is not None:
        raise Invalid("new", _('The account "%(login)s" is not in a source.', login=new.login))
    if new.source != old.source:
        raise Invalid("new", _("The two accounts are of different sources."))


def _locked(session: Session, *ids: int) -> Sequence[CustomerUser]:
    """Return accounts in this order, which nobody else changes until this is over."""
    rows = session.scalars(
        select(CustomerUser)
        .where(CustomerUser.id.in_(ids))
        .order_by(CustomerUser.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    found = {account.id: account for account in rows}
    if len(found) < 2:
        raise Stale(_("There is no such account any more. Nothing was saved."))
    return [found[each] for each in ids]


def _values_of_both(old: CustomerUserValues, new: CustomerUserValues) -> CustomerUserValues:
    """Return what the source says of the new account, with what was kept here of the old one.

    Seeing the tickets of a whole customer is for that customer only: with another Kunden# what
    the new account has of it counts.
    """
    kept = {field: getattr(old, field) for field in KEPT_HERE}
    if old.customer_number != new.customer_number:
        kept["sees_customer_tickets"] = new.sees_customer_tickets
    kept["comment"] = "\n".join(dict.fromkeys(filter(None, (old.comment, new.comment))))
    return replace(new, **kept)


def _groups_of_both(
    session: Session, old: CustomerUser, new: CustomerUser
) -> Mapping[int, Permission]:
    """Return the permissions of both; in groups that the source decides, those of the new one."""
    stored, _inherited = group_permissions(session, [old.id, new.id], [])
    decided = set(
        session.scalars(select(Group.id).where(Group.name.in_(groups_of_source(session, new))))
    )
    wanted = {
        group_id: permission
        for group_id, permission in stored.get(old.id, {}).items()
        if group_id not in decided
    }
    for group_id, permission in stored.get(new.id, {}).items():
        if wanted.get(group_id) is not Permission.RW:
            wanted[group_id] = permission
    return wanted


def _hand_over(session: Session, giver: int, taker: int) -> None:
    """Tie to one account what was tied to another, past all versions: nobody has changed it."""
    session.flush()
    for column in GOES_OVER:
        statement = update(column.class_).where(column == giver).values({column.key: taker})
        session.execute(statement.execution_options(synchronize_session=False))
    for column in ENDS:
        statement_of_end = delete(column.class_).where(column == giver)
        session.execute(statement_of_end.execution_options(synchronize_session=False))
    for each in BY_TICKET:
        table = each.class_
        known = select(table.ticket_id).where(each == taker)
        twice = delete(table).where(each == giver, table.ticket_id.in_(known))
        rest = update(table).where(each == giver).values({each.key: taker})
        for statement_of_ticket in (twice, rest):
            session.execute(statement_of_ticket.execution_options(synchronize_session=False))


def _forget_conflicts(session: Session, source: str | None, key: str | None) -> None:
    """Take conflicts of a record off the list: that the two had one address is none any more.

    Whatever remains is listed again when the source is next looked at.
    """
    of_record = (RecordConflict.source == source, RecordConflict.source_key == key)
    session.execute(delete(RecordConflict).where(*of_record))


def _dissolve(session: Session, actor: Actor, account: CustomerUser, into: CustomerUser) -> None:
    """Leave of an account what the audit log refers to; login and addresses are free then."""
    nothing = customer_user_changes(session, account, {})
    save_customer_user_cells(session, actor, nothing, from_source=True)
    values = replace(
        customer_user_values(account),
        login=_marked(account),
        valid=Validity.INVALID,
        invalid_until=None,
        invalid_reason=_('Matched up with the account "%(login)s".', login=into.login),
        comment="",
    )
    save_customer_user(session, actor, values, account, from_source=True)
    account.source = account.source_key = account.source_seen_at = None
    account.password_hash = None
    audit.record(
        session, actor, "dissolved", "customer-user", account.id, account.login,
        None, {"customer_user": into.login},
    )  # fmt: skip
    session.flush()


def take_key(session: Session, actor: Actor, gone_id: int, key: str) -> CustomerUser:
    """Make an account that is gone the copy of the record that wants its login.

    The next look at the source brings the values in. Raises ``Invalid`` where no such record has
    been refused for that reason.
    """
    account = _claimed(session, gone_id, key)
    before, account.source_key = account.source_key, key
    session.flush()
    audit.record(
        session, actor, "matched-up", "customer-user", account.id, account.login,
        {"key": before}, {"source": account.source, "key": key},
    )  # fmt: skip
    return account


def give_login_up(session: Session, actor: Actor, gone_id: int, key: str) -> CustomerUser:
    """Let the record that wants the login of an account that is gone have it: it is another person.

    The next look at the source makes an account of its own. Raises ``Invalid`` like ``take_key``.
    """
    account = _claimed(session, gone_id, key)
    values = replace(customer_user_values(account), login=_marked(account))
    return save_customer_user(session, actor, values, account, from_source=True)


def _claimed(session: Session, gone_id: int, key: str) -> CustomerUser:
    account = session.get(CustomerUser, gone_id, with_for_update=True, populate_existing=True)
    claim = claims(session, [account]) if account is not None else {}
    if account is None or key not in {each.source_key for each in claim.get(account.id, ())}:
        raise Invalid("key", _("No record of the source wants the login of this account now."))
    return account


def claims(
    session: Session, gone: Sequence[CustomerUser]
) -> Mapping[int, Sequence[RecordConflict]]:
    """Return by the id of an account that is gone which records want its login.

    They seem to be of somebody else, for name and addresses differ (``persons``).
    """
    by_login = {
        (account.source, account.login_key): account.id
        for account in gone
        if account.source_gone_at is not None
    }
    found: dict[int, list[RecordConflict]] = defaultdict(list)
    rows = session.scalars(
        select(RecordConflict)
        .where(
            RecordConflict.kind == SourceConflict.LOGIN,
            RecordConflict.source.in_({account.source for account in gone}),
        )
        .order_by(RecordConflict.id)
    )
    for conflict in rows:
        account_id = by_login.get((conflict.source, login_key(conflict.login)))
        if account_id is not None:
            found[account_id].append(conflict)
    return found


def _marked(account: CustomerUser) -> str:
    """Return a login that nobody else has, for an account that gives its own up."""
    return f"{account.login[:_MAX_LOGIN]} #{account.id}"

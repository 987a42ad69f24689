"""What live sources answer, brought into our tables: in short transactions, and only what is new.

A record that equals its copy costs a look at the copy and no writing transaction.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, bindparam, select
from sqlalchemy.orm import Session

from core.accounts.logins import login_key
from core.db import Database
from core.errors import Stale
from core.i18n import gettext as _
from core.i18n import in_language
from core.mail.addresses import address_key
from core.models import CustomerUser, CustomerUserAddress
from core.organisation import load_organisation
from core.portions import in_portions
from core.sources.asking.live_source import Answer
from core.sources.mirroring.mirror import Mirror
from core.sources.mirroring.passes import RECORDS_AT_ONCE
from core.sources.records import SourceRecord
from core.sources.source import By


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy that the answer of its source should have named, and did not."""

    account_id: int
    source: str
    key: str
    login: str


# Statements are built once: building them costs as much as running them.
_COPIES = select(
    CustomerUser.id, CustomerUser.source, CustomerUser.source_key, CustomerUser.login
).where(
    CustomerUser.source.in_(bindparam("sources", expanding=True)),
    CustomerUser.source_gone_at.is_(None),
)
_KEYS: BindParameter[Any] = bindparam("keys", expanding=True)
_BY_LOGIN = _COPIES.where(CustomerUser.login_key.in_(_KEYS))
_BY_ADDRESS = _COPIES.join(
    CustomerUserAddress, CustomerUserAddress.customer_user_id == CustomerUser.id
).where(CustomerUserAddress.address_key.in_(_KEYS))


def copies_not_found(session: Session, answers: Mapping[str, Answer]) -> list[Copy]:
    """Return the copies with the addresses and logins asked for that no answer has.

    They have changed in their source, or are gone from it: only their keys tell.
    """
    wanted = {question for answer in answers.values() for question in answer.whole}
    addresses = {address_key(value) for by, value in wanted if by is By.ADDRESS} - {None}
    logins = {login_key(value) for by, value in wanted if by is By.LOGIN}
    copies: set[Copy] = set()
    for statement, keys in ((_BY_ADDRESS, addresses), (_BY_LOGIN, logins)):
        if keys:
            rows = session.execute(statement, {"keys": list(keys), "sources": list(answers)})
            copies |= {Copy(row[0], row[1] or "", row[2] or "", row[3]) for row in rows}
    found = {(name, record.key) for name, answer in answers.items() for record in answer.records}
    return [copy for copy in copies if (copy.source, copy.key) not in found]


def news(
    session: Session, names: Sequence[str], found: Mapping[str, Sequence[SourceRecord]]
) -> dict[str, list[SourceRecord]]:
    """Return the records, by source, that have to be brought in; ``names`` are all sources."""
    wanted = {name: _mirror(name, names).news(session, found[name]) for name in found}
    return {name: records for name, records in wanted.items() if records}


def bring(
    database: Database,
    names: Sequence[str],
    found: Mapping[str, Sequence[SourceRecord]],
    gone: Mapping[str, Collection[int]],
) -> None:
    """Bring records in, an earlier source first, and make copies invalid that are ``gone``.

    ``names`` are those of all sources, in their order.
    """
    if not found and not gone:
        return
    with database.read() as session:
        language = load_organisation(session).settings.language
    with in_language(language):
        for name, accounts in gone.items():
            with database.write() as session:
                reason = _("No longer in the customer source.")
                _mirror(name, names).vanish(session, accounts, reason)
        for name in names:
            for some in in_portions(found.get(name, ()), RECORDS_AT_ONCE):
                _bring_some(database, name, names, some)


def _bring_some(
    database: Database, name: str, names: Sequence[str], records: Sequence[SourceRecord]
) -> None:
    try:
        with database.write() as session:
            _mirror(name, names).bring(session, records)
    except Stale:  # somebody else saves one of them at this moment
        with database.write() as session:
            _mirror(name, names).bring(session, records)


def _mirror(name: str, names: Sequence[str]) -> Mirror:
    return Mirror(name, names, complete=False)

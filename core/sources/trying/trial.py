"""A text tried against the customer sources: what they have, what it is here, what mail would do.

Nothing is recorded. What bringing records in would change is found out by bringing them in, in a
transaction that is undone.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload, selectinload

from core.accounts.customer_users import CustomerUserValues, customer_user_values
from core.accounts.permissions import is_valid_account
from core.db import Database
from core.intake.again import Summary, summary_of
from core.intake.assumed import Assumed
from core.intake.incoming import Envelope, Incoming
from core.intake.look_up import Defers, PutOff, left_open
from core.intake.prepare import prepare
from core.intake.simulate import assuming, decide_now
from core.intake.sources_asked import SourcesAsked
from core.intake.trial_mail import TrialMail
from core.labels import label
from core.mail.addresses import address_key
from core.models import CustomerUser, CustomerUserGroup, RecordConflict, now
from core.organisation import Organisation, QueueFacts, load_organisation
from core.sources.asking.live import LiveSources
from core.sources.asking.live_source import SECONDS
from core.sources.mirroring.mirror import Mirror
from core.sources.records import Found, SourceRecord
from core.sources.source import By, CustomerSource, SourceAway
from core.words import Permission, Protocol, SourceConflict, Validity

MAX_FOUND = 5  # records of one source that are shown
MAX_ADDRESSES = 5  # that mail is tried from
MAX_SHARED = 20  # further records of one source with these addresses
KEEPS_OUT = frozenset({SourceConflict.LOGIN, SourceConflict.KEY, SourceConflict.FAULTY})
FIELDS = (
    "login",
    "customer_number",
    "customer_name",
    "email",
    "more_addresses",
    "title",
    "first_name",
    "last_name",
    "phone",
    "mobile",
    "street",
    "postcode",
    "city",
    "country",
    "valid",
    "groups",
)
_SECONDS = SECONDS  # as for mail that comes in
_NOT_TEXTS = frozenset({"customer_name", "more_addresses", "valid", "groups"})


@dataclass(frozen=True, slots=True)
class LookedAt:
    """What one source has; ``away`` says why it did not answer, "" where it did."""

    source: str
    found: tuple[Found, ...] = ()
    has_more: bool = False
    away: str = ""

    @property
    def count(self) -> int:
        """How many records are shown."""
        return len(self.found)


@dataclass(frozen=True, slots=True)
class Line:
    """A field of a record and of the account here; ``here`` is None without an account."""

    field: str
    record: str
    here: str | None
    differs: bool


@dataclass(frozen=True, slots=True)
class TriedRecord:
    """A record beside the account here that is its copy, whose id is None where there is none.

    ``conflicts`` are what would be listed if it were brought in now, kind and detail;
    ``is_refused`` is true where one of them keeps it out.
    """

    found: Found
    lines: tuple[Line, ...]
    account_id: int | None
    is_valid: bool
    is_refused: bool
    conflicts: tuple[tuple[SourceConflict, str], ...]

    @property
    def is_different(self) -> bool:
        """Whether the copy does not agree with it."""
        return any(line.differs for line in self.lines)


@dataclass(frozen=True, slots=True)
class TriedMail:
    """What would become of verified mail from an address, by queue.

    ``deferred_by`` is the source that is away for which all of it is deferred, "" for none.
    """

    address: str
    queues: tuple[tuple[QueueFacts, Summary], ...]
    deferred_by: str


@dataclass(frozen=True, slots=True)
class Trial:
    """The records by source, and mail from their addresses, of which some may be left out."""

    records: Mapping[str, tuple[TriedRecord, ...]]
    mails: tuple[TriedMail, ...]
    addresses_left_out: int


def look_everywhere(sources: LiveSources, by: By | None, text: str) -> list[LookedAt]:
    """Ask all sources for a text; where ``by`` is None, it may be address, login or Kunden#.

    Takes some seconds where any of them stalls. Must not be called inside a transaction.
    """
    work = partial(_look, by=by, text=text)
    found = sources.try_all(dict.fromkeys(sources.names, work), _SECONDS)
    return [
        LookedAt(name, away=looked.reason) if isinstance(looked, SourceAway) else looked
        for name, looked in found.items()
    ]


def try_out_records(
    database: Database,
    sources: LiveSources,
    looked: Sequence[LookedAt],
    addresses: Sequence[str],
    keys: Sequence[bytes],
) -> Trial:
    """Return what these records are here, and what mail from their addresses would do.

    ``addresses`` are tried besides, ``keys`` are those whose tokens in a mail are believed.
    """
    mine = [found.record.email for each in looked for found in each.found]
    wanted = list(dict.fromkeys(filter(None, map(address_key, [*mine, *addresses]))))
    tried = wanted[:MAX_ADDRESSES]
    records = _with_others(sources, looked, tried)
    names = sources.names
    asked = SourcesAsked(
        tuple(each.source for each in looked),
        tuple(each.source for each in looked if each.away),
    )
    managed = {source.name: source.managed_groups for source in sources.sources}
    trials: list[Trial] = []
    with suppress(_Undone), database.write() as session:
        before = _all_copies(session, records, managed)
        for name, some in records.items():
            Mirror(name, names, complete=False).bring(session, some)
        session.flush()
        after = _all_copies(session, records, managed)
        conflicts = _conflicts(session, records)
        compared = {
            each.source: tuple(
                _compared(found, before.get(id_), after.get(id_), conflicts.get(id_, ()))
                for found in each.found
                for id_ in [(each.source, found.record.key)]
            )
            for each in looked
        }
        mails = tuple(_mail(session, address, keys, asked, sources.defers) for address in tried)
        trials.append(Trial(compared, mails, len(wanted) - len(tried)))
        raise _Undone
    return trials[0]


class _Undone(Exception):
    """Ends a transaction whose work is not wanted."""


@dataclass(frozen=True, slots=True)
class _Copy:
    """An account as texts; its id lasts only where it was there before."""

    id: int
    is_valid: bool
    is_named_there: bool  # the customer, by the source
    texts: Mapping[str, str]


_Id = tuple[str, str]  # of a record: source and key


def _look(source: CustomerSource, by: By | None, text: str) -> LookedAt:
    found: dict[str, Found] = {}
    for each in (by,) if by is not None else _may_be(text):
        for some in source.look_at(each, text, MAX_FOUND + 1):
            found.setdefault(some.record.key, some)
    every = tuple(found.values())
    return LookedAt(source.name, every[:MAX_FOUND], len(every) > MAX_FOUND)


def _may_be(text: str) -> Sequence[By]:
    """A login may look like an address, and a Kunden# like anything."""
    return [By.ADDRESS, By.LOGIN, By.NUMBER] if address_key(text) else [By.LOGIN, By.NUMBER]


def _with_others(
    sources: LiveSources, looked: Sequence[LookedAt], addresses: Sequence[str]
) -> dict[str, list[SourceRecord]]:
    """Return all records by source, with those that share an address: they decide about mail."""
    records = {each.source: [found.record for found in each.found] for each in looked}
    if not addresses:
        return records

    def find(source: CustomerSource) -> Sequence[SourceRecord]:
        return source.find(By.ADDRESS, addresses, MAX_SHARED)

    found = sources.try_all({each.source: find for each in looked if not each.away}, _SECONDS)
    for name, others in found.items():
        if not isinstance(others, SourceAway):
            known = {record.key for record in records[name]}
            records[name] += [each for each in others if each.key not in known]
    return records


def _all_copies(
    session: Session,
    records: Mapping[str, Sequence[SourceRecord]],
    managed: Mapping[str, frozenset[str]],
) -> Mapping[_Id, _Copy]:
    found: dict[_Id, _Copy] = {}
    for name, some in records.items():
        rows = session.scalars(
            select(CustomerUser)
            .where(
                CustomerUser.source == name,
                CustomerUser.source_key.in_({record.key for record in some}),
            )
            .options(
                joinedload(CustomerUser.customer),
                selectinload(CustomerUser.addresses),
                selectinload(CustomerUser.permissions).joinedload(CustomerUserGroup.group),
            )
            .execution_options(populate_existing=True)
        )
        for account in rows:
            texts = _account_texts(account, managed[name])
            found[name, account.source_key or ""] = _Copy(
                account.id, is_valid_account(account), account.customer.source == name, texts
            )
    return found


def _conflicts(
    session: Session, records: Mapping[str, Sequence[SourceRecord]]
) -> Mapping[_Id, Sequence[tuple[SourceConflict, str]]]:
    found: dict[_Id, list[tuple[SourceConflict, str]]] = defaultdict(list)
    for name, some in records.items():
        rows = session.scalars(
            select(RecordConflict).where(
                RecordConflict.source == name,
                RecordConflict.source_key.in_({record.key for record in some}),
            )
        )
        for row in rows:
            found[name, row.source_key].append((row.kind, row.detail))
    return found


def _compared(
    found: Found,
    before: _Copy | None,
    after: _Copy | None,
    conflicts: Sequence[tuple[SourceConflict, str]],
) -> TriedRecord:
    texts = _record_texts(found.record)
    is_refused = any(kind in KEEPS_OUT for kind, _detail in conflicts)
    wanted = texts if after is None or is_refused else dict(after.texts)
    if before and before.is_named_there and texts["customer_name"]:
        wanted["customer_name"] = texts["customer_name"]  # only a full pass names customers anew
    lines = (
        Line(
            field,
            texts[field],
            before.texts[field] if before else None,
            before is not None and before.texts[field] != wanted[field],
        )
        for field in FIELDS
    )
    return TriedRecord(
        found,
        tuple(line for line in lines if line.record or line.here),
        before.id if before else None,
        bool(before and before.is_valid),
        is_refused,
        tuple(conflicts),
    )


def _record_texts(record: SourceRecord) -> dict[str, str]:
    texts = {name: getattr(record, name) for name in FIELDS if name not in _NOT_TEXTS}
    return {
        **texts,
        "customer_name": record.customer_name,
        "more_addresses": ", ".join(record.more_addresses),
        "valid": label(Validity.VALID if record.valid else Validity.INVALID),
        "groups": _groups_text(record.groups or {}),
    }


def account_texts(values: CustomerUserValues) -> dict[str, str]:
    """Return what an account has of what a record can say, as people read it, by field."""
    return {
        **{name: getattr(values, name) for name in FIELDS if name not in _NOT_TEXTS},
        "more_addresses": ", ".join(values.more_addresses),
        "valid": label(values.valid),
    }


def _account_texts(account: CustomerUser, managed: Collection[str]) -> Mapping[str, str]:
    groups = {row.group.name: row.permission for row in account.permissions}
    return {
        **account_texts(customer_user_values(account)),
        "customer_name": account.customer.name,
        "groups": _groups_text({name: groups[name] for name in groups if name in managed}),
    }


def _groups_text(groups: Mapping[str, Permission]) -> str:
    return ", ".join(f"{name}: {label(groups[name])}" for name in sorted(groups))


def _mail(
    session: Session,
    address: str,
    keys: Sequence[bytes],
    asked: SourcesAsked,
    defers: Defers,
) -> TriedMail:
    organisation = load_organisation(session)
    queues = [queue for queue in organisation.queues.values() if queue.valid and queue.address]
    mails = [
        replace(prepare(_incoming(organisation, address, queue), keys), asked=asked)
        for queue in queues
    ]
    looked_up = left_open(session, mails, defers)
    decided = (tried for (tried,) in decide_now(session, organisation, looked_up))
    summaries = (summary_of(organisation, tried.decision) for tried in decided)
    deferred_by = next((each.away.source for each in looked_up if isinstance(each, PutOff)), "")
    return TriedMail(address, tuple(zip(queues, summaries, strict=True)), deferred_by)


def _incoming(organisation: Organisation, address: str, queue: QueueFacts) -> Incoming:
    envelope = Envelope(address, (queue.address,), Protocol.SMTP)
    raw = TrialMail(from_=address, recipient=queue.address).raw(organisation.settings)
    return assuming(Incoming(envelope, raw, now()), Assumed.SIGNED)

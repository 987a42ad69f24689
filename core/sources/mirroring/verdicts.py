"""What a record of a source comes to, and what is known of the source while batches go by."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from core.accounts.customer_users import CheckedCustomerUser, CustomerUserValues
from core.accounts.customers import CustomerValues
from core.audit import Actor
from core.errors import Invalid
from core.mail.text import one_line
from core.models import CustomerUser
from core.sources.mirroring.conflicts import MAX_DETAIL, MAX_KEY, Conflict, ConflictList
from core.sources.mirroring.customer_moves import CustomerMoves
from core.sources.mirroring.groups import SourceGroups
from core.sources.records import SourceRecord
from core.text import exact
from core.words import SourceConflict, Validity

SEEN_AGAIN = timedelta(days=1)  # after which it is written down that an unchanged record was seen
UNKNOWN_NAME = "-"  # of somebody whose source has no first or no last name

# What a record says of an account in the same words.
CONTACT = ("title", "phone", "mobile", "street", "postcode", "city", "country")


@dataclass(slots=True)
class Tally:
    """What became of records: each counts once, but for its conflicts."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    refused: int = 0
    vanished: int = 0
    conflicts: int = 0

    def add(self, other: "Tally") -> None:
        """Count the records of another tally, too."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(frozen=True, slots=True)
class Side:
    """Whose records they are. ``earlier`` are the names of the sources that are preferred.

    A look-up is not ``complete``: it renames no customer.
    """

    source: str
    earlier: frozenset[str]
    actor: Actor
    groups: SourceGroups
    moves: CustomerMoves
    complete: bool


@dataclass(slots=True)
class Progress:
    """What was seen so far: keys of records, Kunden# whose customer has its name, conflicts.

    ``waiting`` are records that only the end of a pass can tell the meaning of.
    """

    conflicts: ConflictList
    at_end: bool
    seen: set[str] = field(default_factory=set)
    named: set[str] = field(default_factory=set)
    waiting: list[SourceRecord] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a record comes to. ``current`` is its copy, ``copy`` the account that becomes it.

    It may have to wait for the end of the pass; with a ``conflict`` it is refused, by ``errors``
    where it is faulty. Otherwise ``checked`` is what the account is to be, and ``customer`` what
    its customer is to be, None where that stays as it is.
    """

    record: SourceRecord
    current: CustomerUser | None = None
    waits: bool = False
    conflict: Conflict | None = None
    copy: CustomerUser | None = None
    before: CustomerUserValues | None = None
    checked: CheckedCustomerUser | None = None
    customer: CustomerValues | None = None
    errors: Sequence[Invalid] = ()

    @property
    def is_same(self) -> bool:
        """Whether the copy agrees with its record already."""
        return (
            self.current is not None
            and self.checked is not None
            and self.checked.values == self.before
            and self.customer is None
            and self.current.source_gone_at is None
        )

    @property
    def makes_invalid(self) -> bool:
        """Whether its copy must become invalid though nothing else of it can be stored.

        That somebody has left must not fail because something else in the record is wrong.
        """
        return (
            self.conflict is not None
            and self.current is not None
            and not self.record.valid
            and self.current.valid is not Validity.INVALID
        )

    @property
    def writes(self) -> bool:
        """Whether anything is to be stored of it now, but for a conflict."""
        if self.waits:
            return False
        if self.conflict is None:
            return not self.is_same
        is_back = self.current is not None and self.current.source_gone_at is not None
        return self.makes_invalid or is_back


def wanted_values(
    record: SourceRecord, before: CustomerUserValues | None, *, is_back: bool = False
) -> CustomerUserValues:
    """Return a record as values of an account, with what is kept here as it was before.

    ``is_back`` says that the record had vanished before. An address may be shared: what
    mail from it means is then ambiguous, and listed.
    """
    valid = Validity.VALID if record.valid else Validity.INVALID
    keeps_reason = before is not None and before.valid is valid and not is_back
    wanted = {
        "login": record.login,
        "customer_number": record.customer_number,
        "email": record.email,
        "first_name": record.first_name or UNKNOWN_NAME,
        "last_name": record.last_name or UNKNOWN_NAME,
        "more_addresses": record.more_addresses,
        "share_address": True,
        "valid": valid,
        "invalid_until": None,
        "invalid_reason": before.invalid_reason if before is not None and keeps_reason else "",
        **{field: getattr(record, field) for field in CONTACT},
    }
    if before is not None and exact(record.customer_number) != before.customer_number:
        wanted["sees_customer_tickets"] = False  # it was given for those of another customer
    return replace(before, **wanted) if before is not None else CustomerUserValues(**wanted)


def conflict_of(record: SourceRecord, kind: SourceConflict, detail: str) -> Conflict:
    """Return a conflict as it is listed."""
    return Conflict(record.key[:MAX_KEY], one_line(record.login)[:200], kind, detail[:MAX_DETAIL])

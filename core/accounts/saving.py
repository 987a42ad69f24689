"""What the save functions of this folder share: cleaning texts, gathering problems, storing.

A save function gathers every problem before it changes anything, so a form can show all of them
at once and a refused save leaves nothing behind.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields, is_dataclass, replace
from typing import Any, TypeVar

from sqlalchemy import String, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from core import audit
from core.audit import Actor, Event
from core.errors import Holder, Invalid, InvalidFields, Stale
from core.i18n import gettext as _
from core.mail.text import clean_text, one_line
from core.models import (
    Base,
    Customer,
    CustomerUser,
    Group,
    Queue,
    ReplyTemplate,
    RoutingRule,
    Staff,
)
from core.text import exact, fold

MAX_LONG_TEXT = 10_000  # characters of a comment or reason; the columns have no limit of their own

Values = TypeVar("Values", bound=Any)  # a frozen dataclass
# They count changes.
Versioned = Customer | CustomerUser | Group | Queue | ReplyTemplate | RoutingRule | Staff
Named = Group | Queue | ReplyTemplate | RoutingRule

_KINDS: Mapping[type[Named], str] = {
    Group: "group",
    Queue: "queue",
    ReplyTemplate: "reply-template",
    RoutingRule: "routing-rule",
}  # as the audit log calls them


class Problems:
    """The problems of one thing to be saved, in the order in which they were found."""

    def __init__(self) -> None:
        self._errors: list[Invalid] = []

    def add(self, error: Invalid) -> None:
        """Keep a problem; one that is known already is not told twice."""
        if str(error) not in map(str, self._errors):
            self._errors.append(error)

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Keep the problems that this block raises; the block ends there."""
        try:
            yield
        except InvalidFields as several:
            for each in several.errors:
                self.add(each)
        except Invalid as error:
            self.add(error)

    def raise_any(self) -> None:
        """Raise ``InvalidFields`` if there are problems."""
        if self._errors:
            raise InvalidFields(self._errors)


def clean_texts(
    values: Values,
    model: type[Base],
    problems: Problems,
    *,
    required: Collection[str] = (),
    long: Collection[str] = (),
) -> Values:
    """Return ``values`` with their texts in NFC, trimmed and without control characters.

    ``long`` texts keep their lines. A ``required`` text that is empty, or one longer than its
    column, is a problem.
    """
    columns = model.__table__.columns
    cleaned: dict[str, str] = {}
    for field in fields(values):
        value = getattr(values, field.name)
        if type(value) is not str:  # a word of an enumeration is a str, too
            continue
        text = exact(clean_text(value) if field.name in long else one_line(value))
        cleaned[field.name] = text
        column_type = columns[field.name].type if field.name in columns else String()
        limit = getattr(column_type, "length", None) or MAX_LONG_TEXT
        if not text and field.name in required:
            problems.add(Invalid(field.name, _("Please fill this in.")))
        elif len(text) > limit:
            problems.add(Invalid(field.name, _("At most %(limit)d characters.", limit=limit)))
    return replace(values, **cleaned)


def holder_of_name(
    session: Session, model: type[Named], name: str, current: Named | None
) -> Holder | None:
    """Return the other thing of a kind whose name differs only by case or accents, if any."""
    for object_id, taken in session.execute(select(model.id, model.name)):
        if fold(taken) == fold(name) and (current is None or object_id != current.id):
            return Holder(_KINDS[model], object_id, taken)
    return None


def check_version(session: Session, current: Versioned | None, version: int | None) -> None:
    """Lock the row and raise ``Stale`` unless it is at the version that the asker has read.

    ``version`` None asks for no check: the file of ``apply`` says how things are to be.
    """
    if current is None or version is None:
        return
    session.refresh(current, with_for_update=True)
    if current.version != version:
        raise Stale(_("Somebody else has changed this in the meantime. Nothing was saved."))


def store(
    session: Session,
    actor: Actor,
    kind: str,
    row: Versioned,
    name: str,
    before: Any | None,
    after: Any,
) -> None:
    """Store a new or changed row with its audit event: ``before`` None says that it is new."""
    session.add(row)
    flush(session)  # the audit event needs the id
    record_saved(session, actor, kind, row.id, name, before, after)


def flush(session: Session) -> None:
    """Send changes to the database; raise ``Stale`` where somebody else was faster.

    The checks before have found nothing, so a duplicate here was saved at the same moment.
    """
    try:
        session.flush()
    except StaleDataError:
        raise _same_moment() from None
    except IntegrityError as error:
        if "unique" in str(error.orig).lower():
            raise _same_moment() from None
        raise


def _same_moment() -> Stale:
    return Stale(_("Somebody else has saved at the same moment. Nothing was saved."))


def record_saved(
    session: Session,
    actor: Actor,
    kind: str,
    object_id: int,
    name: str,
    before: Any | None,
    after: Any,
) -> None:
    """Write the audit event of a save: two values of one dataclass, or one of a new thing."""
    event = saved_event(kind, object_id, name, before, after)
    if event is not None:
        audit.record(session, actor, **_as_dict(event))


def saved_event(
    kind: str, object_id: int, name: str, before: Any | None, after: Any
) -> Event | None:
    """Return the audit event of a save, None where nothing differs."""
    entered = _as_dict(after)
    if before is None:
        created = {key: value for key, value in entered.items() if value not in (None, "", (), {})}
        return Event("created", kind, object_id, name, None, created)
    old, new = audit.differences(_as_dict(before), entered)
    return Event("changed", kind, object_id, name, old, new) if new else None


def _as_dict(values: Any) -> dict[str, Any]:
    """Return a dataclass as ``asdict`` does, but without copying the lists in it."""
    return {field.name: _plain(getattr(values, field.name)) for field in fields(values)}


def _plain(value: Any) -> Any:
    is_values = is_dataclass(value) and not isinstance(value, type)
    return asdict(value) if is_values else value

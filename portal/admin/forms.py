"""Forms of admins: who else has a value is a link, and nobody saves over somebody else unseen.

A form carries the version that its reader has read, and the number of the last audit event of
that time. When somebody else was faster, the form comes back with what was typed, says what they
have changed, and takes that over where the reader had left the field alone. Sending it again is
then meant.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from babel.support import LazyProxy
from flask import make_response
from markupsafe import Markup
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import Field, IntegerField, SelectField, StringField, TextAreaField
from wtforms.validators import Optional
from wtforms.widgets import HiddenInput

from core.errors import Duplicate, Invalid, Stale
from core.i18n import gettext as _
from core.i18n import lazy_gettext as _l
from core.models import (
    AuditEvent,
    Customer,
    CustomerUser,
    Group,
    Queue,
    ReplyTemplate,
    RoutingRule,
    Staff,
)
from portal.admin.stored import stored
from portal.database import finish_writing, reading
from portal.forms import Form, choices, put
from portal.history import Entry, entry_of, events_since, newest_event, page_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance as Values
else:
    Values = Any

P = ParamSpec("P")
Versioned = TypeVar(
    "Versioned", Customer, CustomerUser, Group, Queue, ReplyTemplate, RoutingRule, Staff
)


class Starred:
    """Gives a field its star. Whether it is filled in is asked by core, with everything else."""

    field_flags: Mapping[str, bool] = {"required": True}

    def __call__(self, form: Form, field: Field) -> None:
        """Let every value pass."""


def text(label: LazyProxy | str, *, starred: bool = False) -> StringField:
    """Return a field for a line of text; one that was not sent is empty."""
    return StringField(label, [Starred()] if starred else [], filters=[_sent])


def long_text(label: LazyProxy, *, starred: bool = False) -> TextAreaField:
    """Return a field for a text of several lines."""
    return TextAreaField(label, [Starred()] if starred else [], filters=[_sent])


def _sent(value: str | None) -> str:
    return value or ""


class LinesField(TextAreaField):  # type: ignore[misc]  # WTForms has no types
    """Several values, one on a line; its data are those that are not empty."""

    data: tuple[str, ...]

    def process_formdata(self, valuelist: Sequence[str]) -> None:
        """Take the lines apart."""
        if valuelist:
            self.data = tuple(line.strip() for line in valuelist[0].splitlines() if line.strip())

    def _value(self) -> str:
        return "\n".join(self.data or ())


class ValidField(SelectField):  # type: ignore[misc]  # WTForms has no types
    """*Gültig* of what is valid or not; its data is true or false."""

    def __init__(self, label: LazyProxy, **options: Any) -> None:
        words = choices([("valid", _l("valid")), ("invalid", _l("invalid"))])
        super().__init__(label, choices=words, coerce=_is_valid_word, default=True, **options)
        self.type = "SelectField"  # by which the macro of fields knows its look


def _is_valid_word(value: str | bool) -> bool:
    if isinstance(value, bool):
        return value
    if value not in ("valid", "invalid"):
        raise ValueError(value)
    return value == "valid"


class EditForm(Form):
    """A form for something that others may be changing, too.

    ``others`` is what they have changed meanwhile, once it has turned out that they did.
    """

    version = IntegerField(validators=[Optional()], widget=HiddenInput())
    seen = IntegerField(validators=[Optional()], widget=HiddenInput())

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.is_stale = False
        self.others: tuple[Entry, ...] = ()

    @property
    def version_read(self) -> int:
        """The version that was read; without one it is older than any."""
        return self.version.data or 0

    def attempt(
        self, work: Callable[P, Response], *args: P.args, **kwargs: P.kwargs
    ) -> Response | None:
        """Return the answer of work that saves, or None when it was refused.

        What core refuses then stands beside the fields; ``is_stale`` tells whether somebody else
        was faster.
        """
        with self.errors_of_core():
            try:
                return work(*args, **kwargs)
            except Stale as stale:
                self.is_stale = True
                self.form_errors.append(str(stale))
        return None

    def add_error(self, error: Invalid) -> None:
        """Add a link to who already has the value."""
        if isinstance(error, Duplicate):
            url = page_of(error.holder.kind, error.holder.id)
            link = Markup('{} <a href="{}">{}</a>').format(
                error.message, url, _('Open "%(name)s"', name=error.holder.name)
            )
            error = Invalid(error.field, link)
        super().add_error(error)

    def read_now(self, session: Session, kind: str, row: Versioned) -> None:
        """Note what the reader of this form gets to see."""
        put(self.version, row.version)
        put(self.seen, newest_event(session, kind, row.id))

    def show_others(
        self,
        kind: str,
        model: type[Versioned],
        object_id: int,
        values_of: Callable[[Versioned], Values],
        typed: Values,
    ) -> None:
        """Say what others have changed meanwhile, and take over what the reader left alone."""
        session = self.read_again()
        row = stored(session, model, object_id)
        events = events_since(session, kind, object_id, self.seen.data or 0)
        self.take_over(values_of(row), typed, events)
        self.read_now(session, kind, row)

    def read_again(self) -> Session:
        """Undo the save that came too late; return a session that sees what others have saved."""
        finish_writing(keep=False)
        return reading()

    def take_over(self, now: Values, typed: Values, events: Sequence[AuditEvent]) -> None:
        """Say what these events of others are; take over what the reader had left alone."""
        current = type(self)(formdata=None, obj=now)
        for name in left_alone(typed, events):
            if name in self._fields:
                put(self._fields[name], current._fields[name].data)
        self.others = tuple(entry_of(event) for event in events)

    def answer(self, template: str, **context: object) -> Response:
        """Return the page of the form, with status 409 where somebody else was faster."""
        response = make_response(super().answer(template, **context))
        if self.is_stale:
            response.status_code = 409
        return response


def left_alone(typed: Values, events: Sequence[AuditEvent]) -> list[str]:
    """Return the fields that others have changed and the reader has not."""
    mine = _as_stored(asdict(typed))
    before: dict[str, Any] = {}
    for event in events:
        for name, value in (event.before or {}).items():
            before.setdefault(name, value)
    return [name for name, value in before.items() if name in mine and mine[name] == value]


def _as_stored(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as the audit log keeps them: in JSON."""
    plain: dict[str, Any] = json.loads(json.dumps(values, default=str))
    return plain

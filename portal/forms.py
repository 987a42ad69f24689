"""Forms: what fields they have. Whether a value is acceptable is decided in core.

A view reads like this::

    form = NewTicketForm()
    if form.validate_on_submit():
        with form.errors_of_core():
            ticket = core_function(writing(), ...)
            return redirect(...)
    return form.answer("portal/new.html", ...)

``answer`` is a page with status 422 where something was wrong, and 200 otherwise. Every token
against forged requests is checked before a view runs (``portal.app``), so forms have none.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from babel.support import LazyProxy
from flask import make_response, render_template
from flask_wtf import FlaskForm
from werkzeug.datastructures import FileStorage
from werkzeug.wrappers import Response
from wtforms import Field, MultipleFileField, PasswordField
from wtforms.fields.choices import SelectChoice

from core.errors import Invalid, InvalidFields
from core.i18n import lazy_gettext as _l

REQUIRED = _l("Please fill this in.")


class Form(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    """A form of ours."""

    class Meta:
        """The token is checked for every request, not for every form."""

        csrf = False

    @contextmanager
    def errors_of_core(self) -> Iterator[None]:
        """Put what core refuses in this block beside the fields; the block ends there."""
        try:
            yield
        except InvalidFields as several:
            for error in several.errors:
                self.add_error(error)
        except Invalid as error:
            self.add_error(error)

    def add_error(self, error: Invalid) -> None:
        """Put an error beside its field; one without a field here stands above the form."""
        field = self._fields.get(error.field)
        if field is None:
            self.form_errors.append(error.message)
        else:
            field.errors = [*field.errors, error.message]

    @property
    def has_errors(self) -> bool:
        """Whether anything was wrong."""
        return bool(self.errors)

    @property
    def fields_with_errors(self) -> list[Field]:
        """The fields with something wrong, in their order, for the summary."""
        return [field for field in self if field.errors]

    def answer(self, template: str, **context: object) -> Response:
        """Return the page of the form: as typed, and with status 422 where something was wrong."""
        page = render_template(template, form=self, **context)
        return make_response(page, 422 if self.has_errors else 200)


def choices(pairs: Iterable[tuple[str | int, str | LazyProxy]]) -> list[SelectChoice]:
    """Return ``(value, text)`` pairs as the choices of a select or of radio buttons."""
    return [SelectChoice(value, text) for value, text in pairs]


def put(field: Field, value: object) -> None:
    """Give a field of a form that came back another value."""
    field.data = value
    field.raw_data = None  # or the field would show what was typed


def is_required(field: Field) -> bool:
    """Whether a field gets a star."""
    return bool(field.flags.required)


def is_password(field: Field) -> bool:
    """Whether a field hides what is typed."""
    return isinstance(field, PasswordField)


def uploaded(field: MultipleFileField) -> list[FileStorage]:
    """Return the files that were chosen; a browser sends an empty one for none."""
    return [file for file in field.data or () if isinstance(file, FileStorage) and file.filename]

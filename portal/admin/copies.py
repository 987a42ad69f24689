"""Copies of records in customer sources, on the pages of admins: what is locked there, and why."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from wtforms import StringField, TextAreaField

from core.accounts.lists import KEPT_HERE
from core.i18n import gettext as _
from core.models import Customer, CustomerUser
from core.sources.writing import writable_fields
from portal.admin.sources import sections
from portal.forms import Form


@dataclass(frozen=True, slots=True)
class Origin:
    """Which source a copy is of; ``writable`` are the fields that are changed there from here."""

    source: str
    is_configured: bool
    writable: Collection[str]

    def labels(self, form: Form) -> Sequence[str]:
        """Return what the form calls the fields that are changed in the source from here."""
        return [str(field.label.text) for field in form if field.name in self.writable]


def origin_of(row: Customer | CustomerUser) -> Origin | None:
    """Return where an account or a customer comes from, None for what is kept here."""
    if row.source is None:
        return None
    section = next((each for each in sections() if each.name == row.source), None)
    writable = writable_fields(section) if isinstance(row, CustomerUser) else ()
    return Origin(row.source, section is not None, writable)


def has_sources(rows: Iterable[Customer | CustomerUser]) -> bool:
    """Whether a list of these says of each where it comes from."""
    return bool(sections()) or any(row.source is not None for row in rows)


def source_choices(chosen: str) -> list[tuple[str, str]]:
    """Return the sources to choose from in a filter, also the one that is chosen."""
    names = dict.fromkeys([*(section.name for section in sections()), chosen])
    names.pop("", None)
    names.pop(KEPT_HERE, None)
    return [(KEPT_HERE, _("Kept in Schalter")), *((name, name) for name in names)]


def lock(form: Form, names: Collection[str]) -> None:
    """Let these fields of a form be read only; what is sent for them all the same has no effect.

    Texts stay in reach of the keyboard, to be read and copied.
    """
    for field in form:
        if field.name in names and isinstance(field, StringField | TextAreaField):
            field.flags.readonly = True
        elif field.name in names:
            field.flags.disabled = True

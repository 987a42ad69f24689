"""The map of a customer source: which column or attribute holds what, beside rows that it has.

The configuration is fixed at the start, so nothing is saved: the page says what to put into it.
"""

from collections.abc import Sequence
from typing import Any

from flask import request
from werkzeug.wrappers import Response
from wtforms import Field

from core.config import AnySourceSection
from core.i18n import lazy_gettext as _l
from core.mail.text import one_line
from core.sources.trying.map_edit import Sampled, edited, take_samples, values_of
from core.sources.trying.toml_text import section_as_toml
from portal.admin.forms import LinesField, text
from portal.admin.sources import field_name, section_named, sections
from portal.areas import Area, Audience
from portal.database import database, end_reading
from portal.forms import Form

area = Area("admin_source_map", __name__, Audience.ADMIN, "/admin/sources/<name>/map")

MAX_NAME = 200  # characters of the name of a column or attribute
MAX_NAMES = 50  # of a field that takes several


class MapForm(Form):
    """Which column or attribute holds what; a source may not have all of these fields."""

    key = text(_l("Key"))
    login = text(_l("Login"), starred=True)
    customer_number = text(_l("Kunden#"))
    number_of_all = text(_l("Kunden# of everybody"))
    customer_name = text(_l("Name of the customer"))
    email = text(_l("E-mail"), starred=True)
    more_addresses = LinesField(_l("More mail addresses"))
    title = text(_l("Title"))
    first_name = text(_l("First name"))
    last_name = text(_l("Last name"))
    phone = text(_l("Phone"))
    mobile = text(_l("Mobile"))
    street = text(_l("Street"))
    postcode = text(_l("Postcode"))
    city = text(_l("City"))
    country = text(_l("Country"))
    valid = text(_l("Valid"))
    valid_values = LinesField(_l("Values that mean valid"))
    password = text(_l("Password"))

    def keep(self, names: Sequence[str]) -> None:
        """Take away the fields that the source does not have."""
        for field in list(self):
            if field.short_name not in names:
                del self[field.short_name]

    def values(self) -> dict[str, Any]:
        """Return what was typed, cleaned."""
        return {field.short_name: _cleaned(field) for field in self}


@area.route("", methods=["GET", "POST"])
def show(name: str) -> Response:
    """Show the map beside rows of the source; sent again, as it was edited. Nothing is saved."""
    stored = section_named(name)
    values = values_of(stored)
    form = MapForm(data=values)
    form.keep(list(values))
    section: AnySourceSection | None = stored
    if form.is_submitted():
        section = None
        with form.errors_of_core():
            section = edited(stored, form.values())
    sampled = Sampled()
    if section is not None:
        end_reading()  # the source may take seconds to answer
        names = [each.name for each in sections()]
        sampled = take_samples(database(), stored, section, names)
    number = _number(sampled)
    return form.answer(
        "admin/source_map.html",
        field_name=field_name,
        name=name,
        next_faulty=_next_faulty(sampled, number),
        number=number,
        sample=sampled.samples[number] if sampled.samples else None,
        sampled=sampled,
        toml=section_as_toml(section) if section is not None else "",
    )


def _cleaned(field: Field) -> str | list[str]:
    if isinstance(field, LinesField):
        return [one_line(each)[:MAX_NAME] for each in field.data or ()][:MAX_NAMES]
    return one_line(field.data)[:MAX_NAME]


def _number(sampled: Sampled) -> int:
    """Return which row is shown, counted from 0: the one that a button asks for, or as before."""
    wanted = request.form.get("show", request.form.get("sample", ""))
    number = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 5 else 0
    return min(number, max(len(sampled.samples) - 1, 0))


def _next_faulty(sampled: Sampled, number: int) -> int:
    """Return which faulty row comes after this one; after the last comes the first."""
    faulty = [at for at, sample in enumerate(sampled.samples) if sample.is_faulty]
    return next((at for at in faulty if at > number), faulty[0] if faulty else number)

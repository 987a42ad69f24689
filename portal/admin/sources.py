"""Customer sources: how each stands, what of it is here, and which records are in conflict."""

import re
from collections.abc import Mapping, Sequence

from flask import current_app, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from core.config import AnySourceSection, Config
from core.errors import NotFound
from core.i18n import N_
from core.i18n import gettext as _
from core.labels import label
from core.sources.fields import mapping_of
from core.sources.mirroring.schedule import due_at
from core.sources.mirroring.wishes import ask_to_read, reading_of
from core.sources.overview import (
    Copies,
    copies_by_source,
    count_conflicts_found,
    count_conflicts_of,
    find_conflicts,
    known_sources,
    place_of,
)
from core.sources.trying.trial import FIELDS as RECORD_FIELDS
from core.words import SourceConflict
from portal.admin.fixed import CONFIG
from portal.areas import Area, Audience
from portal.database import database, reading, writing
from portal.history import FIELDS
from portal.parameters import text_of_request, word_of_request
from portal.visitors import the_viewer

area = Area("admin_sources", __name__, Audience.ADMIN, "/admin/sources")

KINDS: Mapping[str, str] = {"sql": N_("Database (SQL)"), "ldap": N_("Directory (LDAP)")}
_FIELDS: Mapping[str, str] = {
    "key": N_("Key"),
    "customer_name": N_("Name of the customer"),
    "password": N_("Password"),
    "groups": N_("Groups"),
}
# Before each problem of a faulty record stands the field that has it (``core.errors``).
_NAMED = re.compile(rf"(?:^|(?<=; ))({'|'.join(RECORD_FIELDS)}): ")
ON_ITS_PAGE = "source"  # sent by the button on the page of one source
_EXAMPLE = """\
[[customer_sources]]
name = "crm"
kind = "sql"
url = "postgresql://reader@crm.example.org/crm"
password_file = "/etc/schalter/crm.password"
table = "customers"

[customer_sources.columns]
key = "id"
login = "login"
customer_number = "customer_number"
email = "mail"
first_name = "first_name"
last_name = "last_name"
"""


def sections() -> Sequence[AnySourceSection]:
    """Return the sources of the configuration, in their order."""
    config = current_app.extensions[CONFIG]
    assert isinstance(config, Config)
    return config.customer_sources


def section_named(name: str) -> AnySourceSection:
    """Return a source of the configuration. Raises ``NotFound``."""
    for section in sections():
        if section.name == name:
            return section
    raise NotFound(_("There is no such customer source."))


def field_name(field: str) -> str:
    """Return what people call a field of a record."""
    return _(_FIELDS.get(field) or FIELDS[field])


def in_words(detail: str) -> str:
    """Return what is wrong with a record, its fields called as people call them."""
    return _NAMED.sub(lambda found: f"{field_name(found[1])}: ", detail)


@area.get("")
def index() -> str:
    """List the sources in the order in which they are preferred."""
    session = reading()
    copies = copies_by_source(session)
    configured = {section.name for section in sections()}
    sources = known_sources(session, sections())
    return render_template(
        "admin/sources.html",
        example=_EXAMPLE,
        here=copies.get(None, Copies()),
        kinds=KINDS,
        place_of=place_of,
        readings={each.section.name: reading_of(database(), each.state) for each in sources},
        sources=sources,
        # Their accounts stay as they are, but nobody can say any more whether they are right.
        forgotten=sorted(
            (name, found) for name, found in copies.items() if name and name not in configured
        ),
    )


@area.get("/<name>")
def show(name: str) -> str:
    """Show one source, and the conflicts of its records page by page."""
    session, section = reading(), section_named(name)
    query, kind = text_of_request("q"), word_of_request("kind", SourceConflict)
    parameters = {"q": query, "kind": kind.value if kind else ""}
    by_kind = count_conflicts_of(session, name)
    source = known_sources(session, [section])[0]
    return render_template(
        "admin/source.html",
        count=count_conflicts_found(session, name, query=query, kind=kind),
        conflict_kinds=[
            (each.value, f"{label(each)} ({by_kind[each]})")
            for each in SourceConflict
            if each in by_kind
        ],
        due_at=due_at(section, source.state),
        in_words=in_words,
        everything=sum(by_kind.values()),
        kind=kind,
        kinds=KINDS,
        columns=_columns(section),
        page=find_conflicts(
            session,
            name,
            query=query,
            kind=kind,
            cursor=request.args.get("page"),
            limit=the_viewer().account.tickets_per_page,
        ),
        parameters={key: value for key, value in parameters.items() if value},
        place_of=place_of,
        query=query,
        stands=reading_of(database(), source.state),
        section=section,
        source=source,
    )


@area.post("/<name>/read")
def read(name: str) -> Response:
    """Let the worker read a source whole, as soon as it looks; then back to where one was."""
    section = section_named(name)
    ask_to_read(writing(), the_viewer().actor, section.name)
    flash(_('Reading the source "%(name)s" is asked for.', name=section.name))
    if request.form.get("page") == ON_ITS_PAGE:
        return redirect(url_for(".show", name=section.name), 303)
    return redirect(url_for(".index"), 303)


def _columns(section: AnySourceSection) -> list[tuple[str, str]]:
    """Return the fields that a source knows, each with where it is found."""
    named = mapping_of(section).model_dump()
    lists = (
        (field, [value] if isinstance(value, str) else value) for field, value in named.items()
    )
    return [(field_name(field), ", ".join(names)) for field, names in lists if any(names)]

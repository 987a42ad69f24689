"""Trying the customer sources: what they have of somebody, and whether somebody could sign in."""

from collections.abc import Mapping

from flask import render_template

from core.i18n import N_
from core.i18n import gettext as _
from core.mail.addresses import address_key
from core.sources.source import By
from core.sources.trying import look_everywhere, try_out_records
from portal.admin.sources import field_name, section_named, sections
from portal.areas import Area, Audience
from portal.customer_sources import customer_sources
from portal.database import database
from portal.installation import believed_keys
from portal.parameters import text_of_request, word_of_request

area = Area("admin_source_trials", __name__, Audience.ADMIN, "/admin/source-trials")

WAYS: Mapping[By, str] = {
    By.LOGIN: N_("Login"),
    By.ADDRESS: N_("Mail address"),
    By.NUMBER: N_("Kunden#"),
}


@area.get("")
def show() -> str:
    """Show what each source has of a text, what that is here, and what mail would do."""
    text, by = text_of_request("q"), word_of_request("by", By)
    by = by if by in WAYS else None
    sources = customer_sources()
    looked = look_everywhere(sources, by, text) if text else []
    is_known = any(each.found for each in looked)
    # Of an address that nobody has, only sources that all answer can say that it is a stranger's.
    is_stranger = not is_known and not any(each.away for each in looked)
    typed = [text] if text and address_key(text) and is_stranger else []
    trial = None
    if is_known or typed:
        trial = try_out_records(database(), sources, looked, typed, believed_keys())
    return render_template(
        "admin/source_trial.html",
        by=by,
        field_name=field_name,
        has_sources=bool(sections()),
        looked=looked,
        section_named=section_named,
        text=text,
        trial=trial,
        ways=[(way.value, _(name)) for way, name in WAYS.items()],
    )

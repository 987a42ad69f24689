"""Settings: CustomerGroupSupport, CustomerGroupAlwaysGroups and whatever else works at once.

What they would change for the last mails is told before they are saved. What another trust in
senders would have changed is noted with that change, so that the dashboard need not ask again.
"""

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from annotated_types import Le
from flask import flash, redirect, render_template, url_for
from werkzeug.wrappers import Response
from wtforms import (
    BooleanField,
    HiddenField,
    IntegerField,
    RadioField,
    SelectField,
    SelectMultipleField,
    StringField,
)
from wtforms.validators import InputRequired

from core.accounts.consequences import consequences_of_settings
from core.accounts.matrix import all_groups
from core.errors import Invalid, InvalidFields
from core.i18n import gettext as _
from core.i18n import lazy_gettext as _l
from core.intake.again import Comparison, with_settings
from core.intake.policy_change import as_noted, compare_policies
from core.labels import label
from core.organisation import load_organisation
from core.outgoing.installation import sender_of
from core.settings import Settings, change_settings, checked, load_settings
from core.words import SenderPolicy
from portal.admin.comparing import compared, is_trial
from portal.admin.confirming import ask_first
from portal.admin.fixed import fixed_values
from portal.admin.forms import EditForm, LinesField, Starred, text
from portal.areas import Area, Audience
from portal.database import finish_writing, reading, writing
from portal.formats import file_size
from portal.forms import REQUIRED, choices, put
from portal.history import entry_of, events_since, history_page, newest_event
from portal.installation import believed_keys, installation
from portal.languages import zone_choices
from portal.parameters import word_of_request
from portal.visitors import organisation, the_viewer
from portal.vocabulary import LANGUAGE_NAMES

KIND = "settings"
MEGABYTE = 1_000_000  # bytes (IEC 80000-13)
_MEGABYTES = re.compile(r"\d{1,9}(?:[.,]\d{1,6})?")

area = Area("admin_settings", __name__, Audience.ADMIN, "/admin/settings")


class MegabytesField(StringField):  # type: ignore[misc]  # WTForms has no types
    """A size typed in megabytes; its data are bytes."""

    data: int | None

    def process_formdata(self, valuelist: Sequence[str]) -> None:
        """Take the number apart, with a point or a comma."""
        typed = valuelist[0].strip() if valuelist else ""
        if not _MEGABYTES.fullmatch(typed):
            self.data = None
            raise ValueError(_("Please enter a number."))
        self.data = int(Decimal(typed.replace(",", ".")) * MEGABYTE)

    def _value(self) -> str:
        if self.raw_data:
            return str(self.raw_data[0])
        return f"{(Decimal(self.data or 0) / MEGABYTE).normalize():f}"


class SettingsForm(EditForm):
    """All settings, by their names in ``core.settings``.

    ``shown`` is what the reader has seen of them, so that only what they have changed is stored.
    """

    shown = HiddenField()
    customer_group_support = BooleanField(_l("Use customer groups"))
    customer_group_always_groups = SelectMultipleField(_l("Groups for everybody"))
    organisation_name = text(_l("Name of the organisation"), starred=True)
    support_contact = text(_l("Support contact"))
    language = SelectField(_l("Language"))
    time_zone = SelectField(_l("Time zone"))
    sender_policy = RadioField(_l("Trust in senders"))
    relay_authenticates = LinesField(_l("Domains that our relays vouch for"))
    number_headers = LinesField(_l("Header fields with a Kunden#"))
    number_labels = LinesField(_l("Words before a Kunden#"))
    sender_address = text(_l("Sender of mail that belongs to no queue"))
    auto_responses_per_address = IntegerField(
        _l("Automatic answers to one address a day"), [InputRequired(REQUIRED)]
    )
    auto_responses_per_hour = IntegerField(
        _l("Automatic answers an hour, in all"), [InputRequired(REQUIRED)]
    )
    burst_tickets = IntegerField(
        _l("Tickets of one account in ten minutes"), [InputRequired(REQUIRED)]
    )
    held_days = IntegerField(_l("Days that held mail waits"), [InputRequired(REQUIRED)])
    upload_max_files = IntegerField(_l("Files in a message"), [InputRequired(REQUIRED)])
    upload_max_bytes = MegabytesField(_l("Size of all files of a message"), [Starred()])
    session_idle_minutes = IntegerField(_l("Session ends when idle for"), [InputRequired(REQUIRED)])
    session_hours = IntegerField(_l("Longest session"), [InputRequired(REQUIRED)])

    def offer(self, known: Sequence[str], chosen: Sequence[str]) -> None:
        """Fill in what can be chosen here and now; a name without a group stays visible."""
        names = [*known, *(name for name in chosen if name not in known)]
        self.customer_group_always_groups.choices = choices([(name, name) for name in names])
        self.language.choices = choices(LANGUAGE_NAMES.items())
        self.time_zone.choices = choices(sorted([*zone_choices(), ("UTC", "UTC")]))
        self.sender_policy.choices = choices([(word.value, label(word)) for word in SenderPolicy])

    def typed(self) -> dict[str, Any]:
        """Return every setting as it stands in the form, in the form of JSON."""
        found: dict[str, Any] = json.loads(
            json.dumps({name: self._fields[name].data for name in Settings.model_fields})
        )
        return found

    def read_settings(self, settings: Settings, event_id: int) -> None:
        """Note what the reader gets to see."""
        put(self.shown, settings.model_dump_json())
        put(self.seen, event_id)

    def was_shown(self) -> Mapping[str, Any]:
        """Return what the reader has seen; of a form that was tampered with: nothing."""
        try:
            found = json.loads(self.shown.data or "")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def add_error(self, error: Invalid) -> None:
        """Say the limit of a size in its unit."""
        if error.field == "upload_max_bytes":
            limits = Settings.model_fields["upload_max_bytes"].metadata
            most = next(int(str(limit.le)) for limit in limits if isinstance(limit, Le))
            error = Invalid(error.field, _("At most %(size)s.", size=file_size(most)))
        super().add_error(error)


@area.route("", methods=["GET", "POST"])
def show() -> Response:
    """Show the settings, and change them."""
    session = reading()
    settings = load_settings(session)
    group_names = [group.name for group in all_groups(session)]
    form = SettingsForm(obj=settings)
    form.offer(group_names, settings.customer_group_always_groups)
    comparison = None
    if not form.is_submitted():
        form.read_settings(settings, newest_event(session, KIND, None))
    elif form.validate() and is_trial():
        comparison = _try_out(form)
    elif form.validate():
        done = form.attempt(_change, form)
        if done is not None:
            return done
        if form.is_stale:
            _show_others(form)
    return form.answer(
        "admin/settings.html",
        comparison=comparison,
        group_names=group_names,
        policies=_policies(),
        sender=sender_of(organisation(), installation(), None).address,
    )


@area.get("/configuration")
def configuration() -> str:
    """Show what the configuration fixes, and where each value comes from."""
    return render_template("admin/configuration.html", fixed=list(fixed_values()))


@area.get("/history")
def history() -> str:
    """Show what was changed of the settings."""
    return history_page("admin/settings_history.html", KIND, None)


@area.get("/effect")
def effect() -> str:
    """Show what one trust in senders would decide differently from another."""
    before = word_of_request("before", SenderPolicy) or organisation().settings.sender_policy
    after = word_of_request("after", SenderPolicy) or organisation().settings.sender_policy
    found = compare_policies(reading(), organisation(), before, after, believed_keys())
    return render_template(
        "admin/settings_effect.html", before=before, after=after, comparison=found
    )


def _try_out(form: SettingsForm) -> Comparison | None:
    """Return what the settings as typed would change, None where they cannot be."""
    try:
        edited = with_settings(organisation(), checked(form.typed()))
    except InvalidFields as several:
        for error in several.errors:
            form.add_error(error)
        return None
    return compared(edited)


def _change(form: SettingsForm) -> Response:
    shown = form.was_shown()
    changes = {name: value for name, value in form.typed().items() if value != shown.get(name)}
    noted = _noted_effect(changes)
    session = writing()
    before = load_organisation(session)
    stored_changes = change_settings(session, the_viewer().actor, changes, shown, noted)
    hidden = consequences_of_settings(session, before, load_settings(session))
    if question := ask_first(hidden, url_for(".show")):
        return question
    flash(_("Saved.") if stored_changes else _("Nothing was changed."))
    return redirect(url_for(".show"), 303)


def _noted_effect(changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what is noted of another trust in senders, before anything is locked."""
    if "sender_policy" not in changes:
        return {}
    now, policy = organisation(), SenderPolicy(changes["sender_policy"])
    before = now.settings.sender_policy
    return as_noted(compare_policies(reading(), now, before, policy, believed_keys()))


def _show_others(form: SettingsForm) -> None:
    """Say what others have changed meanwhile, and take over what the reader left alone."""
    finish_writing(keep=False)
    session = reading()
    settings, shown, typed = load_settings(session), form.was_shown(), form.typed()
    current = SettingsForm(formdata=None, obj=settings)
    for name in Settings.model_fields:
        if typed[name] == shown.get(name):
            put(form._fields[name], current._fields[name].data)
    events = events_since(session, KIND, None, form.seen.data or 0)
    form.others = tuple(entry_of(event) for event in events)
    form.read_settings(settings, newest_event(session, KIND, None))


def _policies() -> Mapping[str, str]:
    """Return what each policy means for mail whose sender is not proven."""
    return {
        SenderPolicy.OPEN: _(
            "For closed networks and first steps: a sender address counts as proven unless "
            "something speaks against it."
        ),
        SenderPolicy.BALANCED: _(
            "Mail from the address of an account is filed and marked as not verified. What needs "
            "more proof – a shared address, a new address of a known domain – is held for staff."
        ),
        SenderPolicy.STRICT: _(
            "As balanced, but most of what would be held is refused, and its sender is told so: "
            "unknown senders, invalid accounts, queues that are not permitted."
        ),
    }

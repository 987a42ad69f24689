"""Automatic answers of a queue: whether it gives them, and in which words."""

from collections.abc import Mapping, Sequence

from flask import abort, flash, redirect, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import BooleanField

from core.errors import Stale
from core.i18n import LANGUAGES, N_
from core.i18n import gettext as _
from core.i18n import lazy_gettext as _l
from core.labels import label
from core.mail.text import clean_text
from core.models import AuditEvent, Queue
from core.outgoing.auto_responses import (
    DEFAULTS,
    PLACEHOLDERS,
    AutoResponseValues,
    preview,
    save_auto_response,
    texts_of,
)
from core.words import AutoResponse, FollowUp
from portal.admin.forms import EditForm, long_text, text
from portal.admin.placeholders import PREVIEW, Preview, problem_of
from portal.admin.queues import KIND
from portal.admin.stored import stored
from portal.areas import Area, Audience
from portal.database import reading, writing
from portal.forms import put
from portal.history import events_since, newest_event
from portal.visitors import organisation, the_viewer

area = Area("admin_auto_responses", __name__, Audience.ADMIN, "/admin/queues")

RESET = "reset"  # name of the button that brings the default texts back into the form
ACTION = "auto-response-changed"

WHEN: Mapping[AutoResponse, str] = {
    AutoResponse.RECEIVED: N_("When a message has opened a ticket."),
    AutoResponse.FOLLOW_UP: N_("When a customer's reply has been added to a ticket."),
    AutoResponse.REJECTED: N_(
        "When a reply to a closed ticket was not taken, because the queue refuses such replies."
    ),
    AutoResponse.NEW_TICKET: N_(
        "When a reply to a closed ticket has opened a new one, because the queue wants that."
    ),
}
# Which rule for replies to a closed ticket an answer belongs to.
_RULE: Mapping[AutoResponse, FollowUp] = {
    AutoResponse.REJECTED: FollowUp.REJECT,
    AutoResponse.NEW_TICKET: FollowUp.NEW_TICKET,
}


class AnswerForm(EditForm):
    """How a queue gives one answer. What equals the default text is left empty in the values."""

    enabled = BooleanField(_l("Send this answer"))
    subject_de = text(_l("Subject in German"))
    text_de = long_text(_l("Text in German"))
    subject_en = text(_l("Subject in English"))
    text_en = long_text(_l("Text in English"))

    def values(self, kind: AutoResponse) -> AutoResponseValues:
        """Return what was entered."""
        typed = {name: clean_text(self[name].data).strip() for name in _defaults(kind)}
        own = {
            name: "" if typed[name] == default else typed[name]
            for name, default in _defaults(kind).items()
        }
        return AutoResponseValues(kind=kind, enabled=self.enabled.data, **own)

    def fill_in_defaults(self, kind: AutoResponse, *, everywhere: bool = False) -> None:
        """Show the default text where there is no other, or everywhere."""
        for name, default in _defaults(kind).items():
            if everywhere or not self[name].data:
                put(self[name], default)


@area.route("/<int:object_id>/answers", methods=["GET", "POST"])
@area.route("/<int:object_id>/answers/<kind>", methods=["GET", "POST"])
def edit(object_id: int, kind: str = AutoResponse.RECEIVED) -> Response:
    """Show how a queue gives one of its answers beside which others there are, and change it."""
    answer = _kind(kind)
    stored(reading(), Queue, object_id)
    form = AnswerForm(obj=texts_of(reading(), object_id, answer))
    if not form.is_submitted():
        form.fill_in_defaults(answer)
        put(form.seen, newest_event(reading(), KIND, object_id))
    elif RESET in request.form:
        form.fill_in_defaults(answer, everywhere=True)
    elif form.validate() and PREVIEW not in request.form:
        done = form.attempt(_save, form, object_id, answer)
        if done is not None:
            return done
        if form.is_stale:
            _show_others(form, object_id, answer)
    return _answer(form, object_id, answer)


def _save(form: AnswerForm, object_id: int, kind: AutoResponse) -> Response:
    session = writing()
    session.get(Queue, object_id, with_for_update=True)  # nobody saves until this has been decided
    if _events_since(session, object_id, kind, form.seen.data or 0):
        raise Stale(_("Somebody else has changed this in the meantime. Nothing was saved."))
    save_auto_response(session, the_viewer().actor, object_id, form.values(kind))
    flash(_("Saved."))
    return redirect(url_for(".edit", object_id=object_id, kind=kind.value), 303)


def _show_others(form: AnswerForm, object_id: int, kind: AutoResponse) -> None:
    """Say what others have changed meanwhile, and take over what the reader left alone."""
    session = form.read_again()
    events = _events_since(session, object_id, kind, form.seen.data or 0)
    form.take_over(texts_of(session, object_id, kind), form.values(kind), events)
    form.fill_in_defaults(kind)
    put(form.seen, newest_event(session, KIND, object_id))


def _events_since(
    session: Session, object_id: int, kind: AutoResponse, event_id: int
) -> Sequence[AuditEvent]:
    """Return what happened to one answer of a queue after an event."""
    return [
        event
        for event in events_since(session, KIND, object_id, event_id)
        if event.action == ACTION and (event.after or {}).get("auto_response") == kind
    ]


def _answer(form: AnswerForm, object_id: int, kind: AutoResponse) -> Response:
    session = reading()
    kept = {each: texts_of(session, object_id, each) for each in AutoResponse}
    queue = stored(session, Queue, object_id)
    return form.answer(
        "admin/queue_answers.html",
        answers=[
            (each, label(each), texts.enabled, _applies(each, queue))
            for each, texts in kept.items()
        ],
        applies=_applies(kind, queue),
        defaults=_defaults(kind),
        is_reset=RESET in request.form,
        kind=kind,
        placeholders=PLACEHOLDERS,
        previews=[_preview(form, object_id, kind, language) for language in LANGUAGES],
        queue=queue,
        when=_(WHEN[kind]),
    )


def _applies(kind: AutoResponse, queue: Queue) -> bool:
    """Whether what an answer tells of can happen in this queue."""
    return _RULE.get(kind, queue.follow_up) is queue.follow_up


def _preview(form: AnswerForm, object_id: int, kind: AutoResponse, language: str) -> Preview:
    subject = clean_text(form[f"subject_{language}"].data or "")
    typed = clean_text(form[f"text_{language}"].data or "")
    wording = preview(organisation(), object_id, kind, language, subject, typed)
    problem = problem_of(f"{subject} {typed}", PLACEHOLDERS)
    return Preview(language, wording.text, wording.subject, problem)


def _defaults(kind: AutoResponse) -> Mapping[str, str]:
    """Return the default text of each field."""
    return {
        f"{part}_{language}": getattr(DEFAULTS[kind, language], part)
        for language in LANGUAGES
        for part in ("subject", "text")
    }


def _kind(word: str) -> AutoResponse:
    try:
        return AutoResponse(word)
    except ValueError:
        abort(404)

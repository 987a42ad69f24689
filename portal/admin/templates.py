"""Reply templates: texts that staff begin a reply with. Never deleted, only set invalid."""

from flask import flash, redirect, render_template, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import SelectField

from core.i18n import LANGUAGES
from core.i18n import gettext as _
from core.i18n import lazy_gettext as _l
from core.models import Queue, ReplyTemplate
from core.outgoing.placeholders import PLACEHOLDERS
from core.tickets.reply_templates import (
    KIND,
    TemplateValues,
    all_templates,
    save_template,
    template_values,
)
from portal.admin.forms import EditForm, ValidField, long_text, text
from portal.admin.placeholders import PREVIEW, previews
from portal.admin.stored import stored
from portal.areas import Area, Audience
from portal.database import reading, writing
from portal.forms import choices
from portal.history import history_page
from portal.visitors import the_viewer
from portal.vocabulary import LANGUAGE_NAMES

area = Area("admin_templates", __name__, Audience.ADMIN, "/admin/templates")


class TemplateForm(EditForm):
    """What can be entered for a template; an empty queue or language fits all of them."""

    name = text(_l("Name"), starred=True)
    queue = SelectField(_l("Queue"))
    language = SelectField(_l("Language"))
    text = long_text(_l("Text"), starred=True)
    valid = ValidField(_l("Valid"))

    def offer(self, session: Session) -> None:
        """Fill in what can be chosen here and now."""
        names = session.scalars(select(Queue.name).order_by(Queue.name))
        self.queue.choices = choices([("", _("All queues")), *((n, n) for n in names)])
        self.language.choices = choices([("", _("German and English")), *LANGUAGE_NAMES.items()])

    def values(self) -> TemplateValues:
        """Return what was entered."""
        return TemplateValues(
            name=self.name.data,
            queue=self.queue.data,
            language=self.language.data,
            text=self.text.data,
            valid=self.valid.data,
        )


@area.get("")
def index() -> str:
    """List the templates."""
    return render_template("admin/templates.html", templates=all_templates(reading()))


@area.route("/new", methods=["GET", "POST"])
def new() -> Response:
    """Show the form of a new template, and create it."""
    form = TemplateForm()
    form.offer(reading())
    if form.validate_on_submit() and PREVIEW not in request.form:
        done = form.attempt(_create, form)
        if done is not None:
            return done
    return _answer(form, None)


@area.route("/<int:object_id>", methods=["GET", "POST"])
def edit(object_id: int) -> Response:
    """Show a template, and change it."""
    template = stored(reading(), ReplyTemplate, object_id)
    form = TemplateForm(obj=template_values(template))
    form.offer(reading())
    if not form.is_submitted():
        form.read_now(reading(), KIND, template)
    elif form.validate() and PREVIEW not in request.form:
        done = form.attempt(_change, form, object_id)
        if done is not None:
            return done
        if form.is_stale:
            form.show_others(KIND, ReplyTemplate, object_id, template_values, form.values())
    return _answer(form, stored(reading(), ReplyTemplate, object_id))


@area.get("/<int:object_id>/history")
def history(object_id: int) -> str:
    """Show what was changed of a template."""
    template = stored(reading(), ReplyTemplate, object_id)
    return history_page("admin/template_history.html", KIND, object_id, reply_template=template)


def _create(form: TemplateForm) -> Response:
    template = save_template(writing(), the_viewer().actor, form.values())
    flash(_('The template "%(name)s" is created.', name=template.name))
    return redirect(url_for(".index"), 303)


def _change(form: TemplateForm, object_id: int) -> Response:
    session = writing()
    template = stored(session, ReplyTemplate, object_id)
    save_template(session, the_viewer().actor, form.values(), template, form.version_read)
    flash(_("Saved."))
    return redirect(url_for(".edit", object_id=object_id), 303)


def _answer(form: TemplateForm, template: ReplyTemplate | None) -> Response:
    language, queue = form.language.data, form.queue.data or ""
    languages = (language,) if language in LANGUAGES else LANGUAGES
    return form.answer(
        "admin/template.html",
        placeholders=PLACEHOLDERS,
        previews=previews(form.text.data or "", languages, PLACEHOLDERS, queue),
        reply_template=template,
    )

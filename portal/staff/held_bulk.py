"""Several held mails at once, and taking back what was just discarded."""

from collections.abc import Sequence

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response
from wtforms import StringField
from wtforms.validators import InputRequired

from core.errors import NotFound
from core.i18n import gettext as _
from core.i18n import lazy_gettext as _l
from core.i18n import ngettext
from core.intake.held_bulk import MAX_AT_ONCE, Settled, discard_each, release_each, undo_each
from core.intake.held_list import HeldMail, look_at
from core.models import MAX_ID
from portal.areas import Area, Audience
from portal.database import reading, writing
from portal.forms import REQUIRED, Form
from portal.staff.asking import member, member_in
from portal.staff.held_filter import filter_of_request
from portal.visitors import the_viewer

area = Area("staff_held_bulk", __name__, Audience.STAFF, "/staff/held/several")


class DiscardSeveralForm(Form):
    """Why held mails are put aside."""

    why = StringField(_l("Reason"), [InputRequired(REQUIRED)])


@area.post("/discard")
def put_aside() -> Response | str:
    """Ask for one reason, then discard the chosen mails, each by itself."""
    chosen = _chosen()
    if not chosen:
        return _none_chosen()
    is_answer = "why" in request.form
    form = DiscardSeveralForm() if is_answer else DiscardSeveralForm(formdata=None)
    if is_answer and form.validate():
        with form.errors_of_core():
            session = writing()
            staff, _mine = member_in(session)
            return _result(discard_each(session, the_viewer().actor, staff, chosen, form.why.data))
    return form.answer(
        "staff/discard_several.html",
        action=filter_of_request().at(url_for(".put_aside")),
        cancel=_list(),
        confirm=_("Discard mails"),
        mails=_to_be_seen(chosen),
    )


@area.post("/release")
def let_go() -> Response | str:
    """Release the chosen mails whose account is clear, each by itself."""
    chosen = _chosen()
    if not chosen:
        return _none_chosen()
    session = writing()
    staff, _mine = member_in(session)
    return _result(release_each(session, the_viewer().actor, staff, chosen))


@area.post("/undo")
def undo() -> Response:
    """Let mails wait again that were discarded a moment ago."""
    session = writing()
    staff, _mine = member_in(session)
    settled = undo_each(session, the_viewer().actor, staff, _chosen())
    done = [each for each in settled if not each.problem]
    for problem in {each.problem for each in settled} - {""}:
        flash(problem, "warning")
    if done:
        flash(
            ngettext("%(num)d mail waits again.", "%(num)d mails wait again.", len(done)),
        )
    if len(done) == len(settled) == 1:
        shown = url_for("staff_held.show", delivery_id=done[0].delivery_id)
        return redirect(filter_of_request().at(shown), 303)
    return redirect(_list(), 303)


def _chosen() -> list[int]:
    """Return the ids that were ticked, at most as many as are settled at once."""
    found = request.form.getlist("mail", type=int)
    return [each for each in found if 0 < each <= MAX_ID][:MAX_AT_ONCE]


def _none_chosen() -> Response:
    flash(_("Please choose at least one mail."), "warning")
    return redirect(_list(), 303)


def _list() -> str:
    return filter_of_request().at(url_for("staff_held.index"))


def _to_be_seen(delivery_ids: Sequence[int]) -> list[HeldMail]:
    """Return the chosen mails as far as who asks may see them."""
    found = []
    for delivery_id in delivery_ids:
        try:
            found.append(look_at(reading(), member(), delivery_id))
        except NotFound:
            continue
    return found


def _result(settled: Sequence[Settled]) -> str:
    return render_template(
        "staff/held_settled.html",
        done=[each for each in settled if not each.problem],
        failed=[each for each in settled if each.problem],
        back=_list(),
        wanted=filter_of_request(),
    )

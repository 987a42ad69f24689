"""Queues: where tickets lie, by which addresses mail reaches them, and for which group."""

from flask import flash, redirect, render_template, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload
from werkzeug.wrappers import Response
from wtforms import RadioField, SelectField

from core.accounts.consequences import Consequences, consequences_of_queue_group
from core.accounts.matrix import all_groups
from core.accounts.queues import QueueValues, queue_values, save_queue
from core.accounts.reach import queue_reach, queue_reaches
from core.i18n import current_language
from core.i18n import gettext as _
from core.i18n import lazy_gettext as _l
from core.intake.again import Comparison, with_queue
from core.labels import label
from core.models import Group, Queue
from core.organisation import load_organisation
from core.outgoing.placeholders import PLACEHOLDERS
from core.words import EvidenceDemand, FollowUp, ForbiddenRule, StrangersRule
from portal.admin.comparing import compared, is_trial
from portal.admin.confirming import ask_first
from portal.admin.forms import EditForm, LinesField, Starred, ValidField, long_text, text
from portal.admin.links import tickets_url
from portal.admin.placeholders import PREVIEW, previews
from portal.admin.stored import stored
from portal.areas import Area, Audience
from portal.database import reading, writing
from portal.forms import choices
from portal.history import history_page
from portal.visitors import organisation, the_viewer

KIND = "queue"

area = Area("admin_queues", __name__, Audience.ADMIN, "/admin/queues")


class QueueForm(EditForm):
    """What can be entered for a queue. The group has no default: nothing is open by accident."""

    name = text(_l("Name"), starred=True)
    group = SelectField(_l("Group"), [Starred()])
    addresses = LinesField(_l("Mail addresses"))
    purpose = text(_l("Purpose"))
    follow_up = RadioField(_l("Replies to a closed ticket"), default=FollowUp.POSSIBLE)
    forbidden = RadioField(
        _l("Mail of customers who may not write here"), default=ForbiddenRule.HOLD
    )
    fallback_queue = SelectField(_l("Queue to fall back to"))
    strangers = RadioField(_l("Mail of unknown senders"), default=StrangersRule.HOLD)
    evidence = RadioField(_l("Demand on the sender"), default=EvidenceDemand.ANY)
    signature = long_text(_l("Signature"))
    comment = long_text(_l("Comment"))
    valid = ValidField(_l("Valid"))

    def offer(self, session: Session, current: Queue | None) -> None:
        """Fill in what can be chosen here and now."""
        groups = [group.name for group in all_groups(session)]
        self.group.choices = choices([("", _("Please choose")), *((n, n) for n in groups)])
        names = session.scalars(select(Queue.name).order_by(Queue.name))
        others = [name for name in names if current is None or name != current.name]
        self.fallback_queue.choices = choices([("", _("Please choose")), *((n, n) for n in others)])
        self.follow_up.choices = choices([(word.value, label(word)) for word in FollowUp])
        self.forbidden.choices = choices([(word.value, label(word)) for word in ForbiddenRule])
        self.strangers.choices = choices([(word.value, label(word)) for word in StrangersRule])
        self.evidence.choices = choices([(word.value, label(word)) for word in EvidenceDemand])

    def values(self) -> QueueValues:
        """Return what was entered."""
        return QueueValues(
            name=self.name.data,
            group=self.group.data,
            addresses=self.addresses.data or (),
            purpose=self.purpose.data,
            signature=self.signature.data,
            comment=self.comment.data,
            follow_up=FollowUp(self.follow_up.data),
            forbidden=ForbiddenRule(self.forbidden.data),
            fallback_queue=self.fallback_queue.data,
            strangers=StrangersRule(self.strangers.data),
            evidence=EvidenceDemand(self.evidence.data),
            valid=self.valid.data,
        )


@area.get("")
def index() -> str:
    """List the queues with how many customer users may write to each."""
    session = reading()
    statement = (
        select(Queue)
        .order_by(Queue.name)
        .options(selectinload(Queue.group), selectinload(Queue.addresses))
    )
    return render_template(
        "admin/queues.html",
        queues=session.scalars(statement).all(),
        reaches=queue_reaches(session, organisation()),
    )


@area.route("/new", methods=["GET", "POST"])
def new() -> Response:
    """Show the form of a new queue, and create it."""
    form = QueueForm()
    form.offer(reading(), None)
    if not form.is_submitted():
        form.group.data = request.args.get("group", "")
    elif form.validate() and PREVIEW not in request.form:
        done = form.attempt(_create, form)
        if done is not None:
            return done
    return form.answer("admin/queue.html", comparison=None, queue=None, **_texts(form))


@area.route("/<int:object_id>", methods=["GET", "POST"])
def edit(object_id: int) -> Response:
    """Show a queue, and change it."""
    queue = stored(reading(), Queue, object_id)
    form = QueueForm(obj=queue_values(queue))
    form.offer(reading(), queue)
    if not form.is_submitted():
        form.read_now(reading(), KIND, queue)
    elif form.validate() and PREVIEW not in request.form and not is_trial():
        done = form.attempt(_change, form, object_id)
        if done is not None:
            return done
        if form.is_stale:
            form.show_others(KIND, Queue, object_id, queue_values, form.values())
    return form.answer(
        "admin/queue.html",
        comparison=_comparison(form, object_id),
        queue=stored(reading(), Queue, object_id),
        reach=queue_reach(reading(), organisation(), object_id),
        tickets_url=tickets_url("queue", object_id),
        **_texts(form),
    )


@area.get("/<int:object_id>/history")
def history(object_id: int) -> str:
    """Show what was changed of a queue."""
    queue = stored(reading(), Queue, object_id)
    return history_page("admin/queue_history.html", KIND, object_id, queue=queue)


def _texts(form: QueueForm) -> dict[str, object]:
    """Return what the form shows of the signature, in the language of the page."""
    return {
        "placeholders": PLACEHOLDERS,
        "previews": previews(
            form.signature.data or "", [current_language()], PLACEHOLDERS, form.name.data or ""
        ),
    }


def _comparison(form: QueueForm, object_id: int) -> Comparison | None:
    """Return what the queue as typed would change for the last mails, where that was asked."""
    if not is_trial() or form.has_errors:
        return None
    return compared(with_queue(organisation(), object_id, form.values()))


def _create(form: QueueForm) -> Response:
    queue = save_queue(writing(), the_viewer().actor, form.values())
    flash(_('The queue "%(name)s" is created.', name=queue.name))
    return redirect(url_for(".index"), 303)


def _change(form: QueueForm, object_id: int) -> Response:
    session = writing()
    queue = stored(session, Queue, object_id)
    hidden = _consequences(session, queue, form.group.data)
    save_queue(session, the_viewer().actor, form.values(), queue, form.version_read)
    back = url_for(".edit", object_id=object_id)
    if question := ask_first(hidden, back):
        return question
    flash(_("Saved."))
    return redirect(back, 303)


def _consequences(session: Session, queue: Queue, group_name: str) -> Consequences:
    group_id = session.scalars(select(Group.id).where(Group.name == group_name)).one_or_none()
    if group_id is None or group_id == queue.group_id:
        return Consequences()
    return consequences_of_queue_group(session, load_organisation(session), queue.id, group_id)

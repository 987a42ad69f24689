"""Groups: what permissions are given through (handbook: *Gruppenverwaltung*)."""

from collections.abc import Sequence

from flask import flash, redirect, render_template, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from core.accounts.consequences import Consequences, consequences_of_group_validity
from core.accounts.groups import (
    GroupValues,
    group_usage,
    group_usages,
    group_values,
    save_group,
)
from core.accounts.search_text import contains_words
from core.i18n import gettext as _
from core.i18n import lazy_gettext as _l
from core.models import Group, Queue
from core.organisation import load_organisation
from portal.admin.confirming import ask_first
from portal.admin.forms import EditForm, ValidField, long_text, text
from portal.admin.stored import stored
from portal.areas import Area, Audience
from portal.database import reading, writing
from portal.history import history_page
from portal.parameters import text_of_request
from portal.visitors import organisation, the_viewer

KIND = "group"

area = Area("admin_groups", __name__, Audience.ADMIN, "/admin/groups")


class GroupForm(EditForm):
    """What can be entered for a group."""

    name = text(_l("Name"), starred=True)
    comment = long_text(_l("Comment"))
    valid = ValidField(_l("Valid"))

    def values(self) -> GroupValues:
        """Return what was entered."""
        return GroupValues(name=self.name.data, comment=self.comment.data, valid=self.valid.data)


@area.get("")
def index() -> str:
    """List the groups with what is tied to them."""
    query = text_of_request("q")
    session = reading()
    statement = select(Group).where(contains_words(Group.name, query)).order_by(Group.name)
    return render_template(
        "admin/groups.html",
        groups=session.scalars(statement).all(),
        always_groups=organisation().always_groups,
        query=query,
        usages=group_usages(session),
    )


@area.route("/new", methods=["GET", "POST"])
def new() -> Response:
    """Show the form of a new group, and create it."""
    form = GroupForm()
    if form.validate_on_submit():
        done = form.attempt(_create, form)
        if done is not None:
            return done
    return form.answer("admin/group.html", group=None)


@area.route("/<int:object_id>", methods=["GET", "POST"])
def edit(object_id: int) -> Response:
    """Show a group, and change it."""
    group = stored(reading(), Group, object_id)
    form = GroupForm(obj=group_values(group))
    if not form.is_submitted():
        form.read_now(reading(), KIND, group)
    elif form.validate():
        done = form.attempt(_change, form, object_id)
        if done is not None:
            return done
        if form.is_stale:
            form.show_others(KIND, Group, object_id, group_values, form.values())
    return form.answer(
        "admin/group.html",
        group=stored(reading(), Group, object_id),
        is_always=object_id in organisation().always_groups,
        queues=_queues(reading(), object_id),
        usage=group_usage(reading(), object_id),
    )


@area.get("/<int:object_id>/history")
def history(object_id: int) -> str:
    """Show what was changed of a group."""
    group = stored(reading(), Group, object_id)
    return history_page("admin/group_history.html", KIND, object_id, group=group)


def _create(form: GroupForm) -> Response:
    group = save_group(writing(), the_viewer().actor, form.values())
    flash(_('The group "%(name)s" is created.', name=group.name))
    return redirect(url_for(".index"), 303)


def _change(form: GroupForm, object_id: int) -> Response:
    session = writing()
    group = stored(session, Group, object_id)
    hidden = _consequences(session, group, form)
    save_group(session, the_viewer().actor, form.values(), group, form.version_read)
    back = url_for(".edit", object_id=object_id)
    if question := ask_first(hidden, back):
        return question
    flash(_("Saved."))
    return redirect(back, 303)


def _consequences(session: Session, group: Group, form: GroupForm) -> Consequences:
    if form.valid.data is group.valid:
        return Consequences()
    here = load_organisation(session)
    return consequences_of_group_validity(
        session, here, group.id, group.name, valid=form.valid.data
    )


def _queues(session: Session, group_id: int) -> Sequence[Queue]:
    statement = select(Queue).where(Queue.group_id == group_id).order_by(Queue.name)
    return session.scalars(statement).all()

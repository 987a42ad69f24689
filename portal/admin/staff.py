"""Staff accounts: agents, who work the queues of their groups, and admins.

Of somebody who is kept in a directory only those groups are changed here that it does not decide;
the rest is shown. The form has no fields for it then, and core refuses what is sent all the same.
"""

from collections.abc import Collection, Mapping, Sequence

from flask import abort, flash, redirect, render_template, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import selectinload
from werkzeug.wrappers import Response
from wtforms import RadioField

from core.accounts.copies import is_copy
from core.accounts.managed import groups_of_directory
from core.accounts.matrix import all_groups
from core.accounts.passwords import hash_password, new_one_time_password, set_password
from core.accounts.staff import StaffValues, keep_here, save_staff, staff_values
from core.i18n import gettext as _
from core.i18n import lazy_gettext as _l
from core.models import Group, Staff
from core.words import Permission, Role
from portal.admin.cells import NONE, cell_choices
from portal.admin.forms import EditForm, ValidField, text
from portal.admin.passwords import about_invitation, invited, shown_once
from portal.admin.stored import stored
from portal.areas import Area, Audience
from portal.database import reading, writing
from portal.forms import choices
from portal.history import history_page
from portal.visitors import the_viewer

KIND = "staff"

area = Area("admin_staff", __name__, Audience.ADMIN, "/admin/staff")

_ROLES = (
    (Role.AGENT.value, _l("Agent: works the queues of the groups below")),
    (Role.ADMIN.value, _l("Admin: works all queues, and configures")),
)


class StaffForm(EditForm):
    """What can be entered for a member of staff, besides permissions in groups."""

    first_name = text(_l("First name"))
    last_name = text(_l("Last name"))
    login = text(_l("Login"), starred=True)
    email = text(_l("E-mail"), starred=True)
    role = RadioField(_l("Role"), choices=choices(_ROLES), default=Role.AGENT)
    valid = ValidField(_l("Valid"))

    def values(self, groups: Mapping[str, Permission]) -> StaffValues:
        """Return what was entered."""
        return StaffValues(
            login=self.login.data,
            email=self.email.data,
            role=Role(self.role.data),
            first_name=self.first_name.data,
            last_name=self.last_name.data,
            valid=self.valid.data,
            groups=groups,
        )


@area.get("")
def index() -> str:
    """List the staff."""
    statement = select(Staff).order_by(Staff.login_key).options(selectinload(Staff.permissions))
    names = dict(reading().execute(select(Group.id, Group.name)).all())
    return render_template(
        "admin/staff_list.html", everybody=reading().scalars(statement).all(), names=names
    )


@area.route("/new", methods=["GET", "POST"])
def new() -> Response:
    """Show the form of a new member of staff, and create it with a one-time password."""
    form = StaffForm()
    groups = all_groups(reading())
    chosen = _chosen(groups, {})
    if form.validate_on_submit():
        done = form.attempt(_create, form, _permissions(chosen))
        if done is not None:
            return done
    return form.answer(
        "admin/staff.html",
        member=None,
        chosen=chosen,
        choices=cell_choices(),
        groups=groups,
        decided=frozenset(),
    )


@area.route("/<int:object_id>", methods=["GET", "POST"])
def edit(object_id: int) -> Response:
    """Show a member of staff, and change it."""
    session = reading()
    member = stored(session, Staff, object_id)
    values = staff_values(member)
    groups = all_groups(session)
    decided = groups_of_directory(session, member)
    chosen = _chosen(groups, values.groups, decided)
    form = StaffForm(obj=values)
    if not form.is_submitted():
        form.read_now(session, KIND, member)
    elif form.validate():
        permissions = _permissions(chosen)
        done = form.attempt(_change, form, object_id, permissions)
        if done is not None:
            return done
        if form.is_stale:
            form.show_others(KIND, Staff, object_id, staff_values, form.values(permissions))
    return form.answer(
        "admin/staff.html",
        member=stored(reading(), Staff, object_id),
        chosen=chosen,
        choices=cell_choices(),
        groups=groups,
        decided=decided,
    )


@area.route("/<int:object_id>/password", methods=["GET", "POST"])
def password(object_id: int) -> Response | str:
    """Give a member of staff a new one-time password, where it is kept here."""
    member = stored(reading(), Staff, object_id)
    if request.method == "POST":
        made_up = new_one_time_password()
        hashed = hash_password(made_up)  # slow: before the transaction
        session = writing()
        member = session.get_one(Staff, object_id, with_for_update=True)
        set_password(session, the_viewer().actor, member, hashed, one_time=True)
        back = url_for(".edit", object_id=object_id)
        return shown_once(member, made_up, back, is_new=False)
    if is_copy(member):
        return render_template("admin/staff_in_directory.html", member=member)
    return render_template("admin/staff_password.html", member=member, **about_invitation(member))


@area.post("/<int:object_id>/invite")
def invite(object_id: int) -> Response:
    """Send a member of staff a link for a password."""
    return invited(Staff, object_id)


@area.post("/<int:object_id>/keep-here")
def keep(object_id: int) -> Response:
    """Keep somebody here from now on who was kept in the directory."""
    session = writing()
    member = stored(session, Staff, object_id)
    keep_here(session, the_viewer().actor, member)
    flash(_("The account is kept here from now on. It has no password yet."))
    return redirect(url_for(".password", object_id=object_id), 303)


@area.get("/<int:object_id>/history")
def history(object_id: int) -> str:
    """Show what was changed of a member of staff."""
    member = stored(reading(), Staff, object_id)
    return history_page("admin/staff_history.html", KIND, object_id, member=member)


def _create(form: StaffForm, permissions: Mapping[str, Permission]) -> Response:
    made_up = new_one_time_password()
    hashed = hash_password(made_up)  # slow: before the transaction
    session, actor = writing(), the_viewer().actor
    member = save_staff(session, actor, form.values(permissions))
    set_password(session, actor, member, hashed, one_time=True)
    return shown_once(member, made_up, url_for(".edit", object_id=member.id), is_new=True)


def _change(form: StaffForm, object_id: int, permissions: Mapping[str, Permission]) -> Response:
    session = writing()
    member = stored(session, Staff, object_id)
    save_staff(session, the_viewer().actor, form.values(permissions), member, form.version_read)
    flash(_("Saved."))
    return redirect(url_for(".edit", object_id=object_id), 303)


def _chosen(
    groups: Sequence[Group],
    current: Mapping[str, Permission],
    decided: Collection[str] = (),
) -> dict[str, str]:
    """Return what each group's select shows, by the group's name: typed, else stored.

    Those that are ``decided`` elsewhere are as they are stored.
    """
    known = {value for value, _text in cell_choices()}
    chosen = {}
    for group in groups:
        value: str = current.get(group.name, NONE)
        if group.name not in decided:
            value = request.form.get(f"group.{group.id}", value)
        if value not in known:
            abort(400)
        chosen[group.name] = value
    return chosen


def _permissions(chosen: Mapping[str, str]) -> dict[str, Permission]:
    return {name: Permission(value) for name, value in chosen.items() if value != NONE}

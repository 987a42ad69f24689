"""*Kunden Benutzer <-> Gruppen*: who may read and write where, as a table to be changed in place.

With few groups the table shows all of them. With many, or to look closer, one group is picked, or
one row: the page of an account or a customer has its cells as a list.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from flask import flash, make_response, redirect, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from core.accounts.consequences import (
    Consequences,
    consequences_of_customer_cells,
    consequences_of_customer_user_cells,
)
from core.accounts.lists import count_customer_users, count_customers
from core.accounts.matrix import (
    Cell,
    CellChange,
    Matrix,
    customer_cells,
    customer_matrix,
    customer_user_cells,
    customer_user_matrix,
    save_customer_cells,
    save_customer_user_cells,
)
from core.accounts.permissions import is_valid_account
from core.audit import Actor
from core.errors import Invalid, Stale
from core.i18n import gettext as _
from core.i18n import ngettext
from core.labels import label
from core.models import Customer, CustomerUser, Group
from core.organisation import Organisation, load_organisation
from core.words import Validity
from portal.admin import customer_users, customers
from portal.admin.cells import cell_choices, cell_view, posted_changes
from portal.admin.confirming import ask_first
from portal.admin.stored import stored
from portal.areas import Area, Audience
from portal.database import finish_writing, reading, writing
from portal.parameters import id_of_request
from portal.visitors import organisation, the_viewer

MAX_COLUMNS = 8  # groups that a table shows side by side
ONE_CELL = "X-Schalter-Cell"  # sent by admin.js, which saves one cell by itself

Holder = TypeVar("Holder", Customer, CustomerUser)

area = Area("admin_permissions", __name__, Audience.ADMIN, "/admin/permissions")


@area.route("", methods=["GET", "POST"])
def index() -> Response:
    """Show and change the permissions of customer users."""
    return _answer(_CUSTOMER_USERS)


@area.route("/customers", methods=["GET", "POST"])
def of_customers() -> Response:
    """Show and change the permissions that customers hand on to their customer users."""
    return _answer(_CUSTOMERS)


@dataclass(frozen=True, slots=True)
class _Found(Generic[Holder]):
    """What the address of a page asks for."""

    matrix: Matrix[Holder]
    count: int
    query: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Table(Generic[Holder]):
    """One of the two tables: what it shows, and how its cells are read and written."""

    endpoint: str
    is_of_accounts: bool
    model: type[Holder]
    find: Callable[[Session, Organisation], _Found[Holder]]
    cells: Callable[[Session, Organisation, Holder], Mapping[int, Cell]]
    save: Callable[[Session, Actor, Sequence[CellChange]], Sequence[CellChange]]
    consequences: Callable[[Session, Organisation, Sequence[CellChange]], Consequences]


def _find_customer_users(session: Session, here: Organisation) -> _Found[CustomerUser]:
    wanted = replace(customer_users.filter_of_request(), group_id=None)
    matrix = customer_user_matrix(session, here, wanted, cursor=_cursor(), limit=_limit())
    return _Found(
        matrix,
        matrix.page.count_or(lambda: count_customer_users(session, wanted)),
        wanted.query,
        customer_users.parameters_of(wanted),
    )


def _find_customers(session: Session, here: Organisation) -> _Found[Customer]:
    wanted = replace(customers.filter_of_request(), group_id=None)
    matrix = customer_matrix(session, here, wanted, cursor=_cursor(), limit=_limit())
    return _Found(
        matrix,
        matrix.page.count_or(lambda: count_customers(session, wanted)),
        wanted.query,
        customers.parameters_of(wanted),
    )


def _cursor() -> str | None:
    return request.args.get("page")


def _limit() -> int:
    return the_viewer().account.tickets_per_page


_CUSTOMER_USERS = _Table(
    ".index",
    True,
    CustomerUser,
    _find_customer_users,
    customer_user_cells,
    save_customer_user_cells,
    consequences_of_customer_user_cells,
)
_CUSTOMERS = _Table(
    ".of_customers",
    False,
    Customer,
    _find_customers,
    customer_cells,
    save_customer_cells,
    consequences_of_customer_cells,
)


def _answer(table: _Table[Holder]) -> Response:
    if request.method != "POST":
        return _page(table)
    try:
        return _save(table)
    except Stale as stale:
        finish_writing(keep=False)
        return _page(table, problem=str(stale))
    except Invalid as error:
        finish_writing(keep=False)
        return _page(table, problem=error.message)


def _save(table: _Table[Holder]) -> Response:
    session = writing()
    changes = posted_changes()
    hidden = table.consequences(session, load_organisation(session), changes)
    news = table.save(session, the_viewer().actor, changes)
    if question := ask_first(hidden, _here()):
        return question
    if ONE_CELL in request.headers and len(changes) == 1:
        return _one_cell(table, session, changes[0])
    if news:
        flash(ngettext("%(num)d permission changed.", "%(num)d permissions changed.", len(news)))
    else:
        flash(_("Nothing was changed."))
    return redirect(_here(), 303)


def _here() -> str:
    return request.full_path.rstrip("?")


def _one_cell(table: _Table[Holder], session: Session, change: CellChange) -> Response:
    """Return one cell as it is now, for the script that has changed it."""
    here = load_organisation(session)
    holder = stored(session, table.model, change.holder_id)
    cell = table.cells(session, here, holder)[change.group_id]
    view = cell_view(here, holder.id, change.group_id, cell)
    name = stored(session, Group, change.group_id).name
    page = render_template(
        "admin/cell.html",
        choices=cell_choices(),
        group_name=name,
        holder_name=holder.name,
        label_text=f"{holder.name}, {name}",
        view=view,
    )
    return make_response(page)


def _page(table: _Table[Holder], problem: str = "") -> Response:
    session, here = reading(), organisation()
    found = table.find(session, here)
    groups = found.matrix.groups
    chosen = id_of_request("group")
    columns = [group for group in groups if chosen is None or group.id == chosen]
    if len(columns) > MAX_COLUMNS:
        columns = []
    rows = [
        (row.holder, [(g, cell_view(here, row.holder.id, g.id, row.cells[g.id])) for g in columns])
        for row in found.matrix.page.items
    ]
    parameters = dict(found.parameters)
    if columns and chosen is not None:
        parameters["group"] = str(chosen)
    page = render_template(
        "admin/permissions.html",
        always_groups=here.always_groups,
        choices=cell_choices(),
        chosen=chosen if columns else None,
        columns=columns,
        count=found.count,
        endpoint=table.endpoint,
        has_locks=any(view.lock for _holder, cells in rows for _group, view in cells),
        group_choices=[(group.id, group.name) for group in groups],
        groups=groups,
        is_of_accounts=table.is_of_accounts,
        is_valid=is_valid_account,
        page=found.matrix.page,
        parameters=parameters,
        problem=problem,
        query=found.query,
        table_rows=rows,
        url=url_for(table.endpoint),
        valid=request.args.get("valid", ""),
        validities=_validities(table.is_of_accounts),
    )
    return make_response(page, 409 if problem else 200)


def _validities(is_of_accounts: bool) -> list[tuple[str, str]]:
    words = Validity if is_of_accounts else (Validity.VALID, Validity.INVALID)
    return [(word.value, label(word)) for word in words]

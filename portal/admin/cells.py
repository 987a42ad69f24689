"""Cells of permissions on pages: what they show, and what comes back when one was changed.

A cell is one select. Its name carries whose cell it is and the value that was shown, so a form
changes nothing that was not on the page, and not unseen what somebody else has changed since.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flask import abort, g, request

from core.accounts.matrix import Cell, CellChange
from core.accounts.permissions import Grant, Through
from core.accounts.rights import through_text
from core.i18n import N_
from core.i18n import gettext as _
from core.labels import label
from core.organisation import Organisation
from core.words import Permission

NONE = "off"
NEW = 0  # the holder of the cells of an account that is yet to be created
_NAME = re.compile(r"cell\.(\d{1,9})\.(\d{1,9})\.(off|ro|rw)")
_CHOICES: Mapping[str, str] = {
    NONE: N_("–"),
    Permission.RO: N_("Read"),
    Permission.RW: N_("Write"),
}


@dataclass(frozen=True, slots=True)
class Mark:
    """A permission that comes by another way than the cell's own; the icon stands for the way."""

    text: str
    icon: str


@dataclass(frozen=True, slots=True)
class CellView:
    """A cell as a page shows it.

    ``chosen`` is what the select shows: the stored value, or what was typed when a form comes
    back. ``why`` is the sentence that explains the effective permission. ``is_void`` is true where
    the stored permission has no effect because its group is invalid. ``lock`` says, for a cell that
    a customer source decides, that it is not changed here; "" for any other.
    """

    name: str
    chosen: str
    marks: tuple[Mark, ...]
    why: str
    effective: str
    is_void: bool
    lock: str = ""


def cell_view(organisation: Organisation, holder_id: int, group_id: int, cell: Cell) -> CellView:
    """Return what a page shows of a cell."""
    own = cell.direct or NONE
    typed = {} if cell.decided_by else _typed()
    return CellView(
        name=f"cell.{holder_id}.{group_id}.{own}",
        chosen=typed.get((holder_id, group_id), own),
        marks=tuple(_mark(grant) for grant in cell.inherited),
        why=_why(cell),
        effective=cell.effective or NONE,
        is_void=cell.direct is not None and group_id not in organisation.groups,
        lock=_lock(cell),
    )


def cell_views(
    organisation: Organisation, holder_id: int, cells: Mapping[int, Cell]
) -> Mapping[int, CellView]:
    """Return what a page shows of the cells of one holder."""
    return {
        group_id: cell_view(organisation, holder_id, group_id, cell)
        for group_id, cell in cells.items()
    }


def cell_choices() -> Sequence[tuple[str, str]]:
    """Return what a cell can be, with the words for it."""
    return [(value, _(text)) for value, text in _CHOICES.items()]


def posted_changes(holder_id: int | None = None) -> list[CellChange]:
    """Return the cells of this request that were changed; with ``holder_id`` they are all its.

    What is no cell of ours ends the request: no page of ours sends that.
    """
    changes = []
    for name, value in request.form.items():
        if not name.startswith("cell."):
            continue
        found = _NAME.fullmatch(name)
        if found is None or value not in _CHOICES:
            abort(400)
        holder, group, old = int(found[1]), int(found[2]), found[3]
        if holder_id is not None and holder not in (holder_id, NEW):
            abort(400)
        if value != old:
            changes.append(
                CellChange(holder_id or holder, group, _permission(old), _permission(value))
            )
    return changes


def _typed() -> Mapping[tuple[int, int], str]:
    """Return what a form that comes back has in its cells; stored values may be others by now."""
    if "typed_cells" not in g:
        g.typed_cells = {}
        for name, value in request.form.items():
            found = _NAME.fullmatch(name)
            if found is not None and value in _CHOICES and value != found[3]:
                g.typed_cells[int(found[1]), int(found[2])] = value
    typed: dict[tuple[int, int], str] = g.typed_cells
    return typed


def _permission(value: str) -> Permission | None:
    return None if value == NONE else Permission(value)


def _mark(grant: Grant) -> Mark:
    icon = "building" if grant.through is Through.CUSTOMER else "people"
    return Mark(_(_CHOICES[grant.permission]), icon)


def _lock(cell: Cell) -> str:
    if not cell.decided_by:
        return ""
    return _('The customer source "%(source)s" decides this.', source=cell.decided_by)


def _why(cell: Cell) -> str:
    if cell.effective is None:
        if cell.direct is not None:
            return _("No effect: the group is invalid.")
        return _("No permission.")
    ways = [(grant.permission, through_text(grant.through)) for grant in cell.inherited]
    if cell.direct is not None:
        here = _("set by the source") if cell.decided_by else _("set here")
        ways.insert(0, (cell.direct, here))
    permission = label(cell.effective)
    if len(ways) == 1:
        return _("In effect: %(permission)s, %(way)s.", permission=permission, way=ways[0][1])
    shown = ", ".join(f"{label(each)} ({way})" for each, way in ways)
    return _("In effect: %(permission)s – from: %(ways)s.", permission=permission, ways=shown)

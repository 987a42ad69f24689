"""Import and export of customers and customer users as CSV files.

An import goes over four pages at one address: the file, what its columns stand for, what it would
come to, and what came of it. The file travels in a sealed field from page to page, so nothing is
kept on the server; what was agreed to is carried as the digest of the plan that was shown.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from flask import make_response, render_template, request, url_for
from werkzeug.datastructures import FileStorage
from werkzeug.wrappers import Response

from core.errors import SchalterError, Stale
from core.exchange.bring import Refused, bring_about, try_out
from core.exchange.columns import CUSTOMERS, USERS, Kind
from core.exchange.entries import Columns, Entries, guess_columns, read_entries
from core.exchange.plan import Action, Plan, Row, undo_states
from core.exchange.reading import FileRefused, Sheet, read_sheet
from core.exchange.writing import export, record_export, write_sheet
from core.i18n import gettext as _
from core.labels import label
from core.models import now
from core.words import Validity
from portal.areas import Area, Audience
from portal.database import bookkeeping, database, finish_writing, reading, writing
from portal.headers import FILE_POLICY
from portal.progress import followed, new_token, share_done
from portal.sealed import NotSealed, TooBig, sealed, unsealed
from portal.visitors import the_viewer

MAX_BYTES = 5_000_000
MAX_ROWS = 20_000  # the console takes more
SHOWN = 100  # rows of each sort that a page lists
SAMPLES = 3  # values of a column

IMPORT, UNDO = "import", "undo"
PIECE = 64 * 1024  # bytes that are sent at once
MAX_TOKEN = 40  # characters of the name under which a page asks how far its answer is

area = Area("admin_exchange", __name__, Audience.ADMIN, "/admin/exchange")


@dataclass(frozen=True, slots=True)
class ShownColumn:
    """A column of the file: its word, some of its values, and the field that it stands for."""

    header: str
    samples: Sequence[str]
    field: str


@area.route("/users", methods=["GET", "POST"])
def users() -> Response:
    """Import customer users."""
    return _step(USERS)


@area.route("/customers", methods=["GET", "POST"])
def customers() -> Response:
    """Import customers."""
    return _step(CUSTOMERS)


@area.get("/users/export")
def export_users() -> Response:
    """Send all customer users as a file."""
    return _export(USERS)


@area.get("/customers/export")
def export_customers() -> Response:
    """Send all customers as a file."""
    return _export(CUSTOMERS)


@area.post("/undo")
def undo() -> Response:
    """Send the file that undoes an import, as the page of its result has it."""
    try:
        content = unsealed(UNDO, request.form.get("content", ""))
    except NotSealed as refused:
        return _file_page(USERS, str(refused))
    return _file(make_response(content), f"undo-{now():%Y-%m-%d-%H%M}.csv")


@area.get("/progress/<token>")
def progress(token: str) -> Mapping[str, float | None]:
    """Say how much of a file has been gone through, to the page that waits for its answer."""
    return {"share": share_done(token)}


def _step(kind: Kind) -> Response:
    """Show the step of an import that the form asks for; at first the one that wants a file."""
    if request.method != "POST":
        return _file_page(kind)
    try:
        content = _content()
        sheet = read_sheet(content, max_bytes=MAX_BYTES, max_rows=MAX_ROWS)
        kept = sealed(IMPORT, content)
    except (FileRefused, NotSealed) as refused:
        return _file_page(kind, str(refused))
    except TooBig as too_big:
        return _file_page(kind, str(too_big))
    columns = _columns(sheet, kind)
    step = request.form.get("step")
    if step not in ("plan", "import"):
        return _columns_page(kind, sheet, kept, columns)
    try:
        entries = read_entries(sheet, kind, columns)
    except FileRefused as refused:
        return _columns_page(kind, sheet, kept, columns, str(refused))
    return _import(entries, kept, columns) if step == "import" else _try(entries, kept, columns)


def _export(kind: Kind) -> Response:
    """Send everything stored of one kind as a file, while it is read."""
    base = database()
    with bookkeeping() as session:
        record_export(session, the_viewer().actor, kind)

    def pieces() -> Iterator[bytes]:
        with base.read() as session:  # the one of the request is closed before this ends
            yield from _in_pieces(export(session, kind))

    return _file(make_response(pieces()), f"{kind.name}-{now():%Y-%m-%d}.csv")


def _content() -> bytes:
    """Return the file: what was chosen just now, else what the page handed on."""
    chosen = request.files.get("file")
    if isinstance(chosen, FileStorage) and chosen.filename:
        with closing(chosen):
            content: bytes = chosen.read(MAX_BYTES + 1)
        return content
    if "content" in request.form:
        return unsealed(IMPORT, request.form["content"])
    raise FileRefused(_("Please choose a file."))


def _columns(sheet: Sheet, kind: Kind) -> Columns:
    """Return the field of each column: as chosen, or as the header says."""
    if "column.0" not in request.form:
        return guess_columns(sheet, kind)
    names = {column.name for column in kind.columns}
    chosen = (request.form.get(f"column.{n}", "") for n in range(len(sheet.header)))
    return [field if field in names else None for field in chosen]


def _try(wanted: Entries, kept: str, columns: Columns, problem: str = "") -> Response:
    """Show what a file would come to; nothing is written."""
    with followed(wanted.entries, _progress_token()) as entries:
        plan = try_out(reading(), wanted, entries)
    page = render_template(
        "admin/exchange_plan.html",
        **_of_kind(wanted.kind),
        **_of_plan(plan),
        columns=[(f"column.{n}", field or "") for n, field in enumerate(columns)],
        kept=kept,
        plan=plan,
        problem=problem,
        progress=new_token(),
    )
    return make_response(page, 409 if problem else 422 if plan.faults else 200)


def _import(wanted: Entries, kept: str, columns: Columns) -> Response:
    """Import a file as it was agreed to, and show what came of it."""
    try:
        session, actor = writing(), the_viewer().actor
        agreed = request.form.get("agreed", "")
        with followed(wanted.entries, _progress_token()) as entries:
            plan = bring_about(session, actor, wanted, agreed=agreed, in_turn=entries)
        back = sealed(UNDO, b"".join(write_sheet(plan.kind, undo_states(plan))))
    except (Refused, Stale, TooBig) as refused:
        finish_writing(keep=False)
        return _try(wanted, kept, columns, _reason(refused))
    page = render_template(
        "admin/exchange_done.html",
        **_of_kind(wanted.kind),
        **_of_plan(plan),
        plan=plan,
        undo=back,
    )
    return make_response(page)


def _progress_token() -> str:
    return request.form.get("progress", "")[:MAX_TOKEN]


def _reason(refused: SchalterError) -> str:
    """Return why nothing was imported; with faults, things have changed since they were shown."""
    if isinstance(refused, Refused):
        return _("What is stored has changed since this was shown. Nothing was imported.")
    return str(refused)


def _file_page(kind: Kind, problem: str = "") -> Response:
    page = render_template(
        "admin/exchange.html",
        **_of_kind(kind),
        fields=kind.columns,
        max_bytes=MAX_BYTES,
        max_rows=MAX_ROWS,
        problem=problem,
        required=[kind.column(name).label for name in kind.required],
    )
    return make_response(page, 422 if problem else 200)


def _columns_page(
    kind: Kind, sheet: Sheet, kept: str, columns: Columns, problem: str = ""
) -> Response:
    page = render_template(
        "admin/exchange_columns.html",
        **_of_kind(kind),
        columns=[
            ShownColumn(header, _samples(sheet, n), columns[n] or "")
            for n, header in enumerate(sheet.header)
        ],
        fields=kind.columns,
        kept=kept,
        problem=problem,
        progress=new_token(),
        sheet=sheet,
    )
    return make_response(page, 422 if problem else 200)


def _samples(sheet: Sheet, position: int) -> Sequence[str]:
    """Return the first values of a column that say something."""
    found: list[str] = []
    for line in sheet.lines:
        cell = line.cells[position].strip() if position < len(line.cells) else ""
        if cell and cell not in found:
            found.append(cell)
        if len(found) == SAMPLES:
            break
    return found


def _of_kind(kind: Kind) -> Mapping[str, object]:
    """Return what every page says of what is imported."""
    is_users = kind is USERS
    list_area = "admin_customer_users" if is_users else "admin_customers"
    return {
        "is_users": is_users,
        "kind": kind,
        "list_url": url_for(f"{list_area}.index"),
        "list_name": _("Customer users") if is_users else _("Customers"),
    }


def _of_plan(plan: Plan) -> Mapping[str, object]:
    """Return the rows that a page lists; the counts tell of all."""
    changes = [row for row in plan.rows if row.action is not Action.UNCHANGED]
    new = [row for row in changes if row.action is Action.NEW]
    changed = [row for row in changes if row.action is Action.CHANGED]
    return {
        "changed": [(row, _shown_fields(plan.kind, row)) for row in changed[:SHOWN]],
        "counts": {action.value: count for action, count in plan.counts.items()},
        "new": [(row, _shown_fields(plan.kind, row)) for row in new[:SHOWN]],
        "limit": SHOWN,
    }


def _shown_fields(kind: Kind, row: Row) -> Sequence[tuple[object, ...]]:
    """Return label, old and new value of what differs, in the order of the columns."""
    differences = row.fields
    shown = [column for column in kind.columns if column.name in differences]
    return [
        (column.label, *(_cell(kind, column.name, value) for value in differences[column.name]))
        for column in shown
        if row.before is not None or column.name != kind.key  # the key of what is new is known
    ]


def _cell(kind: Kind, name: str, value: object) -> str:
    """Return a value in words of the page: the file's own are those of no language."""
    if value is None:
        return ""
    if isinstance(value, Validity):
        return label(value)
    if isinstance(value, bool):
        words = (_("valid"), _("invalid")) if name == "valid" else (_("yes"), _("no"))
        return words[0] if value else words[1]
    return kind.column(name).cell(value)


def _in_pieces(rows: Iterator[bytes]) -> Iterator[bytes]:
    """Give bytes in pieces that are worth sending."""
    waiting = bytearray()
    for row in rows:
        waiting += row
        if len(waiting) >= PIECE:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting)


def _file(response: Response, name: str) -> Response:
    response.headers["Content-Type"] = "text/csv; charset=utf-8"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Content-Security-Policy"] = FILE_POLICY
    return response

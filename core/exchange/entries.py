"""The rows of a file as what they want: columns put to fields, cells read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.errors import Invalid, InvalidFields
from core.exchange.cells import unguarded
from core.exchange.columns import CUSTOMERS, USERS, Kind
from core.exchange.reading import FileRefused, Line, Sheet
from core.i18n import gettext as _


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with a row: its line, the word in the header, and what."""

    line: int
    column: str
    text: str

    def __str__(self) -> str:
        """Return it as one line for people."""
        return _(
            "line %(line)d, column %(column)s: %(text)s",
            line=self.line,
            column=self.column,
            text=self.text,
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """What a row wants: ``given`` are the fields that it names. ``key`` is in its compared form."""

    line: int
    key: str
    given: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Entries:
    """A file that was read. ``headers`` are the words of the file by field."""

    kind: Kind
    headers: Mapping[str, str]
    entries: Sequence[Entry]
    faults: Sequence[Fault]

    def faults_of(self, line: int, error: Invalid | InvalidFields) -> Sequence[Fault]:
        """Return what is wrong with a row in the words of the file."""
        errors = error.errors if isinstance(error, InvalidFields) else (error,)
        return [
            Fault(line, self.headers.get(each.field, each.field), each.message) for each in errors
        ]


Columns = Sequence[str | None]  # the field of each column of the file; None is not imported


def guess_kind(sheet: Sheet) -> Kind:
    """Return what a file is about: customer users have a login."""
    return USERS if any(USERS.guessed(word) == USERS.key for word in sheet.header) else CUSTOMERS


def guess_columns(sheet: Sheet, kind: Kind) -> Columns:
    """Return the field that each column seems to be; of two that seem the same, the first."""
    found: list[str | None] = []
    for word in sheet.header:
        field = kind.guessed(word)
        found.append(field if field not in found else None)
    return found


def read_entries(sheet: Sheet, kind: Kind, columns: Columns) -> Entries:
    """Return what the rows want, and what is wrong with them taken alone.

    Raises ``FileRefused`` when the columns cannot be meant so.
    """
    _check_columns(sheet, kind, columns)
    headers = {
        field: word or field for field, word in zip(columns, sheet.header, strict=True) if field
    }
    read = Entries(kind, headers, [], [])
    entries: list[Entry] = []
    faults: list[Fault] = []
    first: dict[str, int] = {}
    for line in sheet.lines:
        given, wrong = _given(kind, columns, line)
        faults.extend(fault for error in wrong for fault in read.faults_of(line.number, error))
        key = kind.same(str(given.get(kind.key, "")))
        if key and first.setdefault(key, line.number) != line.number:
            text = _("This is in the file already, on line %(line)d.", line=first[key])
            faults.extend(read.faults_of(line.number, Invalid(kind.key, text)))
        elif not wrong:
            entries.append(Entry(line.number, key, given))
    return Entries(kind, headers, entries, faults)


def _check_columns(sheet: Sheet, kind: Kind, columns: Columns) -> None:
    taken: dict[str, str] = {}
    for word, field in zip(sheet.header, columns, strict=True):
        if field is None:
            continue
        if field in taken:
            text = _(
                'The columns "%(one)s" and "%(other)s" both stand for %(field)s.',
                one=taken[field],
                other=word,
                field=field,
            )
            raise FileRefused(text)
        taken[field] = word
    if kind.key not in taken:
        raise FileRefused(_("There is no column for %(field)s.", field=kind.key))


def _given(
    kind: Kind, columns: Columns, line: Line
) -> tuple[Mapping[str, object], Sequence[Invalid]]:
    """Return the fields that a row names; a cell that the row lacks is empty."""
    given: dict[str, object] = {}
    wrong: list[Invalid] = []
    for position, field in enumerate(columns):
        if field is None:
            continue
        cell = unguarded(line.cells[position]) if position < len(line.cells) else ""
        column = kind.column(field)
        if not cell.strip():
            if column.may_be_empty:
                given[field] = column.empty
            continue
        try:
            given[field] = column.read(field, cell)
        except Invalid as error:
            wrong.append(error)
    return given, wrong

"""How values stand in the cells of a file.

A cell that begins with what a spreadsheet takes for a formula gets an apostrophe in front, as
spreadsheets themselves write such a text, and loses it on reading (threat M17). One that has
apostrophes before such a sign already gets one more, so that reading is exactly the inverse.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime

from core.errors import Invalid
from core.i18n import gettext as _
from core.text import fold
from core.words import Permission, Validity

_TO_GUARD = re.compile(r"'*[=+\-@\t\r\n]")
_GUARDED = re.compile(r"'+[=+\-@\t\r\n]")
_PARTS = re.compile(r'(?:"(?:\\.|[^"\\])*"|[^\s,;"])+')  # spaces may stand in a quoted local part
_GROUP = re.compile(r'(?:"((?:[^"]|"")*)"|([^\s=",;]+))=(\w+)(?:[\s,;]+|$)')
_PLAIN_GROUP = re.compile(r'[^\s=",;]+')

_TRUE = frozenset({"yes", "ja", "true", "wahr", "1", "x"})
_FALSE = frozenset({"no", "nein", "false", "falsch", "0"})
_VALIDITY = {
    "valid": Validity.VALID,
    "gultig": Validity.VALID,
    "invalid": Validity.INVALID,
    "ungultig": Validity.INVALID,
    "invalid-temporarily": Validity.INVALID_TEMPORARILY,
    "ungultig-temporar": Validity.INVALID_TEMPORARILY,
}


def guarded(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if _TO_GUARD.match(cell) else cell


def unguarded(cell: str) -> str:
    """Return what ``guarded`` was given."""
    return cell[1:] if _GUARDED.match(cell) else cell


def as_text(value: object) -> str:
    """Return a value as it stands in a file, without the guard against formulas."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Validity):
        return value.value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return " ".join(f"{_group_name(name)}={value[name]}" for name in sorted(value))
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return str(value)


def read_text(_field: str, cell: str) -> str:
    """Return a text; what is wrong with it is found where it is saved."""
    return cell


def read_list(_field: str, cell: str) -> tuple[str, ...]:
    """Return what stands in a cell one after the other: separated by spaces, lines or commas."""
    return tuple(_PARTS.findall(cell))


def read_flag(field: str, cell: str) -> bool:
    """Return yes or no. Raises ``Invalid``."""
    word = fold(cell.strip())
    if word not in _TRUE | _FALSE:
        raise Invalid(field, _('"%(value)s" is neither yes nor no.', value=_short(cell)))
    return word in _TRUE


def read_valid(field: str, cell: str) -> bool:
    """Return whether a customer is valid. Raises ``Invalid``."""
    word = _VALIDITY.get(fold(cell.strip()))
    if word is Validity.INVALID_TEMPORARILY:
        raise Invalid(field, _("A customer is valid or invalid."))
    return word is Validity.VALID if word else read_flag(field, cell)


def read_validity(field: str, cell: str) -> Validity:
    """Return the validity of an account. Raises ``Invalid``."""
    word = _VALIDITY.get(fold(cell.strip()).replace(" ", "-"))
    if word is None:
        text = _(
            '"%(value)s" is none of valid, invalid and invalid-temporarily.', value=_short(cell)
        )
        raise Invalid(field, text)
    return word


def read_date(field: str, cell: str) -> date:
    """Return a day, as 2026-12-31 or 31.12.2026. Raises ``Invalid``."""
    for form in ("%Y-%m-%d", "%d.%m.%Y"):
        try:
            return datetime.strptime(cell.strip(), form).date()  # noqa: DTZ007 - a day has no zone
        except ValueError:
            pass
    text = _('"%(value)s" is no day, such as 2026-12-31 or 31.12.2026.', value=_short(cell))
    raise Invalid(field, text)


def read_number(field: str, cell: str) -> int:
    """Return a whole number. Raises ``Invalid``."""
    text = cell.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise Invalid(field, _('"%(value)s" is no whole number.', value=_short(cell)))
    return int(text)


def read_groups(field: str, cell: str) -> Mapping[str, Permission]:
    """Return permissions by the names of groups, as ``sales=rw "after sales"=ro``.

    Raises ``Invalid``.
    """
    found: dict[str, Permission] = {}
    text = cell.strip()
    position = 0
    while position < len(text):
        part = _GROUP.match(text, position)
        if part is None or part[3].lower() not in ("ro", "rw"):
            problem = _(
                '"%(value)s" is no list of permissions, such as sales=rw support=ro.',
                value=_short(text[position:]),
            )
            raise Invalid(field, problem)
        name = part[2] if part[1] is None else part[1].replace('""', '"')
        if name in found:
            raise Invalid(field, _('The group "%(name)s" stands here twice.', name=name))
        found[name] = Permission(part[3].lower())
        position = part.end()
    return found


def _group_name(name: str) -> str:
    if _PLAIN_GROUP.fullmatch(name):
        return name
    return '"{}"'.format(name.replace('"', '""'))


def _short(cell: str) -> str:
    text = " ".join(cell.split())
    return text if len(text) <= 40 else f"{text[:39]}…"

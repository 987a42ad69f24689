"""The file of ``schalter apply``: what may stand in it, read and checked without a database.

The tables take exactly the fields of the values in ``core.accounts``, so what can be entered in
the pages can be applied. A field that an entry does not name stays as it is.
"""

import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from types import GenericAlias
from typing import Annotated, Any, get_type_hints

from argon2 import Type, extract_parameters
from argon2.exceptions import InvalidHashError
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    ValidationError,
    create_model,
)
from pydantic_core import ErrorDetails

from core.accounts.customer_users import CustomerUserValues
from core.accounts.customers import CustomerValues
from core.accounts.groups import GroupValues
from core.accounts.logins import login_key
from core.accounts.passwords import check_password_rules
from core.accounts.queues import QueueValues
from core.accounts.staff import StaffValues
from core.apply.places import Place, find_lines, line_of
from core.errors import Invalid, SchalterError
from core.settings import Settings
from core.text import exact, fold
from core.words import AutoResponse, Permission

MAX_BYTES = 100_000_000
SECRETS = ("password", "password_hash")


class ApplyError(SchalterError):
    """A file that cannot be applied; the text names file, line and key. Nothing was applied."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of thing in the file: its table, its name, and by which field things are told apart.

    ``same`` makes two spellings of one thing equal.
    """

    table: str
    name: str
    values: type[Any]
    key: str
    same: Callable[[str], str]


GROUP = Kind("groups", "group", GroupValues, "name", fold)
QUEUE = Kind("queues", "queue", QueueValues, "name", fold)
CUSTOMER = Kind("customers", "customer", CustomerValues, "number", exact)
CUSTOMER_USER = Kind("customer_users", "customer user", CustomerUserValues, "login", login_key)
STAFF = Kind("staff", "member of staff", StaffValues, "login", login_key)
KINDS = (GROUP, QUEUE, CUSTOMER, CUSTOMER_USER, STAFF)


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing as the file wants it: ``given`` are the fields that the file names."""

    kind: Kind
    index: int
    key: str
    given: Mapping[str, Any]

    @property
    def place(self) -> Place:
        """Where the entry is in the file."""
        return (self.kind.table, self.index)

    def problem(self, field: str, text: str) -> "Problem":
        """Return a problem with a field, named as in the file."""
        if field in {"email", "more_addresses"} and "emails" in self.given:
            field = "emails"
        return Problem((*self.place, field), f"{_label(self.kind, self.key)}{field}: {text}")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with the file: where, and what.

    A ``consequence`` is told after the other problems of its entry: a key that is mistyped is
    missing as well.
    """

    place: Place
    text: str
    consequence: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a file says."""

    file: Path
    lines: Mapping[Place, int]
    settings: Mapping[str, Any]
    entries: Mapping[Kind, Sequence[Entry]]

    def error(self, problems: Sequence[Problem]) -> ApplyError:
        """Return the error that tells the first of these problems in the order of the file."""
        return _error(self.file, self.lines, problems)


def read_wanted(file: Path) -> Wanted:
    """Read a file; raise ``ApplyError`` for the first thing that is wrong with it."""
    text = _read(file)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ApplyError(f"{file}: not valid TOML: {error}") from None
    lines = find_lines(text)
    problems = [*_check_settings(document.get("settings", {}))]
    entries: dict[Kind, Sequence[Entry]] = {}
    try:
        checked = _DOCUMENT.model_validate(document)
    except ValidationError as error:
        problems.extend(_problem(document, details) for details in error.errors())
    else:
        entries = {kind: _entries(kind, getattr(checked, kind.table)) for kind in KINDS}
    for of_kind in entries.values():
        problems.extend(_duplicates(of_kind, lines))
        problems.extend(problem for entry in of_kind for problem in _contradictions(entry))
    if problems:
        raise _error(file, lines, problems)
    return Wanted(file, lines, document.get("settings", {}), entries)


def _read(file: Path) -> str:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ApplyError(f"{file}: larger than {MAX_BYTES} bytes")
        return file.read_text(encoding="utf-8").removeprefix("\ufeff").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ApplyError(f"{file}: not UTF-8 (byte {error.start + 1})") from None
    except OSError as error:
        raise ApplyError(f"{file}: {error.strerror}") from None


class _Table(BaseModel):
    """What the tables have in common: a key that is unknown is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _check_hash(value: str) -> str:
    try:
        if extract_parameters(value).type is Type.ID:
            return value
    except (InvalidHashError, ValueError):
        pass
    raise ValueError("must be an argon2id hash, as $argon2id$v=19$…")


_GROUPS = {"groups": (Mapping[str, Permission], None)}
_PASSWORD = {
    "password": (str, None),
    "password_hash": (Annotated[str, AfterValidator(_check_hash)], None),
}
_EMAILS = {"emails": (Annotated[tuple[str, ...], Field(min_length=1)], None)}
_ANSWERS = {"auto_responses": (Mapping[AutoResponse, StrictBool], None)}  # whether they are sent
_STRICT = {bool: StrictBool, int: StrictInt}  # no "yes" for true, no 25.0


def _table(kind: Kind, **more: Any) -> type[_Table]:
    """Return the model of a table: the fields of its values, of which only the key must be there.

    Whether a new thing has all it needs is known later. What is not set has no value of its own.
    """
    hints = get_type_hints(kind.values)
    own = {
        field.name: (
            _STRICT.get(hints[field.name], hints[field.name]),
            ... if field.name == kind.key else None,
        )
        for field in fields(kind.values)
    }
    model: type[_Table] = create_model(kind.table, __base__=_Table, **{**own, **more})
    return model


_MODELS: Mapping[Kind, type[_Table]] = {
    GROUP: _table(GROUP),
    QUEUE: _table(QUEUE, **_ANSWERS),
    CUSTOMER: _table(CUSTOMER, **_GROUPS),
    CUSTOMER_USER: _table(CUSTOMER_USER, **_GROUPS, **_PASSWORD, **_EMAILS),
    STAFF: _table(STAFF, **_PASSWORD),
}
_TABLES: Mapping[str, Any] = {  # a list of its model for each table, empty where it is missing
    kind.table: (GenericAlias(list, model), []) for kind, model in _MODELS.items()
}
_DOCUMENT: type[_Table] = create_model(
    "file", __base__=_Table, settings=(dict[str, Any], {}), **_TABLES
)


def _entries(kind: Kind, tables: Sequence[_Table]) -> Sequence[Entry]:
    return [
        Entry(
            kind,
            index,
            getattr(table, kind.key),
            {name: getattr(table, name) for name in table.model_fields_set},
        )
        for index, table in enumerate(tables)
    ]


def _contradictions(entry: Entry) -> Sequence[Problem]:
    """Return what is wrong with fields that are fine one by one."""
    found = []
    if "emails" in entry.given and {"email", "more_addresses"} & entry.given.keys():
        found.append(entry.problem("emails", "use either this, or email and more_addresses"))
    if set(SECRETS) <= entry.given.keys():
        found.append(entry.problem("password_hash", "use either this or password"))
    if "password" in entry.given:
        try:
            check_password_rules(entry.given["password"], entry.key)
        except Invalid as error:
            found.append(entry.problem(error.field, error.message))
    return found


def _duplicates(entries: Sequence[Entry], lines: Mapping[Place, int]) -> Sequence[Problem]:
    """Return a problem for each entry that names the same thing as one before it."""
    first: dict[str, Entry] = {}
    found = []
    for entry in entries:
        before = first.setdefault(entry.kind.same(entry.key), entry)
        if before is not entry:
            line = line_of(lines, before.place)
            text = f"it is in the file already, on line {line}"
            found.append(entry.problem(entry.kind.key, text))
    return found


def _check_settings(given: object) -> Sequence[Problem]:
    """Return what is wrong with the settings, as far as the file alone tells."""
    if not isinstance(given, dict):
        return []  # the model of the document says so
    try:
        Settings(**given)
    except ValidationError as error:
        found = error.errors()
        return [
            _told(("settings", *each["loc"]), 1, "[settings] ", each, Settings.model_fields)
            for each in found
        ]
    return []


def _problem(document: Mapping[str, Any], details: ErrorDetails) -> Problem:
    """Return a problem that the model of the document found."""
    place = details["loc"]
    kind = next((kind for kind in KINDS if kind.table == place[0]), None)
    if kind is None or len(place) < 3:
        tables = ("settings", *(kind.table for kind in KINDS))
        return _told(place, 0, "", details, tables)
    entry = document[kind.table][place[1]]
    label = _label(kind, entry.get(kind.key))
    return _told(place, 2, label, details, _MODELS[kind].model_fields)


def _told(
    place: Place, depth: int, label: str, details: ErrorDetails, known: Iterable[str]
) -> Problem:
    """Return a problem in words; a secret is never repeated.

    ``label`` tells the first ``depth`` parts of the place, ``known`` are the keys there.
    """
    keys = [str(part) for part in place[depth:]]
    name = keys[0] if keys else ""
    if details["type"] == "extra_forbidden":
        near = get_close_matches(name, list(known), 1)
        hint = f', did you mean "{near[0]}"?' if near else ""
        return Problem(place, f'{label}unknown key "{name}"{hint}')
    if details["type"] == "missing":
        return Problem(place, f'{label}the key "{name}" is missing', consequence=True)
    reason = details["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    shown = "" if name in SECRETS else f" (got {details['input']!r})"
    return Problem(place, f"{label}{'.'.join(keys)}: {reason}{shown}")


def _label(kind: Kind, key: object) -> str:
    return f'[[{kind.table}]] "{key}": ' if isinstance(key, str) else f"[[{kind.table}]] "


def _error(file: Path, lines: Mapping[Place, int], problems: Sequence[Problem]) -> ApplyError:
    def in_order(problem: Problem) -> tuple[int, bool, int]:
        entry, key = (line_of(lines, place) or 0 for place in (problem.place[:2], problem.place))
        return entry, problem.consequence, key

    first = min(problems, key=in_order)
    line = line_of(lines, first.place)
    place = f"{file}, line {line}" if line else f"{file}"
    rest = len(problems) - 1
    more = f" (and {rest} more {'problem' if rest == 1 else 'problems'})" if rest else ""
    return ApplyError(f"{place}: {first.text}{more}")

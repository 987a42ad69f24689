"""Which column or attribute holds what, tried out on rows of the source before it is configured.

Nothing is changed: not the source, not what is here, not the configuration.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session

from core.config import AnySourceSection
from core.config.sources import SourceFields
from core.db import Database
from core.errors import ConfigError, Invalid, InvalidFields
from core.i18n import gettext as _
from core.labels import label
from core.sources.configured import make_source
from core.sources.fields import mapping_key, mapping_of
from core.sources.mirroring.mirror import Mirror
from core.sources.mirroring.verdicts import Verdict
from core.sources.records import Found, SourceRecord
from core.sources.secrets import HIDDEN, shown
from core.sources.source import SourceAway
from core.sources.trying.trial import account_texts
from core.words import Validity

SAMPLES = 50  # rows that are tried
NUMBER_OF_ALL = "number_of_all"  # the field of a form for the Kunden# of everybody


@dataclass(frozen=True, slots=True)
class Sample:
    """A row, what each field is read as from it, and what is wrong with that, by field.

    ``account`` is what it would become here, empty where it would not be brought in. ``problem``
    is what is wrong with the record as a whole, "" for nothing.
    """

    raw: Mapping[str, tuple[str, ...]]
    values: Mapping[str, str]
    account: Mapping[str, str]
    problems: Mapping[str, str]
    problem: str

    @property
    def is_faulty(self) -> bool:
        """Whether it would not be brought in."""
        return bool(self.problem or self.problems)


@dataclass(frozen=True, slots=True)
class Sampled:
    """Rows of a source with an edited map; ``away`` says why there are none, "" otherwise."""

    samples: tuple[Sample, ...] = ()
    columns: tuple[str, ...] = ()  # or attributes, those that any of the rows has
    away: str = ""

    @property
    def faulty(self) -> int:
        """How many rows would not be brought in."""
        return sum(sample.is_faulty for sample in self.samples)


def has_number_of_all(section: AnySourceSection) -> bool:
    """Whether one Kunden# can be that of everybody in this kind of source."""
    return "customer_number" in type(section).model_fields


def values_of(section: AnySourceSection) -> dict[str, Any]:
    """Return what can be edited of a section, by the fields of a form."""
    values = {**mapping_of(section).model_dump(), "valid_values": section.valid_values}
    if has_number_of_all(section):
        values[NUMBER_OF_ALL] = section.model_dump()["customer_number"]
    return values


def edited(section: AnySourceSection, values: Mapping[str, Any]) -> AnySourceSection:
    """Return the section with other values in these fields. Raises ``InvalidFields``."""
    key = mapping_key(section)
    mapping = mapping_of(section)
    data = section.model_dump()
    data[key] = {name: values[name] for name in type(mapping).model_fields}
    data["valid_values"] = values["valid_values"]
    if has_number_of_all(section):
        data["customer_number"] = values[NUMBER_OF_ALL]
    try:
        return type(section).model_validate(data)
    except ValidationError as error:
        raise InvalidFields([_told(each, key) for each in error.errors()]) from None


def take_samples(
    database: Database,
    stored: AnySourceSection,
    section: AnySourceSection,
    names: Sequence[str],
) -> Sampled:
    """Return rows as an edited section reads them; ``names`` are those of all sources.

    When it cannot be read so, the columns are told as the ``stored`` section reads them. Takes
    some seconds where the source stalls, outside any transaction.
    """
    try:
        found = _samples(section)
    except (ConfigError, SourceAway) as error:
        away = error.reason if isinstance(error, SourceAway) else str(error)
        return Sampled(columns=_columns_by(stored) if stored != section else (), away=away)
    secret = _secret_columns(stored, section)
    with database.read() as session:
        verdicts = _judged(session, section.name, names, [each.record for each in found])
    samples = (
        _sample(each, verdict, section, secret)
        for each, verdict in zip(found, verdicts, strict=True)
    )
    return Sampled(tuple(samples), _columns(found))


def _told(problem: Any, mapping: str) -> Invalid:
    """Return what the configuration says about a value, for its field of the form."""
    location = [str(part) for part in problem["loc"]]
    field = location[1] if location[:1] == [mapping] and len(location) > 1 else ""
    if problem["type"] == "string_too_short":
        return Invalid(field, _("Please fill this in."))
    reason = str(problem["msg"]).removeprefix("Value error, ")
    named, colon, rest = reason.removeprefix(f"{mapping}.").partition(": ")
    return (
        Invalid(named, rest)
        if colon and named in SourceFields.model_fields
        else Invalid(field, reason)
    )


def _samples(section: AnySourceSection) -> Sequence[Found]:
    source = make_source(section)
    try:
        return source.samples(SAMPLES)
    finally:
        source.close()


def _columns_by(section: AnySourceSection) -> tuple[str, ...]:
    try:
        return _columns(_samples(section))
    except (ConfigError, SourceAway):
        return ()


def _columns(found: Sequence[Found]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for each in found for name in each.raw))


def _secret_columns(*sections: AnySourceSection) -> frozenset[str]:
    named = (mapping_of(section).model_dump().get("password", "") for section in sections)
    return frozenset(name.casefold() for name in named if name)


def _judged(
    session: Session, source: str, names: Sequence[str], records: Sequence[SourceRecord]
) -> Sequence[Verdict]:
    return Mirror(source, names, complete=False).judge(session, records)


def _sample(
    found: Found, verdict: Verdict, section: AnySourceSection, secret: frozenset[str]
) -> Sample:
    mapping = mapping_of(section).model_dump()
    values = {}
    for field, column in mapping.items():
        columns = [column] if isinstance(column, str) else column
        hidden = any(_is_secret(name, secret) for name in columns if name)
        values[field] = HIDDEN if hidden else _value(found, field)
    problems = {error.field: error.message for error in verdict.errors}
    problem = verdict.conflict.detail if verdict.conflict and not problems else ""
    raw = {
        name: tuple(HIDDEN for _each in texts) if _is_secret(name, secret) else texts
        for name, texts in found.raw.items()
    }
    return Sample(raw, values, _account(verdict, values), problems, problem)


def _account(verdict: Verdict, values: Mapping[str, str]) -> Mapping[str, str]:
    """Return what the account would have, cleaned as it is stored; nothing where it is refused."""
    if verdict.checked is None:
        return {}
    texts = account_texts(verdict.checked.values)
    return {
        field: HIDDEN if values.get(field) == HIDDEN else text
        for field, text in texts.items()
        if text
    }


def _is_secret(column: str, secret: frozenset[str]) -> bool:
    """Whether values of a column are hidden; some databases do not heed the case of its name."""
    return column.casefold() in secret or HIDDEN in shown(column, ("?",))


def _value(found: Found, field: str) -> str:
    record = found.record
    match field:
        case "more_addresses":
            return ", ".join(record.more_addresses)
        case "valid":
            return label(Validity.VALID if record.valid else Validity.INVALID)
        case "password":
            return ""
        case _:
            return str(getattr(record, field))

"""Which column or attribute of a source holds what, whatever kind of source it is."""

from core.config import AnySourceSection
from core.config.sources import SourceFields


def mapping_key(section: AnySourceSection) -> str:
    """Return the key of the section under which the configuration says what is where."""
    return next(
        key for key in type(section).model_fields if isinstance(getattr(section, key), SourceFields)
    )


def mapping_of(section: AnySourceSection) -> SourceFields:
    """Return what is where in a source."""
    found = getattr(section, mapping_key(section))
    assert isinstance(found, SourceFields)
    return found


def columns_named(section: AnySourceSection) -> list[str]:
    """Return the columns or attributes that are named, each once."""
    named = mapping_of(section).model_dump().values()
    lists = ([each] if isinstance(each, str) else each for each in named)
    return list(dict.fromkeys(name for names in lists for name in names if name))

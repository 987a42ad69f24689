"""A short look at a source: does it answer, and does it have what its section names?"""

from dataclasses import dataclass

from core.config import AnySourceSection
from core.sources.configured import make_source
from core.sources.fields import columns_named

LOOKED_AT = 50  # records that are looked at for what they have


@dataclass(frozen=True, slots=True)
class SourceLook:
    """What was found; ``missing`` are names that none of the ``looked_at`` records has."""

    records: int
    looked_at: int
    missing: tuple[str, ...]


def look_at_source(section: AnySourceSection) -> SourceLook:
    """Ask the source of a section, within some seconds. Raises ``SourceAway``, ``ConfigError``."""
    source = make_source(section)
    try:
        records, samples = source.count(), source.samples(LOOKED_AT)
    finally:
        source.close()
    there = {name.casefold() for sample in samples for name in sample.raw}
    missing = (name for name in columns_named(section) if name.casefold() not in there)
    return SourceLook(records, len(samples), tuple(missing) if samples else ())

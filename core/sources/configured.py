"""The sources of the configuration, in its order: an earlier one is preferred."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from core.config import Config, SqlSourceSection
from core.errors import ConfigError
from core.sources.source import CustomerSource
from core.sources.sql import SqlSource


@contextmanager
def open_sources(config: Config) -> Iterator[Sequence[CustomerSource]]:
    """Give the configured sources while the block lasts; none is asked anything by this.

    Raises ``ConfigError`` for a password file that cannot be read.
    """
    with ExitStack() as stack:
        sources = make_sources(config)
        for source in sources:
            stack.callback(source.close)
        yield sources


def make_sources(config: Config) -> Sequence[CustomerSource]:
    """Return the configured sources for a program that keeps them until it ends.

    Raises ``ConfigError`` like ``open_sources``.
    """
    return [SqlSource(each, _password(each)) for each in config.customer_sources]


def _password(section: SqlSourceSection) -> str | None:
    if not section.password_file:
        return None
    try:
        return Path(section.password_file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        place = f"customer source {section.name}: password_file {section.password_file}"
        raise ConfigError(f"{place}: {reason}") from None

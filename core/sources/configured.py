"""The sources of the configuration, in its order: an earlier one is preferred."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from core.config import AnySourceSection, Config, LdapSourceSection
from core.errors import ConfigError
from core.sources.kinds.ldap import LdapSource
from core.sources.kinds.sql import SqlSource
from core.sources.source import CustomerSource


@contextmanager
def open_sources(config: Config) -> Iterator[Sequence[CustomerSource]]:
    """Give the configured sources while the block lasts; none is asked anything by this.

    Raises ``ConfigError`` like ``make_source``.
    """
    with ExitStack() as stack:
        sources = make_sources(config)
        for source in sources:
            stack.callback(source.close)
        yield sources


def make_sources(config: Config) -> Sequence[CustomerSource]:
    """Return the configured sources for a program that keeps them until it ends.

    Raises ``ConfigError`` like ``make_source``.
    """
    return [make_source(each) for each in config.customer_sources]


def make_source(section: AnySourceSection) -> CustomerSource:
    """Return the source of a section, which need not be in the configuration; close it.

    Raises ``ConfigError`` for a file with a password or certificates that cannot be read, and for
    a filter that is none.
    """
    password = read_password(section.password_file, f"customer source {section.name}")
    if isinstance(section, LdapSourceSection):
        return LdapSource(section, password)
    return SqlSource(section, password)


def read_password(file: str, whose: str) -> str | None:
    """Return the password in a file, None where none is named. Raises ``ConfigError``."""
    if not file:
        return None
    try:
        return Path(file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise ConfigError(f"{whose}: password_file {file}: {reason}") from None

"""Full-text search over articles: written by intake, asked by lists.

SQLite keeps it in an FTS5 table, PostgreSQL in a ``tsvector``; both sides of every search are
folded (``core.text.fold``), so case, umlaut dots, accents and ß make no difference on either.
"""

import re
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Integer, column, func, literal_column, select, table, text
from sqlalchemy.orm import Session

from core.models import Article
from core.text import fold

MAX_INDEXED = 64 * 1024  # characters of an article that can be found
MAX_WORDS = 12
_WORD = re.compile(r"\w+(?:[.@-]\w+)*")

_SQLITE_INSERT = text(
    "INSERT INTO article_search (rowid, subject, body) VALUES (:id, :subject, :body)"
)
_POSTGRESQL_INSERT = text(
    "INSERT INTO article_search (article_id, document) "
    "VALUES (:id, to_tsvector('simple', :subject || ' ' || :body))"
)
_SEARCH = table("article_search", column("rowid", Integer), column("article_id", Integer))


def index_articles(session: Session, rows: Sequence[tuple[int, str, str]]) -> None:
    """Make articles findable: ``(article id, subject, text)``, all in one statement."""
    on_sqlite = session.get_bind().dialect.name == "sqlite"
    session.connection().execute(
        _SQLITE_INSERT if on_sqlite else _POSTGRESQL_INSERT,
        [
            {"id": article_id, "subject": fold(subject), "body": fold(body[:MAX_INDEXED])}
            for article_id, subject, body in rows
        ],
    )


def words_of(query: str) -> list[str]:
    """Return the words of a search, folded; punctuation separates and is never syntax."""
    return _WORD.findall(fold(query))[:MAX_WORDS]


def matching_articles(session: Session, query: str) -> ColumnElement[bool]:
    """Return the condition that an article contains every word of a search, the last as a prefix.

    A search without a word finds nothing.
    """
    words = words_of(query)
    if session.get_bind().dialect.name == "sqlite":
        terms = " ".join(f'"{word}"' for word in words)
        found = select(_SEARCH.c.rowid).where(
            text("article_search MATCH :terms").bindparams(terms=f"{terms}*" if words else '""')
        )
    else:
        terms = " & ".join(f"'{word}'" for word in words) + (":*" if words else "")
        found = select(_SEARCH.c.article_id).where(
            literal_column("document").op("@@")(func.to_tsquery("simple", terms))
        )
    return Article.id.in_(found)

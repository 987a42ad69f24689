"""Full-text search over articles: written by intake, asked by lists.

SQLite keeps it in an FTS5 table, PostgreSQL in a ``tsvector``; both sides of every search are
folded (``core.text.fold``) and cut into words in the same way, so case, umlaut dots, accents, ß
and punctuation make no difference on either.

A word that half of all mails contain must not cost more than a rare one: a search takes the
newest ``MAX_MATCHES`` articles that contain its words and that the asker may read, and says
whether there are more.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Integer,
    column,
    func,
    literal_column,
    select,
    table,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.selectable import Join

from core.models import MAX_ID, Article, Ticket, ticket_id_of
from core.text import fold

MAX_INDEXED = 64 * 1024  # characters of an article that can be found
MAX_MATCHES = 500  # articles that one search looks at
MAX_TERMS = 12
SAMPLE = 1000  # of the newest articles, by which PostgreSQL is told how common words are
COMMON_IN_SAMPLE = 10
MIN_PREFIX = 3  # letters: shorter beginnings are those of half the language

_WORD = re.compile(r"[^\W_]+")
_BETWEEN_WORDS = re.compile(r"[\W_]+")
_NUMBER = re.compile(r"\s*\[?(?:ticket)?\s*#?\s*(\d{1,10})\]?\s*", re.IGNORECASE)

_SQLITE_INSERT = text(
    "INSERT INTO article_search (rowid, subject, body) VALUES (:id, :subject, :body)"
)
_POSTGRESQL_INSERT = text(
    "INSERT INTO article_search (article_id, document) "
    "VALUES (:id, to_tsvector('simple', :subject || ' ' || :body))"
)
_FTS5_MATCH: Any = text("article_search MATCH :phrases")
_FTS5_FIRST = text(
    "SELECT rowid FROM article_search WHERE article_search MATCH :phrases LIMIT :limit"
)
# Starting them takes longer than a search, which ends after a few hundred rows.
_NO_WORKERS = text("SET LOCAL max_parallel_workers_per_gather = 0")
_TSVECTOR_SAMPLE = text(
    "SELECT count(*) FROM "
    "(SELECT document FROM article_search ORDER BY article_id DESC LIMIT :sample) AS newest "
    "WHERE document @@ to_tsquery('simple', :phrases)"
)
_SEARCH = table("article_search", column("rowid", Integer), column("article_id", Integer))

Term = tuple[str, ...]  # words that follow each other: "K-1000" is two


@dataclass(frozen=True, slots=True)
class Found:
    """The tickets of the newest articles that a search found; ``complete``: there are no more."""

    ticket_ids: frozenset[int]
    complete: bool


class _Plan(NamedTuple):
    """The article id in the search table, the condition that it matches, and what to sort by."""

    key: ColumnElement[int]
    matches: ColumnElement[bool]
    order: ColumnElement[int]


def index_articles(session: Session, rows: Sequence[tuple[int, str, str]]) -> None:
    """Make articles findable: ``(article id, subject, text)``, all in one statement."""
    on_sqlite = _on_sqlite(session)
    prepare = fold if on_sqlite else _words_only
    session.connection().execute(
        _SQLITE_INSERT if on_sqlite else _POSTGRESQL_INSERT,
        [
            {"id": article_id, "subject": prepare(subject), "body": prepare(body[:MAX_INDEXED])}
            for article_id, subject, body in rows
        ],
    )


def search_tickets(
    session: Session, query: str, may_see: ColumnElement[bool], *, internal: bool
) -> Found:
    """Return the tickets in which a search finds an article, or whose number it is.

    ``may_see`` is the condition on tickets that the asker may see. Without ``internal`` an
    article that customers may not read makes no ticket findable. Every word must be in one
    article. The last may be the beginning of one, unless it is a common word itself; with ``*``
    behind it, it always may.
    """
    terms = terms_of(query)
    readable = may_see if internal else may_see & Article.visible
    found = _newest(session, terms, readable, query.endswith("*")) if terms else []
    ids = {*found[:MAX_MATCHES], *_with_number(session, query)}
    return Found(frozenset(ids), len(found) <= MAX_MATCHES)


def terms_of(query: str) -> list[Term]:
    """Return what a search asks for, folded; punctuation ties together and is never syntax."""
    terms = (tuple(_WORD.findall(chunk)) for chunk in fold(query).split())
    return [term for term in terms if term][:MAX_TERMS]


def _with_number(session: Session, query: str) -> Sequence[int]:
    """Return the ticket whose number this is, of a merged one the ticket that it has become.

    Whoever lists it checks that it may be seen.
    """
    number = _NUMBER.fullmatch(query)
    ticket_id = ticket_id_of(int(number[1])) if number else 0
    if not 0 < ticket_id <= MAX_ID:
        return ()
    final = func.coalesce(Ticket.merged_into_id, Ticket.id)
    return session.scalars(select(final).where(Ticket.id == ticket_id)).all()


def _newest(
    session: Session, terms: Sequence[Term], readable: ColumnElement[bool], starred: bool
) -> list[int]:
    """Return the tickets of the newest matching articles, one entry per article."""
    find = _in_fts5 if _on_sqlite(session) else _in_tsvector
    key, matches, order = find(session, terms, starred)
    joined = _InOrder(_SEARCH, Article.__table__, Article.id == key)
    joined = _InOrder(joined, Ticket.__table__, Ticket.id == Article.ticket_id)
    statement = (
        select(Article.ticket_id)
        .select_from(joined)
        .where(matches, readable)
        .order_by(order.desc())
        .limit(MAX_MATCHES + 1)
    )
    return list(session.scalars(statement))


def _in_fts5(session: Session, terms: Sequence[Term], starred: bool) -> _Plan:
    """Return how to search on SQLite.

    FTS5 merges all words with a beginning before it hands out the first row, and hands whole
    words out at once: so beginnings are looked for where the whole words are rare.
    """
    phrases = " ".join(f'"{" ".join(term)}"' for term in terms)
    if not starred and _may_begin(terms):
        first = session.scalars(_FTS5_FIRST, {"phrases": phrases, "limit": MAX_MATCHES + 1})
        starred = len(first.all()) <= MAX_MATCHES
    key = _SEARCH.c.rowid
    return _Plan(key, _FTS5_MATCH.bindparams(phrases=phrases + "*" * starred), key)


def _in_tsvector(session: Session, terms: Sequence[Term], starred: bool) -> _Plan:
    """Return how to search on PostgreSQL.

    Its planner takes every unknown word for a common one, and would then walk through all
    articles from the newest on in the hope of finding enough. So the newest articles are asked
    how common the words are; if they are rare, the order is one that no index has.
    """
    phrases = " & ".join(" <-> ".join(f"'{word}'" for word in term) for term in terms)
    if starred or _may_begin(terms):
        phrases += ":*"
    session.execute(_NO_WORKERS)
    values = {"phrases": phrases, "sample": SAMPLE}
    common = session.scalars(_TSVECTOR_SAMPLE, values).one() >= COMMON_IN_SAMPLE
    key = _SEARCH.c.article_id
    query = func.to_tsquery("simple", phrases)
    matches = literal_column("article_search.document").op("@@", is_comparison=True)(query)
    return _Plan(key, matches, key if common else key + 0)


def _may_begin(terms: Sequence[Term]) -> bool:
    return len(terms[-1][-1]) >= MIN_PREFIX


class _InOrder(Join):
    """A join that SQLite runs from left to right.

    Only then does the search table hand its rows out newest first, and the limit ends the walk.
    SQLite would rather begin with an index on tickets and probe the search table row by row.
    """

    inherit_cache = True


@compiles(_InOrder, "sqlite")
def _cross_join(join: _InOrder, compiler: SQLCompiler, **options: Any) -> str:
    options["asfrom"] = True

    def side(part: FromClause) -> str:
        return part._compiler_dispatch(compiler, **options)

    assert join.onclause is not None
    on = join.onclause._compiler_dispatch(compiler, **{**options, "asfrom": False})
    return f"{side(join.left)} CROSS JOIN {side(join.right)} ON {on}"


def _words_only(value: str) -> str:
    """Return ``value`` folded, with only spaces between words.

    PostgreSQL's own parser would keep addresses, hyphened words and negative numbers as one.
    """
    return _BETWEEN_WORDS.sub(" ", fold(value))


def _on_sqlite(session: Session) -> bool:
    return session.get_bind().dialect.name == "sqlite"

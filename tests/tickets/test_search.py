"""What a search finds: the same on both databases, whatever is typed into it."""

import pytest
from sqlalchemy import true, update
from sqlalchemy.orm import Session

from core.db import Database
from core.models import Article
from core.tickets import search
from core.tickets.lists import StaffFilter, StateFilter, staff_tickets
from core.tickets.search import index_articles, search_tickets, terms_of
from tests.tickets.statements import plan, watched
from tests.tickets.world import World, a_world

TEXT = (
    "Der Großdrucker im Büro druckt nicht. Bitte melden: K-1000, anna@muster.example, "
    "Straße 5, naïve Çiğdem, 4711."
)

FINDS = [
    "großdrucker",
    "GROSSDRUCKER",
    "Grossdrucker",
    "buro",
    "BÜRO",
    "strasse",
    "Cigdem",
    "naive",
    "K-1000",
    "k-1000",
    "anna@muster.example",
    "muster.example",
    "4711",
    "melden druckt",  # the words of one article, in any order
    "nicht.",  # punctuation around a word
    "(nicht) bitte!",
    "Großdru",  # the beginning of the last word
    "druckt Straß",
    "Groß*",
    "K-100",  # the last word of what is tied together
    "im Büro",
    "Vertragsfrage",  # of the subject
]
FINDS_NOT = [
    "",
    "   ",
    "drucker nicht",  # the end of a word
    "Großdru druckt",  # a beginning that is not the last word
    "K-10",  # too short for a beginning
    "1000-K",
    "muster@anna.example",
    "nicht vorhanden",
    "%",
    "_",
    "*",
    '"',
    "'",
    "\\",
    "--",
    "NOT nicht",
    "zzz OR nicht",
    "nicht NEAR fehlt",
    "subject:nicht",
    "nicht & !fehlt",
    "nicht | fehlt",
    "fehlt <-> nicht",
    "nicht:*fehlt",
    "^der fehlt",
    "\0",
    "\ud800",
    "9" * 5000,
    "fehlt " * 500,
]


@pytest.fixture
def world(database: Database) -> World:
    world = a_world(database)
    with database.write() as session:
        article = world.ticket(session, "anna-sales").articles[0]
        add(session, article, "Vertragsfrage", TEXT)
    return world


def add(session: Session, like: Article, subject: str, text: str) -> Article:
    """Store one more visible article of the same ticket, and index it."""
    article = Article(
        ticket_id=like.ticket_id,
        author=like.author,
        subject=subject,
        text=text,
        visible=True,
        created_at=like.created_at,
    )
    session.add(article)
    session.flush()  # the index needs the id
    index_articles(session, [(article.id, subject, text)])
    return article


def found(session: Session, query: str) -> frozenset[int]:
    return search_tickets(session, query, true(), internal=False).ticket_ids


def test_what_is_found(database: Database, world: World) -> None:
    with database.read() as session:
        expected = {world.ticket(session, "anna-sales").id}
        wrong = [query for query in FINDS if found(session, query) != expected]
    assert not wrong


def test_what_is_not_found_and_harms_nothing(database: Database, world: World) -> None:
    with database.read() as session:
        wrong = [query for query in FINDS_NOT if found(session, query)]
    assert not wrong


@pytest.mark.parametrize(
    ("query", "terms"),
    [
        ("Straße", [("strasse",)]),
        ("a-b c", [("a", "b"), ("c",)]),
        ("...", []),
        ("x " * 50, [("x",)] * search.MAX_TERMS),
        ("under_score", [("under", "score")]),
    ],
)
def test_terms(query: str, terms: list[tuple[str, ...]]) -> None:
    assert terms_of(query) == terms


def test_a_ticket_is_found_by_its_number(database: Database, world: World) -> None:
    with database.read() as session:
        ticket = world.ticket(session, "carol-sales")
        for form in ("{}", "#{}", " {} ", "[#{}]", "Ticket #{}", "ticket {}"):
            assert ticket.id in found(session, form.format(ticket.number)), form
        for no_number in ("0", "100000", "9999999999", str(2**31 + 100_001)):
            assert found(session, no_number) == frozenset(), no_number


def test_common_words_are_looked_for_in_the_newest_articles(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "MAX_MATCHES", 5)
    with database.write() as session:
        old = world.ticket(session, "bert-sales").articles[0]
        new = world.ticket(session, "carol-sales").articles[0]
        add(session, old, "", "alltäglich selten")
        for _n in range(6):
            add(session, new, "", "alltäglich")
    with database.read() as session:
        common = search_tickets(session, "alltäglich", true(), internal=False)
        assert (common.ticket_ids, common.complete) == ({new.ticket_id}, False)
        rare = search_tickets(session, "alltäglich selten", true(), internal=False)
        assert (rare.ticket_ids, rare.complete) == ({old.ticket_id}, True)
        jonas = world.queues(session, "jonas")
        wanted = StaffFilter(state=StateFilter.ALL, query="alltäglich")
        assert not staff_tickets(session, jonas, wanted).complete


def test_others_articles_do_not_crowd_out_ones_own(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may not be read is no match: the limit counts what the asker may read."""
    monkeypatch.setattr(search, "MAX_MATCHES", 5)
    with database.write() as session:
        mine = world.ticket(session, "bert-sales").articles[0]
        other = world.ticket(session, "carol-sales").articles[0]
        add(session, mine, "", "alltäglich")
        for _n in range(20):
            add(session, other, "", "alltäglich")
        internal = add(session, mine, "", "alltäglich vertraulich")
        session.execute(update(Article).where(Article.id == internal.id).values(visible=False))
    with database.read() as session:
        access = world.access(session, "bert")
        result = search_tickets(session, "alltäglich", access.visible_tickets(), internal=False)
        assert (result.ticket_ids, result.complete) == ({mine.ticket_id}, True)
        nothing = search_tickets(session, "vertraulich", access.visible_tickets(), internal=False)
        assert nothing.ticket_ids == frozenset()


def test_a_long_text_is_found_by_its_beginning(database: Database, world: World) -> None:
    text = "anfang " + "wort " * search.MAX_INDEXED + "schluss"
    with database.write() as session:
        add(session, world.ticket(session, "bert-sales").articles[0], "", text)
        assert found(session, "anfang")
        assert not found(session, "schluss")


def test_sqlite_walks_the_search_table_first(sqlite_database: Database) -> None:
    """Newest first and only as far as the limit: the order that the joins are written in."""
    world = a_world(sqlite_database)
    with sqlite_database.read() as session:
        access = world.access(session, "anna")
        with watched(sqlite_database) as seen:
            search_tickets(session, "drucker", access.visible_tickets(), internal=False)
        steps = plan(session, sqlite_database, seen[-1]).splitlines()
    assert steps[0].startswith("SCAN article_search VIRTUAL TABLE")
    assert not any("TEMP B-TREE" in step for step in steps)


def test_postgresql_uses_the_index_of_words(postgresql_database: Database) -> None:
    world = a_world(postgresql_database)
    with postgresql_database.read() as session:
        access = world.access(session, "anna")
        with watched(postgresql_database) as seen:
            search_tickets(session, "selten", access.visible_tickets(), internal=False)
        session.connection().exec_driver_sql("SET LOCAL enable_seqscan = off")
        explain = "EXPLAIN " + seen[-1][0]
        rows = session.connection().exec_driver_sql(explain, seen[-1][1])
        text = "\n".join(row[0] for row in rows)
    assert "article_id + 0" in text  # an order that no index has, for a rare word
    assert "pk_article_search" not in text or "ix_article_search_document" in text

"""A ticket as it is read: pages of the conversation, bodies, pictures, files."""

import pytest
from sqlalchemy import insert, select, update

from core.db import Database
from core.errors import NotFound
from core.models import Article, Attachment, Mail, TicketSeen
from core.tickets import view
from core.tickets.origin import delivery_of_article
from core.tickets.view import (
    OCTETS,
    article_html,
    article_original,
    attachment_for_customer,
    attachment_for_staff,
    conversation,
    mark_seen,
    raw_for_customer,
    raw_for_staff,
    seen_article,
    shown_type,
    ticket_for_customer,
    ticket_for_staff,
)
from core.words import Author
from tests.tickets.statements import watched
from tests.tickets.world import World, a_world, html_ticket


@pytest.fixture
def world(database: Database) -> World:
    return a_world(database)


def test_a_long_conversation_is_read_in_pages(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "MAX_ARTICLES", 5)
    with database.write() as session:
        ticket = world.ticket(session, "anna-sales")
        session.execute(
            insert(Article),
            [
                {
                    "ticket_id": ticket.id,
                    "author": Author.CUSTOMER,
                    "text": str(n),
                    "visible": True,
                    "from_address": "",
                    "from_name": "",
                    "subject": "",
                    "has_html": False,
                    "created_at": ticket.created_at,
                }
                for n in range(11)
            ],
        )
        pages, before = [], None
        while True:
            page = conversation(session, ticket, internal=False, before=before)
            pages.append(page)
            before = page.earlier
            if before is None:
                break
        texts = [article.text for page in reversed(pages) for article in page.articles]
    assert [len(page.articles) for page in pages] == [5, 5, 2]
    assert texts[1:] == [str(n) for n in range(11)]


def test_a_conversation_needs_no_query_per_article(database: Database, world: World) -> None:
    public_id = html_ticket(database)
    with database.read() as session, watched(database) as seen:
        ticket = ticket_for_customer(session, world.access(session, "anna"), public_id)
        before = len(seen)
        for article in conversation(session, ticket, internal=True).articles:
            assert [attachment.filename for attachment in article.attachments]
            assert article.staff is None
            assert article.mail is not None
        assert ticket.queue.name
        assert ticket.customer is not None
        assert ticket.customer_user is not None
        assert ticket.owner is None
    assert len(seen) - before == 2


def test_a_body_in_the_page(database: Database, world: World) -> None:
    public_id = html_ticket(database)
    with database.read() as session:
        access = world.access(session, "anna")
        article = ticket_for_customer(session, access, public_id).articles[0]
        body = article_html(session, access, public_id, article.id, lambda a: f"/file/{a.id}")
        assert body is not None
        picture = next(a for a in article.attachments if a.content_id == "logo")
        assert f'src="/file/{picture.id}"' in body.html
        assert "tracker.example" not in body.html
        assert body.blocked_images == 1
        plain = world.ticket(session, "anna-sales").articles[0]
        address = world.tickets["anna-sales"]
        assert article_html(session, access, address, plain.id, lambda _a: "/x") is None
        assert article_original(session, access, address, plain.id) is None


def test_a_body_with_its_formatting(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    public_id = html_ticket(database)
    with database.read() as session:
        access, queues = world.access(session, "anna"), world.queues(session, "jonas")
        article = ticket_for_customer(session, access, public_id).articles[0].id
        original = article_original(session, access, public_id, article)
        assert original is not None
        assert 'src="data:image/png;base64,iVBORw0KGgoAAAAA"' in original
        assert "tracker.example" not in original
        # Remote pictures are for staff who ask for them; a customer's wish changes nothing.
        for reader, shown in ((access, False), (queues, True)):
            wished = article_original(session, reader, public_id, article, remote_images=True)
            assert wished is not None
            assert ("tracker.example" in wished) is shown
        monkeypatch.setattr(view, "MAX_INLINE_IMAGES", 5)
        small = article_original(session, access, public_id, article)
        assert small is not None
        assert "data:" not in small


def test_a_picture_of_another_mail_is_not_shown(database: Database, world: World) -> None:
    """``cid:`` names a part of the same mail, whatever other tickets hold (threat M12)."""
    mine, other = html_ticket(database), html_ticket(database, sender="carol@acme.example")
    with database.write() as session:
        access = world.access(session, "anna")
        article = ticket_for_customer(session, access, mine).articles[0]
        session.execute(
            update(Attachment)
            .where(Attachment.article_id == article.id)
            .values(content_id="something-else")
        )
        session.expire_all()
        body = article_html(session, access, mine, article.id, lambda a: f"/file/{a.id}")
        assert body is not None
        assert "/file/" not in body.html
        assert ticket_for_staff(session, world.queues(session, "root"), other)


def test_files_are_served_as_what_they_are(database: Database, world: World) -> None:
    public_id = html_ticket(database)
    with database.read() as session:
        access, queues = world.access(session, "anna"), world.queues(session, "jonas")
        by_name = dict(session.execute(select(Attachment.filename, Attachment.id)).all())
        picture = attachment_for_customer(session, access, public_id, by_name["logo.png"])
        assert (picture.served_as, picture.content[:4]) == ("image/png", b"\x89PNG")
        page = attachment_for_staff(session, queues, public_id, by_name["evil.html"])
        assert (page.content_type, page.served_as) == ("text/html", OCTETS)
        assert page.content.strip() == b"<script>alert(1)</script>"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n....", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"GIF87a", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\0\0\0\0WAVE", OCTETS),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>", OCTETS),
        (b"<html>", OCTETS),
        (b"%PDF-1.7", OCTETS),
        (b"\x89PN", OCTETS),
        (b"", OCTETS),
    ],
)
def test_only_pictures_are_shown(content: bytes, kind: str) -> None:
    assert shown_type(content) == kind


def test_the_exact_mail(database: Database, world: World) -> None:
    with database.write() as session:
        public_id = world.tickets["anna-sales"]
        access, queues = world.access(session, "anna"), world.queues(session, "jonas")
        ticket = ticket_for_customer(session, access, public_id)
        mail, note = ticket.articles
        file = raw_for_customer(session, access, public_id, mail.id)
        assert file.content.startswith(b"From: anna@muster.example\r\n")
        assert file.filename.endswith(".eml")
        assert file.served_as == OCTETS
        assert raw_for_staff(session, queues, public_id, mail.id) == file
        with pytest.raises(NotFound):
            raw_for_staff(session, queues, public_id, note.id)  # never was a mail
        session.execute(update(Mail).values(raw_id=None))
        session.expire_all()
        with pytest.raises(NotFound, match="gone"):
            raw_for_staff(session, queues, public_id, mail.id)


def test_the_firm_reads_a_colleagues_text_but_not_the_mail(
    database: Database, world: World
) -> None:
    with database.read() as session:
        access, public_id = world.access(session, "chris"), world.tickets["anna-sales"]
        ticket = ticket_for_customer(session, access, public_id)
        article = conversation(session, ticket, internal=False).articles[0]
        assert "Drucker" in article.text
        with pytest.raises(NotFound):
            raw_for_customer(session, access, public_id, article.id)


def test_what_was_seen_never_goes_back(database: Database, world: World) -> None:
    anna = world.firm.customer_users["anna"]
    with database.write() as session:
        ticket = world.ticket(session, "anna-sales")
        first, last = (article.id for article in ticket.articles)
        assert seen_article(session, anna, ticket) == 0
        for article, seen in ((0, 0), (first, first), (last, last), (first, last)):
            mark_seen(session, anna, ticket, article)
            session.expire_all()
            assert seen_article(session, anna, ticket) == seen
        assert len(session.scalars(select(TicketSeen)).all()) == 1


def test_why_an_article_is_there(database: Database, world: World) -> None:
    """Whoever may read the ticket may know, also after it was moved; a note has no mail."""
    with database.write() as session:
        ticket = world.ticket(session, "anna-support")
        mail, note = ticket.articles
        jonas, root = world.queues(session, "jonas"), world.queues(session, "root")
        address = ticket.public_id
        assert delivery_of_article(session, root, address, mail.id).recipient == (
            "technik@example.org"
        )
        for queues, article in ((jonas, mail.id), (root, note.id), (root, 999)):
            with pytest.raises(NotFound):
                delivery_of_article(session, queues, address, article)
        ticket.queue_id = world.firm.queues["Vertrieb"]
        session.flush()
        assert delivery_of_article(session, jonas, address, mail.id).ticket_id == ticket.id

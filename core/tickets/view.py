"""A ticket as it is read: the conversation, HTML bodies, attachments and the mails themselves.

Whatever is asked for is found through the ticket and a condition on it, so what the asker may
not see and what does not exist look the same: ``NotFound``. Customers are given visible articles
only, by the query and not by the page.
"""

from base64 import b64encode
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, joinedload, selectinload

from core.accounts.permissions import Access
from core.accounts.staff import StaffQueues
from core.errors import NotFound
from core.i18n import gettext as _
from core.mail.html import SafeHtml, original_html, safe_html
from core.mail.message import Message, parse, read_part
from core.models import (
    MAX_ID,
    Article,
    Attachment,
    Mail,
    OutgoingMail,
    RawMail,
    Ticket,
    TicketLink,
    TicketSeen,
    ticket_id_of,
)

MAX_ARTICLES = 200  # on one page of a conversation
MAX_OUTGOING = 2000  # of a ticket: those of a page of articles, with their copies
MAX_INLINE_IMAGES = 5 * 1024 * 1024  # bytes of images put into one HTML document
OCTETS = "application/octet-stream"

# What a browser may show as a page's image, by the bytes it begins with (threat M10).
_IMAGE_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)

Reader = Access | StaffQueues  # who asks: a customer user's access, or the queues of staff


@dataclass(frozen=True, slots=True)
class Conversation:
    """Articles in their order; ``earlier`` is where those before them are read from, if any."""

    articles: tuple[Article, ...]
    earlier: int | None

    @property
    def newest(self) -> int:
        """The id of the last article, 0 without one."""
        return self.articles[-1].id if self.articles else 0


@dataclass(frozen=True, slots=True)
class File:
    """Something to download. ``served_as`` is the media type that no browser runs code from."""

    filename: str
    content_type: str  # as the sender called it
    served_as: str
    content: bytes


def ticket_for_customer(session: Session, access: Access, public_id: str) -> Ticket:
    """Return a ticket that a customer user may see. Raises ``NotFound`` for every other."""
    return _ticket(session, access, Ticket.public_id == public_id)


def ticket_for_staff(session: Session, queues: StaffQueues, public_id: str) -> Ticket:
    """Return a ticket in a queue that staff may read. Raises ``NotFound`` for every other."""
    return _ticket(session, queues, Ticket.public_id == public_id)


def final_ticket(session: Session, reader: Reader, ticket: Ticket) -> Ticket:
    """Return the ticket that this one was merged into, or itself.

    Raises ``NotFound`` when the asker may not see that: an address that was given to them once
    is no right to what became of it.
    """
    if ticket.merged_into_id is None:
        return ticket
    return _ticket(session, reader, Ticket.id == ticket.merged_into_id)


def ticket_with_number(session: Session, reader: Reader, number: int) -> Ticket | None:
    """Return the ticket with a number, None where there is none that the asker may see.

    The number of a ticket that was merged leads to the one that it was merged into.
    """
    ticket_id = ticket_id_of(number)
    if not 0 < ticket_id <= MAX_ID:
        return None
    named = select(func.coalesce(Ticket.merged_into_id, Ticket.id)).where(Ticket.id == ticket_id)
    return session.scalars(
        select(Ticket).where(Ticket.id == named.scalar_subquery(), readable_tickets(reader))
    ).one_or_none()


def readable_tickets(reader: Reader) -> ColumnElement[bool]:
    """Return the condition on tickets that somebody may read."""
    if isinstance(reader, Access):
        return reader.visible_tickets()
    return reader.reads(Ticket.queue_id)


def conversation(
    session: Session, ticket: Ticket, *, internal: bool, before: int | None = None
) -> Conversation:
    """Return the newest articles of a ticket, or those before one, oldest first.

    At most ``MAX_ARTICLES``, with attachments and authors. ``internal`` notes are for staff.
    """
    statement = (
        select(Article)
        .where(Article.ticket_id == ticket.id)
        .order_by(Article.id.desc())
        .limit(MAX_ARTICLES + 1)
        .options(
            selectinload(Article.attachments), joinedload(Article.staff), joinedload(Article.mail)
        )
    )
    if not internal:
        statement = statement.where(Article.visible)
    if before is not None:
        statement = statement.where(Article.id < before)
    found = session.scalars(statement).all()
    articles = tuple(reversed(found[:MAX_ARTICLES]))
    return Conversation(articles, articles[0].id if len(found) > MAX_ARTICLES else None)


def outgoing_of(session: Session, ticket: Ticket) -> Mapping[int, Sequence[OutgoingMail]]:
    """Return the mails that went out with the articles of a ticket, or in answer to them.

    By article id, each in the order in which they were put into the outbox, and at most the
    newest ``MAX_OUTGOING`` of a ticket.
    """
    newest = session.scalars(
        select(OutgoingMail)
        .where(OutgoingMail.ticket_id == ticket.id, OutgoingMail.article_id.is_not(None))
        .order_by(OutgoingMail.id.desc())
        .limit(MAX_OUTGOING)
    ).all()
    found: dict[int, list[OutgoingMail]] = defaultdict(list)
    for mail in reversed(newest):
        if mail.article_id is not None:
            found[mail.article_id].append(mail)
    return found


def linked_tickets(session: Session, reader: Reader, ticket: Ticket) -> Sequence[Ticket]:
    """Return the tickets tied to this one that the asker may see, in the order of numbers."""
    statement = (
        select(Ticket)
        .join(
            TicketLink,
            or_(
                and_(TicketLink.ticket_id == ticket.id, TicketLink.other_id == Ticket.id),
                and_(TicketLink.other_id == ticket.id, TicketLink.ticket_id == Ticket.id),
            ),
        )
        .where(readable_tickets(reader))
        .options(joinedload(Ticket.queue))
        .order_by(Ticket.id)
        .limit(MAX_ARTICLES)
    )
    return session.scalars(statement).all()


def seen_article(session: Session, customer_user_id: int, ticket: Ticket) -> int:
    """Return the newest article of a ticket that a customer user has looked at, 0 for none."""
    seen = session.get(TicketSeen, (customer_user_id, ticket.id))
    return seen.article_id if seen is not None else 0


def mark_seen(session: Session, customer_user_id: int, ticket: Ticket, article_id: int) -> None:
    """Remember that a customer user has looked at a ticket up to this article; never backwards."""
    if not article_id:
        return
    on_sqlite = session.get_bind().dialect.name == "sqlite"
    insertion = (sqlite if on_sqlite else postgresql).insert(TicketSeen)
    session.execute(
        insertion.values(
            customer_user_id=customer_user_id, ticket_id=ticket.id, article_id=article_id
        ).on_conflict_do_update(
            index_elements=[TicketSeen.customer_user_id, TicketSeen.ticket_id],
            set_={"article_id": insertion.excluded.article_id},
            where=TicketSeen.article_id < insertion.excluded.article_id,
        )
    )


def article_html(
    session: Session,
    reader: Reader,
    ticket_public_id: str,
    article_id: int,
    attachment_url: Callable[[Attachment], str],
) -> SafeHtml | None:
    """Return the HTML body of an article as it may stand in a page.

    Pictures of the same mail get the address that ``attachment_url`` gives. None when there is
    no HTML body or it is too complex: the text is shown then. Raises ``NotFound``.
    """
    article, message = _article_mail(session, reader, ticket_public_id, article_id)
    pictures = _pictures(article)

    def url(content_id: str) -> str | None:
        picture = pictures.get(content_id)
        return attachment_url(picture) if picture is not None else None

    return safe_html(message.html, url, _("[image]")) if message.html else None


def article_original(
    session: Session,
    reader: Reader,
    ticket_public_id: str,
    article_id: int,
    *,
    remote_images: bool = False,
) -> str | None:
    """Return the HTML body with its formatting, for a sandboxed frame with a policy of its own.

    Pictures of the same mail are part of it as ``data:``. ``remote_images`` are for staff, once.
    None and ``NotFound`` as with ``article_html``.
    """
    article, message = _article_mail(session, reader, ticket_public_id, article_id)
    pictures, left = _pictures(article), MAX_INLINE_IMAGES

    def data(content_id: str) -> str | None:
        nonlocal left
        picture = pictures.get(content_id)
        if picture is None or picture.size > left:
            return None
        left -= picture.size
        found = _file(message.raw, picture)
        if found.served_as == OCTETS:
            return None
        return f"data:{found.served_as};base64,{b64encode(found.content).decode()}"

    allowed = remote_images and isinstance(reader, StaffQueues)
    return original_html(message.html, data, remote_images=allowed) if message.html else None


def attachment_for_customer(
    session: Session, access: Access, ticket_public_id: str, attachment_id: int
) -> File:
    """Return a file of an article that a customer user may read. Raises ``NotFound``."""
    return _attachment(session, access, ticket_public_id, attachment_id)


def attachment_for_staff(
    session: Session, queues: StaffQueues, ticket_public_id: str, attachment_id: int
) -> File:
    """Return a file of an article in a queue that staff may read. Raises ``NotFound``."""
    return _attachment(session, queues, ticket_public_id, attachment_id)


def raw_for_customer(
    session: Session, access: Access, ticket_public_id: str, article_id: int
) -> File:
    """Return the exact mail that this customer user wrote. Raises ``NotFound`` for others'."""
    own = Article.customer_user_id == access.customer_user_id
    return _raw(session, access, ticket_public_id, article_id, own)


def raw_for_staff(
    session: Session, queues: StaffQueues, ticket_public_id: str, article_id: int
) -> File:
    """Return the exact mail behind an article: what came in, or what was composed here.

    Raises ``NotFound``, also for what staff wrote without sending it and without files.
    """
    return _raw(session, queues, ticket_public_id, article_id)


def shown_type(content: bytes) -> str:
    """Return the media type that bytes may be served as: an image's, or octets."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in _IMAGE_STARTS if content.startswith(start)), OCTETS)


def _ticket(session: Session, reader: Reader, which: ColumnElement[bool]) -> Ticket:
    statement = (
        select(Ticket)
        .where(which, readable_tickets(reader))
        .options(
            joinedload(Ticket.queue),
            joinedload(Ticket.customer),
            joinedload(Ticket.customer_user),
            joinedload(Ticket.owner),
        )
    )
    ticket = session.scalars(statement).one_or_none()
    if ticket is None:
        raise NotFound(_("There is no such ticket."))
    return ticket


def _readable_article(reader: Reader, ticket_public_id: str) -> ColumnElement[bool]:
    """Return the condition on articles (joined with tickets) that every look-up goes through."""
    condition = and_(Ticket.public_id == ticket_public_id, readable_tickets(reader))
    return and_(condition, Article.visible) if isinstance(reader, Access) else condition


def _articles(reader: Reader, ticket_public_id: str) -> Select[Article]:
    return (
        select(Article)
        .join(Ticket, Ticket.id == Article.ticket_id)
        .where(_readable_article(reader, ticket_public_id))
        .options(joinedload(Article.mail).joinedload(Mail.raw), joinedload(Article.raw))
    )


def _article_mail(
    session: Session, reader: Reader, ticket_public_id: str, article_id: int
) -> tuple[Article, Message]:
    statement = (
        _articles(reader, ticket_public_id)
        .where(Article.id == article_id)
        .options(selectinload(Article.attachments))
    )
    article = session.scalars(statement).one_or_none()
    if article is None:
        raise NotFound(_("There is no such message."))
    return article, parse(_bytes_of(article))


def _raw(
    session: Session,
    reader: Reader,
    ticket_public_id: str,
    article_id: int,
    *more: ColumnElement[bool],
) -> File:
    statement = _articles(reader, ticket_public_id).where(Article.id == article_id, *more)
    article = session.scalars(statement).one_or_none()
    if article is None:
        raise NotFound(_("There is no such message."))
    if article.mail is not None:
        return eml(article.mail)
    return File(f"article-{article.id}.eml", "message/rfc822", OCTETS, _bytes_of(article))


def eml(mail: Mail | None) -> File:
    """Return the exact bytes of a mail as a file. Raises ``NotFound`` when none were kept."""
    content = _content(mail.raw if mail is not None else None)
    name = f"{mail.reference}.eml" if mail is not None else ""
    return File(name, "message/rfc822", OCTETS, content)


def _attachment(
    session: Session, reader: Reader, ticket_public_id: str, attachment_id: int
) -> File:
    statement = (
        select(Attachment)
        .join(Article, Article.id == Attachment.article_id)
        .join(Ticket, Ticket.id == Article.ticket_id)
        .where(Attachment.id == attachment_id, _readable_article(reader, ticket_public_id))
        .options(
            joinedload(Attachment.article).options(
                joinedload(Article.mail).joinedload(Mail.raw), joinedload(Article.raw)
            )
        )
    )
    attachment = session.scalars(statement).one_or_none()
    if attachment is None:
        raise NotFound(_("There is no such file."))
    return _file(_bytes_of(attachment.article), attachment)


def _file(raw: bytes, attachment: Attachment) -> File:
    """Read an attachment from the bytes of its mail."""
    try:
        _media, _name, content = read_part(raw, attachment.part)
    except IndexError:
        raise NotFound(_("There is no such file.")) from None
    return File(attachment.filename, attachment.content_type, shown_type(content), content)


def _pictures(article: Article) -> dict[str, Attachment]:
    """Return the pictures of a mail by the name that its HTML calls them by (threat M12)."""
    return {
        attachment.content_id: attachment
        for attachment in article.attachments
        if attachment.content_id and attachment.content_type.startswith("image/")
    }


def _bytes_of(article: Article) -> bytes:
    """Return the message behind an article. Raises ``NotFound`` when there is none."""
    return _content(article.mail.raw if article.mail is not None else article.raw)


def _content(raw: RawMail | None) -> bytes:
    if raw is None:
        raise NotFound(_("The bytes of this mail are gone."))
    return raw.content

"""What staff write into a ticket: text and files within their limits, as an article.

Files lie in a composed message, as those of incoming mail do; an article that is not sent has one
of its own.
"""

from collections.abc import Sequence
from email.utils import make_msgid

from babel.numbers import format_decimal
from sqlalchemy import insert
from sqlalchemy.orm import Session

from core.db import reserve_ids
from core.errors import Invalid
from core.i18n import current_language, ngettext
from core.i18n import gettext as _
from core.intake.raw_store import store_raw
from core.mail.text import clean_text
from core.mail.uploads import Upload
from core.models import Article, Attachment, RawMail, Staff, Ticket, now
from core.organisation import Organisation
from core.outgoing.compose import Letter, Mailbox, compose
from core.tickets.search import index_articles
from core.words import Author

MAX_WRITTEN = 64 * 1024  # characters of a reply or a note
DOMAIN = "notes.schalter.invalid"  # RFC 2606: never a real host
_FIRST_FILE = 2  # a composed message with files: the whole, its text, then the files in order


def written_text(text: str) -> str:
    """Return what somebody wrote, cleaned. Raises ``Invalid`` when it is empty or too long."""
    written = clean_text(text).strip()
    if not written:
        raise Invalid("text", _("Please fill this in."))
    if len(written) > MAX_WRITTEN:
        raise Invalid("text", _("At most %(limit)d characters.", limit=MAX_WRITTEN))
    return written


def check_uploads(organisation: Organisation, uploads: Sequence[Upload]) -> None:
    """Raise ``Invalid`` for files beyond the limits of the settings."""
    settings = organisation.settings
    if uploads and not settings.upload_max_files:
        raise Invalid("files", _("No files can be sent."))
    if len(uploads) > settings.upload_max_files:
        limit = settings.upload_max_files
        text = ngettext("At most %(num)d file.", "At most %(num)d files.", limit)
        raise Invalid("files", text)
    if sum(len(upload.content) for upload in uploads) > settings.upload_max_bytes:
        megabytes = format_decimal(settings.upload_max_bytes / 1e6, locale=current_language())
        text = _("All files together may have %(limit)s.", limit=f"{megabytes}\u00a0MB")
        raise Invalid("files", text)


def add_article(
    session: Session, ticket: Ticket, staff: Staff, sender: Mailbox, text: str, *, visible: bool
) -> Article:
    """Store an article of a member of staff, so that it can be read and found."""
    article = Article(
        ticket_id=ticket.id,
        author=Author.STAFF,
        channel=None,
        staff_id=staff.id,
        from_address=sender.address,
        from_name=sender.name,
        subject=ticket.subject,
        text=text,
        visible=visible,
        created_at=now(),
    )
    session.add(article)
    session.flush()  # index, files and audit event need the id
    index_articles(session, [(article.id, article.subject, article.text)])
    return article


def add_files(
    session: Session, article: Article, raw_id: int | None, uploads: Sequence[Upload]
) -> None:
    """Say of which message an article is, and where its files are in it."""
    article.raw_id = raw_id
    if uploads:
        rows = [
            {
                "article_id": article.id,
                "part": _FIRST_FILE + number,
                "filename": upload.name,
                "content_type": "/".join(upload.media_type),
                "size": len(upload.content),
                "content_id": "",
                "inline": False,
            }
            for number, upload in enumerate(uploads)
        ]
        session.connection().execute(insert(Attachment), rows)
    session.flush()
    session.expire(article, ["attachments"])


def store_unsent(session: Session, article: Article, uploads: Sequence[Upload]) -> None:
    """Keep the files of an article that is not sent, in a message of its writer to himself."""
    if not uploads:
        return
    writer = Mailbox(article.from_address, article.from_name)
    letter = Letter(
        sender=writer,
        to=(writer,),
        subject=article.subject,
        text=article.text,
        date=article.created_at,
        message_id=make_msgid(domain=DOMAIN),
        uploads=tuple(uploads),
    )
    ((raw_id,),) = reserve_ids(session, [(RawMail, 1)])
    store_raw(session.connection(), [{"id": raw_id, "content": compose(letter)}])
    add_files(session, article, raw_id, uploads)

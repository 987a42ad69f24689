"""Messages of a ticket as the pages of customers and of staff show them."""

from flask import url_for
from markupsafe import Markup

from core.models import Article, Attachment, Ticket
from core.tickets.view import Reader, article_html
from portal.database import reading


def message_html(
    reader: Reader, ticket: Ticket, article: Article, picture: str = ".picture"
) -> tuple[Markup, int] | None:
    """Return the safe HTML of a message and how many remote images were left out of it.

    None when its text is to be shown. ``picture`` is the page that hands out pictures; as it
    stands that of the area at hand.
    """
    if not article.has_html:
        return None

    def url(attachment: Attachment) -> str:
        return url_for(picture, public_id=ticket.public_id, attachment_id=attachment.id)

    found = article_html(reading(), reader, ticket.public_id, article.id, url)
    if found is None:
        return None
    return Markup(found.html), found.blocked_images  # noqa: S704 - what nh3 has let through

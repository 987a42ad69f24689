"""The messages of a ticket one by one: why each is here, its mail, its files, its formatting."""

from flask import render_template, request
from werkzeug.wrappers import Response

from core.errors import NotFound
from core.i18n import gettext as _
from core.intake.mail_log import shown_steps
from core.tickets.origin import delivery_of_article
from core.tickets.view import (
    article_original,
    attachment_for_staff,
    raw_for_staff,
    ticket_for_staff,
)
from portal.areas import Area, Audience
from portal.database import reading
from portal.files import file_response, frame_response
from portal.staff.asking import queues

area = Area("staff_messages", __name__, Audience.STAFF, "/staff/tickets/<public_id>")


@area.get("/messages/<int:article_id>/why")
def why(public_id: str, article_id: int) -> str:
    """Show the mail behind a message, and how intake decided about it."""
    session, mine = reading(), queues()
    ticket = ticket_for_staff(session, mine, public_id)
    delivery = delivery_of_article(session, mine, public_id, article_id)
    return render_template(
        "staff/why.html",
        article_id=article_id,
        delivery=delivery,
        mail=delivery.mail,
        in_log=delivery.queue_id in mine.readable,
        steps=shown_steps(delivery.trace),
        ticket=ticket,
    )


@area.get("/attachments/<int:attachment_id>")
def attachment(public_id: str, attachment_id: int) -> Response:
    """Hand out a file, to be saved."""
    return file_response(attachment_for_staff(reading(), queues(), public_id, attachment_id))


@area.get("/pictures/<int:attachment_id>")
def picture(public_id: str, attachment_id: int) -> Response:
    """Hand out a picture, to be shown in its message."""
    found = attachment_for_staff(reading(), queues(), public_id, attachment_id)
    return file_response(found, inline=True)


@area.get("/messages/<int:article_id>/raw")
def raw(public_id: str, article_id: int) -> Response:
    """Hand out the exact mail behind a message."""
    return file_response(raw_for_staff(reading(), queues(), public_id, article_id))


@area.get("/messages/<int:article_id>")
def original(public_id: str, article_id: int) -> str:
    """Show a message with the formatting of its sender, in a frame of its own."""
    session, mine = reading(), queues()
    ticket = ticket_for_staff(session, mine, public_id)
    remote = _with_remote_images()
    html = article_original(session, mine, public_id, article_id, remote_images=remote)
    return render_template(
        "staff/original.html",
        article_id=article_id,
        images=remote,
        is_shown=html is not None,
        ticket=ticket,
    )


@area.get("/messages/<int:article_id>/frame")
def frame(public_id: str, article_id: int) -> Response:
    """Hand out the document for that frame, with images from elsewhere if that is asked for."""
    remote = _with_remote_images()
    html = article_original(reading(), queues(), public_id, article_id, remote_images=remote)
    if html is None:
        raise NotFound(_("There is no such message."))
    return frame_response(html, remote_images=remote)


def _with_remote_images() -> bool:
    return request.args.get("images") == "1"

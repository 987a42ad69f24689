"""Why an article is where it is: the mail behind it, and how intake decided about it."""

from sqlalchemy import select
from sqlalchemy.orm import Session, contains_eager

from core.accounts.staff import StaffQueues
from core.errors import NotFound
from core.i18n import gettext as _
from core.models import Article, Delivery, Mail, Ticket
from core.tickets.view import readable_tickets


def delivery_of_article(
    session: Session, queues: StaffQueues, ticket_public_id: str, article_id: int
) -> Delivery:
    """Return the delivery that made an article, with its mail.

    Whoever may read the ticket may know why it is there, also after it was moved from a queue
    whose mail log they may not read. Raises ``NotFound``, also for a note.
    """
    delivery = session.scalars(
        select(Delivery)
        .join(Article, Article.id == Delivery.article_id)
        .join(Ticket, Ticket.id == Article.ticket_id)
        .join(Mail, Mail.id == Delivery.mail_id)
        .where(
            Article.id == article_id,
            Article.mail_id == Mail.id,
            Ticket.public_id == ticket_public_id,
            readable_tickets(queues),
        )
        .options(contains_eager(Delivery.mail))
        .order_by(Delivery.id)
        .limit(1)
    ).one_or_none()
    if delivery is None:
        raise NotFound(_("There is no such message."))
    return delivery

"""Internal notes, which customers never see."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from core import audit
from core.accounts.staff import staff_queue_ids
from core.audit import Actor
from core.mail.uploads import Upload
from core.models import Article, Staff
from core.organisation import load_organisation
from core.outgoing.compose import Mailbox
from core.tickets.changing import workable_ticket
from core.tickets.writing import add_article, check_uploads, store_unsent, written_text


def add_note(
    session: Session,
    actor: Actor,
    staff: Staff,
    public_id: str,
    text: str,
    uploads: Sequence[Upload] = (),
) -> Article:
    """Add an internal note with files, which staff of the queue can download.

    The ticket's last change stays what it was: a customer's list would show that something has
    happened, and nothing to read. Raises ``NotFound``, ``Forbidden``, and ``Invalid`` for a text
    that is empty or too long and for files beyond the limits.
    """
    organisation = load_organisation(session)
    note = written_text(text)
    check_uploads(organisation, uploads)
    queues = staff_queue_ids(session, organisation, staff)
    ticket = workable_ticket(session, queues, public_id)
    writer = Mailbox(staff.email, staff.name)
    article = add_article(session, ticket, staff, writer, note, visible=False)
    store_unsent(session, article, uploads)
    audit.record(
        session, actor, "noted", "ticket", ticket.id, ticket.subject, None, {"article": article.id}
    )
    return article

"""A ticket that staff begin for a customer, who has called or is to be told something."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from core import audit
from core.accounts.staff import StaffQueues, staff_queue_ids
from core.audit import Actor
from core.errors import Invalid
from core.i18n import gettext as _
from core.ids import new_public_id
from core.mail.text import one_line
from core.mail.uploads import Upload
from core.models import CustomerUser, Staff, Ticket, now
from core.organisation import Organisation, load_organisation
from core.outgoing.compose import MAX_SUBJECT
from core.outgoing.installation import Installation
from core.tickets.changing import account_for_queue
from core.tickets.reply import answerable, checked_cc, write
from core.tickets.writing import check_uploads, written_text
from core.words import Priority, TicketState


@dataclass(frozen=True, slots=True, kw_only=True)
class StartValues:
    """What staff enter. Without ``send`` the first article is shown in the portal only."""

    customer_user_id: int
    queue_id: int
    subject: str
    text: str
    uploads: tuple[Upload, ...] = ()
    cc: tuple[str, ...] = ()
    send: bool = True


def start_ticket(
    session: Session, installation: Installation, actor: Actor, staff: Staff, values: StartValues
) -> Ticket:
    """Open a ticket of a customer user with an article of staff, and send that if asked to.

    The account must be valid and may write to the queue, as when it wrote itself; the member of
    staff must work the queue. What was sent waits for the customer; else it is open. Raises
    ``Invalid`` for the field that cannot be, and ``Forbidden``.
    """
    organisation = load_organisation(session, lock=True)
    subject, text = _subject(values.subject), written_text(values.text)
    check_uploads(organisation, values.uploads)
    queues = staff_queue_ids(session, organisation, staff)
    _check_queue(organisation, queues, values.queue_id)
    account = account_for_queue(session, organisation, values.customer_user_id, values.queue_id)
    ticket = _opened(session, staff, account, values.queue_id, subject)
    to = answerable(session, ticket) if values.send else None
    if to is None and any(address.strip() for address in values.cc):
        raise Invalid("cc", _("Nothing is sent, so there can be no copies of it."))
    cc = checked_cc(organisation, to, values.cc) if to is not None else ()
    article = write(
        session, installation, organisation, ticket, staff, text, values.uploads, to, cc
    )
    if article.sent_to:
        ticket.state = TicketState.WAITING
    after = {
        "article": article.id,
        "customer_user": account.login,
        "to": article.sent_to,
        "cc": article.sent_cc,
    }
    audit.record(session, actor, "created", "ticket", ticket.id, ticket.subject, None, after)
    return ticket


def _subject(entered: str) -> str:
    subject = one_line(entered)
    if not subject:
        raise Invalid("subject", _("Please fill this in."))
    if len(subject) > MAX_SUBJECT:
        raise Invalid("subject", _("At most %(limit)d characters.", limit=MAX_SUBJECT))
    return subject


def _check_queue(organisation: Organisation, queues: StaffQueues, queue_id: int) -> None:
    queue = organisation.queues.get(queue_id)
    if queue is None or queue.id not in queues.writable:
        raise Invalid("queue_id", _("You may not write tickets in this queue."))
    if not queue.valid:
        raise Invalid("queue_id", _("This queue is invalid."))


def _opened(
    session: Session, staff: Staff, account: CustomerUser, queue_id: int, subject: str
) -> Ticket:
    at = now()
    ticket = Ticket(
        public_id=new_public_id(),
        queue_id=queue_id,
        customer_user=account,
        customer_id=account.customer_id,
        requester=account.email,
        subject=subject,
        state=TicketState.OPEN,
        priority=Priority.NORMAL,
        owner=staff,
        created_at=at,
        changed_at=at,
    )
    session.add(ticket)
    session.flush()  # the article needs the id
    return ticket

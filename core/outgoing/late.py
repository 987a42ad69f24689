"""Mail that is composed when it is first sent, and not where it was caused.

So taking mail in stays quick, and what is not wanted any more is not sent. What was composed is
stored like everything that goes out; only what holds a secret is composed anew at each try.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from sqlalchemy.orm import Session

from core.accounts import own_addresses, password_links
from core.db import reserve_ids
from core.intake.number_claims.question import posting_of as posting_of_question
from core.intake.raw_store import store_raw
from core.models import OutgoingMail, RawMail, now
from core.outgoing import auto_responses, digests, notices
from core.outgoing.compose import compose
from core.outgoing.installation import Installation
from core.outgoing.outbox import Posting, bounce_address, letter_of
from core.words import OutgoingKind

_POSTINGS: Mapping[OutgoingKind, Callable[[Session, Installation, OutgoingMail], Posting]] = {
    OutgoingKind.NOTICE: notices.posting_of,
    OutgoingKind.RECEIVED: auto_responses.posting_of,
    OutgoingKind.FOLLOW_UP: auto_responses.posting_of,
    OutgoingKind.REJECTED: auto_responses.posting_of,
    OutgoingKind.NEW_TICKET: auto_responses.posting_of,
    OutgoingKind.PASSWORD_RESET: password_links.posting_of,
    OutgoingKind.INVITATION: password_links.posting_of,
    OutgoingKind.ADDRESS_LINK: own_addresses.link_posting_of,
    OutgoingKind.ADDRESS_CHANGED: own_addresses.notice_posting_of,
    OutgoingKind.NUMBER_CLAIM: posting_of_question,
    OutgoingKind.DIGEST: digests.posting_of,
}
_SECRET = frozenset(
    {
        OutgoingKind.PASSWORD_RESET,
        OutgoingKind.INVITATION,
        OutgoingKind.ADDRESS_LINK,
        OutgoingKind.NUMBER_CLAIM,
    }
)


class Ready(NamedTuple):
    """What the relay gets of a mail, beside its recipient."""

    mail_from: str
    content: bytes


def compose_late(session: Session, installation: Installation, mail: OutgoingMail) -> Ready:
    """Compose a mail without bytes, and store them, in the caller's writing transaction.

    Raises ``Suppressed`` when the mail must not be sent; the transaction is then to be undone.
    """
    posting = _POSTINGS[mail.kind](session, installation, mail)
    letter = letter_of(installation, posting, mail.id, now())
    content = compose(letter)
    if mail.kind not in _SECRET:
        ((raw_id,),) = reserve_ids(session, [(RawMail, 1)])
        store_raw(session.connection(), [{"id": raw_id, "content": content}])
        mail.raw_id = raw_id
    mail.mail_from = bounce_address(installation, posting, mail.id)
    mail.message_id, mail.subject = letter.message_id, posting.subject[:500]
    return Ready(mail.mail_from, content)

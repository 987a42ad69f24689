"""To whom a reply goes, as the page of a ticket says it before anything is written."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from core.i18n import gettext as _
from core.mail.addresses import address_key
from core.models import Ticket
from core.outgoing.bounces import bouncing
from core.tickets.reply import Addressee, addressee
from portal.installation import relay_is_set_up


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who gets a reply. ``refusal`` says why nobody can be answered, "" where somebody can.

    ``only_portal`` says why no mail goes out with it; ``warnings`` what may keep it from arriving.
    """

    name: str
    address: str
    refusal: str = ""
    only_portal: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def gets_mail(self) -> bool:
        """Whether a reply is sent, and not only shown in the portal."""
        return not (self.refusal or self.only_portal)


def receiver_of(session: Session, ticket: Ticket) -> Receiver:
    """Return who gets a reply in a ticket."""
    found = addressee(session, ticket)
    if found.mailbox is None:
        return Receiver("", "", refusal=found.problem)
    only_portal = _only_portal(found)
    return Receiver(
        found.mailbox.name,
        found.mailbox.address,
        only_portal=only_portal,
        warnings=() if only_portal else _warnings(session, found.mailbox.address),
    )


def language_of(ticket: Ticket) -> str:
    """Return the language in which a customer is written to; "" where nobody has chosen one."""
    account = ticket.customer_user
    return account.language if account is not None else ""


def _only_portal(found: Addressee) -> str:
    if found.muted:
        return _("The customer has muted this ticket: no mail is sent, the portal shows the reply.")
    if found.no_notices:
        return _("The customer wants no mail: none is sent, the portal shows the reply.")
    return ""


def _warnings(session: Session, address: str) -> tuple[str, ...]:
    return tuple(filter(None, (_bounces(session, address), no_relay())))


def _bounces(session: Session, address: str) -> str:
    key = address_key(address) or address
    known = bouncing(session, [key]).get(key)
    if known is None:
        return ""
    return _(
        "Mail to this address keeps coming back (%(bounces)d times): %(text)s",
        bounces=known.bounces,
        text=known.last_text or "–",
    )


def no_relay() -> str:
    """Return what is to be known where no relay is set up, "" where one is."""
    if relay_is_set_up():
        return ""
    return _("No mail server is set up for outgoing mail: what is sent waits in the outbox.")

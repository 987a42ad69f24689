"""The page behind the mute link of a mail: no mail about this ticket any more.

Opening it changes nothing, because mail scanners open every link. What mutes is a POST: of the
page's button, or of a mail program (RFC 8058), which has neither a session nor a form's token. So
the signed token of the link is all that is asked for, and muting is all that it can do.
"""

from flask import render_template

from core.errors import NotFound
from core.i18n import gettext as _
from core.models import now
from core.outgoing.mutes import Muting, mute, muting_of
from portal.areas import Area, Audience
from portal.database import reading, writing
from portal.installation import installation
from portal.limits import POST, limiter

area = Area("mute", __name__, Audience.EVERYBODY, "/mute/<token>")


@area.get("")
def ask(token: str) -> str:
    """Say what the button does."""
    return render_template("portal/mute.html", muting=_muting(token), is_done=False)


@area.post("")
@limiter.limit(POST)
def confirm(token: str) -> str:
    """Mute the ticket; the answer is a page and no redirect, as RFC 8058 wants it."""
    muting = _muting(token)
    mute(writing(), muting.customer_user_id, muting.ticket_id)
    return render_template("portal/mute.html", muting=muting, is_done=True)


def _muting(token: str) -> Muting:
    """Return what a link mutes. Raises ``NotFound``, whatever is wrong with it."""
    found = muting_of(reading(), installation().keys.ring.believed(now().date()), token)
    if found is None:
        raise NotFound(_("This link is not valid (any more)."))
    return found

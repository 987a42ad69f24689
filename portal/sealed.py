"""What a page hands to itself: bytes in a hidden field that come back unchanged, or not at all.

So the steps of an import need no place on the server that fills up, has to be swept and would
have to be shared by processes. The price is that the browser sends the file more than once.
"""

import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode

from flask import current_app
from itsdangerous import BadSignature, TimestampSigner

from core.errors import SchalterError
from core.i18n import gettext as _
from portal.visitors import the_viewer

MAX_AGE_S = 3600
MAX_SEALED = 1_500_000  # characters; a form takes a little more (portal.app.MAX_FIELD)


class TooBig(SchalterError):
    """Bytes that do not fit into a form."""


class NotSealed(SchalterError):
    """What came back is not what was handed out, or too old."""


def sealed(purpose: str, content: bytes) -> str:
    """Return bytes as the text of a field that only this account can send back.

    Raises ``TooBig``.
    """
    packed = urlsafe_b64encode(zlib.compress(content))
    text = _signer(purpose).sign(packed).decode()
    if len(text) > MAX_SEALED:
        raise TooBig(_("This is too much for a page; the console has no such limit."))
    return text


def unsealed(purpose: str, text: str) -> bytes:
    """Return the bytes that ``sealed`` was given. Raises ``NotSealed``."""
    try:
        packed = _signer(purpose).unsign(text.encode(), max_age=MAX_AGE_S)
    except (BadSignature, UnicodeEncodeError):  # one that is too old as well
        raise NotSealed(
            _("This page has waited for too long. Please choose the file again.")
        ) from None
    return zlib.decompress(urlsafe_b64decode(packed))


def _signer(purpose: str) -> TimestampSigner:
    keys = current_app.config["WTF_CSRF_SECRET_KEY"]  # all that are believed, the newest last
    return TimestampSigner(keys, salt=f"schalter.{purpose}.{the_viewer().actor.id}")

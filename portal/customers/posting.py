"""What a customer writes, on its way into intake: fields, files, and what became of it.

Composing and parsing a message with files takes a while and is done before the transaction.
"""

import hashlib
import re
import secrets

from wtforms import HiddenField, MultipleFileField, TextAreaField
from wtforms.validators import InputRequired

from core.errors import Forbidden, Invalid
from core.i18n import gettext as _
from core.i18n import lazy_gettext as _l
from core.intake.incoming import Incoming, RecipientReceipt
from core.intake.pipeline import take_in_prepared
from core.intake.prepare import prepare
from core.mail.message import MAX_TEXT
from core.words import DecisionKind
from portal.database import writing
from portal.forms import REQUIRED, Form, uploaded

NONCE_BYTES = 16
_NONCE = re.compile(r"[A-Za-z0-9_-]{22}")


def text_field() -> TextAreaField:
    """Return the field of the text; a form's fields have the order in which they are made."""
    return TextAreaField(_l("Message"), [InputRequired(REQUIRED)])


class MessageForm(Form):
    """A text with files. ``nonce`` tells the same form sent twice from two messages."""

    text = text_field()
    files = MultipleFileField(_l("Files"))
    nonce = HiddenField()

    def prepare_nonce(self) -> None:
        """Give a form that is shown a nonce, and replace one that is not ours."""
        self.nonce.data = self._own_nonce()

    def check_text(self) -> None:
        """Raise ``Invalid`` for a text that intake would cut off."""
        if not self.text.data.strip():
            raise Invalid("text", _("Please fill this in."))
        if len(self.text.data) > MAX_TEXT:
            raise Invalid("text", _("At most %(limit)d characters.", limit=MAX_TEXT))

    def message_nonce(self, *more: str) -> str:
        """Return the nonce of this message: the form's, and what is written in it.

        Who goes back, changes the text and sends it again means another message.
        """
        names = [file.filename or "" for file in uploaded(self.files)]
        parts = (self._own_nonce(), self.text.data, *more, *names)
        return hashlib.sha256("\0".join(parts).encode(errors="replace")).hexdigest()

    def _own_nonce(self) -> str:
        given = self.nonce.data or ""
        return given if _NONCE.fullmatch(given) else secrets.token_urlsafe(NONCE_BYTES)


def post(incoming: Incoming) -> RecipientReceipt:
    """Take a message in, in the writing transaction of this request; return what became of it.

    Raises ``Forbidden`` when the account may not do this (any more).
    """
    prepared = prepare(incoming)
    (receipt,) = take_in_prepared(writing(), [prepared])
    (part,) = receipt.recipients
    if part.decision not in (DecisionKind.OPEN_TICKET, DecisionKind.APPEND_ARTICLE):
        raise Forbidden(_refusal(part.reason))
    return part


def _refusal(reason: str) -> str:
    if reason == "ticket-closed":
        return _("This ticket is closed and takes no more replies. Please write a new ticket.")
    return _("Your account may no longer write there. Nothing was sent.")

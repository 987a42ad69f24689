"""The forms of a held mail: to release, refuse or discard it."""

from wtforms import BooleanField, HiddenField, SelectField, StringField
from wtforms.validators import InputRequired

from core.errors import Invalid
from core.i18n import gettext as _
from core.i18n import lazy_gettext as _l
from core.intake.held import RightMissing
from core.mail.text import one_line
from core.models import MAX_ID
from portal.forms import REQUIRED, Form, choices
from portal.vocabulary import LANGUAGE_NAMES

NO_ACCOUNT = 0
MAX_DIGITS = 18  # of a ticket number


class ReleaseForm(Form):
    """Where a held mail is filed, and as whose."""

    customer_user = HiddenField(_l("Whose mail is it?"))
    queue = SelectField(_l("File in the queue"), coerce=int)
    ticket = StringField(_l("or add to the ticket with the number"))
    remember = BooleanField(_l("Remember the sender's address for this account"))
    give = BooleanField(_l("Give the account this permission, then release"))
    give_what = HiddenField()

    @property
    def account_id(self) -> int:
        """The chosen account, ``NO_ACCOUNT`` for none."""
        text = self.customer_user.data or ""
        return int(text) if text.isdecimal() and int(text) <= MAX_ID else NO_ACCOUNT

    @property
    def ticket_number(self) -> int | None:
        """The ticket that was entered, None for a new one. Raises ``Invalid`` for what is none."""
        text = one_line(self.ticket.data or "").lstrip("#")
        if not text:
            return None
        if not (text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS):
            raise Invalid("ticket", _("Please enter the number of a ticket."))
        return int(text)

    def gives(self, missing: RightMissing) -> bool:
        """Whether it was agreed to give just the permission that is missing."""
        return bool(self.give.data) and self.give_what.data == right_key(missing)


class RefuseForm(Form):
    """What the sender of a held mail is told, and in which language."""

    reason = SelectField(_l("Reason"), [InputRequired(REQUIRED)])
    language = SelectField(_l("Language of the answer"), choices=choices(LANGUAGE_NAMES.items()))


class DiscardForm(Form):
    """Why a held mail is put aside."""

    why = StringField(_l("Reason"), [InputRequired(REQUIRED)])


def right_key(missing: RightMissing) -> str:
    """Name a permission, so that no other is given than the one that was shown."""
    return f"{missing.customer_user_id}-{missing.queue.id}"

"""What an edit would change for the last mails, told before it is saved.

A form has a second button, ``TRIAL``; its page shows what ``compared`` returns with the macro
``comparison_of`` of ``admin/comparison.html``, and keeps what was typed.
"""

from flask import request

from core.intake.again import Comparison, compare
from core.organisation import Organisation
from portal.database import reading
from portal.installation import believed_keys
from portal.visitors import organisation

TRIAL = "trial"  # name of the button


def is_trial() -> bool:
    """Whether it is only asked what would change."""
    return TRIAL in request.form


def compared(edited: Organisation) -> Comparison:
    """Return what would become of the last mails in the organisation as edited, and is now."""
    return compare(reading(), organisation(), edited, believed_keys())

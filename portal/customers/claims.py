"""The page behind the link of a question: does a sender that names your Kunden# belong to you?

The link went to a registered address and holds a secret, so it asks for no password: most contacts
who answer mail never sign in. It shows who wrote, when and where to, and nothing that stands in
the mail. Opening it changes nothing, for programs that check mail open links, too.
"""

from flask import make_response, render_template, request
from werkzeug.wrappers import Response
from wtforms import BooleanField

from core.i18n import lazy_gettext as _l
from core.intake.number_claims.answers import confirm, deny, question_of
from core.models import ticket_number
from portal.areas import Area, Audience
from portal.database import reading, writing
from portal.forms import Form
from portal.limits import POST, limiter
from portal.visitors import peer

area = Area("claims", __name__, Audience.EVERYBODY, "/claims/<token>")

GONE = 410  # RFC 9110: it was here, and will not be again


class AnswerForm(Form):
    """What a contact says beside yes."""

    remember = BooleanField(_l("This is an address of mine: remember it for my account"))


@area.get("")
def ask(token: str) -> Response:
    """Show the question."""
    question = question_of(reading(), token)
    if question is None:
        return _gone()
    return AnswerForm().answer("portal/claim.html", question=question)


@area.post("")
@limiter.limit(POST)
def answer(token: str) -> Response:
    """Take the answer of one of the two buttons; without one, ask again."""
    match request.form.get("answer"):
        case "yes":
            return _yes(token)
        case "no":
            return _no(token)
        case _:
            return ask(token)


def _yes(token: str) -> Response:
    is_wanted = AnswerForm().remember.data
    done = confirm(writing(), token, remember=is_wanted, peer=peer())
    if done is None:
        return _gone()
    assert done.receipt.ticket_id is not None  # a confirmed mail is filed
    number = ticket_number(done.receipt.ticket_id)
    return make_response(
        render_template(
            "portal/claim_confirmed.html", done=done, is_wanted=is_wanted, number=number
        )
    )


def _no(token: str) -> Response:
    question = deny(writing(), token, peer=peer())
    if question is None:
        return _gone()
    return make_response(render_template("portal/claim_denied.html", question=question))


def _gone() -> Response:
    """Answer a link that opens nothing: why is nobody's business."""
    return make_response(render_template("portal/claim_gone.html"), GONE)

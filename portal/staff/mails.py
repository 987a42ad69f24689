"""The mail log: every mail with its fate, and why."""

from flask import render_template, request
from werkzeug.wrappers import Response

from core.intake.decision import FATES
from core.intake.mail_log import MailFilter, logged_mail, mail_bytes, mail_log, shown_steps
from core.intake.refuse import shown_why
from core.labels import REASONS, label, reason_label
from core.models import CustomerUser
from core.words import DecisionKind, HeldState
from portal.areas import Area, Audience
from portal.database import reading
from portal.files import file_response
from portal.parameters import (
    begin,
    day_of_request,
    end,
    id_of_request,
    text_of_request,
    word_of_request,
)
from portal.staff.asking import member, named, queues
from portal.visitors import the_viewer

PARAMETERS = ("q", "sender", "decision", "held", "reason", "queue", "customer_user", "since",
              "until")  # fmt: skip

area = Area("staff_mails", __name__, Audience.STAFF, "/staff/mails")


@area.get("")
def index() -> str:
    """List mails: filtered, page by page."""
    session, wanted = reading(), filter_of_request()
    values = {name: text_of_request(name) for name in PARAMETERS}
    return render_template(
        "staff/mails.html",
        customer_user=session.get(CustomerUser, wanted.customer_user_id or 0),
        fates_to_choose=[(word.value, label(word)) for word in FATES],
        page=mail_log(
            session,
            member(),
            wanted,
            cursor=request.args.get("page"),
            limit=the_viewer().account.tickets_per_page,
        ),
        parameters={name: value for name, value in values.items() if value},
        queues=[(queue.id, queue.name) for queue in named(queues().readable)],
        reasons=reason_choices(),
        values=values,
    )


@area.get("/<reference>")
def show(reference: str) -> str:
    """Show one mail: its envelope, and for each recipient what became of it and why."""
    logged = logged_mail(reading(), member(), reference)
    deliveries, mine = [each.delivery for each in logged.deliveries], queues()
    return render_template(
        "staff/mail.html",
        logged=logged,
        mail=logged.mail,
        may_work={each.id for each in deliveries if mine.may_work(each.queue_id)},
        shown_why=shown_why,
        steps={delivery.id: shown_steps(delivery.trace) for delivery in deliveries},
    )


@area.get("/<reference>/raw")
def raw(reference: str) -> Response:
    """Hand out the exact bytes of a mail."""
    return file_response(mail_bytes(reading(), member(), reference))


def filter_of_request() -> MailFilter:
    """Return which mails the address of this page asks for."""
    reason = text_of_request("reason")
    return MailFilter(
        decision=word_of_request("decision", DecisionKind),
        held=word_of_request("held", HeldState),
        reason=reason if reason in REASONS else "",
        queue_id=id_of_request("queue"),
        customer_user_id=id_of_request("customer_user"),
        sender=text_of_request("sender"),
        query=text_of_request("q"),
        since=begin(day_of_request("since")),
        until=end(day_of_request("until")),
    )


def reason_choices() -> list[tuple[str, str]]:
    """Return the reasons of decisions to choose from."""
    return sorted(((reason, reason_label(reason)) for reason in REASONS), key=lambda pair: pair[1])

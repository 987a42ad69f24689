"""The simulator: what would become of a mail, and what would make it allowed.

Nothing of the mail is recorded. The customer sources are asked who it is from, as for a mail that
comes in; like any look-up, that brings the copies of their accounts up to date. A mail is typed,
uploaded, or one that has come in before; other pages open it prefilled.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from flask import current_app, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload, selectinload
from werkzeug.datastructures import FileStorage
from werkzeug.wrappers import Response
from wtforms import BooleanField, FileField, SelectField

from core.config import Config, SmtpSection
from core.errors import Invalid, NotFound
from core.i18n import gettext as _
from core.i18n import lazy_gettext as _l
from core.intake.again import as_it_came
from core.intake.assumed import Assumed
from core.intake.incoming import Envelope, Incoming
from core.intake.mail_log import ShownStep, shown_steps
from core.intake.prepare import prepare
from core.intake.rows import trace
from core.intake.simulate import SimulatedRecipient, Simulation, assuming, look_up_one, simulate
from core.intake.trial_mail import TrialMail, fitting_values
from core.intake.ways import Target, TargetKind
from core.labels import label
from core.mail.text import one_line
from core.models import CustomerUser, Delivery, Mail, RoutingRule, now
from core.routing.rule import Conditions, Field, conditions_from_json
from core.words import Protocol
from portal.admin.fixed import CONFIG
from portal.admin.forms import long_text, text
from portal.areas import Area, Audience
from portal.customer_sources import live_sources
from portal.database import database, end_reading, reading
from portal.formats import file_size
from portal.forms import Form, choices, put
from portal.installation import believed_keys
from portal.parameters import id_of_request, text_of_request
from portal.visitors import organisation

MAX_LINE = 1000  # characters of a field
NOBODY = "<>"  # the null reverse-path, as it is typed

area = Area("admin_simulator", __name__, Audience.ADMIN, "/admin/simulator")


class SimulatorForm(Form):
    """A mail to be tried; an empty ``mail_from`` is the address in From."""

    recipient = text(_l("To"), starred=True)
    from_ = text(_l("From"))
    mail_from = text(_l("Envelope sender"))
    number = text(_l("Kunden#"))
    subject = text(_l("Subject"))
    peer = text(_l("Address of the server that hands it over"))
    trusted = BooleanField(_l("It is one of our own servers: mail from inside"))
    file = FileField(_l("Or a mail as a file (.eml)"))
    assumed = SelectField(_l("What the checks of the sender find"), default=Assumed.NOTHING.value)
    text = long_text(_l("Text"))


_FIELDS: Mapping[Field, str] = {
    Field.SUBJECT: "subject",
    Field.TEXT: "text",
    Field.FROM: "from_",
    Field.MAIL_FROM: "mail_from",
    Field.RECIPIENT: "recipient",
    Field.CUSTOMER_NUMBER: "number",
    Field.PEER: "peer",
}


@dataclass(frozen=True, slots=True)
class ShownRecipient:
    """What would become of a mail for one recipient; ``then`` is what became of it before."""

    simulated: SimulatedRecipient
    because: str
    steps: tuple[ShownStep, ...]
    then: Delivery | None

    @property
    def is_as_before(self) -> bool:
        """Whether the rules still say what they said."""
        now = self.simulated.summary
        return self.then is not None and (self.then.decision, self.then.reason) == (
            now.kind,
            now.reason,
        )


@area.route("", methods=["GET", "POST"])
def show() -> Response:
    """Show the form, and the decision once there is a mail to decide about.

    A mail that has come in before is tried at once: a link leads here from its page.
    """
    session = reading()
    asked = _mail(session)
    mail = asked if asked is not None and asked.raw_id is not None else None
    form = SimulatorForm()
    form.assumed.choices = choices([(word.value, label(word)) for word in _assumable(mail)])
    if not form.is_submitted():
        _prefill(form, session, asked)
    simulation = None
    if form.validate_on_submit() or (mail is not None and not form.is_submitted()):
        with form.errors_of_core():
            simulation = _simulate(form, mail)
    return form.answer(
        "admin/simulator.html",
        addresses=sorted(organisation().queue_by_address),
        has_sources=bool(live_sources().names),
        mail=mail,
        is_without_bytes=asked is not None and mail is None,
        max_bytes=_limit(),
        recipients=[] if simulation is None else _shown(simulation, mail),
        simulation=simulation,
        url_of=_url_of,
    )


def _assumable(mail: Mail | None) -> list[Assumed]:
    return [word for word in Assumed if word is not Assumed.FOUND or mail is not None]


def _mail(session: Session) -> Mail | None:
    """Return the mail that the address of this page names. Raises ``NotFound`` for no mail."""
    reference = text_of_request("mail")
    if not reference:
        return None
    mail = session.scalars(
        select(Mail)
        .where(Mail.reference == reference)
        .options(joinedload(Mail.raw), selectinload(Mail.deliveries))
    ).one_or_none()
    if mail is None or mail.protocol is Protocol.PORTAL:
        raise NotFound(_("There is no such mail."))
    return mail


def _prefill(form: SimulatorForm, session: Session, mail: Mail | None) -> None:
    if mail is not None:
        delivery = next((d for d in mail.deliveries if d.id == id_of_request("delivery")), None)
        put(form.recipient, (delivery or mail.deliveries[0]).recipient)
        put(form.mail_from, mail.mail_from or NOBODY)
        put(form.peer, mail.peer)
        put(form.trusted, mail.trusted)
        if mail.raw_id is not None:
            put(form.assumed, Assumed.FOUND.value)
        else:  # refused: no more is known of it than this
            put(form.from_, mail.from_display)
            put(form.subject, mail.subject)
        return
    if (queue := organisation().queues.get(id_of_request("queue") or 0)) is not None:
        put(form.recipient, queue.address)
    rule = session.get(RoutingRule, id_of_request("rule") or 0)
    if rule is not None:
        _prefill_for(form, conditions_from_json(rule.conditions))
    account = session.get(CustomerUser, id_of_request("customer_user") or 0)
    if account is not None:
        put(form.from_, account.email)


def _prefill_for(form: SimulatorForm, conditions: Conditions) -> None:
    """Fill in a mail that fits a rule, as far as its conditions name values."""
    values = fitting_values(conditions)
    for field, name in _FIELDS.items():
        if field in values:
            put(form[name], values[field])


def _simulate(form: SimulatorForm, mail: Mail | None) -> Simulation:
    """Return what would become of the mail of the form. Raises ``Invalid``."""
    recipient = _line(form, "recipient")
    if not recipient:
        raise Invalid("recipient", _("Please fill this in."))
    envelope = Envelope(
        _mail_from(form),
        (recipient,),
        Protocol.SMTP,
        peer=_line(form, "peer"),
        trusted=form.trusted.data,
    )
    if mail is not None:
        found = as_it_came(mail, [recipient])
        incoming = Incoming(envelope, found.raw, found.received_at, findings=found.findings)
    else:
        incoming = Incoming(envelope, _raw(form, recipient), now(), authserv_id=_smtp().authserv_id)
    prepared = prepare(
        assuming(incoming, Assumed(form.assumed.data)),
        believed_keys(),
        reference=mail.reference if mail is not None else None,
    )
    end_reading()  # the sources may take seconds to answer
    looked_up = look_up_one(database(), live_sources(), prepared)
    return simulate(reading(), organisation(), looked_up)


def _mail_from(form: SimulatorForm) -> str:
    typed = _line(form, "mail_from")
    if typed == NOBODY:
        return ""
    return typed or _line(form, "from_")


def _line(form: SimulatorForm, name: str) -> str:
    found = one_line(form[name].data)
    if len(found) > MAX_LINE:
        raise Invalid(name, _("At most %(limit)d characters.", limit=MAX_LINE))
    return found


def _raw(form: SimulatorForm, recipient: str) -> bytes:
    """Return the bytes of the file, or else those that were typed."""
    file = form.file.data
    if isinstance(file, FileStorage) and file.filename:
        limit = _limit()
        raw: bytes = file.read(limit + 1)
        if len(raw) > limit:
            raise Invalid("file", _("At most %(size)s.", size=file_size(limit)))
        return raw
    trial = TrialMail(
        from_=_line(form, "from_"),
        recipient=recipient,
        subject=_line(form, "subject"),
        text=form.text.data,
        customer_number=_line(form, "number"),
    )
    return trial.raw(organisation().settings)


def _limit() -> int:
    return _smtp().max_message_bytes


def _smtp() -> SmtpSection:
    config = current_app.extensions[CONFIG]
    assert isinstance(config, Config)
    return config.smtp


def _shown(simulation: Simulation, mail: Mail | None) -> list[ShownRecipient]:
    then = {each.recipient: each for each in mail.deliveries} if mail is not None else {}
    return [
        ShownRecipient(
            each,
            _(each.summary.because.because, **dict(each.summary.because.values)),
            shown_steps(trace(each.decision)),
            then.get(one_line(each.facts.recipient)),
        )
        for each in simulation.recipients
    ]


_PAGES: Mapping[TargetKind, str] = {
    TargetKind.CUSTOMER_USER: "admin_customer_users.edit",
    TargetKind.CUSTOMER_USERS: "admin_customer_users.index",
    TargetKind.CUSTOMER: "admin_customers.edit",
    TargetKind.QUEUE: "admin_queues.edit",
    TargetKind.QUEUES: "admin_queues.index",
    TargetKind.RULE: "admin_rules.edit",
    TargetKind.BLOCKLIST: "admin_blocklist.index",
    TargetKind.SETTINGS: "admin_settings.show",
    TargetKind.CONFIGURATION: "admin_settings.configuration",
}


def _url_of(target: Target) -> str:
    """Return the address of the page where something can be changed."""
    if target.id is None:
        return url_for(_PAGES[target.kind])
    return url_for(_PAGES[target.kind], object_id=target.id)

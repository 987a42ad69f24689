"""Where staff start: what is to do, what came in last, and for admins how the system is."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from flask import render_template, url_for
from sqlalchemy.orm import Session

from core.accounts.lists import CustomerUserFilter, count_customer_users
from core.i18n import gettext as _
from core.intake.mail_log import MailFilter, mail_log
from core.intake.policy_change import last_policy_change
from core.tickets.overview import overview
from core.words import Protocol
from portal.areas import Area, Audience
from portal.database import database, reading
from portal.staff.asking import member, queues
from portal.staff.outgoing import state_of_outbox
from portal.staff.receiver import no_relay
from portal.visitors import organisation, the_viewer

LOW_DISK = 2_000_000_000  # bytes free at which people should look; intake stops much later
FROM_OUTSIDE = (Protocol.SMTP, Protocol.LMTP, Protocol.DELIVER)

area = Area("staff_dashboard", __name__, Audience.STAFF, "/staff")


@dataclass(frozen=True, slots=True)
class Step:
    """A step of setting up; ``url`` leads to where it is taken, "" where that is no page."""

    text: str
    help: str
    url: str
    done: bool


@dataclass(frozen=True, slots=True)
class Health:
    """How the system is. Sizes in bytes, None where another machine would have to be asked."""

    database: str
    database_size: int | None
    disk_free: int | None
    version: str

    @property
    def disk_is_low(self) -> bool:
        """Whether somebody should make room."""
        return self.disk_free is not None and self.disk_free < LOW_DISK


@area.get("/")
def index() -> str:
    """Show the dashboard."""
    session, is_admin = reading(), the_viewer().is_admin
    steps = first_steps(session) if is_admin else []
    return render_template(
        "staff/dashboard.html",
        has_queues=bool(queues().readable),
        health=health() if is_admin else None,
        no_relay=no_relay(),
        now=overview(session, member()),
        outbox=state_of_outbox(),
        policy_change=last_policy_change(session) if is_admin else None,
        steps=[] if all(step.done for step in steps) else steps,
    )


def health() -> Health:
    """Return how the database and its disk are; that this page is shown says it answers."""
    found = database()
    file = Path(found.url.database) if found.is_sqlite and found.url.database else None
    return Health(
        database=found.address,
        database_size=file.stat().st_size if file is not None and file.exists() else None,
        disk_free=shutil.disk_usage(file.parent).free if file is not None else None,
        version=version("schalter"),
    )


def first_steps(session: Session) -> Sequence[Step]:
    """Return what makes an empty installation one that takes mail in, in the order to do it."""
    here = organisation()
    open_queues = {queue.id for queue in here.queue_by_address.values() if queue.valid}
    address = next(iter(here.queue_by_address), "support@example.org")
    return [
        Step(
            _("Create a group"),
            _("Groups say which customers may use which queues."),
            url_for("admin_groups.index"),
            bool(here.groups),
        ),
        Step(
            _("Create a queue with a mail address"),
            _("Mail to this address becomes tickets of the queue."),
            url_for("admin_queues.index"),
            bool(open_queues),
        ),
        Step(
            _("Create a customer user and give it the group"),
            _("Mail from its address is then filed without asking."),
            url_for("admin_customer_users.index"),
            count_customer_users(session, CustomerUserFilter()) > 0,
        ),
        Step(
            _("Send a test mail"),
            _("Write to %(address)s; what becomes of it stands in the mail log.", address=address),
            url_for("staff_mails.index"),
            _has_mail(session),
        ),
    ]


def _has_mail(session: Session) -> bool:
    return any(
        mail_log(session, member(), MailFilter(protocol=protocol), limit=1).items
        for protocol in FROM_OUTSIDE
    )

"""The organisation that is measured with: one queue, one group, accounts of one customer."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.accounts.customer_users import CustomerUserValues, save_customer_user
from core.accounts.customers import CustomerValues, save_customer
from core.accounts.groups import GroupValues, save_group
from core.accounts.passwords import hash_password, set_password
from core.accounts.queues import QueueValues, save_queue
from core.accounts.staff import StaffValues, save_staff
from core.audit import SYSTEM
from core.db import Database
from core.migrate import upgrade
from core.models import CustomerGroup, Staff
from core.settings import change_settings
from core.words import Permission, Role, SenderPolicy
from tests.bench.smtp_load import RECIPIENT, SENDERS

PASSWORD = "nur für die Messung"
CUSTOMER = "user0"
AGENT = "agent"


def fill(url: str) -> None:
    """Migrate a database and store what the load client expects."""
    database = Database(url)
    upgrade(database)
    password_hash = hash_password(PASSWORD)
    with database.write() as session:
        # Its accounts send in minutes what others send in months: that is no storm here.
        settings = {"sender_policy": SenderPolicy.OPEN, "burst_tickets": 10_000}
        change_settings(session, SYSTEM, settings)
        group = save_group(session, SYSTEM, GroupValues(name="support"))
        queue = QueueValues(name="Support", group="support", addresses=(RECIPIENT,))
        save_queue(session, SYSTEM, queue)
        customer = save_customer(session, SYSTEM, CustomerValues(number="K-1", name="Kunde AG"))
        customer.permissions = [CustomerGroup(group=group, permission=Permission.RW)]
        for number in range(SENDERS):
            account = save_customer_user(session, SYSTEM, _account(number))
            if number == 0:
                set_password(session, SYSTEM, account, password_hash)
        agent: Staff = save_staff(
            session,
            SYSTEM,
            StaffValues(
                login=AGENT,
                email="agent@bench.example",
                role=Role.AGENT,
                groups={"support": Permission.RW},
            ),
        )
        set_password(session, SYSTEM, agent, password_hash)
    database.dispose()


def _account(number: int) -> CustomerUserValues:
    return CustomerUserValues(
        login=f"user{number}",
        customer_number="K-1",
        email=f"user{number}@customer.example",
        first_name="Erika",
        last_name=f"Müller-{number}",
    )


@contextmanager
def sqlite_folder() -> Iterator[tuple[str, Path]]:
    """Give the address of a filled SQLite database and the folder that it is in."""
    with tempfile.TemporaryDirectory(prefix="schalter-bench-") as name:
        folder = Path(name)
        url = f"sqlite:///{folder}/schalter.db"
        fill(url)
        yield url, folder

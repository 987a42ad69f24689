"""A small organisation for tests of intake: two firms, three groups, three queues."""

from dataclasses import dataclass

from core.db import Database
from core.models import (
    Customer,
    CustomerDomain,
    CustomerGroup,
    CustomerUser,
    CustomerUserAddress,
    CustomerUserGroup,
    Group,
    Queue,
    QueueAddress,
    Setting,
    Staff,
    StaffGroup,
)
from core.words import Permission, Role, Validity


@dataclass(frozen=True)
class Firm:
    """The ids that tests need, by name."""

    groups: dict[str, int]
    queues: dict[str, int]
    customers: dict[str, int]
    customer_users: dict[str, int]
    staff: dict[str, int]


def a_firm(database: Database, **settings: object) -> Firm:
    """Store the organisation, with these settings instead of the defaults."""
    with database.write() as session:
        groups = {name: Group(name=name) for name in ("vertrieb", "technik", "rechnung")}
        session.add_all(groups.values())
        session.flush()  # the groups' ids are needed by queues and permissions
        queues = {
            name: Queue(
                name=name,
                group_id=groups[name.lower()].id,
                addresses=[
                    QueueAddress(
                        address=f"{name}@example.org", address_key=f"{name}@example.org".lower()
                    )
                ],
            )
            for name in ("Vertrieb", "Technik", "Rechnung")
        }
        muster = Customer(number="K-1000", name="Muster GmbH")
        muster.domains = [CustomerDomain(domain="muster.example")]
        acme = Customer(number="K-2000", name="Acme Ltd")
        session.add_all([*queues.values(), muster, acme])
        session.flush()  # the customers' ids are needed by permissions and accounts
        muster.permissions = [
            CustomerGroup(group_id=groups["vertrieb"].id, permission=Permission.RW)
        ]
        accounts = {
            "anna": _account("anna", muster, "anna@muster.example"),
            "bert": _account("bert", muster, "bert@muster.example"),
            "carol": _account("carol", acme, "carol@acme.example"),
            "gone": _account("gone", acme, "gone@acme.example", Validity.INVALID),
        }
        accounts["anna"].permissions = [
            CustomerUserGroup(group_id=groups["technik"].id, permission=Permission.RW)
        ]
        accounts["bert"].permissions = [
            CustomerUserGroup(group_id=groups["technik"].id, permission=Permission.RO)
        ]
        staff = {
            "root": Staff(
                login="root", login_key="root", email="root@example.org", role=Role.ADMIN
            ),
            "jonas": Staff(
                login="jonas",
                login_key="jonas",
                email="jonas@example.org",
                role=Role.AGENT,
                permissions=[StaffGroup(group_id=groups["vertrieb"].id, permission=Permission.RW)],
            ),
        }
        session.add_all([*accounts.values(), *staff.values()])
        session.add_all(Setting(key=key, value=value) for key, value in settings.items())
        session.flush()  # all ids are handed out
        return Firm(
            groups={name: group.id for name, group in groups.items()},
            queues={name: queue.id for name, queue in queues.items()},
            customers={"K-1000": muster.id, "K-2000": acme.id},
            customer_users={name: account.id for name, account in accounts.items()},
            staff={name: member.id for name, member in staff.items()},
        )


def _account(
    login: str, customer: Customer, address: str, valid: Validity = Validity.VALID
) -> CustomerUser:
    return CustomerUser(
        login=login,
        login_key=login,
        customer=customer,
        first_name=login.capitalize(),
        last_name="Test",
        valid=valid,
        addresses=[
            CustomerUserAddress(
                address=address, address_key=address, exclusive=valid is not Validity.INVALID
            )
        ],
    )

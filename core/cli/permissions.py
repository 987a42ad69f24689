"""``schalter permissions``: which queues a customer user can reach, and through what."""

from typing import Any

import click

from core.accounts.customer_users import customer_user_with_login
from core.accounts.permissions import customer_user_access, is_valid_account
from core.accounts.rights import Reason, queue_rights, through_text
from core.cli.console import Console, pass_console
from core.cli.output import json_option, print_json, print_table, printable
from core.organisation import load_organisation


@click.command("permissions", short_help="Which queues a customer user may use, and why.")
@click.argument("login")
@json_option
@pass_console
def command(console: Console, login: str, as_json: bool) -> None:
    """Say which queues the customer user with this LOGIN may use, and through which group.

    ro sees tickets, rw also writes. A queue that is not listed cannot be reached.
    """
    with console.database() as database, database.read() as session:
        account = customer_user_with_login(session, login)
        organisation = load_organisation(session)
        rights = queue_rights(organisation, customer_user_access(session, organisation, account))
        told = {
            "login": account.login,
            "name": account.name,
            "customer_number": account.customer.number,
            "valid": is_valid_account(account),
            "sees_customer_tickets": account.sees_customer_tickets,
            "queues": [
                {
                    "queue": right.queue.name,
                    "permission": right.permission,
                    "through": [_reason(reason) for reason in right.reasons],
                }
                for right in rights
            ],
        }
    if as_json:
        print_json(told)
        return
    state = "" if told["valid"] else ", invalid"
    click.echo(
        printable(f"{told['login']}: {told['name']}, Kunden# {told['customer_number']}{state}")
    )
    if not rights:
        click.echo("No queue can be reached.")
        return
    print_table(
        ("QUEUE", "PERMISSION", "THROUGH"),
        (
            (right.queue.name, right.permission, "; ".join(map(_told, right.reasons)))
            for right in rights
        ),
    )


def _reason(reason: Reason) -> dict[str, Any]:
    return {
        "group": reason.group or None,
        "way": reason.through,
        "permission": reason.permission,
    }


def _told(reason: Reason) -> str:
    group = f'group "{reason.group}" {reason.permission.value}, ' if reason.group else ""
    return f"{group}{through_text(reason.through)}"

"""``schalter sources renames`` and ``match``: accounts that are called differently in a source."""

from typing import Any

import click
from sqlalchemy.orm import Session

from core.accounts.customer_users import customer_user_with_login
from core.cli.console import Console, Failure, console_actor, pass_console
from core.cli.output import json_option, print_json, print_table, printable
from core.errors import Invalid
from core.models import CustomerUser
from core.sources.matching.candidates import Candidate, candidates, gone_accounts
from core.sources.matching.customer_merges import left_customers
from core.sources.matching.renames import belongings, check_pair, claims, match_up

_AT_A_TIME = 200


@click.command("renames")
@json_option
@pass_console
def renames(console: Console, as_json: bool) -> None:
    """List accounts that are gone from a source and who may be the same person there today.

    Also records that want the login of an account that is gone, and customers whose accounts
    have all moved to another Kunden#. "schalter sources match" makes one account of two; the
    rest is decided on the page "Match up".
    """
    with console.database() as database, database.read() as session:
        told = {
            "accounts": list(_accounts(session)),
            "customers": [
                {
                    "number": left.customer.number,
                    "name": left.customer.name,
                    "tickets": left.tickets,
                    "moved": [{"number": to.number, "accounts": n} for to, n in left.moved],
                }
                for left in left_customers(session)
            ],
        }
    if as_json:
        print_json(told)
        return
    rows = [
        (gone["source"], gone["login"], new["login"], ", ".join(new["reasons"]))
        for gone in told["accounts"]
        for new in gone["candidates"]
    ]
    if rows:
        print_table(("SOURCE", "GONE", "MAY BE", "BECAUSE OF"), rows)
    else:
        click.echo("No account that is gone has a successor.")
    for gone in told["accounts"]:
        for key in gone["wanted_by"]:
            click.echo(printable(f"The record {key} wants the login {gone['login']}."))
    for each in told["customers"]:
        moved = ", ".join(f"{to['accounts']} to {to['number']}" for to in each["moved"])
        click.echo(printable(f"{each['number']} has no accounts left: {moved}."))


@click.command("match")
@click.argument("old")
@click.argument("new")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@pass_console
def match(console: Console, old: str, new: str, yes: bool, as_json: bool) -> None:
    """Make one account of OLD, whose record is gone, and NEW, which is the same person.

    Both are logins. OLD keeps its tickets, groups and preferences; it gets the login and all
    values of NEW, and what has happened there meanwhile. This cannot be undone.
    """
    with console.database() as database:
        with database.read() as session:
            gone, successor = _pair(session, old, new)
            counted = belongings(session, successor)
            versions = gone.version, successor.version
        if not yes:
            click.confirm(
                printable(
                    f"{gone.login} ({gone.name}) becomes {successor.login} ({successor.name}) and "
                    f"takes over {counted.tickets} tickets and {counted.mails} mails. "
                    "This cannot be undone. Continue?"
                ),
                abort=True,
                err=True,
            )
        with database.write() as session:
            actor = console_actor("sources match")
            matched = match_up(session, actor, gone.id, successor.id, versions)
            told = {"id": matched.id, "login": matched.login, "tickets": counted.tickets}
    if as_json:
        print_json(told)
    else:
        click.echo(printable(f"{old} is {matched.login} now."))


def _accounts(session: Session) -> list[dict[str, Any]]:
    """Return the accounts that are gone and of which something is to be decided."""
    told = []
    cursor: str | None = None
    while True:
        page = gone_accounts(session, cursor=cursor, limit=_AT_A_TIME)
        found, wanted = candidates(session, page.items), claims(session, page.items)
        for account in page.items:
            new, keys = found.get(account.id, ()), wanted.get(account.id, ())
            if new or keys:
                told.append(
                    {
                        "source": account.source,
                        "login": account.login,
                        "name": account.name,
                        "gone_at": account.source_gone_at,
                        "candidates": [_candidate(each) for each in new],
                        "wanted_by": [each.source_key for each in keys],
                    }
                )
        cursor = page.next
        if len(page.items) < _AT_A_TIME:
            return told


def _candidate(found: Candidate) -> dict[str, Any]:
    return {
        "login": found.account.login,
        "name": found.account.name,
        "reasons": [reason.value for reason in found.reasons],
    }


def _pair(session: Session, old: str, new: str) -> tuple[CustomerUser, CustomerUser]:
    pair = customer_user_with_login(session, old), customer_user_with_login(session, new)
    try:
        check_pair(*pair)
    except Invalid as error:
        raise Failure(printable(error.message)) from None
    return pair

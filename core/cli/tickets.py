"""``schalter ticket``: tickets for scripts and for people at a terminal."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import click
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.accounts.customer_users import customer_user_with_login
from core.accounts.customers import customer_numbered
from core.accounts.queues import queue_named
from core.accounts.staff import staff_queue_ids, staff_with_login
from core.cli.console import Console, console_reader, pass_console
from core.cli.output import json_option, print_json, print_table, printable, printable_lines, shown
from core.errors import NotFound
from core.models import Article, Ticket
from core.organisation import load_organisation
from core.paging import Page
from core.portions import in_portions
from core.tickets.lists import StaffFilter, StateFilter, staff_tickets
from core.tickets.view import conversation, ticket_with_number

PAGE = 100
DEFAULT_LIMIT = 25

T = TypeVar("T")

limit_option = click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    default=DEFAULT_LIMIT,
    show_default=True,
    help="At most so many.",
)


@click.group("ticket", short_help="List tickets, or show one.")
def command() -> None:
    """List tickets, or show one with its conversation."""


@command.command("list", short_help="List tickets, the last changed first.")
@click.option(
    "--state",
    type=click.Choice([state.value for state in StateFilter]),
    default=StateFilter.UNCLOSED.value,
    show_default=True,
    help="Only those in this state.",
)
@click.option("--queue", metavar="NAME", help="Only those in this queue.")
@click.option("--customer", metavar="KUNDEN#", help="Only those of this customer.")
@click.option("--login", metavar="LOGIN", help="Only those of this customer user.")
@click.option("--owner", metavar="LOGIN", help="Only those of this member of staff.")
@click.option("--search", metavar="WORDS", default="", help="Only those that contain these words.")
@limit_option
@json_option
@pass_console
def list_tickets(
    console: Console,
    state: str,
    queue: str | None,
    customer: str | None,
    login: str | None,
    owner: str | None,
    search: str,
    limit: int,
    as_json: bool,
) -> None:
    """List tickets, the last changed first."""
    with console.database() as database, database.read() as session:
        wanted = StaffFilter(
            state=StateFilter(state),
            queue_id=queue_named(session, queue).id if queue else None,
            customer_id=customer_numbered(session, customer).id if customer else None,
            customer_user_id=customer_user_with_login(session, login).id if login else None,
            owner_id=staff_with_login(session, owner).id if owner else None,
            query=search,
        )
        queues = staff_queue_ids(session, load_organisation(session), console_reader())
        found = pages(
            lambda cursor, size: (
                staff_tickets(session, queues, wanted, cursor=cursor, limit=size).page
            ),
            limit,
        )
        tickets = _tickets(session, list(found))
    if as_json:
        print_json(tickets)
        return
    columns = ("number", "state", "queue", "customer_number", "customer_user", "changed_at")
    headings = (*(name.replace("_", " ").upper() for name in columns), "SUBJECT")
    print_table(
        headings, ([*(ticket[name] for name in columns), ticket["subject"]] for ticket in tickets)
    )


@command.command("show", short_help="Show a ticket with its conversation.")
@click.argument("number", type=int)
@json_option
@pass_console
def show_ticket(console: Console, number: int, as_json: bool) -> None:
    """Show the ticket with this NUMBER and its whole conversation, internal notes included."""
    with console.database() as database, database.read() as session:
        ticket = _numbered(session, number)
        shown_ticket = {
            **_tickets(session, [ticket])[0],
            "articles": [_article(article) for article in _articles(session, ticket)],
        }
    if as_json:
        print_json(shown_ticket)
    else:
        _print(shown_ticket)


def _numbered(session: Session, number: int) -> Ticket:
    """Return the ticket with this number; raise ``NotFound``, also for one that none can have."""
    queues = staff_queue_ids(session, load_organisation(session), console_reader())
    ticket = ticket_with_number(session, queues, number)
    if ticket is None:
        raise NotFound(f"There is no ticket {number}.")
    return ticket


def pages(read: Callable[[str | None, int], Page[T]], limit: int) -> Iterator[T]:
    """Give at most so many items of a list that is read in pages."""
    cursor: str | None = None
    while limit > 0:
        page = read(cursor, min(limit, PAGE))
        yield from page.items
        limit -= len(page.items)
        cursor = page.next
        if cursor is None:
            return


def _articles(session: Session, ticket: Ticket) -> Sequence[Article]:
    """Return all articles of a ticket, oldest first."""
    found: list[Article] = []
    before: int | None = None
    while True:
        part = conversation(session, ticket, internal=True, before=before)
        found[:0] = part.articles
        before = part.earlier
        if before is None:
            return found


def _tickets(session: Session, tickets: Sequence[Ticket]) -> Sequence[dict[str, Any]]:
    ids = [ticket.id for ticket in tickets]
    counts: dict[int, int] = {}
    for some in in_portions(ids, PAGE):
        statement = (
            select(Article.ticket_id, func.count())
            .where(Article.ticket_id.in_(some))
            .group_by(Article.ticket_id)
        )
        counts.update(session.execute(statement).all())
    return [_ticket(ticket, counts.get(ticket.id, 0)) for ticket in tickets]


def _ticket(ticket: Ticket, article_count: int) -> dict[str, Any]:
    return {
        "number": ticket.number,
        "id": ticket.public_id,
        "subject": ticket.subject,
        "queue": ticket.queue.name,
        "state": ticket.state,
        "priority": ticket.priority,
        "owner": ticket.owner.login if ticket.owner else None,
        "customer_number": ticket.customer.number if ticket.customer else None,
        "customer_user": ticket.customer_user.login if ticket.customer_user else None,
        "requester": ticket.requester,
        "flag": ticket.flag,
        "created_at": ticket.created_at,
        "changed_at": ticket.changed_at,
        "waiting_since": ticket.waiting_since,
        "closed_at": ticket.closed_at,
        "article_count": article_count,
    }


def _article(article: Article) -> dict[str, Any]:
    return {
        "author": article.author,
        "channel": article.channel,
        "from": article.staff.login if article.staff else article.from_address,
        "from_name": article.staff.name if article.staff else article.from_name,
        "subject": article.subject,
        "text": article.text,
        "has_html": article.has_html,
        "visible": article.visible,
        "flag": article.flag,
        "created_at": article.created_at,
        "mail": article.mail.reference if article.mail else None,
        "attachments": [
            {
                "filename": attachment.filename,
                "content_type": attachment.content_type,
                "size": attachment.size,
            }
            for attachment in article.attachments
        ],
    }


def _print(ticket: dict[str, Any]) -> None:
    for name, value in ticket.items():
        if name != "articles":
            click.echo(f"{name + ':':<18}{shown(value)}")
    for article in ticket["articles"]:
        internal = "" if article["visible"] else ", internal"
        who = f"{article['from_name']} <{article['from']}>"
        click.echo()
        click.echo(
            printable(f"--- {shown(article['created_at'])}, {who} ({article['author']}{internal})")
        )
        for attachment in article["attachments"]:
            click.echo(printable(f"    [{attachment['filename']}, {attachment['size']} bytes]"))
        click.echo(printable_lines(article["text"]))

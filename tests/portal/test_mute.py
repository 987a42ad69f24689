"""Muting a ticket: the link in a mail, one click in a mail program, the button on the page."""

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Page, expect
from sqlalchemy import select

from core.audit import staff_actor
from core.mail.tokens import Token, TokenKind, make_token
from core.mail.uploads import Upload
from core.models import Attachment, OutgoingMail, Ticket, TicketMute
from core.outgoing.installation import Installation
from core.outgoing.mutes import is_muted, mute, mute_link
from core.tickets.merging import merge
from core.words import OutgoingKind, TicketState
from portal.installation import installation
from tests.support.browser import (
    DESKTOP,
    PHONE,
    OpenPage,
    assert_accessible,
    assert_no_horizontal_overflow,
    go_through,
)
from tests.support.portal import RunningPortal, SignIn, customer_user, post, staff

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


def installation_of(pages: RunningPortal) -> Installation:
    with pages.app.app_context():
        return installation()


def add_notice(pages: RunningPortal, login: str | None, public_id: str) -> int:
    """Put a notice to a customer user about a ticket into the outbox; return its id."""
    with pages.database.write() as session:
        ticket = pages.ticket(session, public_id)
        mail = OutgoingMail(
            kind=OutgoingKind.NOTICE,
            queue_id=ticket.queue_id,
            ticket_id=ticket.id,
            customer_user_id=customer_user(session, login).id if login else None,
            recipient="anna@muster.example",
            recipient_key="anna@muster.example",
        )
        session.add(mail)
        session.flush()
        return mail.id


def link_of(pages: RunningPortal, outgoing_id: int) -> str:
    with pages.database.read() as session:
        mail = session.get_one(OutgoingMail, outgoing_id)
        assert mail.ticket_id is not None
        return urlsplit(mute_link(installation_of(pages), mail.ticket_id, outgoing_id)).path


def muted(pages: RunningPortal) -> set[tuple[int, int]]:
    with pages.database.read() as session:
        rows = session.execute(select(TicketMute.customer_user_id, TicketMute.ticket_id))
        return {(who, ticket) for who, ticket in rows}


def pair(pages: RunningPortal, login: str, public_id: str) -> tuple[int, int]:
    with pages.database.read() as session:
        return customer_user(session, login).id, pages.ticket(session, public_id).id


@pytest.fixture
def ticket(pages_everywhere: RunningPortal) -> str:
    return pages_everywhere.add_ticket("anna", "Vertrieb", "Geheimer Betreff")


@pytest.fixture
def link(pages_everywhere: RunningPortal, ticket: str) -> str:
    return link_of(pages_everywhere, add_notice(pages_everywhere, "anna", ticket))


def test_opening_the_link_changes_nothing(
    pages_everywhere: RunningPortal, ticket: str, link: str
) -> None:
    pages = pages_everywhere
    for client in (pages.client(), pages.client("anna"), pages.client("carol")):
        answer = client.get(link)
        page = answer.get_data(as_text=True)
        assert answer.status_code == 200
        assert "Ticket stummschalten" in page
        assert "Geheimer Betreff" not in page  # whoever has the link learns a number only
    assert client.head(link).status_code == 200
    assert muted(pages) == set()


@pytest.mark.parametrize("who", [None, "anna", "carol", "jonas"])
def test_the_button_mutes_for_the_account_of_the_link(
    pages_everywhere: RunningPortal, ticket: str, link: str, who: str | None
) -> None:
    pages = pages_everywhere
    answer = pages.client(who).post(link)
    assert answer.status_code == 200
    assert f"/tickets/{ticket}" in answer.get_data(as_text=True)
    assert muted(pages) == {pair(pages, "anna", ticket)}


def test_one_click_of_a_mail_program(
    pages_everywhere: RunningPortal, ticket: str, link: str
) -> None:
    pages = pages_everywhere
    client = pages.client()
    for _again in range(2):
        answer = client.post(link, data=ONE_CLICK, headers={"Origin": "https://mail.example"})
        assert answer.status_code == 200
    assert muted(pages) == {pair(pages, "anna", ticket)}


def wrong_tokens(pages: RunningPortal, public_id: str) -> dict[str, str]:
    """Return tokens that mute nothing, by what is wrong with them."""
    mine, of_nobody = add_notice(pages, "anna", public_id), add_notice(pages, None, public_id)
    _user, ticket_id = pair(pages, "anna", public_id)
    key = installation_of(pages).keys.ring.current
    token = Token(TokenKind.MUTE, ticket_id, mine)
    good = make_token(key, token)
    return {
        "nothing": "nix",
        "changed": good[:-1] + ("a" if good[-1] != "a" else "b"),
        "another key": make_token(b"x" * 32, token),
        "for threads": make_token(key, Token(TokenKind.THREAD, ticket_id, mine)),
        "for bounces": make_token(key, Token(TokenKind.BOUNCE, ticket_id, mine)),
        "no such mail": make_token(key, Token(TokenKind.MUTE, ticket_id, 999_999)),
        "no such ticket": make_token(key, Token(TokenKind.MUTE, 999_999, mine)),
        "no account": make_token(key, Token(TokenKind.MUTE, ticket_id, of_nobody)),
    }


def test_every_wrong_link_gets_the_same_page(pages_everywhere: RunningPortal, ticket: str) -> None:
    pages = pages_everywhere
    client = pages.client()
    answers = set()
    for token in wrong_tokens(pages, ticket).values():
        for answer in (client.get(f"/mute/{token}"), client.post(f"/mute/{token}", data=ONE_CLICK)):
            assert answer.status_code == 404
            answers.add(_without_what_varies(answer.get_data(as_text=True), token))
    assert len(answers) == 1
    assert muted(pages) == set()


def _without_what_varies(page: str, token: str) -> str:
    lines = page.replace(token, "TOKEN").splitlines()
    return "\n".join(
        line for line in lines if "csrf_token" not in line and 'name="next"' not in line
    )


def test_only_this_page_does_without_a_forms_token(
    pages_everywhere: RunningPortal, ticket: str
) -> None:
    pages = pages_everywhere
    client = pages.client("anna")
    assert client.post(f"/tickets/{ticket}/mute", data={"wanted": "no"}).status_code == 400
    assert muted(pages) == set()


def test_a_link_to_a_merged_ticket_mutes_what_it_was_merged_into(
    pages_everywhere: RunningPortal, ticket: str, link: str
) -> None:
    pages = pages_everywhere
    target = pages.add_ticket("anna", "Vertrieb", "Ziel")
    with pages.database.write() as session:
        merged, into = pages.ticket(session, ticket), pages.ticket(session, target)
        merged.merged_into_id = into.id
    assert pages.client().post(link).status_code == 200
    assert muted(pages) == {pair(pages, "anna", target)}


def mute_on_page(client: FlaskClient, public_id: str, wanted: str) -> int:
    return post(client, f"/tickets/{public_id}/mute", {"wanted": wanted}).status_code


def test_the_page_of_a_ticket_mutes_and_unmutes(
    pages_everywhere: RunningPortal, ticket: str
) -> None:
    pages = pages_everywhere
    client = pages.client("anna")
    assert mute_on_page(client, ticket, "no") == 303
    assert muted(pages) == {pair(pages, "anna", ticket)}
    page = client.get(f"/tickets/{ticket}").get_data(as_text=True)
    assert "stummgeschaltet" in page
    assert mute_on_page(client, ticket, "yes") == 303
    assert muted(pages) == set()
    page = client.get(f"/tickets/{ticket}").get_data(as_text=True)
    assert "stummgeschaltet" not in page
    assert "Ticket stummschalten" in page


def test_nobody_mutes_a_ticket_that_they_may_not_see(
    pages_everywhere: RunningPortal, ticket: str
) -> None:
    pages = pages_everywhere
    assert mute_on_page(pages.client("carol"), ticket, "no") == 404
    assert muted(pages) == set()


def test_muting_is_for_one_account_and_one_ticket(
    pages_everywhere: RunningPortal, ticket: str
) -> None:
    pages = pages_everywhere
    other = pages.add_ticket("anna", "Vertrieb", "Anderes")
    anna, first = pair(pages, "anna", ticket)
    bert, second = pair(pages, "bert", other)
    with pages.database.write() as session:
        mute(session, anna, first)
        mute(session, anna, first)  # twice is once
    with pages.database.read() as session:
        assert is_muted(session, anna, first)
        assert not is_muted(session, anna, second)
        assert not is_muted(session, bert, first)
        assert session.get_one(Ticket, first).version == 1  # muting is no change of the ticket


# In a browser


@pytest.mark.parametrize(
    ("size", "dark", "locale"),
    [
        pytest.param(DESKTOP, False, "de-DE", id="wide-light-de"),
        pytest.param(PHONE, True, "de-DE", id="phone-dark-de"),
        pytest.param(PHONE, False, "en-GB", id="phone-light-en"),
    ],
)
def test_muting_by_link_and_undoing_it_on_the_page(
    portal: RunningPortal,
    open_page: OpenPage,
    sign_in: SignIn,
    shoot: Callable[[Page, str], None],
    request: pytest.FixtureRequest,
    size: tuple[int, int],
    dark: bool,
    locale: str,
) -> None:
    public_id = forged_mail(portal)
    page = open_page(size=size, dark=dark, locale=locale)

    def check(name: str) -> None:
        shoot(page, f"mute-{name}-{request.node.callspec.id}")
        assert_accessible(page)
        assert_no_horizontal_overflow(page)

    page.goto(portal.address(link_of(portal, add_notice(portal, "anna", public_id))))
    check("asked")
    go_through(page.locator("main button"))
    expect(page.get_by_role("status")).to_be_visible()
    check("done")
    sign_in(page, "anna")
    page.goto(portal.address(f"/tickets/{public_id}"))
    check("muted")
    go_through(page.locator(".page-actions button[name=wanted]"))
    expect(page.locator(".alert-success")).to_be_visible()
    check("unmuted")
    assert muted(portal) == set()


def forged_mail(portal: RunningPortal) -> str:
    """Take in a mail that may be of Anna's; return the public id of its ticket."""
    mail = b"From: anna@muster.example\nSubject: Rechnung\nMessage-ID: <1@x>\n\nBitte zahlen Sie.\n"
    public_id = portal.add_mail(mail, "anna@muster.example", "vertrieb@example.org")
    assert public_id is not None
    return public_id


def test_a_mail_that_may_be_forged_is_marked_for_its_customer(
    pages_everywhere: RunningPortal,
) -> None:
    pages = pages_everywhere
    path = f"/tickets/{forged_mail(pages)}"
    own, colleagues = "Diese E-Mail kam unter Ihrem Namen", "Wir konnten nicht bestätigen, wer"
    page = pages.client("anna").get(path).get_data(as_text=True)
    assert own in page
    assert colleagues not in page
    with pages.database.write() as session:
        customer_user(session, "bert").sees_customer_tickets = True
    page = pages.client("bert").get(path).get_data(as_text=True)
    assert own not in page
    assert colleagues in page
    sent = pages.add_ticket("anna", "Vertrieb", "Selbst geschrieben")
    assert own not in pages.client("anna").get(f"/tickets/{sent}").get_data(as_text=True)


def test_the_address_of_a_merged_ticket_leads_on(pages_everywhere: RunningPortal) -> None:
    pages = pages_everywhere
    file = Upload("Plan.pdf", "application/pdf", b"%PDF-1.7")
    ticket = pages.add_ticket("anna", "Vertrieb", "Quelle", files=[file])
    target = pages.add_ticket("anna", "Vertrieb", "Ziel")
    with pages.database.write() as session:
        jonas, source = staff(session, "jonas"), pages.ticket(session, ticket)
        number = pages.ticket(session, target).number
        merge(session, staff_actor(jonas), jonas, ticket, number, source.version)
        article, attachment = session.execute(select(Attachment.article_id, Attachment.id)).one()
    client = pages.client("anna")
    answer = client.get(f"/tickets/{ticket}")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/tickets/{target}")
    assert "Ticket 100001 wurde mit diesem" in client.get(f"/tickets/{target}").text
    assert "mit einem anderen Ticket zusammengeführt" in client.get("/tickets?tab=closed").text
    assert client.get(f"/tickets/{ticket}/attachments/{attachment}").data == b"%PDF-1.7"
    assert mute_on_page(client, ticket, "no") == 303
    assert muted(pages) == {pair(pages, "anna", target)}
    assert client.get(f"/tickets/{ticket}/close").status_code == 200
    assert post(client, f"/tickets/{ticket}/close", {}).headers["Location"] == f"/tickets/{target}"
    with pages.database.write() as session:
        into, carol = pages.ticket(session, target), customer_user(session, "carol")
        assert into.state is TicketState.CLOSED
        into.customer_user_id, into.customer_id = carol.id, carol.customer_id
    # An address that was given once is no right to what came of it.
    for path in ("", "/close", f"/attachments/{attachment}", f"/messages/{article}"):
        assert client.get(f"/tickets/{ticket}{path}").status_code == 404

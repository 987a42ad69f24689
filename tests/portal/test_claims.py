"""The page behind a question about a Kunden#: what it shows, and what each answer does."""

import logging
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import func, select, update

from core.accounts.addresses import MAX_ADDRESSES
from core.intake.number_claims.asking import ask_contacts
from core.intake.number_claims.question import posting_of
from core.models import CustomerUser, CustomerUserAddress, Delivery, Mail, OutgoingMail, Ticket
from core.words import Evidence, HeldState, OutgoingKind
from portal.installation import installation
from tests.support.browser import (
    Look,
    OpenPage,
    assert_accessible,
    assert_no_horizontal_overflow,
    go_through,
    looks,
)
from tests.support.portal import RunningPortal, post, token_of

SENDER = "wer@fremd.example"


def link(pages: RunningPortal, login: str = "anna") -> str:
    """Let a mail come in that names a Kunden#; return the path that a contact gets."""
    raw = (
        f"From: {SENDER}\r\nTo: vertrieb@example.org\r\nSubject: Geheim\r\n"
        "Message-ID: <1@fremd.example>\r\n\r\nKunden#: K-1000\r\n\r\nVertraulich\r\n"
    )
    pages.add_mail(raw.encode(), SENDER, "vertrieb@example.org")
    with pages.database.write() as session:
        session.execute(update(Mail).values(evidence=Evidence.VERIFIED))
        session.expire_all()
        ask_contacts(session)
        mail = session.scalars(
            select(OutgoingMail)
            .join(CustomerUser, CustomerUser.id == OutgoingMail.customer_user_id)
            .where(OutgoingMail.kind == OutgoingKind.NUMBER_CLAIM, CustomerUser.login == login)
        ).one()
        with pages.app.app_context():
            text = posting_of(session, installation(), mail).text
    (path,) = re.findall(r"/claims/[0-9a-f]{64}\b", text)
    return str(path)


def the_delivery(pages: RunningPortal) -> Delivery:
    with pages.database.read() as session:
        return session.scalars(select(Delivery)).one()


def test_a_yes_makes_a_ticket(pages_everywhere: RunningPortal) -> None:
    pages = pages_everywhere
    path = link(pages)
    client = pages.client()  # nobody has to sign in
    for _twice in range(2):  # programs that check mail open links, too
        page = client.get(path).get_data(as_text=True)
        assert SENDER in page
        assert "K-1000" in page
        assert "Geheim" not in page
        assert "Vertraulich" not in page
    assert the_delivery(pages).held is HeldState.WAITING
    answer = post(client, path, {"answer": "yes", "remember": "y"})
    assert answer.status_code == 200
    with pages.database.read() as session:
        ticket = session.scalars(select(Ticket)).one()
        assert str(ticket.number) in answer.get_data(as_text=True)
        anna = session.get_one(CustomerUser, ticket.customer_user_id)
        assert [row.address for row in anna.addresses] == ["anna@muster.example", SENDER]
    assert client.get(path).status_code == 410
    assert "Geheim" in pages.client("anna").get(f"/tickets/{ticket.public_id}").get_data(
        as_text=True
    )


def test_without_the_tick_nothing_is_remembered(pages: RunningPortal) -> None:
    path = link(pages)
    assert post(pages.client(), path, {"answer": "yes"}).status_code == 200
    with pages.database.read() as session:
        anna = session.scalars(select(CustomerUser).where(CustomerUser.login == "anna")).one()
        assert [row.address for row in anna.addresses] == ["anna@muster.example"]


def test_an_address_that_the_account_cannot_have(pages: RunningPortal) -> None:
    path = link(pages)
    with pages.database.write() as session:
        anna = session.scalars(select(CustomerUser).where(CustomerUser.login == "anna")).one()
        anna.addresses.extend(
            CustomerUserAddress(
                address=f"a{each}@muster.example",
                address_key=f"a{each}@muster.example",
                exclusive=True,
                position=each,
            )
            for each in range(1, MAX_ADDRESSES)
        )
    client = pages.client()
    assert 'name="remember"' not in client.get(path).get_data(as_text=True)
    answer = post(client, path, {"answer": "yes", "remember": "y"}).get_data(as_text=True)
    assert "kann die Adresse" in answer
    with pages.database.read() as session:
        assert session.scalars(select(func.count(Ticket.id))).one() == 1


def test_a_no_is_told_to_staff(pages: RunningPortal) -> None:
    path = link(pages, "bert")
    answer = post(pages.client(), path, {"answer": "no"})
    assert answer.status_code == 200
    delivery = the_delivery(pages)
    assert delivery.held is HeldState.WAITING
    page = pages.client("jonas").get(f"/staff/held/{delivery.id}").get_data(as_text=True)
    assert "Absender nicht zum Kunden gehört" in page
    assert "kennt den Absender nicht" in page
    assert "noch keine Antwort" not in page  # Anna need not answer any more


def test_staff_see_who_was_asked_and_who_said_yes(pages: RunningPortal) -> None:
    path = link(pages)
    delivery_id = the_delivery(pages).id
    agent = pages.client("jonas")
    page = agent.get(f"/staff/held/{delivery_id}").get_data(as_text=True)
    assert page.count("noch keine Antwort") == 2
    post(pages.client(), path, {"answer": "yes"})
    page = agent.get(f"/staff/held/{delivery_id}").get_data(as_text=True)
    assert "hat den Absender bestätigt" in page
    assert "Vom Kunden freigegeben" in page


def test_links_that_open_nothing_look_alike(pages: RunningPortal) -> None:
    path = link(pages)
    client = pages.client()
    post(client, path, {"answer": "no"})
    form = {"csrf_token": token_of(client, "/sign-in")}
    seen = set()
    for each in (path, f"/claims/{'0' * 64}", "/claims/x"):
        answers = [client.get(each)]
        answers += [client.post(each, data={**form, "answer": word}) for word in ("yes", "no")]
        assert [answer.status_code for answer in answers] == [410] * 3
        seen |= {_content(answer.get_data(as_text=True)) for answer in answers}
    assert len(seen) == 1


def _content(page: str) -> str:
    return page.partition("<main")[2].partition("</main>")[0]


def test_what_is_no_answer_asks_again(pages: RunningPortal) -> None:
    path = link(pages)
    assert SENDER in post(pages.client(), path, {"answer": "x"}).get_data(as_text=True)
    assert the_delivery(pages).held is HeldState.WAITING


def test_a_form_of_somebody_else_is_refused(pages: RunningPortal) -> None:
    path = link(pages)
    assert pages.client().post(path, data={"answer": "yes"}).status_code == 400
    assert the_delivery(pages).held is HeldState.WAITING


def test_the_secret_is_not_in_the_log(
    pages: RunningPortal, caplog: pytest.LogCaptureFixture
) -> None:
    path = link(pages)
    caplog.set_level(logging.DEBUG)
    client = pages.client()
    client.get(path)
    client.post(path, data={"answer": "yes"}, headers={"Origin": "https://evil.example"})
    assert path.rpartition("/")[2] not in caplog.text


@looks("wide-light-de", "phone-dark-en")
def test_in_a_browser(
    portal: RunningPortal,
    open_page: OpenPage,
    shoot: Callable[[Page, str], None],
    look: Look,
) -> None:
    path = link(portal)
    page = open_page(**look._asdict())

    def look_at(name: str) -> None:
        shoot(page, f"claim-{name}-{look}")
        assert_accessible(page)
        assert_no_horizontal_overflow(page)

    page.goto(portal.address(path))
    look_at("asked")
    page.get_by_role("checkbox").check()
    yes = {"de-DE": "Ja, das gehört zu uns", "en-GB": "Yes, this belongs to us"}
    go_through(page.get_by_role("button", name=yes[look.locale]))
    expect(page.get_by_role("status")).to_contain_text("icket")
    look_at("confirmed")

"""The page of the blocklist: adding, asking before customers are hit, removing, held mail."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page
from sqlalchemy import select

from core.intake.blocking import block
from core.intake.pipeline import take_in
from core.models import (
    AuditEvent,
    BlockedSender,
    CustomerUserAddress,
    Delivery,
    QueueAddress,
)
from core.words import BlockedKind, HeldState
from tests.intake.mails import a_mail
from tests.portal.admin.browsing import Admin
from tests.portal.admin.firm import SETUP
from tests.support.browser import (
    DESKTOP,
    PHONE,
    OpenPage,
    assert_accessible,
    assert_no_horizontal_overflow,
    go_through,
)
from tests.support.portal import RunningPortal, SignIn

PATH = "/admin/blocklist"


def values(pages: RunningPortal) -> list[tuple[BlockedKind, str]]:
    with pages.database.read() as session:
        rows = session.execute(select(BlockedSender.kind, BlockedSender.value))
        return [(kind, value) for kind, value in rows]


def add(pages: RunningPortal, kind: BlockedKind, value: str, comment: str = "") -> int:
    with pages.database.write() as session:
        return block(session, SETUP, kind, value, comment).id


def hold(pages: RunningPortal) -> int:
    """Take in a mail of a stranger, which is held, and return the id of its delivery."""
    with pages.database.write() as session:
        take_in(session, [a_mail(sender="pest@spam.example", to=queue_address(pages))])
        return session.scalars(select(Delivery.id).where(Delivery.held == HeldState.WAITING)).one()


def queue_address(pages: RunningPortal) -> str:
    with pages.database.read() as session:
        return session.scalars(select(QueueAddress.address)).first() or ""


def test_an_empty_list_says_what_can_be_entered(ada: Admin) -> None:
    assert "Nobody is blocked." in ada.get(PATH)


def test_an_entry_is_added_listed_and_searched(pages: RunningPortal, ada: Admin) -> None:
    answer = ada.fill(f"{PATH}/new", kind="domain", value="Spam.example", comment="<b>Werbung")
    assert answer.status_code == 303
    assert values(pages) == [(BlockedKind.DOMAIN, "spam.example")]
    page = ada.get(PATH)
    assert "spam.example is blocked." in page
    assert "&lt;b&gt;Werbung" in page
    add(pages, BlockedKind.PEER, "192.0.2.0/24")
    assert "192.0.2.0/24" not in ada.get(f"{PATH}?q=werb")
    assert "spam.example" not in ada.get(f"{PATH}?kind=peer")
    assert "No entry matches." in ada.get(f"{PATH}?q=nichts")


def test_what_cannot_be_blocked_stands_at_its_field(pages: RunningPortal, ada: Admin) -> None:
    answer = ada.fill(f"{PATH}/new", kind="peer", value="127.0.0.1")
    assert answer.status_code == 422
    assert 'id="value-error"' in answer.text
    assert values(pages) == []


def test_an_unknown_kind_is_refused(pages: RunningPortal, ada: Admin) -> None:
    assert ada.fill(f"{PATH}/new", kind="planet", value="mars.example").status_code == 422
    assert values(pages) == []


def test_blocking_customers_is_asked_first(pages: RunningPortal, ada: Admin) -> None:
    with pages.database.read() as session:
        address = session.scalars(select(CustomerUserAddress.address_key)).first()
    answer = ada.fill(f"{PATH}/new", kind="address", value=address)
    assert answer.status_code == 200
    assert "Block customers?" in answer.text
    assert values(pages) == []
    sent = dict(re.findall(r'name="(\w+)" value="([^"]*)"', answer.text))
    answer = ada.fill(f"{PATH}/new", kind="address", value=address, confirmed=sent["confirmed"])
    assert answer.status_code == 303
    assert values(pages) == [(BlockedKind.ADDRESS, address)]


def test_an_entry_is_removed_after_a_question(pages: RunningPortal, ada: Admin) -> None:
    entry = add(pages, BlockedKind.ADDRESS, "pest@spam.example")
    assert "Remove from the blocklist?" in ada.get(f"{PATH}/{entry}/remove")
    assert ada.fill(f"{PATH}/{entry}/remove").status_code == 303
    assert values(pages) == []
    with pages.database.read() as session:
        kind = AuditEvent.object_kind == "blocked-sender"
        actions = session.scalars(select(AuditEvent.action).where(kind)).all()
    assert actions == ["blocked", "unblocked"]
    assert "no longer blocked" in ada.get("/admin/audit?kind=blocked-sender")


def test_the_sender_of_a_held_mail_is_blocked_and_the_mail_discarded(
    pages: RunningPortal, ada: Admin
) -> None:
    delivery = hold(pages)
    assert f"{PATH}/new?held={delivery}" in ada.get(f"/staff/held/{delivery}")
    path = f"{PATH}/new?held={delivery}"
    assert 'value="pest@spam.example"' in ada.get(path)
    assert 'value="spam.example"' in ada.get(f"{path}&kind=domain")
    assert ada.fill(f"{path}&kind=domain").status_code == 303
    assert values(pages) == [(BlockedKind.DOMAIN, "spam.example")]
    with pages.database.read() as session:
        held = session.get_one(Delivery, delivery)
        assert (held.held, held.settled_why) == (HeldState.DISCARDED, "The sender is blocked.")


@pytest.mark.parametrize(("size", "locale"), [(DESKTOP, "en-GB"), (PHONE, "de-DE")])
def test_the_pages_in_a_browser(
    portal: RunningPortal,
    open_page: OpenPage,
    sign_in: SignIn,
    shoot: Callable[[Page, str], None],
    size: tuple[int, int],
    locale: str,
) -> None:
    add(portal, BlockedKind.DOMAIN, "newsletter.example", "Werbung, trotz Abmeldung")
    add(portal, BlockedKind.PEER, "2001:db8:1234:5678:9abc:def0::/96")
    entry = add(portal, BlockedKind.ADDRESS, "somebody-with-a-long-name@mail.spam.example")
    delivery = hold(portal)
    page = open_page(size=size, dark=size == PHONE, locale=locale)
    sign_in(page, "ada")
    for name, path in {
        "list": PATH,
        "remove": f"{PATH}/{entry}/remove",
        "new": f"{PATH}/new",
        "held": f"{PATH}/new?held={delivery}",
    }.items():
        page.goto(portal.address(path))
        assert_no_horizontal_overflow(page)
        assert_accessible(page)
        shoot(page, f"blocklist-{name}-{locale}")
    page.goto(portal.address(f"{PATH}/new"))
    page.locator("#kind").select_option("domain")
    page.locator("#value").fill("muster.example")
    go_through(page.locator("form.card-form button[type=submit]"))
    assert_accessible(page)
    shoot(page, f"blocklist-confirm-{locale}")

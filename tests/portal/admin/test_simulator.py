"""The simulator's page: typed, uploaded and stored mails, the way to what would allow them."""

import re
from collections.abc import Callable
from io import BytesIO

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import func, select

from core.models import BlockedSender, Delivery, Mail, OutgoingMail, RoutingRule, Ticket
from core.routing.rule import Conditions, Field, Group, Operator, conditions_to_json
from core.routing.rule import Test as Compared
from core.sources.asking.live import LiveSources
from core.words import BlockedKind
from portal.admin import simulator
from portal.app import Portal
from tests.portal.admin.browsing import Admin, admin_of
from tests.sources.crm import ANNA as CRM_ANNA
from tests.sources.crm import Crm, account
from tests.sources.firm import section_of as directory
from tests.sources.live import Observant
from tests.support.browser import (
    DESKTOP,
    PHONE,
    Look,
    OpenPage,
    assert_accessible,
    assert_no_horizontal_overflow,
    looks,
)
from tests.support.portal import RunningPortal, SignIn
from tests.support.slapd import person, person_dn, run_slapd

PATH = "/admin/simulator"
ANNA = (
    b"From: Anna Muster <anna@muster.example>\r\nTo: vertrieb@example.org\r\n"
    b"Subject: =?utf-8?q?Angebot_f=C3=BCr_M=C3=A4rz?=\r\n\r\nGuten Tag\r\n"
)


def typed(ada: Admin, path: str = PATH, without: tuple[str, ...] = (), **changes: object) -> str:
    answer = ada.fill(path, without, **changes)
    assert answer.status_code == 200, answer.status_code
    return answer.get_data(as_text=True)


def stored(pages: RunningPortal) -> list[int]:
    with pages.database.read() as session:
        return [
            session.scalar(select(func.count(model.id))) or 0
            for model in (Mail, Ticket, OutgoingMail)
        ]


def reference_of(pages: RunningPortal) -> str:
    with pages.database.read() as session:
        return session.scalars(select(Mail.reference).order_by(Mail.id.desc()).limit(1)).one()


def test_a_mail_that_is_typed(pages: RunningPortal, ada: Admin) -> None:
    page = typed(
        ada,
        recipient="rechnung@example.org",
        from_="anna@muster.example",
        subject="Frage",
        text="?",
    )
    assert "Queue not permitted" in page
    assert "250 2.0.0 Accepted as" in page
    assert "The address belongs to anna (Kunden# K-1000)." in page
    assert "anna gets read and write permission in the group rechnung." in page
    assert "/admin/customer-users/1" in page
    assert stored(pages) == [0, 0, 0]


def test_a_kunden_number_that_is_typed(ada: Admin) -> None:
    page = typed(ada, recipient="vertrieb@example.org", from_="new@else.example", number="K-1000")
    assert "Kunden# from an unknown address" in page
    assert "new@else.example is added to the account anna." in page


@pytest.mark.parametrize(
    ("assumed", "expected"),
    [
        ("signed", "Account may write to the queue"),
        ("quarantine", "Sender probably forged"),
        ("reject", "550 5.7.26"),
    ],
)
def test_what_is_assumed_of_the_sender(ada: Admin, assumed: str, expected: str) -> None:
    page = typed(
        ada, recipient="vertrieb@example.org", from_="anna@muster.example", assumed=assumed
    )
    assert expected in page


def test_a_file_counts_instead(pages: RunningPortal, ada: Admin) -> None:
    file = (BytesIO(ANNA), "mail.eml")
    page = typed_with_file(ada, file)
    assert "Angebot für März" in page
    assert "Account may write to the queue" in page
    assert stored(pages) == [0, 0, 0]


def test_a_file_that_is_too_big(ada: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulator, "_limit", lambda: 100)
    page = typed_with_file(ada, (BytesIO(ANNA), "mail.eml"), status=422)
    assert "At most 100" in page


def typed_with_file(ada: Admin, file: tuple[BytesIO, str], status: int = 200) -> str:
    data = dict(ada.form(PATH).fields)
    data.update(recipient="vertrieb@example.org", from_="nobody@else.example")
    answer = ada.client.post(PATH, data={**data, "file": file}, headers={"Accept-Language": "en"})
    assert answer.status_code == status
    return answer.get_data(as_text=True)


@pytest.mark.parametrize(
    ("recipient", "from_", "expected"),
    [
        ("vertrieb@example.org", "<script>alert(1)</script>", "Sender unclear"),
        ("vertrieb@example.org", "a@x.example\r\nX-Kundennummer: K-1000", "Sender unclear"),
        ("no address at all", "anna@muster.example", "Unknown recipient"),
        ("vertrieb@example.org", "", "Sender unclear"),
    ],
)
def test_nonsense_is_decided_as_nonsense(
    ada: Admin, recipient: str, from_: str, expected: str
) -> None:
    page = typed(ada, recipient=recipient, from_=from_)
    assert expected in page
    assert "<script>alert" not in page


def test_what_is_missing_is_said(ada: Admin) -> None:
    assert ada.fill(PATH, from_="anna@muster.example").status_code == 422
    assert ada.fill(PATH, recipient="x" * 1001).status_code == 422
    answer = ada.fill(PATH, recipient="vertrieb@example.org", assumed="found")
    assert answer.status_code == 422  # nothing was found about a mail that is typed


def test_a_mail_that_came_in_is_tried_again(pages: RunningPortal, ada: Admin) -> None:
    pages.add_mail(ANNA, "anna@muster.example", "vertrieb@example.org")
    reference, before = reference_of(pages), stored(pages)
    mail_page = ada.get(f"/staff/mails/{reference}")
    assert f"{PATH}?mail={reference}&amp;delivery=1" in mail_page
    page = ada.get(f"{PATH}?mail={reference}&delivery=1")
    assert "The same was decided when the mail came in" in page
    assert f"Accepted as {reference}" in page
    pages.change_settings(customer_group_support=True, sender_policy="strict")
    otherwise = typed(ada, f"{PATH}?mail={reference}&delivery=1", assumed="quarantine")
    assert "it was decided otherwise" in otherwise
    assert "550" in otherwise
    assert stored(pages) == before


def test_what_is_known_of_a_refused_mail_is_filled_in(pages: RunningPortal, ada: Admin) -> None:
    pages.change_settings(sender_policy="strict")
    pages.add_mail(ANNA.replace(b"anna@", b"who@"), "who@muster.example", "vertrieb@example.org")
    path = f"{PATH}?mail={reference_of(pages)}"
    assert path in ada.get(f"/staff/mails/{reference_of(pages)}")
    assert "its text was not kept" in ada.get(path)
    form = ada.form(path)
    assert form.value("from_") == "Anna Muster <who@muster.example>"
    assert form.value("subject") == "Angebot für März"
    assert "Unknown sender" in typed(ada, path)


def test_an_unknown_mail_is_not_found(ada: Admin) -> None:
    ada.get(f"{PATH}?mail=unknown", status=404)


def test_what_was_written_in_the_portal_is_no_mail(pages: RunningPortal, ada: Admin) -> None:
    pages.add_ticket("anna", "Vertrieb", "Frage")
    ada.get(f"{PATH}?mail={reference_of(pages)}", status=404)


def test_it_opens_prefilled(pages: RunningPortal, ada: Admin) -> None:
    with pages.database.read() as session:
        assert session.scalar(select(func.count(Delivery.id))) == 0
    assert ada.form(f"{PATH}?queue=1").value("recipient").endswith("@example.org")
    assert ada.form(f"{PATH}?customer_user=1").value("from_") == "anna@muster.example"
    assert ada.form(f"{PATH}?queue=999&customer_user=x").value("recipient") == ""
    assert f"{PATH}?queue=1" in ada.get("/admin/queues/1")
    assert f"{PATH}?customer_user=1" in ada.get("/admin/customer-users/1")


def test_it_opens_with_a_mail_that_fits_a_rule(pages: RunningPortal, ada: Admin) -> None:
    subject = Compared(Field.SUBJECT, Operator.CONTAINS, "Rechnung")
    sender = Compared(Field.FROM, Operator.WITHIN, "muster.example")
    conditions = conditions_to_json(Conditions((Group((subject, sender)),)))
    with pages.database.write() as session:
        rule = RoutingRule(position=1, name="Rechnungen", conditions=conditions, actions={})
        session.add(rule)
        session.flush()  # its id is part of the address
        path = f"{PATH}?rule={rule.id}"
    form = ada.form(path)
    assert form.value("subject") == "Rechnung"
    assert form.value("from_") == "somebody@muster.example"
    assert ada.form(f"{PATH}?rule=999").value("subject") == ""


def test_a_blocked_mail_leads_to_the_blocklist(pages: RunningPortal, ada: Admin) -> None:
    with pages.database.write() as session:
        session.add(BlockedSender(kind=BlockedKind.DOMAIN, value="muster.example"))
    page = typed(ada, recipient="vertrieb@example.org", from_="anna@muster.example")
    assert "muster.example is taken off the blocklist." in page
    assert 'href="/admin/blocklist"' in page


def test_only_admins_try_mails(pages: RunningPortal) -> None:
    pages.add_mail(ANNA, "anna@muster.example", "vertrieb@example.org")
    reference = reference_of(pages)
    jonas = Admin(pages.client("jonas"))
    jonas.get(PATH, status=403)
    jonas.get(f"{PATH}?mail={reference}", status=403)
    assert PATH not in jonas.get(f"/staff/mails/{reference}")
    assert pages.client("anna").get(PATH).status_code == 404


@pytest.fixture
def page_of_ada(portal: RunningPortal, open_page: OpenPage, sign_in: SignIn) -> Page:
    page = open_page(size=DESKTOP, locale="en-GB")
    sign_in(page, "ada")
    page.goto(portal.address(PATH))
    return page


def test_it_works_in_a_browser(page_of_ada: Page) -> None:
    page = page_of_ada
    assert_accessible(page)
    page.fill("#recipient", "rechnung@example.org")
    page.fill("#from_", "anna@muster.example")
    page.click("text=Envelope and server")
    page.fill("#mail_from", "<>")
    page.click("main form.drop button[type=submit]")
    expect(page.get_by_text("What would make it allowed")).to_be_visible()
    assert page.input_value("#mail_from") == "<>"
    assert_accessible(page)


def test_a_file_is_dropped(page_of_ada: Page, portal: RunningPortal) -> None:
    page = page_of_ada
    page.fill("#recipient", "vertrieb@example.org")
    page.evaluate(
        """() => {
            const files = new DataTransfer();
            files.items.add(new File(["From: anna@muster.example\\n\\nHallo"], "mail.eml"));
            document.querySelector("form.drop").dispatchEvent(
                new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true }));
        }"""
    )
    expect(page.get_by_text("mail.eml")).to_be_visible()
    page.click("main form.drop button[type=submit]")
    expect(page.locator(".simulated")).to_contain_text("Account may write to the queue")


def test_it_works_on_a_phone_without_scripts(
    portal: RunningPortal, open_page: OpenPage, sign_in: SignIn
) -> None:
    page = open_page(size=PHONE, dark=True, javascript=False, locale="de-DE")
    sign_in(page, "ada")
    page.goto(portal.address(f"{PATH}?queue=1&customer_user=3"))
    page.click("main form.drop button[type=submit]")
    expect(page.get_by_text("So wurde entschieden")).to_be_visible()
    assert_no_horizontal_overflow(page)


NINA = CRM_ANNA | {"id": 7, "login": "nina", "mail": "nina@muster.example"}
NINAS = {
    person_dn("nina"): {
        **person("nina", "nina@muster.example", first="Nina", last="Neu"),
        "customerNumber": "K-1000",
    }
}
Configure = Callable[..., None]


def from_nina(ada: Admin) -> str:
    """Try a verified mail of Nina's."""
    nina = "nina@muster.example"
    return typed(ada, recipient="vertrieb@example.org", from_=nina, assumed="signed")


class TestCustomerSources:
    """They are asked as for a mail that comes in."""

    @pytest.fixture(autouse=True)
    def _patient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let a source that answers have time to, on machines that are busy."""
        monkeypatch.setattr("core.sources.asking.live.FIRST_SECONDS", 20.0)
        monkeypatch.setattr("core.sources.asking.live.SECONDS", 30.0)

    def test_somebody_whom_only_a_database_knows(
        self, pages: RunningPortal, ada: Admin, crm: Crm, configure: Configure
    ) -> None:
        crm.hold(NINA)
        configure(crm.section())
        page = from_nina(ada)
        assert "Account may write to the queue" in page
        assert "Asked who it is from: crm." in page
        assert "brings the copies of their accounts up to date" in page
        assert stored(pages) == [0, 0, 0]
        assert account(pages.database, "nina").source == "crm"

    def test_without_sources_nothing_is_said_of_them(self, ada: Admin) -> None:
        page = from_nina(ada)
        assert "copies of their accounts" not in page
        assert "Asked who it is from" not in page

    @pytest.mark.parametrize(
        ("when_away", "reply", "fate"),
        [("hold", "250 2.0.0", "Held"), ("defer", "451 4.3.0", "Deferred")],
    )
    def test_a_directory_that_comes_and_goes(
        self, ada: Admin, configure: Configure, when_away: str, reply: str, fate: str
    ) -> None:
        with run_slapd(NINAS) as slapd:
            configure(directory(slapd, when_away=when_away))
            slapd.stop()
            page = from_nina(ada)
            assert "Customer source did not answer" in page
            assert f"<code>{reply}" in page
            assert re.search(rf'class="simulated">.*{fate}', page)
            assert "No answer came from firm" in page
            assert "Unknown sender" not in page
            slapd.start()
            page = from_nina(ada)
            assert "Account may write to the queue" in page
            slapd.stop()  # the last good copy counts
            page = from_nina(ada)
            assert "Account may write to the queue" in page
            assert "No answer came from firm" in page

    def test_a_mail_that_came_in_before_anybody_knew_its_sender(
        self, pages_everywhere: RunningPortal, crm: Crm, configure: Configure
    ) -> None:
        pages, ada = pages_everywhere, admin_of(pages_everywhere)
        raw = ANNA.replace(b"anna@", b"nina@")
        pages.add_mail(raw, "nina@muster.example", "vertrieb@example.org")
        before = stored(pages)
        crm.hold(NINA)
        configure(crm.section())
        page = ada.get(f"{PATH}?mail={reference_of(pages)}")
        assert "it was decided otherwise" in page
        assert "Unknown sender" in page
        assert "Asked who it is from: crm." in page
        assert stored(pages) == before

    def test_no_session_is_open_while_a_source_is_asked(
        self, pages: RunningPortal, ada: Admin, crm: Crm, shared_app: Portal
    ) -> None:
        pages.add_mail(ANNA, "anna@muster.example", "vertrieb@example.org")
        section = crm.section(cache_seconds=0)
        source = Observant(section, pages.database)
        sources = LiveSources([source], [section])
        before = dict(shared_app.extensions)
        shared_app.extensions["schalter-customer-sources"] = sources
        try:
            from_nina(ada)
            ada.get(f"{PATH}?mail={reference_of(pages)}")
        finally:
            shared_app.extensions.update(before)
            sources.close()
        assert set(source.in_use) == {0}
        assert len(source.in_use) >= 2

    @looks("wide-light-en", "wide-dark-de", "phone-light-de", "phone-dark-en")
    def test_it_is_readable_in_a_browser(
        self,
        portal: RunningPortal,
        crm: Crm,
        configure: Configure,
        open_page: OpenPage,
        sign_in: SignIn,
        shoot: Callable[[Page, str], None],
        look: Look,
    ) -> None:
        crm.execute('DROP TABLE "Kunden Benutzer"')
        configure(crm.section(when_away="defer"))
        page = open_page(**look._asdict())
        sign_in(page, "ada")
        page.goto(portal.address(PATH))
        page.fill("#recipient", "vertrieb@example.org")
        page.fill("#from_", "nina@muster.example")
        page.click("main form.drop button[type=submit]")
        told = {"de-DE": "Keine Antwort kam von crm", "en-GB": "No answer came from crm"}
        expect(page.locator(".trace")).to_contain_text(told[look.locale])
        expect(page.locator(".facts").first).to_contain_text("451 4.3.0")
        assert_accessible(page)
        assert_no_horizontal_overflow(page)
        shoot(page, f"simulator-source-away-{look}")

"""The pages of a customer's addresses: from the form over the mail to the address."""

import logging
import re
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from core.accounts.own_addresses import link_posting_of
from core.models import CustomerUserAddress, OutgoingMail, now
from core.outgoing.compose import compose
from core.outgoing.installation import Installation
from core.outgoing.outbox import letter_of
from core.secret_key import Keys, ensure_secret_key
from core.words import OutgoingKind
from tests.support.portal import RunningPortal, customer_user, post, staff, token_of

NEW = "anna@privat.example"
OURS = "https://help.example"


def link(pages: RunningPortal, folder: Path, login: str = "anna", address: str = NEW) -> str:
    """Ask for a link; return its path, from the mail as it goes out."""
    assert post(pages.client(login), "/addresses", {"address": address}).status_code == 303
    key = str(folder / "mail.key")
    ensure_secret_key(key)
    installation = Installation(Keys(key), OURS, "mx.help.example")
    with pages.database.write() as session:
        newest = select(OutgoingMail).order_by(OutgoingMail.id.desc()).limit(1)
        mail = session.scalars(newest).one()
        posting = link_posting_of(session, installation, mail)
        letter = letter_of(installation, posting, mail.id, now())
    text = str(message_from_bytes(compose(letter), policy=default).get_content())
    (found,) = re.findall(r"(\S*/addresses/confirm/[0-9a-f]{64})\b", text)
    return str(found).removeprefix(OURS)


def addresses(pages: RunningPortal, login: str = "anna") -> list[str]:
    with pages.database.read() as session:
        return [row.address for row in customer_user(session, login).addresses]


def give(pages: RunningPortal, address: str, login: str = "anna") -> int:
    """Give an account one more address; return its id."""
    with pages.database.write() as session:
        row = CustomerUserAddress(address=address, address_key=address, position=1)
        account = customer_user(session, login)
        account.addresses.append(row)
        session.flush()  # its id is asked for
        return row.id


def test_an_address_is_added_by_its_link(pages_everywhere: RunningPortal, tmp_path: Path) -> None:
    pages = pages_everywhere
    path = link(pages, tmp_path)
    client = pages.client("anna")
    assert "noch nicht bestätigt" in client.get("/addresses").get_data(as_text=True)
    for _twice in range(2):  # programs that check mail open links, too
        assert NEW in client.get(path).get_data(as_text=True)
    assert addresses(pages) == ["anna@muster.example"]
    answer = post(client, path, {})
    assert (answer.status_code, answer.location) == (303, "/addresses")
    assert addresses(pages) == ["anna@muster.example", NEW]
    assert NEW in client.get("/addresses").get_data(as_text=True)
    assert client.get(path).status_code == 410


def test_a_link_is_for_the_account_that_asked(pages: RunningPortal, tmp_path: Path) -> None:
    """Who gets a mail that a stranger has caused cannot give the address away."""
    path = link(pages, tmp_path)
    assert pages.client("bert").get(path).status_code == 410
    client = pages.client("bert")
    assert client.post(path, data={"csrf_token": token_of(client, "/addresses")}).status_code == 410
    assert addresses(pages, "bert") == ["bert@muster.example"]
    assert pages.client("jonas").get(path).status_code == 404
    signed_out = pages.client().get(path)
    assert (signed_out.status_code, signed_out.location) == (303, f"/sign-in?next={path}")
    assert post(pages.client("anna"), path, {}).status_code == 303


def test_the_answer_tells_nothing_of_other_accounts(pages: RunningPortal) -> None:
    answers = []
    for address in ("bert@muster.example", "frei@privat.example"):
        client = pages.client("anna")
        sent = post(client, "/addresses", {"address": address})
        page = client.get("/addresses").get_data(as_text=True)
        assert page.count(address) == 2  # the message above the list, and its row
        answers.append((sent.status_code, sent.location))
    assert answers[0] == answers[1]
    with pages.database.read() as session:
        assert session.scalars(select(func.count(OutgoingMail.id))).one() == 2


@pytest.mark.parametrize(
    ("entered", "said"),
    [
        ("", "Bitte füllen Sie dieses Feld aus."),
        ("anna@muster.example", "schon eine Ihrer Adressen"),
        ("technik@example.org", "eine Adresse von uns"),
        ("<script>@x.example", "Bitte geben Sie"),
    ],
)
def test_what_is_wrong_is_told_at_the_field(pages: RunningPortal, entered: str, said: str) -> None:
    answer = post(pages.client("anna"), "/addresses", {"address": entered})
    assert answer.status_code == 422
    assert said in answer.get_data(as_text=True)
    with pages.database.read() as session:
        assert session.scalars(select(func.count(OutgoingMail.id))).one() == 0


def test_another_main_address(pages: RunningPortal) -> None:
    row = give(pages, NEW)
    answer = post(pages.client("anna"), f"/addresses/{row}/main", {}, form_at="/addresses")
    assert (answer.status_code, answer.location) == (303, "/addresses")
    assert addresses(pages) == [NEW, "anna@muster.example"]
    with pages.database.read() as session:
        mail = session.scalars(select(OutgoingMail)).one()
        assert (mail.kind, mail.recipient) == (OutgoingKind.ADDRESS_CHANGED, "anna@muster.example")


def test_removing_asks_first(pages: RunningPortal) -> None:
    row = give(pages, NEW)
    client = pages.client("anna")
    assert NEW in client.get(f"/addresses/{row}/remove").get_data(as_text=True)
    assert len(addresses(pages)) == 2
    assert post(client, f"/addresses/{row}/remove", {}).status_code == 303
    assert addresses(pages) == ["anna@muster.example"]


def test_the_main_address_stays(pages: RunningPortal) -> None:
    give(pages, NEW)
    with pages.database.read() as session:
        row = customer_user(session, "anna").addresses[0].id
    client = pages.client("anna")
    post(client, f"/addresses/{row}/remove", {})
    assert len(addresses(pages)) == 2
    assert "Hauptadresse lässt sich nicht" in client.get("/addresses").get_data(as_text=True)


@pytest.mark.parametrize("login", ["bert", "carol", "jonas", "ada"])
def test_addresses_of_others_do_not_exist(pages: RunningPortal, login: str) -> None:
    row = give(pages, NEW)
    client = pages.client(login)
    form_at = "/staff/account/preferences" if login in ("jonas", "ada") else "/addresses"
    for page in ("main", "remove"):
        answer = post(client, f"/addresses/{row}/{page}", {}, form_at=form_at)
        assert answer.status_code == 404
    assert client.get(f"/addresses/{row}/remove").status_code == 404
    assert client.get("/addresses").status_code == (404 if "staff" in form_at else 200)
    assert NEW not in client.get("/addresses").get_data(as_text=True)
    assert len(addresses(pages)) == 2


def test_forged_requests_change_nothing(pages: RunningPortal, tmp_path: Path) -> None:
    row = give(pages, "zweite@muster.example")
    path = link(pages, tmp_path)
    client = pages.client("anna")
    for forged in ("/addresses", f"/addresses/{row}/main", f"/addresses/{row}/remove", path):
        assert client.post(forged, data={"address": "x@y.example"}).status_code == 400
    assert client.get(f"/addresses/{row}/main").status_code == 405
    assert addresses(pages) == ["anna@muster.example", "zweite@muster.example"]


def test_no_secret_gets_into_the_log(
    pages: RunningPortal, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = link(pages, tmp_path)
    with caplog.at_level(logging.DEBUG):
        pages.client("anna").get(path)
        post(pages.client("anna"), path, {})
        pages.client("anna").get(path)
    assert path.rpartition("/")[2] not in caplog.text


def test_staff_see_it_in_the_history(pages: RunningPortal, tmp_path: Path) -> None:
    post(pages.client("anna"), link(pages, tmp_path), {})
    with pages.database.read() as session:
        account = customer_user(session, "anna").id
        assert staff(session, "ada")
    history = pages.client("ada").get(f"/admin/customer-users/{account}/history")
    page = history.get_data(as_text=True)
    assert "Bestätigung einer Mailadresse angefordert" in page
    assert page.count(NEW) == 2


def test_an_account_that_became_invalid_uses_no_link(pages: RunningPortal, tmp_path: Path) -> None:
    path = link(pages, tmp_path)
    client = pages.client("anna")
    token = token_of(client, path)
    with pages.database.write() as session:
        customer_user(session, "anna").customer.valid = False
    assert client.post(path, data={"csrf_token": token}).status_code in (303, 401)
    assert addresses(pages) == ["anna@muster.example"]


def test_a_lot_of_requests_are_slowed_down(pages: RunningPortal) -> None:
    client = pages.client("anna")
    with pages.database.write() as session:
        session.execute(update(CustomerUserAddress).values(position=0))
    answers = [
        post(client, "/addresses", {"address": f"a{number}@x.example"}).status_code
        for number in range(14)
    ]
    assert answers[:10] == [303] * 10
    assert set(answers[10:]) <= {422, 429}

"""The pages of customers: their tickets, a new one, replies, and what others may not see."""

from collections.abc import Sequence
from io import BytesIO
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from core.mail.uploads import Upload
from core.models import Article, Attachment, Queue, Ticket
from core.words import FollowUp, Permission, TicketState, Validity
from portal.customers import new_ticket as new_ticket_page
from tests.support.portal import RunningPortal, customer_user, post, token_of

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20
HTML_MAIL = b"""\
From: Anna <anna@muster.example>
To: vertrieb@example.org
Subject: Bilder
Message-ID: <1@muster.example>
MIME-Version: 1.0
Content-Type: multipart/related; boundary=b

--b
Content-Type: text/html; charset=utf-8

<p onclick="alert(1)">Hallo <b>Welt</b></p><script>alert(1)</script>
<img src="cid:logo" alt="Logo"><img src="https://tracker.example/pixel.gif">
<form action="https://evil.example"><input name=x></form><a href="javascript:alert(1)">x</a>
--b
Content-Type: image/png; name=logo.png
Content-ID: <logo>
Content-Disposition: inline; filename=logo.png
Content-Transfer-Encoding: base64

iVBORw0KGgoAAAAA
--b--
"""


def text_of(client: FlaskClient, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, answer.get_data(as_text=True)[:500]
    return answer.get_data(as_text=True)


def new_ticket(
    client: FlaskClient, *, files: Sequence[tuple[bytes, str]] = (), **fields: object
) -> TestResponse:
    """Send the form of a new ticket, filled in well unless ``fields`` say otherwise."""
    page = text_of(client, "/tickets/new")
    nonce = page.partition('name="nonce"')[2].partition('value="')[2].partition('"')[0]
    given = {"subject": "Betreff", "text": "Guten Tag", "nonce": nonce, **fields}
    data = {**given, "files": [(BytesIO(content), name) for content, name in files]}
    return post(client, "/tickets/new", data)


def queue_id(pages: RunningPortal, name: str) -> int:
    with pages.database.read() as session:
        return session.scalars(select(Queue.id).where(Queue.name == name)).one()


def count(pages: RunningPortal, model: type) -> int:
    with pages.database.read() as session:
        return session.scalars(select(func.count(model.id))).one()


def test_a_ticket_from_form_to_list(pages_everywhere: RunningPortal) -> None:
    pages = pages_everywhere
    client = pages.client("anna")
    vertrieb = queue_id(pages, "Vertrieb")
    answer = new_ticket(
        client, queue=vertrieb, subject="Büromöbel <b>", files=[(b"%PDF", "Größe.pdf")]
    )
    assert answer.status_code == 303
    page = text_of(client, answer.headers["Location"])
    assert "Ihre Nachricht ist angekommen. Sie hat die Nummer 100001." in page
    assert "Büromöbel &lt;b&gt;" in page
    assert "Größe.pdf" in page
    assert "Büromöbel" in text_of(client, "/tickets")
    assert "Büromöbel" in text_of(client, "/tickets?q=buromobel&tab=all")
    assert "Kein Ticket enthält das." in text_of(client, "/tickets?q=lager")
    assert "Büromöbel" not in text_of(client, "/tickets?tab=closed")


def test_only_the_queues_that_may_be_written_to_are_offered(pages: RunningPortal) -> None:
    offered = {
        login: [name for name in ("Vertrieb", "Technik", "Rechnung") if f">{name}<" in page]
        for login in ("anna", "bert", "carol")
        for page in [text_of(pages.client(login), "/tickets/new")]
    }
    assert offered == {
        "anna": ["Vertrieb", "Technik"],
        "bert": ["Vertrieb"],
        "carol": ["Technik"],
    }


def test_who_may_use_no_queue_is_told_whom_to_ask(pages: RunningPortal) -> None:
    page = text_of(pages.client("nora"), "/tickets/new")
    assert "Ihr Konto darf zurzeit in keine Queue schreiben." in page
    assert "Bitte wenden Sie sich an uns: support@example.org" in page
    assert "<textarea" not in page


@pytest.mark.parametrize("queue", ["Rechnung", "Vertrieb"])
def test_a_queue_that_was_not_offered_is_refused(pages: RunningPortal, queue: str) -> None:
    answer = new_ticket(pages.client("carol"), queue=queue_id(pages, queue))
    assert answer.status_code == 422
    assert "Guten Tag" in answer.get_data(as_text=True)
    assert count(pages, Ticket) == 0


def test_a_permission_that_was_taken_away_meanwhile_is_gone(
    pages: RunningPortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = pages.client("carol")
    technik = queue_id(pages, "Technik")
    compose = new_ticket_page.submission.new_ticket

    def meanwhile(*args: object, **kwargs: object) -> object:
        with pages.database.write() as session:
            carol = customer_user(session, "carol")
            carol.permissions.clear()
        return compose(*args, **kwargs)

    monkeypatch.setattr(new_ticket_page.submission, "new_ticket", meanwhile)
    answer = new_ticket(client, queue=technik)
    assert answer.status_code == 403
    assert "Es wurde nichts gesendet." in answer.get_data(as_text=True)
    assert count(pages, Ticket) == 0


def test_side_parameters_change_nothing(pages: RunningPortal) -> None:
    client = pages.client("carol")
    new_ticket(
        client,
        queue=queue_id(pages, "Technik"),
        queue_id=queue_id(pages, "Rechnung"),
        customer_id=1,
        customer_user_id=1,
        state="closed",
        priority="urgent",
        owner_id=1,
    )
    with pages.database.read() as session:
        ticket = session.scalars(select(Ticket)).one()
        assert ticket.queue.name == "Technik"
        assert ticket.customer_user is not None
        assert ticket.customer_user.login == "carol"
        assert (ticket.state, ticket.priority, ticket.owner_id) == ("new", "normal", None)


def test_a_form_sent_twice_is_one_ticket_and_another_text_is_another(pages: RunningPortal) -> None:
    client = pages.client("carol")
    fields = {
        "queue": queue_id(pages, "Technik"),
        "subject": "Doppelt",
        "text": "einmal",
        "nonce": "a" * 22,
    }
    first = post(client, "/tickets/new", fields)
    again = post(client, "/tickets/new", fields)
    assert first.headers["Location"] == again.headers["Location"]
    assert count(pages, Ticket) == 1
    post(client, "/tickets/new", {**fields, "text": "noch etwas"})
    assert count(pages, Ticket) == 2


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"subject": ""}, "Bitte füllen Sie dieses Feld aus."),
        ({"subject": "  "}, "Bitte füllen Sie dieses Feld aus."),
        ({"subject": "x" * 201}, "Höchstens 200 Zeichen."),
        ({"text": ""}, "Bitte füllen Sie dieses Feld aus."),
        ({"text": "x" * 300_000}, "Höchstens 262144 Zeichen."),
        ({"queue": ""}, "Bitte wählen Sie aus."),
        ({"files": [(b"x", f"{n}.txt") for n in range(11)]}, "Höchstens 10 Dateien."),
        ({"files": [(b"x" * 6000, "a.bin"), (b"x" * 6000, "b.bin")]}, "höchstens 10"),
    ],
)
def test_a_form_with_errors_comes_back_as_it_was_typed(
    pages: RunningPortal, fields: dict[str, object], error: str
) -> None:
    pages.change_settings(upload_max_bytes=10_000)
    client = pages.client("anna")
    given = {"queue": queue_id(pages, "Technik"), "subject": "Mein Betreff", "text": "Mein Text"}
    answer = new_ticket(client, **{**given, **fields})
    page = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert error in page
    assert "Mein Text" in page or "text" in fields
    assert "Mein Betreff" in page or "subject" in fields
    assert "Bitte wählen Sie Ihre Dateien noch einmal aus" in page
    assert count(pages, Ticket) == 0


@pytest.mark.parametrize(
    ("follow_up", "words", "state"),
    [
        (FollowUp.POSSIBLE, "Ihre Antwort öffnet es wieder.", TicketState.OPEN),
        (FollowUp.NEW_TICKET, "eröffnet ein neues Ticket", TicketState.CLOSED),
        (FollowUp.REJECT, "Es nimmt keine Antworten mehr an.", TicketState.CLOSED),
    ],
)
def test_a_closed_ticket_says_what_a_reply_does(
    pages: RunningPortal, follow_up: FollowUp, words: str, state: TicketState
) -> None:
    public_id = pages.add_ticket("anna", "Technik", "Drucker")
    pages.set_state(public_id, TicketState.CLOSED)
    with pages.database.write() as session:
        session.scalars(select(Queue).where(Queue.name == "Technik")).one().follow_up = follow_up
    client = pages.client("anna")
    page = text_of(client, f"/tickets/{public_id}")
    assert words in page
    assert ("<textarea" in page) is (follow_up is not FollowUp.REJECT)
    answer = post(
        client, f"/tickets/{public_id}/reply", {"text": "Doch nicht"}, f"/tickets/{public_id}"
    )
    assert answer.status_code == (403 if follow_up is FollowUp.REJECT else 303)
    with pages.database.read() as session:
        assert pages.ticket(session, public_id).state is state
    expected = {FollowUp.POSSIBLE: (1, 2), FollowUp.NEW_TICKET: (2, 2), FollowUp.REJECT: (1, 1)}
    assert (count(pages, Ticket), count(pages, Article)) == expected[follow_up]


def test_a_reply_may_close_the_ticket(pages_everywhere: RunningPortal) -> None:
    pages = pages_everywhere
    public_id = pages.add_ticket("anna", "Technik", "Drucker")
    client = pages.client("anna")
    at = f"/tickets/{public_id}"
    post(client, f"{at}/reply", {"text": "Danke, läuft", "close": "y"}, at)
    page = text_of(client, at)
    assert "Ihre Antwort ist gesendet und das Ticket geschlossen." in page
    assert "Danke, läuft" in page
    with pages.database.read() as session:
        assert pages.ticket(session, public_id).state is TicketState.CLOSED


def test_a_ticket_is_closed_without_a_word(pages: RunningPortal) -> None:
    public_id = pages.add_ticket("anna", "Technik", "Drucker")
    client = pages.client("anna")
    assert "Dann schließen Sie es." in text_of(client, f"/tickets/{public_id}/close")
    post(client, f"/tickets/{public_id}/close", {})
    with pages.database.read() as session:
        assert pages.ticket(session, public_id).state is TicketState.CLOSED


def test_who_may_only_read_is_told_so(pages: RunningPortal) -> None:
    with pages.database.write() as session:
        (row,) = customer_user(session, "bert").permissions
        row.permission = Permission.RW
    public_id = pages.add_ticket("bert", "Technik", "Drucker")
    with pages.database.write() as session:
        (row,) = customer_user(session, "bert").permissions
        row.permission = Permission.RO
    client = pages.client("bert")
    page = text_of(client, f"/tickets/{public_id}")
    assert "darf dieses Ticket lesen, aber nicht darin schreiben" in page
    assert "<textarea" not in page
    token = token_of(client, "/account/data")
    for path in ("reply", "close"):
        answer = client.post(
            f"/tickets/{public_id}/{path}", data={"csrf_token": token, "text": "x"}
        )
        assert answer.status_code == 403


def test_the_firms_tickets_are_for_those_who_may_see_them(pages: RunningPortal) -> None:
    public_id = pages.add_ticket("bert", "Vertrieb", "Berts Anliegen")
    anna, carol = pages.client("anna"), pages.client("carol")
    assert "Berts Anliegen" not in text_of(anna, "/tickets")
    firm = text_of(anna, "/tickets?scope=company")
    assert "Berts Anliegen" in firm
    assert "Bert Schröder" in firm
    assert "von Bert Schröder" in text_of(anna, f"/tickets/{public_id}")
    assert "Berts Anliegen" not in text_of(carol, "/tickets?scope=company")
    assert "scope" not in text_of(carol, "/tickets").partition("<main")[2]


def test_a_new_answer_is_marked_until_it_was_looked_at(pages: RunningPortal) -> None:
    public_id = pages.add_ticket("carol", "Technik", "Drucker")
    client = pages.client("carol")
    text_of(client, f"/tickets/{public_id}")
    assert "neue Antwort" not in text_of(client, "/tickets")
    pages.add_answer(public_id, "intern: Kunde ist schwierig", visible=False)
    assert "neue Antwort" not in text_of(client, "/tickets")
    pages.add_answer(public_id, "Bitte neu starten")
    assert "neue Antwort" in text_of(client, "/tickets")
    assert "Bitte neu starten" in text_of(client, f"/tickets/{public_id}")
    assert "neue Antwort" not in text_of(client, "/tickets")


def test_pages_of_a_list_hold_every_ticket_once(pages: RunningPortal) -> None:
    for number in range(12):
        pages.add_ticket("carol", "Technik", f"Anliegen {number:02}")
    with pages.database.write() as session:
        customer_user(session, "carol").tickets_per_page = 5
    client = pages.client("carol")
    found, path = [], "/tickets"
    while path:
        page = text_of(client, path)
        found += [line.partition(">")[2][:11] for line in page.split("row-link")[1:]]
        _before, there, rest = page.partition('rel="next" href="')
        path = rest.partition('"')[0].replace("&amp;", "&") if there else ""
    assert found == [f"Anliegen {number:02}" for number in reversed(range(12))]


@pytest.mark.parametrize("query", ["%", "_", "';--", "\\", "a" * 500, "\0", "*", '"', "(", "ä%00"])
def test_no_search_is_an_error(pages: RunningPortal, query: str) -> None:
    pages.add_ticket("carol", "Technik", "Drucker")
    page = text_of(pages.client("carol"), f"/tickets?tab=all&page=%ff&{urlencoded(query)}")
    assert "Drucker</a>" not in page or not query.strip("\0 ")


def urlencoded(query: str) -> str:
    return urlencode({"q": query})


@pytest.mark.parametrize(
    "path",
    [
        "/tickets/%00",
        "/tickets/a%00b/close",
        "/tickets/{id}/attachments/99999999999999999999",
        "/tickets/{id}/attachments/-1",
        "/tickets/{id}/attachments/%C2%B2",
        "/tickets/{id}/messages/2147483648",
        "/tickets/" + "x" * 5000,
    ],
)
def test_an_address_that_names_nothing_is_missing(
    pages_everywhere: RunningPortal, path: str
) -> None:
    public_id = pages_everywhere.add_ticket("carol", "Technik", "Drucker")
    client = pages_everywhere.client("carol")
    assert client.get(path.replace("{id}", public_id)).status_code == 404


@pytest.mark.parametrize(
    "query",
    ["before=99999999999999999999", "before=-1", "before=x", "before=2147483648", "page=%00"],
)
def test_parameters_that_mean_nothing_are_ignored(
    pages_everywhere: RunningPortal, query: str
) -> None:
    public_id = pages_everywhere.add_ticket("carol", "Technik", "Drucker")
    client = pages_everywhere.client("carol")
    for path in (f"/tickets/{public_id}", "/tickets"):
        for more in ("", "&q=%00", "&q=a%00b", "&tab=%00&scope=x"):
            assert "Drucker" in text_of(client, f"{path}?{query}{more}") or "q=" in more


def test_another_customer_gets_the_same_404_for_everything(pages_everywhere: RunningPortal) -> None:
    """Threat W1: carol asks for every id of anna."""
    pages = pages_everywhere
    public_id = pages.add_ticket(
        "anna", "Vertrieb", "Geheimes", files=[Upload("geheim.pdf", "application/pdf", b"%PDF")]
    )
    own = pages.add_ticket("carol", "Technik", "Eigenes")
    with pages.database.read() as session:
        attachment = session.scalars(select(Attachment.id)).one()
        articles = session.scalars(select(Article.id).order_by(Article.id)).all()
    carol = pages.client("carol")
    token = token_of(carol, "/account/data")
    missing = carol.get("/tickets/zzzzzzzzzzzzzzzzzzzzzzzzzz")
    expected = missing.get_data(as_text=True).replace("zzzzzzzzzzzzzzzzzzzzzzzzzz", "ID")
    for ticket in (public_id, own):
        for path in (
            f"attachments/{attachment}",
            f"pictures/{attachment}",
            f"messages/{articles[0]}",
            f"messages/{articles[0]}/frame",
        ):
            answer = carol.get(f"/tickets/{ticket}/{path}")
            assert answer.status_code == 404, path
    for path in ("", "/close"):
        answer = carol.get(f"/tickets/{public_id}{path}")
        assert answer.status_code == 404
        if not path:
            page = answer.get_data(as_text=True).replace(public_id, "ID")
            assert without_tokens(page) == without_tokens(expected)
    for path in ("reply", "close"):
        data = {"csrf_token": token, "text": "ich war hier"}
        assert carol.post(f"/tickets/{public_id}/{path}", data=data).status_code == 404
    assert public_id not in text_of(carol, "/tickets?q=Geheimes&tab=all&scope=company")
    assert count(pages, Article) == 2


def without_tokens(page: str) -> list[str]:
    return [line for line in page.splitlines() if "csrf_token" not in line]


def test_internal_notes_and_their_files_are_for_staff(pages: RunningPortal) -> None:
    public_id = pages.add_ticket("anna", "Vertrieb", "Anliegen")
    note = pages.add_answer(public_id, "nicht für Kunden", visible=False)
    client = pages.client("anna")
    assert "nicht für Kunden" not in text_of(client, f"/tickets/{public_id}")
    assert "Anliegen" not in text_of(client, "/tickets?q=Kunden&tab=all").partition('id="rows"')[2]
    for path in (f"messages/{note}", f"messages/{note}/frame"):
        assert client.get(f"/tickets/{public_id}/{path}").status_code == 404


@pytest.mark.parametrize(
    ("name", "kind", "content", "served"),
    [
        ("a.png", "image/png", PNG, "image/png"),
        ("a.png", "image/png", b"<svg onload=alert(1)>", "application/octet-stream"),
        ("a.html", "text/html", b"<script>alert(1)</script>", "application/octet-stream"),
        ("a.svg", "image/svg+xml", b"<svg/>", "application/octet-stream"),
        ("a.pdf", "application/pdf", b"%PDF-1.7", "application/octet-stream"),
    ],
)
def test_files_are_saved_and_never_run(
    pages: RunningPortal, name: str, kind: str, content: bytes, served: str
) -> None:
    public_id = pages.add_ticket("anna", "Vertrieb", "Datei", files=[Upload(name, kind, content)])
    client = pages.client("anna")
    with pages.database.read() as session:
        attachment = session.scalars(select(Attachment.id)).one()
    answer = client.get(f"/tickets/{public_id}/attachments/{attachment}")
    assert answer.data == content
    assert answer.content_type == served
    assert answer.headers["Content-Disposition"].startswith("attachment; ")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    shown = client.get(f"/tickets/{public_id}/pictures/{attachment}")
    is_picture = served == "image/png"
    kind_of_answer = shown.headers["Content-Disposition"].partition(";")[0]
    assert kind_of_answer == ("inline" if is_picture else "attachment")


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("Größe.pdf", "filename=Gr__e.pdf; filename*=UTF-8''Gr%C3%B6%C3%9Fe.pdf"),
        ("../../etc/passwd", "attachment; filename=passwd;"),
        ('a".exe', 'filename="a\\".exe"'),
        ("gpj\u202e.exe", "filename=gpj.exe"),
        ("a\r\nX: y", "a X: y"),
    ],
)
def test_names_of_files_are_data(pages: RunningPortal, name: str, header: str) -> None:
    public_id = pages.add_ticket("anna", "Vertrieb", "x", files=[Upload(name, "text/plain", b"x")])
    with pages.database.read() as session:
        attachment = session.scalars(select(Attachment.id)).one()
    answer = pages.client("anna").get(f"/tickets/{public_id}/attachments/{attachment}")
    assert header in answer.headers["Content-Disposition"]
    assert "X" not in answer.headers


def test_the_html_of_a_mail_is_shown_safely_and_as_it_was(pages: RunningPortal) -> None:
    public_id = pages.add_mail(HTML_MAIL, "anna@muster.example", "vertrieb@example.org")
    assert public_id is not None
    with pages.database.read() as session:
        article = session.scalars(select(Article.id)).one()
        attachment = session.scalars(select(Attachment.id)).one()
    client = pages.client("anna")
    page = text_of(client, f"/tickets/{public_id}").partition("<main")[2]
    assert "<b>Welt</b>" in page
    assert f'src="/tickets/{public_id}/pictures/{attachment}"' in page
    for bad in ("onclick", "<script", "tracker.example", "<form action", "javascript:"):
        assert bad not in page.partition('class="message-html"')[2].partition("message-foot")[0]
    assert "1 Bild aus dem Internet wurde nicht geladen." in page
    assert "Absender nicht" in page or "nicht bestätigt" in page or "not verified" in page
    frame = client.get(f"/tickets/{public_id}/messages/{article}/frame")
    policy = frame.headers["Content-Security-Policy"]
    assert "sandbox" in policy
    assert "frame-ancestors 'self'" in policy
    assert "script-src" not in policy
    body = frame.get_data(as_text=True)
    assert "data:image/png;base64," in body
    assert "tracker.example" not in body
    assert "<script" not in body


def test_an_invalid_account_sees_nothing_any_more(pages: RunningPortal) -> None:
    public_id = pages.add_ticket("anna", "Vertrieb", "Anliegen")
    client = pages.client("anna")
    with pages.database.write() as session:
        customer_user(session, "anna").valid = Validity.INVALID
    assert client.get(f"/tickets/{public_id}").status_code == 303

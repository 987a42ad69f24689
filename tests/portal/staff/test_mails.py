"""The mail log: whose mails it shows, its filters, and one mail with all that is known of it."""

import pytest
from sqlalchemy import select

from core.models import Mail
from tests.portal.staff.asking import page, rows, words
from tests.portal.staff.day import HELD, Day

FORGED, MEASURED, GUEST = "Gefälscht", "Messwerte von heute", "Wo finde ich das Handbuch?"
HELD_SUBJECTS = {name: subject for name, (subject, *_rest) in HELD.items()}


def reference(day: Day, subject: str) -> str:
    with day.pages.database.read() as session:
        return session.scalars(select(Mail.reference).where(Mail.subject == subject)).one()


@pytest.mark.parametrize(
    ("login", "number"), [("ada", 13), ("jonas", 11), ("tina", 1), ("rolf", 7)]
)
def test_staff_see_the_mails_of_their_queues(day: Day, login: str, number: int) -> None:
    assert len(rows(page(day.client(login), "/staff/mails"))) == number


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?decision=reject", {FORGED}),
        ("?decision=hold&queue=3", {HELD_SUBJECTS["forbidden"]}),
        ("?reason=stranger", {GUEST, HELD_SUBJECTS["stranger"]}),
        ("?reason=nix&decision=reject", {FORGED}),  # what is no reason asks for nothing
        ("?sender=lindner", {HELD_SUBJECTS["stranger"]}),
        ("?q=Messwerte", {MEASURED}),
        ("?q=%25", set()),
        ("?held=waiting&sender=anna", {HELD_SUBJECTS["conflict"]}),
        ("?customer_user=3&sender=carol&q=Messwerte", {MEASURED}),
        ("?until=2020-01-01", set()),
        ("?since=2999-12-31", set()),
        ("?since=2020-01-01&until=gestern&q=Messwerte", {MEASURED}),
    ],
)
def test_filters_stand_in_the_address(day: Day, query: str, expected: set[str]) -> None:
    assert set(rows(page(day.client("ada"), f"/staff/mails{query}"))) == expected


def test_a_mail_is_found_by_its_reference(day: Day) -> None:
    found = rows(page(day.client("ada"), f"/staff/mails?q={reference(day, FORGED)}"))
    assert found == [FORGED]


def test_a_mail_is_explained_and_leads_on(day: Day) -> None:
    client = day.client("jonas")
    source = page(client, f"/staff/mails/{reference(day, MEASURED)}")
    text = words(source)
    assert "To technik@example.org What became of it New ticket Account may write" in text
    assert "carol, by the mail address" in text
    assert "Answer to the sender's server 250 2.0.0" in text
    assert "technik@example.org is an address of the queue Technik." in text
    assert "Handed over by 192.0.2.7" in text
    assert "/staff/tickets/number/100005" in source
    held = page(client, f"/staff/mails/{reference(day, HELD_SUBJECTS['stranger'])}")
    assert f'href="{day.held_url("stranger")}"' in held
    reader = page(day.client("rolf"), f"/staff/mails/{reference(day, HELD_SUBJECTS['stranger'])}")
    assert "/staff/held/" not in reader.partition("<main")[2]
    assert "Waiting for a decision" in words(reader)


def test_the_exact_bytes_are_handed_out_where_they_were_kept(day: Day) -> None:
    client = day.client("jonas")
    kept = client.get(f"/staff/mails/{reference(day, MEASURED)}/raw")
    assert kept.data.startswith(b"From: Carol Smith")
    assert kept.headers["Content-Disposition"].startswith("attachment;")
    refused = f"/staff/mails/{reference(day, FORGED)}"
    assert "(.eml)" not in page(client, refused)
    page(client, f"{refused}/raw", 404)
    assert "550 5.7.1" in words(page(client, refused))


def test_other_queues_mails_look_as_if_there_were_none(day: Day) -> None:
    client = day.client("tina")
    missing = words(page(client, "/staff/mails/zzzzzzzzzzzzzzzzzzzzzzzzzz", 404))
    for path in ("", "/raw"):
        source = page(client, f"/staff/mails/{reference(day, MEASURED)}{path}", 404)
        assert words(source) == missing


def test_a_mail_that_came_again_says_so(day: Day) -> None:
    client = day.client("ada")
    with day.pages.database.read() as session:
        mail = session.scalars(select(Mail).where(Mail.subject == MEASURED)).one()
        assert mail.raw is not None
        raw = mail.raw.content
    for _time in range(2):
        day.pages.add_mail(raw, "carol@acme.example", "technik@example.org")
    text = words(page(client, f"/staff/mails/{reference(day, MEASURED)}"))
    assert "Delivered again 2 more times; nothing was filed twice" in text

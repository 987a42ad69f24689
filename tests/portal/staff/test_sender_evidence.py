"""What the checks of a sender found, in words: held mail, mail log, "Why here?"."""

from sqlalchemy import select, update

from core.mail.authentication.findings import (
    Dmarc,
    DmarcPolicy,
    Findings,
    Result,
    Signature,
    Source,
    Spf,
)
from core.models import Article, Delivery, Mail
from tests.portal.staff.asking import page, words
from tests.portal.staff.day import Day

FOUND = Findings(
    Source.EDGE,
    Spf(Result.SOFTFAIL, "esp.example"),
    (Signature(Result.POLICY, "muster.example", "The signature has expired."),),
    Dmarc(DmarcPolicy.REJECT),
)
SHOWN = (
    "SPF rather not passed esp.example",
    "DKIM too weak muster.example The signature has expired.",
    "DMARC p=reject",
)


def test_the_findings_are_on_every_page_of_a_mail(day: Day) -> None:
    with day.pages.database.write() as session:
        session.execute(
            update(Mail).values(authentication=FOUND.as_json(), evidence_why="The why of it.")
        )
        held = session.get_one(Delivery, day.held["stranger"])
        reference = held.mail.reference
        article = session.scalars(select(Article).where(Article.mail_id.is_not(None))).first()
        assert article is not None
        why = f"/staff/tickets/{article.ticket.public_id}/messages/{article.id}/why"
    for path in (day.held_url("stranger"), f"/staff/mails/{reference}", why):
        text = words(page(day.client("ada"), path))
        assert all(shown in text for shown in SHOWN), text


def test_mail_that_nobody_checked_shows_nothing_of_it(day: Day) -> None:
    assert "What was checked" not in page(day.client("ada"), day.held_url("stranger"))

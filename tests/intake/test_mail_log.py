"""The mail log: every mail with its fate, to those who may read it, in their language."""

import re
from datetime import timedelta

import pytest
from babel.messages.pofile import read_po
from sqlalchemy import select
from sqlalchemy.orm import Session

from core import labels
from core.db import Database
from core.errors import NotFound
from core.i18n import in_language, translations
from core.intake import rules
from core.intake.decide import decide, evidence_demanded, too_many_tickets
from core.intake.mail_log import MailFilter, logged_mail, mail_bytes, mail_log, shown_steps
from core.intake.pipeline import take_in
from core.intake.rows import trace
from core.labels import label, reason_label, rule_label
from core.models import Delivery, Queue, Staff, ticket_number
from core.words import DecisionKind, Evidence, HeldState, Protocol
from tests.intake.firm import Firm, a_firm
from tests.intake.mails import AT, a_mail
from tests.intake.test_rules import TABLE
from tests.support.sources import ROOT
from tests.tickets.statements import watched

FILED, HELD, REFUSED, BOTH, POSTMASTER = "filed", "held", "refused", "both", "postmaster"


@pytest.fixture
def firm(database: Database) -> Firm:
    return a_firm(database, sender_policy="open")


@pytest.fixture
def log(database: Database, firm: Firm) -> dict[str, str]:
    return five_mails(database)


def five_mails(database: Database) -> dict[str, str]:
    """Take in five mails with five fates; return their references."""
    mails = {
        FILED: a_mail(message_id="<1@x>", subject="Überraschung 50%"),
        HELD: a_mail(message_id="<2@x>", sender="wer@fremd.example"),
        REFUSED: a_mail(message_id="<3@x>", sender="x@example.org"),  # our own domain
        BOTH: a_mail(message_id="<4@x>", to=("vertrieb@example.org", "rechnung@example.org")),
        POSTMASTER: a_mail(message_id="<5@x>", to="postmaster@example.org", protocol=Protocol.LMTP),
    }
    with database.write() as session:
        receipts = take_in(session, list(mails.values()))
    return {name: receipt.reference for name, receipt in zip(mails, receipts, strict=True)}


def staff(session: Session, login: str) -> Staff:
    return session.scalars(select(Staff).where(Staff.login == login)).one()


def listed(session: Session, login: str, **wanted: object) -> list[str]:
    """Return the references in the log, the newest first."""
    page = mail_log(session, staff(session, login), MailFilter(**wanted))
    return [entry.mail.reference for entry in page.items]


def test_every_mail_with_its_fate(database: Database, firm: Firm, log: dict[str, str]) -> None:
    with database.read() as session:
        root = staff(session, "root")
        page = mail_log(session, root, MailFilter())
        fates = {
            entry.mail.reference: [
                (part.delivery.decision, part.delivery.reason, part.queue, part.account)
                for part in entry.deliveries
            ]
            for entry in page.items
        }
        assert fates == {
            log[FILED]: [(DecisionKind.OPEN_TICKET, "allowed", "Vertrieb", "anna")],
            log[HELD]: [(DecisionKind.HOLD, "stranger", "Vertrieb", "")],
            log[REFUSED]: [(DecisionKind.REJECT, "own-address", "Vertrieb", "")],
            log[BOTH]: [
                (DecisionKind.OPEN_TICKET, "allowed", "Vertrieb", "anna"),
                (DecisionKind.HOLD, "queue-forbidden", "Rechnung", "anna"),
            ],
            log[POSTMASTER]: [(DecisionKind.HOLD, "postmaster", "", "anna")],
        }
        filed = logged_mail(session, root, log[FILED]).deliveries[0]
        assert filed.ticket_public_id
        assert filed.ticket == ticket_number(filed.delivery.ticket_id or 0)


def test_an_agent_reads_what_was_for_their_queues(
    database: Database, firm: Firm, log: dict[str, str]
) -> None:
    with database.read() as session:
        jonas = staff(session, "jonas")
        assert listed(session, "jonas") == [log[name] for name in (BOTH, REFUSED, HELD, FILED)]
        both = logged_mail(session, jonas, log[BOTH])
        assert [part.queue for part in both.deliveries] == ["Vertrieb"]  # not the other part
        for reference in (log[POSTMASTER], "0" * 26, ""):
            with pytest.raises(NotFound):
                logged_mail(session, jonas, reference)
            with pytest.raises(NotFound):
                mail_bytes(session, jonas, reference)
        assert listed(session, "jonas", reason="queue-forbidden") == []
        jonas.valid = False
        assert mail_log(session, jonas, MailFilter()).items == ()


def test_the_exact_bytes(database: Database, firm: Firm, log: dict[str, str]) -> None:
    with database.read() as session:
        root = staff(session, "root")
        file = mail_bytes(session, root, log[FILED])
        assert file.content.startswith(b"From: anna@muster.example")
        assert file.filename == f"{log[FILED]}.eml"
        with pytest.raises(NotFound, match="gone"):
            mail_bytes(session, root, log[REFUSED])  # refused mail stays with its sender


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ({"decision": DecisionKind.HOLD}, [POSTMASTER, BOTH, HELD]),
        ({"reason": "queue-forbidden"}, [BOTH]),
        ({"held": HeldState.WAITING}, [POSTMASTER, BOTH, HELD]),
        ({"protocol": Protocol.LMTP}, [POSTMASTER]),
        ({"evidence": Evidence.FAILED}, [REFUSED]),
        ({"sender": "FREMD"}, [HELD]),
        ({"sender": "%"}, []),
        ({"sender": "a_na"}, []),
        ({"recipient": "rechnung@"}, [BOTH]),
        ({"query": "50%"}, [FILED]),
        ({"query": "<2@x>"}, [HELD]),
        ({"since": AT + timedelta(seconds=1)}, []),
        ({"until": AT + timedelta(seconds=1)}, [POSTMASTER, BOTH, REFUSED, HELD, FILED]),
        ({"until": AT}, []),
        ({"decision": DecisionKind.OPEN_TICKET, "recipient": "rechnung"}, []),  # of one delivery
    ],
)
def test_filters(sqlite_database: Database, wanted: dict[str, object], names: list[str]) -> None:
    a_firm(sqlite_database, sender_policy="open")
    references = five_mails(sqlite_database)
    with sqlite_database.read() as session:
        assert listed(session, "root", **wanted) == [references[name] for name in names]


def test_filters_by_queue_account_and_reference(
    database: Database, firm: Firm, log: dict[str, str]
) -> None:
    with database.read() as session:
        assert listed(session, "root", queue_id=firm.queues["Rechnung"]) == [log[BOTH]]
        anna = firm.customer_users["anna"]
        expected = [log[name] for name in (POSTMASTER, BOTH, FILED)]
        assert listed(session, "root", customer_user_id=anna) == expected
        assert listed(session, "root", query=log[HELD]) == [log[HELD]]


def test_pages_and_statements(database: Database, firm: Firm, log: dict[str, str]) -> None:
    with database.read() as session:
        root = staff(session, "root")
        counts = []
        for limit in (2, 5):
            with watched(database) as seen:
                first = mail_log(session, root, MailFilter(), limit=limit)
                assert all(part.queue is not None for e in first.items for part in e.deliveries)
            counts.append(len(seen))
        assert counts[0] == counts[1] <= 3
        one = mail_log(session, root, MailFilter(), limit=2)
        two = mail_log(session, root, MailFilter(), limit=2, cursor=one.next)
        three = mail_log(session, root, MailFilter(), limit=2, cursor=two.next)
        walked = [entry.mail.reference for page in (one, two, three) for entry in page.items]
        assert walked == list(reversed(log.values()))


def test_a_queue_that_is_renamed_keeps_its_mails(database: Database, firm: Firm) -> None:
    with database.write() as session:
        reference = take_in(session, [a_mail()])[0].reference
        session.get_one(Queue, firm.queues["Vertrieb"]).name = "Verkauf"
    with database.read() as session:
        found = logged_mail(session, staff(session, "root"), reference)
        assert found.deliveries[0].queue == "Verkauf"


def test_a_stored_explanation_in_two_languages(database: Database, firm: Firm) -> None:
    with database.write() as session:
        take_in(session, [a_mail()])
        stored = session.scalars(select(Delivery)).one().trace
    english = shown_steps(stored)
    with in_language("de"):
        german = shown_steps(stored)
    assert [step.because for step in english] == [
        "vertrieb@example.org is an address of the queue Vertrieb.",
        "Nothing proves or disproves the sender.",
        "The address belongs to anna (Kunden# K-1000).",
        "Read and write in Vertrieb through the group vertrieb (through the customer).",
        "The account may write to Vertrieb.",
    ]
    assert [step.because for step in german] == [
        "vertrieb@example.org ist eine Adresse der Queue Vertrieb.",
        "Der Absender ist weder belegt noch widerlegt.",
        "Die Adresse gehört zu anna (Kunden# K-1000).",
        "Lesen und schreiben in der Queue Vertrieb über die Gruppe vertrieb (über den Kunden).",
        "Das Konto darf in die Queue Vertrieb schreiben.",
    ]
    assert (german[-1].rule, german[-1].answer) == ("Konto darf in die Queue schreiben",
                                                    "Neues Ticket")  # fmt: skip


@pytest.mark.parametrize("facts", [row[1] for row in TABLE], ids=[row[0] for row in TABLE])
def test_every_step_of_the_table_reads_in_german(facts: object) -> None:
    """No English is left over, and every ``%(name)s`` is filled."""
    stored = trace(decide(facts))
    english = shown_steps(stored)
    with in_language("de"):
        german = shown_steps(stored)
    for one, other in zip(english, german, strict=True):
        assert one.because != other.because or one.because == "verified in the test"
        assert "%(" not in one.because + other.because
        assert one.answer != "none" or one.rule == rule_label("permission")
        assert one.rule != other.rule or one.rule in SAME


# alike in both languages
SAME = {"Portal", "Agent", "Admin", "Normal", "Support", "Domain", "Server"}


def test_every_reason_and_rule_has_a_name() -> None:
    reasons = {row[2].reason for row in TABLE} | {
        "same-queue",
        "same-ticket",
        "unreadable",
        "number-confirmed",
    }
    assert reasons == set(labels.REASONS)
    found = {"recipient", "sender", "sources", "identify", "permission", "thread", "unreadable"}
    found |= {"number_confirmed", "number_denied"}  # of releases by somebody's click
    found |= {too_many_tickets.__name__, evidence_demanded.__name__}
    assert {rule.__name__ for rule in rules.RULES} | found == set(labels.RULES)
    assert reason_label("of an older version") == "of an older version"
    assert rule_label("of_an_older_version") == "of_an_older_version"


def test_every_word_has_a_name_in_both_languages() -> None:
    """All members of each vocabulary, and no stored word shown as it is stored."""
    for enumeration, words in labels._WORDS.items():
        assert set(words) == set(enumeration), enumeration.__name__
        for word in enumeration:
            english = label(word)
            with in_language("de"):
                german = label(word)
            assert german
            assert english != german or english in SAME or english.startswith("Mail (")


def test_german_places_are_those_of_the_english() -> None:
    """A translation that forgets or misspells a place would fail when it is shown."""
    path = ROOT / "core/translations/de/intake.po"
    with path.open("rb") as source:
        for message in read_po(source, locale="de"):
            places = re.findall(r"%\(\w+\)\w", str(message.id))
            assert sorted(places) == sorted(re.findall(r"%\(\w+\)\w", str(message.string)))
    assert translations("de").gettext("Held") == "Zurückgehalten"

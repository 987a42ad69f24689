"""Automatic answers: what is in them, when there is none, and how many there may be."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from threading import Barrier, Thread

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.audit import SYSTEM
from core.db import Database
from core.errors import InvalidFields, NotFound
from core.i18n import LANGUAGES
from core.intake.incoming import Incoming
from core.intake.pipeline import take_in
from core.mail.authentication.findings import Findings, Result, Signature, Source
from core.models import (
    AuditEvent,
    AutoResponseText,
    BouncingAddress,
    CustomerUser,
    OutgoingMail,
    Queue,
    TicketLink,
    now,
    ticket_number,
)
from core.organisation import load_organisation
from core.outgoing.auto_responses import (
    DEFAULTS,
    PLACEHOLDERS,
    AutoResponseValues,
    preview,
    save_auto_response,
    texts_of,
)
from core.outgoing.caps import AUTO_RESPONSES
from core.outgoing.mutes import mute
from core.outgoing.placeholders import unknown_placeholders
from core.words import (
    AutoResponse,
    Evidence,
    OutgoingKind,
    SenderPolicy,
    TicketState,
    Validity,
)
from tests.intake.mails import a_mail
from tests.outgoing.automatic import PORTAL, Office, an_office, text_of

DAY, HOUR, SECOND = timedelta(hours=24), timedelta(hours=1), timedelta(seconds=1)
PER_TICKET = "The ticket had such an answer in the last 24 hours."
PER_ADDRESS = "The address had enough automatic answers in the last 24 hours."
PER_HOUR = "There were enough automatic answers in the last hour."


@pytest.fixture
def office(database: Database, tmp_path: Path) -> Office:
    return an_office(database, tmp_path)


# What is in them


@pytest.mark.parametrize("kind", AutoResponse)
@pytest.mark.parametrize("language", LANGUAGES)
def test_default_texts_are_whole(kind: AutoResponse, language: str) -> None:
    wording = DEFAULTS[kind, language]
    assert "\n" not in wording.subject
    assert wording.subject
    assert unknown_placeholders(f"{wording.subject} {wording.text}", PLACEHOLDERS) == []
    assert "{ticket_number}" in wording.text
    assert "{ticket_url}" in wording.text
    assert ("{queue_address}" in wording.text) == (kind is AutoResponse.REJECTED)
    assert ("{earlier_number}" in wording.text) == (kind is AutoResponse.NEW_TICKET)


def test_an_answer_to_a_verified_mail(office: Office) -> None:
    article_id = office.take_mail("Re: [Ticket#100001] Drucker: Größe")
    outgoing_id = office.put(article_id=article_id, language="de")
    message = office.composed(outgoing_id)
    assert message["Subject"] == "[Ticket#100001] Angekommen: Drucker: Größe"
    assert message["From"] == "Schalter Vertrieb <Vertrieb@example.org>"
    assert message["To"].addresses[0].addr_spec == "anna@muster.example"
    assert message["Reply-To"].addresses[0].username.startswith("Vertrieb+t")
    assert message["In-Reply-To"] == message["References"] == "<1@muster.example>"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["Precedence"] == "bulk"
    assert message["List-Unsubscribe"] is None
    text = text_of(message)
    assert text.startswith("Guten Tag ")
    assert "Sie hat die Ticketnummer 100001." in text
    assert "antworten Sie einfach auf diese E-Mail" in text
    assert f"\nIm Portal finden Sie das Ticket hier: {PORTAL}/tickets/" in text
    assert "{" not in text
    with office.database.read() as session:
        assert session.get_one(OutgoingMail, outgoing_id).mail_from == ""  # RFC 3834


def test_a_mail_that_is_not_verified_gives_nothing_of_itself(office: Office) -> None:
    article_id = office.take_mail(
        "Kaufen Sie bei evil.example", evidence=Evidence.NEUTRAL, text="Klicken Sie hier"
    )
    message = office.composed(office.put(article_id=article_id, language="de"))
    assert message["Subject"] == "[Ticket#100001] Angekommen: Ihre Nachricht"
    whole = message.as_string() + text_of(message)
    assert "evil" not in whole
    assert "Klicken" not in whole


def test_the_language_is_the_mails_else_the_accounts_else_that_of_the_settings(
    office: Office,
) -> None:
    def greeting(language: str) -> str:
        outgoing_id = office.put(ticket_id=office.open_ticket(), language=language)
        return text_of(office.composed(outgoing_id))[:5]

    assert [greeting(""), greeting("en")] == ["Guten", "Hello"]
    with office.database.write() as session:
        session.get_one(CustomerUser, office.firm.customer_users["anna"]).language = "en"
    assert [greeting(""), greeting("de")] == ["Hello", "Guten"]


def test_somebody_without_an_account_gets_no_name_and_no_link(office: Office) -> None:
    article_id = office.take_mail()
    outgoing_id = office.put(article_id=article_id, account=None, to="gast@x.example")
    text = text_of(office.composed(outgoing_id))
    assert text.startswith("Guten Tag,\n")
    assert PORTAL not in text
    assert "Portal" not in text
    assert "\n\n\n" not in text


def test_a_new_address_of_a_known_domain_is_answered_there(office: Office) -> None:
    """Row M3 of table D, from the mail that comes in to the answer that goes out."""
    mail = a_mail("Kundennummer: K-1000", sender="neu@muster.example")
    proven = Findings(Source.EDGE, signatures=(Signature(Result.PASS, "muster.example"),))
    with office.database.write() as session:
        (receipt,) = take_in(session, [replace(mail, findings=proven, received_at=now())])
        (outgoing,) = session.scalars(select(OutgoingMail))
        assert (outgoing.recipient, outgoing.customer_user_id) == ("neu@muster.example", None)
        outgoing_id, ticket_id = outgoing.id, receipt.recipients[0].ticket_id
    answer = office.composed(outgoing_id)
    assert answer["To"] == "neu@muster.example"
    assert ticket_id is not None
    assert str(ticket_number(ticket_id)) in text_of(answer)
    assert PORTAL not in text_of(answer)


def test_who_may_not_see_the_ticket_gets_no_link(office: Office) -> None:
    ticket_id = office.open_ticket()
    with office.database.write() as session:
        office.ticket(session, ticket_id).queue_id = office.firm.queues["Rechnung"]
    assert PORTAL not in text_of(office.composed(office.put(ticket_id=ticket_id)))


def test_a_refused_reply_says_how_to_write_anew(office: Office) -> None:
    ticket_id = office.open_ticket()
    outgoing_id = office.put(OutgoingKind.REJECTED, ticket_id=ticket_id, language="de")
    message = office.composed(outgoing_id)
    assert message["Subject"] == "[Ticket#100001] Nicht angenommen: Ihre Nachricht"
    assert "eine neue E-Mail an Vertrieb@example.org" in text_of(message)
    assert message["In-Reply-To"] is None  # nothing was filed that it could name


def test_a_new_ticket_names_the_closed_one(office: Office) -> None:
    closed, new, other = (office.open_ticket(str(n)) for n in range(3))
    with office.database.write() as session:
        office.ticket(session, closed).state = TicketState.CLOSED
        session.add_all(
            [TicketLink(ticket_id=closed, other_id=new), TicketLink(ticket_id=new, other_id=other)]
        )
    text = text_of(office.composed(office.put(OutgoingKind.NEW_TICKET, ticket_id=new)))
    assert f"setzt das Ticket {ticket_number(closed)} fort" in text
    assert str(ticket_number(new)) in text
    assert str(ticket_number(other)) not in text
    text = text_of(office.composed(office.put(OutgoingKind.NEW_TICKET, ticket_id=other)))
    assert "setzt das Ticket" not in text  # the other one is not closed: no line without a value


def test_a_merged_ticket_is_told_of_as_what_it_was_merged_into(office: Office) -> None:
    merged, into = office.open_ticket("Eins"), office.open_ticket("Zwei")
    with office.database.write() as session:
        office.ticket(session, merged).merged_into_id = into
    message = office.composed(office.put(OutgoingKind.FOLLOW_UP, ticket_id=merged))
    assert message["Subject"].startswith("[Ticket#100002]")


# A queue's own texts


def save(office: Office, **values: object) -> None:
    with office.database.write() as session:
        wanted = AutoResponseValues(kind=AutoResponse.RECEIVED, **values)  # type: ignore[arg-type]
        save_auto_response(session, SYSTEM, office.firm.queues["Vertrieb"], wanted)


def test_a_queue_has_texts_of_its_own(office: Office) -> None:
    save(
        office, subject_de="Eingang {queue}", text_de="Hallo {customer_name}!\nNr. {ticket_number}"
    )
    message = office.composed(office.put(ticket_id=office.open_ticket(), language="de"))
    assert message["Subject"] == "[Ticket#100001] Eingang Vertrieb"
    assert text_of(message).endswith("!\nNr. 100001\n")
    english = office.composed(office.put(ticket_id=office.open_ticket(), language="en"))
    assert text_of(english).startswith("Hello ")  # what is empty stays the default
    follow_up = office.put(OutgoingKind.FOLLOW_UP, ticket_id=office.open_ticket(), language="de")
    assert text_of(office.composed(follow_up)).startswith("Guten Tag ")


def test_a_value_is_never_read_as_a_placeholder(office: Office) -> None:
    article_id = office.take_mail("{ticket_url} {organisation}")
    message = office.composed(office.put(article_id=article_id, language="de"))
    assert message["Subject"].endswith("Angekommen: {ticket_url} {organisation}")


def test_a_subject_cannot_add_a_field(office: Office) -> None:
    save(office, subject_de="Eins\r\nBcc: x@evil.example")
    article_id = office.take_mail("=?utf-8?q?a=0D=0ABcc:_x=40evil.example?=")
    message = office.composed(office.put(article_id=article_id, language="de"))
    assert message["Bcc"] is None
    assert len(message.get_all("Subject", [])) == 1


def test_saving_is_audited_and_follows_the_default(office: Office) -> None:
    default = DEFAULTS[AutoResponse.RECEIVED, "de"]
    save(office, subject_de=default.subject, text_de=default.text)
    queue_id = office.firm.queues["Vertrieb"]
    with office.database.read() as session:
        assert session.scalars(select(AutoResponseText)).all() == []  # nothing is different
    save(office, enabled=False, subject_de=default.subject, text_de=f"  {default.text}\nEigenes ")
    with office.database.read() as session:
        stored = texts_of(session, queue_id, AutoResponse.RECEIVED)
        assert (stored.enabled, stored.subject_de) == (False, "")
        assert stored.text_de == f"{default.text}\nEigenes"
        assert stored.wording("de").subject == default.subject
        event = session.scalars(select(AuditEvent)).one()
        assert (event.action, event.object_kind) == ("auto-response-changed", "queue")
        assert event.before == {"enabled": True, "text_de": ""}
        assert event.after == {
            "auto_response": "received",
            "enabled": False,
            "text_de": stored.text_de,
        }


def test_what_cannot_be_saved_is_told_at_its_field(office: Office) -> None:
    with pytest.raises(InvalidFields) as refused:
        save(office, text_de="{passwort}", subject_en="{x} {y}", text_en="x" * 10_001)
    assert {error.field for error in refused.value.errors} == {"text_de", "subject_en", "text_en"}
    save(office, text_de="Eine Klammer { und {noch eine zum Schluss")  # no placeholders
    with office.database.write() as session, pytest.raises(NotFound):
        save_auto_response(session, SYSTEM, 999, AutoResponseValues(kind=AutoResponse.RECEIVED))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", AutoResponse)
def test_a_preview_is_what_a_customer_gets(
    office: Office, kind: AutoResponse, language: str
) -> None:
    with office.database.read() as session:
        organisation = load_organisation(session)
    queue_id = office.firm.queues["Vertrieb"]
    subject, text = preview(organisation, queue_id, kind, language, "", "")
    assert subject.startswith("[Ticket#100023] ")
    assert "{" not in subject + text
    assert ("Erika Beispiel" if language == "de" else "Erika Example") in text
    own = preview(organisation, queue_id, kind, language, "S {subject}", "T {queue}")
    assert own.text == "T Vertrieb"


# When there is none

Change = Callable[[Session, Office, OutgoingMail], None]


def _disable(session: Session, office: Office, mail: OutgoingMail) -> None:
    assert mail.queue_id is not None
    session.add(AutoResponseText(queue_id=mail.queue_id, kind=AutoResponse.RECEIVED, enabled=False))


def _invalid_queue(session: Session, office: Office, mail: OutgoingMail) -> None:
    session.get_one(Queue, mail.queue_id).valid = False


def _invalid_account(session: Session, office: Office, mail: OutgoingMail) -> None:
    session.get_one(CustomerUser, mail.customer_user_id).valid = Validity.INVALID


def _bouncing(session: Session, office: Office, mail: OutgoingMail) -> None:
    session.add(BouncingAddress(address_key=mail.recipient_key, bounces=3, last_at=now()))


def _late(session: Session, office: Office, mail: OutgoingMail) -> None:
    mail.created_at -= DAY + SECOND


def _no_ticket(session: Session, office: Office, mail: OutgoingMail) -> None:
    mail.ticket_id = None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_disable, "The queue gives no such answer."),
        (_invalid_queue, "The queue is invalid."),
        (_invalid_account, "The account is invalid."),
        (_bouncing, "Mail to this address came back several times."),
        (_late, "It would come too late."),
        (_no_ticket, "There is no ticket to tell of."),
    ],
)
def test_a_change_before_it_is_sent_stops_it(office: Office, change: Change, why: str) -> None:
    outgoing_id = office.put(ticket_id=office.open_ticket())
    with office.database.write() as session:
        change(session, office, session.get_one(OutgoingMail, outgoing_id))
    assert office.send(outgoing_id) == why


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (OutgoingKind.RECEIVED, "The ticket is muted."),
        (OutgoingKind.FOLLOW_UP, "The ticket is muted."),
        (OutgoingKind.NEW_TICKET, "The ticket is muted."),
        (OutgoingKind.REJECTED, ""),  # or nobody would learn that a message was not taken
    ],
)
def test_a_muted_ticket_gets_no_confirmations(office: Office, kind: OutgoingKind, why: str) -> None:
    ticket_id = office.open_ticket()
    with office.database.write() as session:
        mute(session, office.firm.customer_users["anna"], ticket_id)
    assert outcomes(office, [office.put(kind, ticket_id=ticket_id)]) == [why]


NOBODY = "Nobody reads mail to this address."
OURS = "The address is one of ours."


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("MAILER-DAEMON@muster.example", NOBODY),
        ("postmaster@muster.example", NOBODY),
        ("noreply@muster.example", NOBODY),
        ("No-Reply+17@muster.example", NOBODY),
        ("do_not_reply@muster.example", NOBODY),
        ("bounces@muster.example", NOBODY),
        ("liste-request@muster.example", NOBODY),
        ("vertrieb@example.org", OURS),
        ("Technik+t123@EXAMPLE.org", OURS),
        ("absender@example.org", OURS),
    ],
)
def test_no_answer_to_machines_and_to_ourselves(
    database: Database, tmp_path: Path, address: str, why: str
) -> None:
    office = an_office(database, tmp_path, sender_address="absender@example.org")
    outgoing_id = office.put(ticket_id=office.open_ticket(), to=address, account=None)
    assert office.send(outgoing_id) == why


def test_a_person_is_no_machine(office: Office) -> None:
    for name in ("norbert", "master", "reply", "bouncer", "request"):
        outgoing_id = office.put(ticket_id=office.open_ticket(), to=f"{name}@x.example")
        office.composed(outgoing_id)


# How many there may be


def outcomes(office: Office, outgoing_ids: list[int]) -> list[str]:
    found = (office.send(each) for each in outgoing_ids)
    return ["" if isinstance(each, EmailMessage) else each for each in found]


def test_one_of_a_kind_about_a_ticket_in_a_day(office: Office) -> None:
    ticket_id, other = office.open_ticket(), office.open_ticket()
    assert outcomes(
        office,
        [
            office.put(OutgoingKind.RECEIVED, ticket_id=ticket_id),
            office.put(OutgoingKind.FOLLOW_UP, ticket_id=ticket_id),
            office.put(OutgoingKind.FOLLOW_UP, ticket_id=ticket_id, to="bert@muster.example"),
            office.put(OutgoingKind.RECEIVED, ticket_id=ticket_id),
            office.put(OutgoingKind.FOLLOW_UP, ticket_id=other),
        ],
    ) == ["", "", PER_TICKET, PER_TICKET, ""]


@pytest.mark.parametrize(("ago", "why"), [(DAY + SECOND, ""), (DAY - SECOND, PER_TICKET)])
def test_a_day_later_there_is_another_one(office: Office, ago: timedelta, why: str) -> None:
    ticket_id = office.open_ticket()
    first = office.put(ticket_id=ticket_id)
    office.composed(first)
    second = office.put(ticket_id=ticket_id)
    with office.database.write() as session:
        created_at = session.get_one(OutgoingMail, second).created_at
        session.get_one(OutgoingMail, first).created_at = created_at - ago
    assert outcomes(office, [second]) == [why]


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_as_many_to_an_address_as_the_settings_say(
    database: Database, tmp_path: Path, limit: int
) -> None:
    office = an_office(database, tmp_path, auto_responses_per_address=limit)
    kinds = [AUTO_RESPONSES[n % 4] for n in range(5)]  # all kinds count together
    tickets = [office.open_ticket(str(n)) for n in range(5)]
    queued = [office.put(k, ticket_id=t) for k, t in zip(kinds, tickets, strict=True)]
    assert outcomes(office, queued) == [""] * limit + [PER_ADDRESS] * (5 - limit)
    to_another = office.put(ticket_id=tickets[0], to="bert@muster.example", kind=kinds[1])
    assert outcomes(office, [to_another]) == ["" if limit else PER_ADDRESS]


def test_what_was_suppressed_does_not_count_and_time_passes(
    database: Database, tmp_path: Path
) -> None:
    office = an_office(database, tmp_path, auto_responses_per_address=2)
    ids = [office.put(ticket_id=office.open_ticket(str(n))) for n in range(4)]
    assert outcomes(office, ids[:3]) == ["", "", PER_ADDRESS]
    with office.database.write() as session:  # the first one was 24 hours ago: one has room
        session.get_one(OutgoingMail, ids[0]).created_at -= DAY + SECOND
    assert outcomes(office, ids[3:]) == [""]
    last = office.put(ticket_id=office.open_ticket("5"))
    assert outcomes(office, [last]) == [PER_ADDRESS]


def test_other_mail_does_not_count(database: Database, tmp_path: Path) -> None:
    office = an_office(database, tmp_path, auto_responses_per_address=1, auto_responses_per_hour=1)
    ticket_id = office.open_ticket()
    composed = office.put(OutgoingKind.RECEIVED, ticket_id=ticket_id)
    office.composed(composed)
    with office.database.write() as session:
        session.get_one(OutgoingMail, composed).kind = OutgoingKind.REPLY
    assert outcomes(office, [office.put(ticket_id=ticket_id)]) == [""]


@pytest.mark.parametrize("page", [2, 1000])
def test_as_many_in_an_hour_as_the_settings_say(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr("core.outgoing.caps._PAGE", page)
    office = an_office(database, tmp_path, auto_responses_per_hour=4)
    ids = [office.put(ticket_id=office.open_ticket(str(n)), to=f"p{n}@x.example") for n in range(7)]
    assert outcomes(office, ids[:5]) == ["", "", "", "", PER_HOUR]
    with office.database.write() as session:  # an hour later for two of them
        for each in ids[:2]:
            session.get_one(OutgoingMail, each).created_at -= HOUR + SECOND
    last = office.put(ticket_id=office.open_ticket("7"), to="p7@x.example")
    assert outcomes(office, [*ids[5:], last]) == ["", "", PER_HOUR]


def test_two_workers_at_the_same_moment_keep_the_cap(
    postgresql_database: Database, tmp_path: Path
) -> None:
    """On SQLite there is one writer; on PostgreSQL nobody counts while somebody composes."""
    office = an_office(postgresql_database, tmp_path, auto_responses_per_address=3)
    ids = [office.put(ticket_id=office.open_ticket(str(n))) for n in range(12)]
    barrier, results = Barrier(4), list[str]()

    def work(mine: list[int]) -> None:
        barrier.wait()
        results.extend(outcomes(office, mine))

    threads = [Thread(target=work, args=(ids[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [""] * 3 + [PER_ADDRESS] * 9


# A mail bomb


def forged(n: int) -> Incoming:
    """Return a mail that only claims to be of Anna's."""
    mail = a_mail("Kaufen!", subject=f"Angebot {n}", message_id=f"<{n}@evil.example>")
    return replace(mail, received_at=now())


@pytest.mark.parametrize(
    ("policy", "sent"),
    [(SenderPolicy.BALANCED, 0), (SenderPolicy.OPEN, 3), (SenderPolicy.STRICT, 0)],
)
def test_a_thousand_forged_mails_are_no_thousand_answers(
    sqlite_database: Database, tmp_path: Path, policy: SenderPolicy, sent: int
) -> None:
    """With ``open`` an address is believed, and the cap of its answers is what is left."""
    office = an_office(
        sqlite_database, tmp_path, sender_policy=policy.value, auto_responses_per_address=3
    )
    for start in range(0, 1000, 100):
        with office.database.write() as session:
            take_in(session, [forged(n) for n in range(start, start + 100)])
    with office.database.read() as session:
        ids = session.scalars(select(OutgoingMail.id)).all()
    composed = [mail for mail in map(office.send, ids) if isinstance(mail, EmailMessage)]
    assert len(composed) == sent
    for mail in composed:
        assert "Angebot" not in mail.as_string()
        assert "Kaufen" not in text_of(mail)

"""Follow-ups by mail through the whole of intake: tokens, numbers, reports, storms, answers."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from core.db import Database
from core.i18n import in_language
from core.intake import submission
from core.intake.explain import explain
from core.intake.incoming import Incoming, RecipientReceipt
from core.intake.pipeline import take_in
from core.intake.prepare import prepare
from core.mail.message import parse
from core.mail.threads import MAX_IDS, read_thread
from core.mail.tokens import Token, TokenKind, make_token
from core.models import (
    Article,
    AuditEvent,
    BouncingAddress,
    CustomerUser,
    Delivery,
    OutgoingMail,
    Queue,
    RawMail,
    Ticket,
    TicketLink,
    ticket_number,
)
from core.words import (
    Author,
    DecisionKind,
    Flag,
    FollowUp,
    OutgoingKind,
    OutgoingState,
    TicketState,
)
from tests.intake.firm import a_firm
from tests.intake.mails import AT, a_mail

KEY = bytes(range(32))
OLD_KEY = bytes(32)
OPEN = {"sender_policy": "open"}
REPLY = "In-Reply-To: <{token}@example.org>\r\n"


def token(
    ticket_id: int, kind: TokenKind = TokenKind.THREAD, outgoing: int = 1, **key: bytes
) -> str:
    """Return a token as our mail about this ticket has it."""
    return make_token(key.get("key", KEY), Token(kind, ticket_id, outgoing))


def taken(database: Database, *mails: Incoming) -> list[RecipientReceipt]:
    """Take mails in together; return what became of each for its first recipient."""
    with database.write() as session:
        receipts = take_in(session, mails, (KEY, OLD_KEY))
    return [receipt.recipients[0] for receipt in receipts]


def a_ticket(database: Database, **mail: Any) -> int:
    """Open a ticket by mail; return its id."""
    (part,) = taken(database, a_mail(message_id="<first@x>", **mail))
    assert part.decision is DecisionKind.OPEN_TICKET
    assert part.ticket_id is not None
    return part.ticket_id


def change(database: Database, ticket_id: int, **values: object) -> None:
    """Change columns of a ticket, as staff do."""
    with database.write() as session:
        session.execute(update(Ticket).where(Ticket.id == ticket_id).values(**values))


def close(database: Database, ticket_id: int, follow_up: FollowUp) -> None:
    """Close a ticket and set its queue's rule for that."""
    change(database, ticket_id, state=TicketState.CLOSED, closed_at=AT, waiting_since=None)
    with database.write() as session:
        queue = session.get_one(Ticket, ticket_id).queue
        queue.follow_up = follow_up


def ticket(database: Database, ticket_id: int) -> Ticket:
    """Return a ticket as it is now."""
    with database.read() as session:
        return session.get_one(Ticket, ticket_id)


def articles(database: Database, ticket_id: int) -> list[Article]:
    """Return the articles of a ticket."""
    with database.read() as session:
        return list(session.scalars(select(Article).where(Article.ticket_id == ticket_id)))


def outbox(database: Database) -> list[tuple[OutgoingKind, str]]:
    """Return what waits in the outbox, and for whom."""
    with database.read() as session:
        rows = session.scalars(select(OutgoingMail).order_by(OutgoingMail.id)).all()
        assert all(row.raw_id is None and row.state is OutgoingState.WAITING for row in rows)
        return [(row.kind, row.recipient) for row in rows]


def answer(ticket_id: int, **mail: Any) -> Incoming:
    """Return a reply with our token to this ticket."""
    headers = REPLY.format(token=token(ticket_id))
    return a_mail(**{"headers": headers, "message_id": "<reply@x>", **mail})


def test_a_reply_goes_to_its_ticket_by_token(database: Database) -> None:
    firm = a_firm(database, **OPEN)
    first = a_ticket(database)
    change(database, first, state=TicketState.WAITING, waiting_since=None)
    later = AT + timedelta(hours=1)
    (part,) = taken(database, replace(answer(first), received_at=later))
    assert (part.decision, part.reason) == (DecisionKind.APPEND_ARTICLE, "follow-up")
    assert part.ticket_public_id == ticket(database, first).public_id
    now = ticket(database, first)
    assert (now.state, now.waiting_since, now.changed_at) == (TicketState.OPEN, later, later)
    newest = articles(database, first)[-1]
    assert (newest.visible, newest.flag, newest.author) == (True, None, Author.CUSTOMER)
    assert newest.customer_user_id == firm.customer_users["anna"]
    assert newest.id == part.article_id


@pytest.mark.parametrize(
    "mail",
    [
        {"headers": f"References: <old@x> <{token(1)}@example.org> <newer@x>\r\n"},
        {"headers": REPLY.format(token=token(1).upper())},
        {"headers": REPLY.format(token=token(1, key=OLD_KEY))},
        {"headers": "", "to": f"vertrieb+{token(1)}@example.org"},
        {"headers": "", "to": f"technik+{token(1)}@example.org"},
        {"headers": "", "subject": "AW: [Ticket#100001] Frage"},
        {"headers": "", "subject": "Nachtrag zu ticket# 100001"},
    ],
)
def test_where_a_token_or_number_may_stand(
    sqlite_database: Database, mail: Mapping[str, str]
) -> None:
    a_firm(sqlite_database, **OPEN)
    assert a_ticket(sqlite_database) == 1
    (part,) = taken(sqlite_database, answer(1, **mail))
    assert (part.decision, part.ticket_id) == (DecisionKind.APPEND_ARTICLE, 1)


@pytest.mark.parametrize(
    "mail",
    [
        {"headers": REPLY.format(token=token(1, key=b"another" * 5))},
        {"headers": REPLY.format(token=token(1)[:-1] + "a")},
        {"headers": REPLY.format(token=token(1, TokenKind.MUTE))},
        {"headers": REPLY.format(token=token(2))},
        {"headers": f"References: <{token(1)}@x> {'<a@x> ' * MAX_IDS}"},
        {"headers": "", "to": f"vertrieb+{token(1, TokenKind.MUTE)}@example.org"},
        {"headers": "", "subject": "[Ticket#100002]"},
        {"headers": "", "subject": "[Ticket#2026100001100001]"},
        {"headers": "", "subject": "Ticket 100001"},
        {"headers": "", "subject": "NoTicket#100001"},
        {"headers": "", "subject": "[Ticket#9999999999]"},
    ],
)
def test_what_names_no_ticket(sqlite_database: Database, mail: Mapping[str, str]) -> None:
    """A forged token is none, and only the newest of very many references are looked at."""
    a_firm(sqlite_database, **OPEN)
    assert a_ticket(sqlite_database) == 1
    if "a@x" in mail["headers"]:
        ids = " ".join(f"<{number}@x>" for number in range(MAX_IDS))
        mail = {"headers": f"References: <{token(1)}@x> {ids}\r\n"}
    (part,) = taken(sqlite_database, answer(1, **mail))
    assert part.decision is DecisionKind.OPEN_TICKET
    assert len(articles(sqlite_database, 1)) == 1


def test_a_forged_token_in_the_address_is_no_customer_number(sqlite_database: Database) -> None:
    a_firm(sqlite_database, **OPEN)
    forged = token(1)[:-1] + "a"
    with sqlite_database.write() as session:
        session.get_one(CustomerUser, 1).customer.number = forged
    carol = a_mail(sender="carol@acme.example", to=f"vertrieb+{forged}@example.org")
    (part,) = taken(sqlite_database, carol)
    assert part.reason == "queue-forbidden"  # no conflict with the Kunden# of another customer


def test_the_nearest_token_comes_first_and_numbers_are_few() -> None:
    mail = a_mail(
        subject="Ticket#100001 ticket#100002 Ticket# 100001 Ticket#100003 Ticket#100004",
        headers=f"In-Reply-To: <{token(5)}@x>\r\nReferences: <{token(3)}@x> <{token(4)}@x>\r\n",
    )
    found = read_thread(parse(mail.raw), mail.envelope.recipients, [KEY])
    assert [each.ticket_id for each in found.tokens] == [5, 4, 3]
    assert found.numbers == (100_001, 100_002, 100_003)


@pytest.mark.parametrize(
    ("subject", "numbers"),
    [
        ("[Ticket#100001]", (100_001,)),
        ("TICKET # 100001: Frage", (100_001,)),
        ("[Ticket#2026100001100001]", ()),
        ("Ticket#10000", ()),
        ("MyTicket#100001", ()),
        ("#100001", ()),
    ],
)
def test_what_a_ticket_number_looks_like(subject: str, numbers: tuple[int, ...]) -> None:
    """The numbers of other systems are longer, and none is read out of the middle of a word."""
    assert read_thread(parse(a_mail(subject=subject).raw), (), ()).numbers == numbers


def test_somebody_elses_number_is_never_touched(database: Database) -> None:
    """A stranger's, a colleague's and another customer's mail with Anna's number (threat I2)."""
    firm = a_firm(database, **OPEN)
    first = a_ticket(database)
    before = ticket(database, first)
    subject = f"[Ticket#{ticket_number(first)}] Frage"
    bert, carol, stranger = taken(
        database,
        a_mail(sender="bert@muster.example", subject=subject, message_id="<b@x>"),
        a_mail(sender="carol@acme.example", subject=subject, message_id="<c@x>"),
        a_mail(sender="evil@x.example", subject=subject, message_id="<e@x>"),
    )
    assert bert.decision is DecisionKind.OPEN_TICKET
    assert (carol.decision, carol.reason) == (DecisionKind.HOLD, "queue-forbidden")
    assert (stranger.decision, stranger.reason) == (DecisionKind.HOLD, "stranger")
    assert len(articles(database, first)) == 1
    assert ticket(database, first).version == before.version
    with database.read() as session:
        links = session.execute(select(TicketLink.ticket_id, TicketLink.other_id)).all()
        assert links == [(first, bert.ticket_id)]  # a suggestion for staff
    assert firm.customer_users["bert"]


def test_a_forwarded_mail_is_for_staff_only(database: Database) -> None:
    a_firm(database, **OPEN)
    first = a_ticket(database)
    change(database, first, state=TicketState.WAITING, waiting_since=None)
    mail = answer(first, sender="friend@elsewhere.example")
    (part,) = taken(database, mail)
    assert (part.decision, part.reason) == (DecisionKind.APPEND_ARTICLE, "follow-up-foreign")
    newest = articles(database, first)[-1]
    assert (newest.visible, newest.flag) == (False, Flag.FOREIGN_ADDRESS)
    assert (newest.author, newest.customer_user_id) == (Author.UNKNOWN, None)
    now = ticket(database, first)
    assert (now.state, now.waiting_since) == (TicketState.WAITING, None)
    assert outbox(database) == [(OutgoingKind.RECEIVED, "anna@muster.example")]


def test_a_colleague_writes_for_staff_unless_they_share_the_view(database: Database) -> None:
    firm = a_firm(database, **OPEN)
    first = a_ticket(database)
    sent = {"sender": "bert@muster.example"}
    (before,) = taken(database, answer(first, **sent, message_id="<1b@x>"))
    with database.write() as session:
        session.get_one(CustomerUser, firm.customer_users["bert"]).sees_customer_tickets = True
    (after,) = taken(database, answer(first, **sent, message_id="<2b@x>"))
    assert before.reason == after.reason == "follow-up-other"
    shown = [(each.visible, each.flag) for each in articles(database, first)[1:]]
    assert shown == [(False, Flag.OTHER_PERSON), (True, Flag.OTHER_PERSON)]
    assert outbox(database)[1:] == [
        (OutgoingKind.FOLLOW_UP, "bert@muster.example"),
        (OutgoingKind.NOTICE, "anna@muster.example"),
    ]


def test_an_unverified_participant_changes_no_state(database: Database) -> None:
    a_firm(database)  # balanced: nothing proves the sender
    first = a_ticket(database)
    close(database, first, FollowUp.POSSIBLE)
    (part,) = taken(database, answer(first))
    assert (part.decision, part.reason) == (DecisionKind.APPEND_ARTICLE, "follow-up")
    newest, now = articles(database, first)[-1], ticket(database, first)
    assert (newest.visible, newest.flag) == (True, Flag.SENDER_NOT_VERIFIED)
    assert (now.state, now.closed_at, now.waiting_since) == (TicketState.CLOSED, AT, None)
    assert outbox(database) == []


def test_a_reply_to_a_closed_ticket_as_its_queue_says(database: Database) -> None:
    a_firm(database, **OPEN)
    first = a_ticket(database)
    close(database, first, FollowUp.REJECT)
    (refused,) = taken(database, answer(first))
    assert (refused.decision, refused.reply.code) == (DecisionKind.REJECT, 550)
    assert refused.reply.status == "5.7.1"
    assert "new message" in refused.reply.text
    assert len(articles(database, first)) == 1
    close(database, first, FollowUp.NEW_TICKET)
    (new,) = taken(database, answer(first))
    assert (new.decision, new.reason) == (DecisionKind.OPEN_TICKET, "reply-to-closed")
    close(database, first, FollowUp.POSSIBLE)
    (reopened,) = taken(database, answer(first, message_id="<again@x>"))
    assert reopened.ticket_id == first
    now = ticket(database, first)
    assert (now.state, now.closed_at, now.waiting_since) == (TicketState.OPEN, None, AT)
    with database.read() as session:
        assert session.get(TicketLink, (first, new.ticket_id)) is not None
        change_of_state = session.scalars(
            select(AuditEvent).where(AuditEvent.action == "article-added")
        ).one()
        assert change_of_state.before == {"state": "closed"}
        rejected = session.scalars(
            select(OutgoingMail).where(OutgoingMail.kind == OutgoingKind.REJECTED)
        ).one()
        assert (rejected.ticket_id, rejected.article_id) == (first, None)
    assert [kind for kind, _to in outbox(database)] == [
        OutgoingKind.RECEIVED,
        OutgoingKind.REJECTED,
        OutgoingKind.NEW_TICKET,
        OutgoingKind.FOLLOW_UP,
    ]


@pytest.mark.parametrize(
    "mail",
    [
        {"headers": "Auto-Submitted: auto-replied\r\n" + REPLY.format(token=token(1))},
        {"headers": "Precedence: bulk\r\n" + REPLY.format(token=token(1))},
        {"mail_from": ""},
        {"mail_from": "", "to": f"vertrieb+{token(1, TokenKind.BOUNCE)}@example.org",
         "headers": "Auto-Submitted: auto-replied\r\n"},
    ],
)  # fmt: skip
def test_a_machine_never_opens_a_ticket_again(
    sqlite_database: Database, mail: Mapping[str, str]
) -> None:
    a_firm(sqlite_database, **OPEN)
    assert a_ticket(sqlite_database) == 1
    close(sqlite_database, 1, FollowUp.POSSIBLE)
    before = ticket(sqlite_database, 1)
    (part,) = taken(sqlite_database, answer(1, **mail))
    assert (part.decision, part.reason) == (DecisionKind.APPEND_ARTICLE, "follow-up-automatic")
    newest, now = articles(sqlite_database, 1)[-1], ticket(sqlite_database, 1)
    assert (newest.visible, newest.flag) == (False, Flag.AUTOMATIC)
    assert (now.state, now.changed_at, now.version) == (
        before.state,
        before.changed_at,
        before.version,
    )
    assert len(outbox(sqlite_database)) == 1  # the confirmation of the first mail


def test_an_automatic_mail_with_a_number_is_held(sqlite_database: Database) -> None:
    a_firm(sqlite_database, **OPEN)
    a_ticket(sqlite_database)
    mail = a_mail(subject="[Ticket#100001]", headers="Auto-Submitted: auto-generated\r\n")
    (part,) = taken(sqlite_database, mail)
    assert (part.decision, part.reason) == (DecisionKind.HOLD, "automatic")


REPORT = (
    "From: MAILER-DAEMON@mx.example (Mail Delivery System)\r\nSubject: Undelivered\r\n"
    "Message-ID: <report@mx.example>\r\nAuto-Submitted: auto-replied\r\n"
    "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
    "--b\r\nContent-Type: text/plain\r\n\r\nThe mail could not be delivered.\r\n"
    "--b\r\nContent-Type: message/delivery-status\r\n\r\n"
    "Reporting-MTA: dns; mx.example\r\n\r\nFinal-Recipient: rfc822; anna@muster.example\r\n"
    "Action: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user\r\n\r\n"
    "--b--\r\n"
)


def a_report(to: str) -> Incoming:
    """Return a delivery report to an address."""
    return replace(a_mail(to=to, mail_from=""), raw=REPORT.encode())


def sent_to_anna(database: Database, ticket_id: int | None) -> int:
    """Store an outgoing mail that was sent; return its id."""
    with database.write() as session:
        mail = OutgoingMail(
            kind=OutgoingKind.REPLY,
            state=OutgoingState.SENT,
            ticket_id=ticket_id,
            recipient="anna@muster.example",
            recipient_key="anna@muster.example",
        )
        session.add(mail)
        session.flush()  # its id is in the token
        return mail.id


def test_a_report_is_noted_where_its_token_says(database: Database) -> None:
    a_firm(database, **OPEN)
    first = a_ticket(database)
    close(database, first, FollowUp.POSSIBLE)
    before = ticket(database, first)
    outgoing = sent_to_anna(database, first)
    address = f"vertrieb+{token(first, TokenKind.BOUNCE, outgoing)}@example.org"
    (part,) = taken(database, a_report(address))
    assert (part.decision, part.reason) == (DecisionKind.APPEND_ARTICLE, "bounce")
    newest, now = articles(database, first)[-1], ticket(database, first)
    assert (newest.visible, newest.flag, newest.author) == (
        False,
        Flag.DELIVERY_REPORT,
        Author.UNKNOWN,
    )
    assert newest.from_name == "MAILER-DAEMON@mx.example (Mail Delivery System)"
    assert (now.state, now.changed_at) == (before.state, before.changed_at)
    with database.read() as session:
        assert session.get_one(OutgoingMail, outgoing).state is OutgoingState.BOUNCED
        assert session.get_one(BouncingAddress, "anna@muster.example").bounces == 1
    (again,) = taken(database, a_report(address))
    assert again.duplicate
    with database.read() as session:
        assert session.get_one(BouncingAddress, "anna@muster.example").bounces == 1


def test_a_report_without_a_ticket_is_kept_and_opens_nothing(database: Database) -> None:
    a_firm(database, **OPEN)
    outgoing = sent_to_anna(database, None)
    known, unknown, forged = taken(
        database,
        a_report(f"vertrieb+{token(0, TokenKind.BOUNCE, outgoing)}@example.org"),
        a_report("technik@example.org"),
        a_report(f"rechnung+{token(0, TokenKind.BOUNCE, 1, key=b'x' * 32)}@example.org"),
    )
    assert (known.decision, known.reply.code) == (DecisionKind.DISCARD, 250)
    assert unknown.decision is forged.decision is DecisionKind.HOLD
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(RawMail)) == 3
        assert session.scalar(select(func.count()).select_from(Ticket)) == 0
        assert session.get_one(OutgoingMail, outgoing).state is OutgoingState.BOUNCED
        discarded = session.scalars(
            select(Delivery).where(Delivery.decision == DecisionKind.DISCARD)
        ).one()
        assert discarded.held is None


def test_our_own_mail_that_comes_back_is_refused(sqlite_database: Database) -> None:
    a_firm(sqlite_database, **OPEN)
    mail = a_mail(message_id=f"<{token(1)}@example.org>", sender="vertrieb@example.org")
    (part,) = taken(sqlite_database, mail)
    assert (part.decision, part.reason) == (DecisionKind.REJECT, "own-mail")
    assert (part.reply.code, part.reply.status) == (554, "5.4.6")


def test_merged_tickets_lead_to_where_they_went(database: Database) -> None:
    a_firm(database, **OPEN)
    one = a_ticket(database)
    two = taken(database, a_mail(message_id="<two@x>"))[0].ticket_id
    assert two is not None
    change(database, one, state=TicketState.CLOSED, merged_into_id=two)
    by_token, by_number = taken(
        database,
        answer(one, message_id="<t@x>"),
        a_mail(subject=f"Ticket#{ticket_number(one)}", message_id="<n@x>"),
    )
    assert by_token.ticket_id == by_number.ticket_id == two
    assert by_token.ticket_public_id == ticket(database, two).public_id
    assert len(articles(database, two)) == 3
    with database.write() as session:  # a page that was open while staff merged
        anna = session.scalars(select(CustomerUser).where(CustomerUser.login == "anna")).one()
        asked = submission.reply(anna, session.get_one(Ticket, one), "Noch etwas")
    (part,) = taken(database, asked)
    assert part.ticket_id == two


def test_one_mail_to_two_addresses_is_added_once(database: Database) -> None:
    a_firm(database, **OPEN)
    first = a_ticket(database)
    mail = answer(first, to=("technik@example.org", "vertrieb@example.org"))
    with database.write() as session:
        (receipt,) = take_in(session, [mail], [KEY])
    assert {part.article_id for part in receipt.recipients} == {receipt.recipients[0].article_id}
    with database.read() as session:
        reasons = session.scalars(
            select(Delivery.reason).where(Delivery.ticket_id == first).order_by(Delivery.id)
        ).all()
    assert reasons == ["allowed", "follow-up", "same-ticket"]
    with database.write() as session:
        (again,) = take_in(session, [mail], [KEY])
    assert all(part.duplicate for part in again.recipients)
    assert len(articles(database, first)) == 2


def test_a_queue_that_was_lost_holds_the_reply(sqlite_database: Database) -> None:
    firm = a_firm(sqlite_database, **OPEN)
    first = a_ticket(sqlite_database)
    change(sqlite_database, first, queue_id=firm.queues["Rechnung"])
    (part,) = taken(sqlite_database, answer(first))
    assert (part.decision, part.reason) == (DecisionKind.HOLD, "queue-forbidden")


def test_somebody_without_account_answers_their_own_ticket(sqlite_database: Database) -> None:
    """A guest, and a new address of a customer's domain, which leaves its Kunden# out later."""
    firm = a_firm(sqlite_database, **OPEN)
    with sqlite_database.write() as session:
        session.get_one(Queue, firm.queues["Technik"]).strangers = "accept"
    guest = a_ticket(sqlite_database, sender="guest@x.example", to="technik@example.org")
    new = taken(
        sqlite_database,
        a_mail("Kundennummer: K-1000", sender="new@muster.example", message_id="<new@x>"),
    )[0].ticket_id
    assert new is not None
    by_guest, by_new = taken(
        sqlite_database,
        answer(guest, sender="guest@x.example", to="technik@example.org", message_id="<g@x>"),
        answer(new, sender="new@muster.example", message_id="<n@x>"),
    )
    assert (by_guest.ticket_id, by_new.ticket_id) == (guest, new)
    assert [each.visible for each in articles(sqlite_database, guest)] == [True, True]


def test_a_customer_number_makes_nobody_a_colleague(sqlite_database: Database) -> None:
    """It is printed on every invoice (row M4): with a token, the mail is a forwarded one."""
    a_firm(sqlite_database, **OPEN)
    first = a_ticket(sqlite_database)
    mail = answer(first, text="Kundennummer: K-1000", sender="evil@x.example")
    (part,) = taken(sqlite_database, mail)
    assert part.reason == "follow-up-foreign"
    assert articles(sqlite_database, first)[-1].author is Author.UNKNOWN


def test_a_contradiction_is_explained_and_the_token_counts(sqlite_database: Database) -> None:
    a_firm(sqlite_database, **OPEN)
    first = a_ticket(sqlite_database)
    mail = answer(first, subject="AW: [Ticket#100777] Frage")
    with sqlite_database.read() as session:
        found = explain(session, prepare(mail, [KEY]))
        with in_language("de"):
            german = explain(session, prepare(mail, [KEY]))
    assert found["recipients"][0]["ticket"] == ticket_number(first)
    (step,) = (each for each in found["steps"] if each["rule"] == "thread")
    assert step["answer"] == "contradiction"
    assert "100777" in step["because"]
    assert "Kennung" in next(s["because"] for s in german["steps"] if s["rule"] == "thread")


def test_without_keys_nothing_is_believed(sqlite_database: Database) -> None:
    a_firm(sqlite_database, **OPEN)
    first = a_ticket(sqlite_database)
    with sqlite_database.write() as session:
        (receipt,) = take_in(session, [answer(first)])
    assert receipt.recipients[0].decision is DecisionKind.OPEN_TICKET


def storm(size: int, at: datetime = AT) -> list[Incoming]:
    """Return the mails of a monitoring that has gone wild."""
    return [
        replace(a_mail(f"Alarm {number}", message_id=f"<{at:%H%M}-{number}@x>"), received_at=at)
        for number in range(size)
    ]


def test_a_storm_fills_one_ticket(sqlite_database: Database) -> None:
    """5,000 alarms in ten minutes: 20 tickets, one for the rest, nothing dropped (threat L7)."""
    a_firm(sqlite_database, **OPEN)
    mails = storm(5_000)
    for start in range(0, len(mails), 500):
        taken(sqlite_database, *mails[start : start + 500])
    with sqlite_database.read() as session:
        counts = session.execute(
            select(Ticket.flag, func.count(Article.id), func.count(Ticket.id.distinct()))
            .join(Article, Article.ticket_id == Ticket.id)
            .group_by(Ticket.flag)
            .order_by(Ticket.flag.is_not(None))
        ).all()
        assert [tuple(row) for row in counts] == [(None, 20, 20), (Flag.BURST, 4_980, 1)]
        flags = session.execute(
            select(Article.flag, func.count())
            .where(Article.flag.is_not(None))
            .group_by(Article.flag)
        ).all()
        assert [tuple(row) for row in flags] == [(Flag.BURST, 4_980)]
    assert len(outbox(sqlite_database)) == 20  # no answer to what is in the burst


def test_a_storm_leaves_others_alone_and_ends(database: Database) -> None:
    a_firm(database, **OPEN, burst_tickets=3)
    stormy = taken(database, *storm(6))
    assert [part.reason for part in stormy] == ["allowed"] * 3 + ["burst"] * 3
    assert len({part.ticket_id for part in stormy}) == 4
    others = taken(
        database,
        a_mail(message_id="<t@x>", to="technik@example.org"),
        a_mail(message_id="<b@x>", sender="bert@muster.example"),
    )
    assert [part.reason for part in others] == ["allowed", "allowed"]
    (gathered,) = taken(database, *storm(1, AT + timedelta(minutes=9)))
    assert gathered.ticket_id == stormy[-1].ticket_id
    (calm,) = taken(database, *storm(1, AT + timedelta(minutes=25)))
    assert calm.reason == "allowed"


def test_nobody_waits_for_an_answer_to_a_machine(sqlite_database: Database) -> None:
    a_firm(sqlite_database, **OPEN, burst_tickets=1)
    gathering = taken(sqlite_database, *storm(2))[-1].ticket_id
    assert gathering is not None
    change(sqlite_database, gathering, state=TicketState.WAITING, waiting_since=None)
    later = AT + timedelta(minutes=1)
    alarm = a_mail(headers="Auto-Submitted: auto-generated\r\n", message_id="<alarm@x>")
    (part,) = taken(sqlite_database, replace(alarm, received_at=later))
    assert part.ticket_id == gathering
    now = ticket(sqlite_database, gathering)
    assert (now.state, now.waiting_since, now.changed_at) == (TicketState.WAITING, None, later)


def test_a_burst_ticket_that_staff_closed_is_left_closed(sqlite_database: Database) -> None:
    a_firm(sqlite_database, **OPEN, burst_tickets=2)
    first = taken(sqlite_database, *storm(4))[-1].ticket_id
    assert first is not None
    change(sqlite_database, first, state=TicketState.CLOSED)
    second = taken(sqlite_database, *storm(1, AT + timedelta(minutes=1)))[0]
    assert (second.decision, second.reason) == (DecisionKind.OPEN_TICKET, "burst")


@pytest.mark.parametrize(
    ("mail", "kinds"),
    [
        ({}, [OutgoingKind.RECEIVED]),
        ({"mail_from": ""}, []),
        ({"headers": "List-Id: <news.example>\r\n"}, []),
        ({"headers": "List-Unsubscribe: <https://news.example>\r\n"}, []),
        ({"headers": "Auto-Submitted: auto-generated\r\n"}, []),
        ({"headers": "Reply-To: evil@x.example\r\n"}, [OutgoingKind.RECEIVED]),
        ({"sender": "evil@x.example"}, []),
        ({"sender": "carol@acme.example"}, []),
    ],
)
def test_who_gets_a_confirmation(
    sqlite_database: Database, mail: Mapping[str, str], kinds: list[OutgoingKind]
) -> None:
    """Verified known senders only, at their registered address, and never a machine (L1, L3)."""
    a_firm(sqlite_database, **OPEN)
    taken(sqlite_database, a_mail(**mail))  # type: ignore[arg-type]
    assert outbox(sqlite_database) == [(kind, "anna@muster.example") for kind in kinds]


def test_a_confirmation_names_what_it_is_about(database: Database) -> None:
    firm = a_firm(database, **OPEN)
    with database.write() as session:
        session.get_one(CustomerUser, firm.customer_users["anna"]).language = "en"
    first = a_ticket(database)
    with database.read() as session:
        row = session.scalars(select(OutgoingMail)).one()
        assert (row.ticket_id, row.queue_id) == (first, firm.queues["Vertrieb"])
        assert row.article_id == articles(database, first)[0].id
        assert row.customer_user_id == firm.customer_users["anna"]
        assert (row.language, row.mail_from, row.recipient_key) == ("en", "", row.recipient)


@pytest.mark.parametrize("wanted", [True, False])
def test_the_portal_confirms_unless_that_is_not_wanted(
    sqlite_database: Database, *, wanted: bool
) -> None:
    firm = a_firm(sqlite_database)
    with sqlite_database.write() as session:
        anna = session.get_one(CustomerUser, firm.customer_users["anna"])
        anna.notices = wanted
        session.flush()  # intake reads the table
        new = submission.new_ticket(anna, firm.queues["Vertrieb"], "Hallo", "Text")
        take_in(session, [new])
    expected = [(OutgoingKind.RECEIVED, "anna@muster.example")] if wanted else []
    assert outbox(sqlite_database) == expected


def test_a_colleague_in_the_portal_is_told_to_whose_ticket_it_is(
    sqlite_database: Database,
) -> None:
    firm = a_firm(sqlite_database)
    first = a_ticket(sqlite_database)
    with sqlite_database.write() as session:
        bert = session.get_one(CustomerUser, firm.customer_users["bert"])
        bert.sees_customer_tickets = True
        session.flush()  # intake reads the table
        take_in(session, [submission.reply(bert, session.get_one(Ticket, first), "Auch ich")])
    assert outbox(sqlite_database) == [
        (OutgoingKind.FOLLOW_UP, "bert@muster.example"),
        (OutgoingKind.NOTICE, "anna@muster.example"),
    ]


def test_nobody_is_answered_at_an_address_of_ours(sqlite_database: Database) -> None:
    """An account whose address is a queue's, or a machine's: each answer would come back."""
    firm = a_firm(sqlite_database, **OPEN)
    with sqlite_database.write() as session:
        anna = session.get_one(CustomerUser, firm.customer_users["anna"])
        anna.addresses[0].address = "Technik@example.org"
        bert = session.get_one(CustomerUser, firm.customer_users["bert"])
        for field in ("address", "address_key"):
            setattr(bert.addresses[0], field, "noreply@muster.example")
    taken(
        sqlite_database,
        a_mail(message_id="<a@x>"),
        a_mail(message_id="<n@x>", sender="noreply@muster.example"),
    )
    assert outbox(sqlite_database) == []

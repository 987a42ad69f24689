"""``take_in`` against real databases: what is stored for each outcome, and what never is twice."""

from dataclasses import replace

import pytest
from sqlalchemy import event, func, select, text, update
from sqlalchemy.exc import DBAPIError

from core.db import Database
from core.intake import pipeline, submission
from core.intake.incoming import Incoming, Receipt
from core.intake.pipeline import take_in
from core.mail.uploads import Upload
from core.models import (
    Article,
    Attachment,
    AuditEvent,
    CustomerUser,
    CustomerUserAddress,
    Delivery,
    Mail,
    RawMail,
    Setting,
    Ticket,
    TicketLink,
    ticket_number,
)
from core.words import DecisionKind, Flag, HeldState, TicketState
from tests.intake.firm import a_firm
from tests.intake.mails import a_mail

OPEN = {"sender_policy": "open"}


def taken(database: Database, *mails: Incoming) -> list[Receipt]:
    """Take the mails in, as one batch."""
    with database.write() as session:
        return take_in(session, mails)


def count(database: Database, model: type) -> int:
    """Return the number of rows."""
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(model)) or 0


def test_a_known_sender_in_an_allowed_queue_opens_a_ticket(database: Database) -> None:
    firm = a_firm(database, **OPEN)
    receipt = taken(database, a_mail())[0]
    part = receipt.recipients[0]
    assert part.decision is DecisionKind.OPEN_TICKET
    assert str(receipt.reply) == f"250 2.0.0 Accepted as {receipt.reference}"
    with database.read() as session:
        ticket = session.get_one(Ticket, part.ticket_id)
        assert ticket.queue_id == firm.queues["Vertrieb"]
        assert ticket.customer_user_id == firm.customer_users["anna"]
        assert ticket.customer_id == firm.customers["K-1000"]
        assert (ticket.state, ticket.flag, ticket.subject) == (TicketState.NEW, None, "Frage")
        article = ticket.articles[0]
        assert article.text.startswith("Guten Tag,\n\nbitte rufen Sie zurück.")
        assert article.visible
        mail = session.scalars(select(Mail)).one()
        assert mail.raw is not None
        assert mail.raw.content == a_mail().raw
        event = session.scalars(select(AuditEvent).where(AuditEvent.object_kind == "ticket")).one()
        assert (event.action, event.object_id, event.actor_name) == (
            "created",
            ticket.id,
            "anna@muster.example",
        )


def test_a_forbidden_queue_holds_the_mail_and_opens_nothing(database: Database) -> None:
    a_firm(database, **OPEN)
    part = taken(database, a_mail(to="rechnung@example.org"))[0].recipients[0]
    assert (part.decision, part.reason) == (DecisionKind.HOLD, "queue-forbidden")
    assert part.reply.code == 250
    assert count(database, Ticket) == 0
    with database.read() as session:
        delivery = session.scalars(select(Delivery)).one()
        assert delivery.held is HeldState.WAITING
        assert [step["rule"] for step in delivery.trace] == [
            "recipient",
            "sender",
            "identify",
            "permission",
            "queue_forbidden",
        ]


def test_read_permission_is_not_enough(database: Database) -> None:
    a_firm(database, **OPEN)
    part = taken(database, a_mail(to="technik@example.org", sender="bert@muster.example"))[0]
    assert part.recipients[0].reason == "queue-forbidden"


def test_a_refused_mail_is_logged_without_its_bytes(database: Database) -> None:
    a_firm(database, **OPEN)
    receipt = taken(database, a_mail(sender="me@example.org"))[0]
    assert str(receipt.reply).startswith("550 5.7.1 ")
    assert (count(database, Mail), count(database, Delivery), count(database, RawMail)) == (1, 1, 0)


def test_neutral_senders_are_flagged_unless_the_policy_is_open(database: Database) -> None:
    a_firm(database)
    part = taken(database, a_mail())[0].recipients[0]
    with database.read() as session:
        ticket = session.get_one(Ticket, part.ticket_id)
        assert ticket.flag is Flag.SENDER_NOT_VERIFIED
        assert ticket.articles[0].flag is Flag.SENDER_NOT_VERIFIED


def test_two_queues_give_two_linked_tickets_each_with_its_own_decision(database: Database) -> None:
    a_firm(database, **OPEN)
    to = ("vertrieb@example.org", "technik@example.org", "rechnung@example.org")
    receipt = taken(database, a_mail(to=to))[0]
    assert [part.decision for part in receipt.recipients] == [
        DecisionKind.OPEN_TICKET,
        DecisionKind.OPEN_TICKET,
        DecisionKind.HOLD,
    ]
    assert count(database, RawMail) == 1
    with database.read() as session:
        link = session.scalars(select(TicketLink)).one()
        assert {link.ticket_id, link.other_id} == {
            part.ticket_id for part in receipt.recipients[:2]
        }


def test_two_addresses_of_one_queue_give_one_ticket(database: Database) -> None:
    a_firm(database, **OPEN)
    to = ("vertrieb@example.org", "vertrieb+extra@example.org")
    receipt = taken(database, a_mail(to=to))[0]
    assert receipt.recipients[0].ticket_id == receipt.recipients[1].ticket_id
    assert (count(database, Ticket), count(database, Delivery)) == (1, 2)


def test_a_redelivery_is_acknowledged_and_makes_nothing(database: Database) -> None:
    a_firm(database, **OPEN)
    first = taken(database, a_mail())[0]
    again = taken(
        database, a_mail(headers="Received: from relay by mx; Tue, 24 Nov 2026 10:00:00 +0100\r\n")
    )[0]
    assert again.recipients[0].duplicate
    assert again.reference == first.reference
    assert again.recipients[0].ticket_id == first.recipients[0].ticket_id
    assert (count(database, Ticket), count(database, Mail)) == (1, 1)
    with database.read() as session:
        assert session.scalars(select(Delivery)).one().duplicates == 1


def test_a_redelivery_within_one_batch(database: Database) -> None:
    a_firm(database, **OPEN)
    first, again = taken(database, a_mail(), a_mail())
    assert again.reference == first.reference
    assert [first.recipients[0].duplicate, again.recipients[0].duplicate] == [False, True]
    assert count(database, Ticket) == 1


def test_the_same_message_id_with_other_content_is_another_mail(database: Database) -> None:
    a_firm(database, **OPEN)
    taken(database, a_mail("eins\r\n"), a_mail("zwei\r\n"))
    assert count(database, Ticket) == 2


def test_a_guessed_message_id_does_not_suppress_the_real_mail(database: Database) -> None:
    a_firm(database, **OPEN)
    taken(database, a_mail("x", sender="evil@elsewhere.example"), a_mail("x"))
    assert count(database, Ticket) == 1


@pytest.mark.parametrize(
    ("mail", "matched_by", "reason"),
    [
        (a_mail(), "address", "allowed"),
        (a_mail("Kunden-Nr.: K-1000\r\n"), "address+number", "allowed"),
        (a_mail("Kundennummer K-2000\r\n"), "none", "number-conflict"),
        (a_mail("> Kundennummer K-2000\r\nja\r\n"), "address", "allowed"),
        (a_mail(to="vertrieb+K-1000@example.org"), "address+number", "allowed"),
        (a_mail(to="vertrieb+K-2000@example.org"), "none", "number-conflict"),
        (a_mail(subject="Kunden# K-1000 Angebot"), "address+number", "allowed"),
        (a_mail(headers="X-Kundennummer: K-1000\r\n"), "address+number", "allowed"),
        (a_mail(sender="neu@muster.example", subject="Kunden# K-1000"), "domain", "allowed"),
        (a_mail(sender="neu@evil.example", subject="Kunden# K-1000"), "number",
         "number-from-unknown-address"),
        (a_mail(sender="neu@muster.example"), "none", "stranger"),
        (a_mail(sender="gone@acme.example"), "address", "account-invalid"),
        (a_mail(sender="ANNA@MUSTER.EXAMPLE"), "address", "allowed"),
    ],
)  # fmt: skip
def test_matching(sqlite_database: Database, mail: Incoming, matched_by: str, reason: str) -> None:
    a_firm(sqlite_database, **OPEN)
    part = taken(sqlite_database, mail)[0].recipients[0]
    assert part.reason == reason
    with sqlite_database.read() as session:
        assert session.scalars(select(Delivery.matched_by)).one() == matched_by


def test_text_that_a_database_refuses_is_filed_all_the_same(database: Database) -> None:
    a_firm(database, **OPEN)
    raw = a_mail().raw.replace(b"bitte", b"NUL \x00 bitte").replace(b"Frage", b"\xed\xa0\x80\x00")
    receipts = taken(database, replace(a_mail(), raw=raw), a_mail())
    assert [part.recipients[0].decision for part in receipts] == [DecisionKind.OPEN_TICKET] * 2


def test_a_message_that_breaks_recording_is_held_and_the_others_are_filed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_firm(database, **OPEN)
    honest = pipeline.decide

    def breaks(facts: object) -> object:
        if facts.recipient == "technik@example.org":
            raise RuntimeError("forced by the test")
        return honest(facts)

    monkeypatch.setattr(pipeline, "decide", breaks)
    good, bad = taken(database, a_mail(), a_mail(to="technik@example.org"))
    assert good.recipients[0].decision is DecisionKind.OPEN_TICKET
    assert (bad.recipients[0].decision, bad.recipients[0].reason) == (
        DecisionKind.HOLD,
        "unreadable",
    )
    with database.read() as session:
        held = session.scalars(select(Delivery).where(Delivery.held == "waiting")).one()
        assert held.mail.raw is not None
        assert held.mail.raw.content == a_mail(to="technik@example.org").raw


def test_a_portal_ticket_goes_the_same_way(database: Database) -> None:
    firm = a_firm(database)
    with database.write() as session:
        anna = session.get_one(CustomerUser, firm.customer_users["anna"])
        files = [Upload("Ürgent.pdf", "application/pdf", b"%PDF")]
        asked = [
            submission.new_ticket(anna, firm.queues["Technik"], "Hallo", "Text", files, "nonce"),
            submission.new_ticket(anna, firm.queues["Technik"], "Hallo", "Text", files, "nonce"),
            submission.new_ticket(anna, firm.queues["Rechnung"], "Hallo", "Text"),
        ]
        filed, _again, forbidden = take_in(session, asked)
    assert filed.recipients[0].decision is DecisionKind.OPEN_TICKET
    assert forbidden.recipients[0].decision is DecisionKind.REJECT
    assert count(database, Ticket) == 1
    with database.read() as session:
        attachment = session.scalars(select(Attachment)).one()
        assert (attachment.filename, attachment.size) == ("Ürgent.pdf", 4)


def test_portal_replies_reopen_and_close(database: Database) -> None:
    firm = a_firm(database)
    states = []
    with database.write() as session:
        anna = session.get_one(CustomerUser, firm.customer_users["anna"])
        new = submission.new_ticket(anna, firm.queues["Technik"], "Hallo", "Text")
        ticket = session.get_one(Ticket, take_in(session, [new])[0].recipients[0].ticket_id)
        for text_, close in (("fertig", True), ("doch nicht", False)):
            take_in(session, [submission.reply(anna, ticket, text_, close=close)])
            session.refresh(ticket)
            states.append(ticket.state)
    assert states == [TicketState.CLOSED, TicketState.OPEN]
    assert count(database, Article) == 3


def test_a_group_taken_away_before_the_commit_counts(database: Database) -> None:
    firm = a_firm(database, **OPEN)
    with database.write() as session:
        session.execute(
            text("UPDATE groups SET valid = :no WHERE id = :id"),
            {"no": False, "id": firm.groups["vertrieb"]},
        )
    part = taken(database, a_mail())[0].recipients[0]
    assert part.decision is DecisionKind.REJECT  # the queue is invalid with its group
    assert str(part.reply) == "550 5.1.1 No such address here"


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM customer_users",
        "DELETE FROM customers",
        "DELETE FROM tickets",
        "DELETE FROM audit_events",
        "UPDATE audit_events SET action = 'x'",
    ],
)
def test_what_the_database_itself_refuses(database: Database, statement: str) -> None:
    a_firm(database, **OPEN)
    taken(database, a_mail())
    with pytest.raises(DBAPIError, match="never"), database.write() as session:
        session.execute(text(statement))


def test_statements_do_not_grow_with_the_batch(database: Database) -> None:
    a_firm(database, **OPEN, burst_tickets=1000)
    taken(database, a_mail())  # loads the organisation
    counts = []
    for size in (2, 20):
        mails = [a_mail(f"{size}-{n}", message_id=f"<{size}-{n}@x>") for n in range(size)]
        statements: list[str] = []

        def note(*args: object, seen: list[str] = statements) -> None:
            seen.append(str(args[2]))

        event.listen(database.writer, "before_cursor_execute", note)
        taken(database, *mails)
        event.remove(database.writer, "before_cursor_execute", note)
        counts.append(len(statements))
    assert counts[0] == counts[1]


def test_control_characters_in_the_envelope_lose_no_mail(database: Database) -> None:
    """The gateway refuses them (threat P12); what comes another way is kept, cleaned."""
    a_firm(database, **OPEN)
    incoming = a_mail(mail_from="a\0b\ud800@x.example")
    envelope = replace(incoming.envelope, helo="x\0\r\ny\udfff")
    receipt = taken(database, replace(incoming, envelope=envelope))[0]
    assert receipt.recipients[0].decision is DecisionKind.OPEN_TICKET
    with database.read() as session:
        mail = session.scalars(select(Mail)).one()
        assert (mail.mail_from, mail.helo) == ("ab\ufffd@x.example", "x y\ufffd")


def test_a_foreign_ticket_is_not_touched_by_its_number(database: Database) -> None:
    """Neither a number in the subject nor a forged reference threads a mail (threat I2)."""
    firm = a_firm(database, **OPEN)
    first = taken(database, a_mail(to="technik@example.org"))[0].recipients[0]
    number = ticket_number(first.ticket_id or 0)
    forged = a_mail(
        sender="bert@muster.example",
        subject=f"Re: [#{number}] Frage",
        message_id="<forged@x>",
        headers="In-Reply-To: <1@muster.example>\r\nReferences: <1@muster.example>\r\n",
    )
    part = taken(database, forged)[0].recipients[0]
    assert part.ticket_id != first.ticket_id
    with database.read() as session:
        assert len(session.get_one(Ticket, first.ticket_id).articles) == 1
        assert (
            session.get_one(Ticket, part.ticket_id).customer_user_id
            == (firm.customer_users["bert"])
        )


def test_header_fields_set_no_queue_state_or_owner(database: Database) -> None:
    """There are no control fields for anybody outside (threat I12)."""
    firm = a_firm(database, **OPEN)
    headers = (
        "X-OTRS-Queue: Rechnung\r\nX-OTOBO-Queue: Rechnung\r\nX-OTRS-State: closed\r\n"
        "X-OTRS-Owner: root\r\nX-OTRS-Priority: 5 very high\r\n"
    )
    part = taken(database, a_mail(headers=headers))[0].recipients[0]
    with database.read() as session:
        ticket = session.get_one(Ticket, part.ticket_id)
        assert ticket.queue_id == firm.queues["Vertrieb"]
        assert (ticket.state, ticket.priority, ticket.owner_id) == ("new", "normal", None)


def test_copies_and_reply_to_make_nobody_a_participant(database: Database) -> None:
    """Threat I4: the ticket is the account's whatever else the mail names."""
    firm = a_firm(database, **OPEN)
    headers = "Cc: bert@muster.example, evil@x.example\r\nReply-To: evil@x.example\r\n"
    part = taken(database, a_mail(headers=headers))[0].recipients[0]
    with database.read() as session:
        ticket = session.get_one(Ticket, part.ticket_id)
        assert ticket.customer_user_id == firm.customer_users["anna"]
        assert ticket.requester == "anna@muster.example"


def test_a_member_of_staff_is_nobody_by_mail(database: Database) -> None:
    """Threat I13: an agent's address from outside is refused like any address of ours."""
    a_firm(database, **OPEN)
    part = taken(database, a_mail(sender="jonas@example.org"))[0].recipients[0]
    assert (part.decision, part.reason) == (DecisionKind.REJECT, "own-address")


def test_guessing_numbers_gets_one_answer(database: Database) -> None:
    """Threat I9: a Kunden# that exists and one that does not are told apart by nobody outside."""
    a_firm(database, **OPEN)
    mails = [
        a_mail(
            f"Kundennummer K-{number}\r\n",
            sender="wer@fremd.example",
            message_id=f"<{number}@fremd.example>",
        )
        for number in range(990, 1010)
    ]
    receipts = taken(database, *mails)
    assert {part.decision for receipt in receipts for part in receipt.recipients} == {
        DecisionKind.HOLD
    }
    answers = {str(receipt.reply).replace(receipt.reference, "REF") for receipt in receipts}
    assert answers == {"250 2.0.0 Accepted as REF"}
    reasons = [receipt.recipients[0].reason for receipt in receipts]
    assert reasons.count("number-from-unknown-address") == 1  # but staff see it


def test_an_address_of_two_accounts_is_settled_by_a_number_of_a_verified_sender(
    database: Database,
) -> None:
    firm = a_firm(database, **OPEN)
    with database.write() as session:
        for login in ("anna", "carol"):
            session.add(
                CustomerUserAddress(
                    customer_user_id=firm.customer_users[login],
                    address="team@shared.example",
                    address_key="team@shared.example",
                    position=1,
                    shared=True,
                    exclusive=False,
                )
            )
    undecided = a_mail(sender="team@shared.example", message_id="<t1@x>")
    decided = a_mail("Kunden-Nr. K-1000\r\n", sender="team@shared.example", message_id="<t2@x>")
    one, two = taken(database, undecided, decided)
    assert one.recipients[0].reason == "ambiguous-address"
    assert two.recipients[0].decision is DecisionKind.OPEN_TICKET
    with database.write() as session:
        assert (
            session.get_one(Ticket, two.recipients[0].ticket_id).customer_user_id
            == (firm.customer_users["anna"])
        )
        session.execute(update(Setting).values(value="balanced"))
    neutral = replace(decided, raw=decided.raw.replace(b"<t2@x>", b"<t3@x>"))
    part = taken(database, neutral)[0].recipients[0]
    assert (part.decision, part.reason) == (DecisionKind.HOLD, "sender-not-verified")

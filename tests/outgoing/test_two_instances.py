"""Two running installations: a case in both directions, and robots that do not get far.

Threats L1, L2 and L7 with real programs. ``ALARMS`` is how many alarms the storm has.
"""

import os
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import select

from core.audit import staff_actor
from core.models import Article, Staff, Ticket
from core.settings import Settings
from core.tickets.reply import ReplyValues, reply
from core.words import Flag, OutgoingKind, OutgoingState, TicketState
from tests.outgoing.instances import Instance, World, two_instances
from tests.support.relay import Received

ALARMS = int(os.environ.get("ALARMS", "300"))
LIMITS = Settings()

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[World]:
    with two_instances(tmp_path_factory.mktemp("world"), sqlite_template) as running:
        yield running


def parsed(message: Received) -> EmailMessage:
    """Return a received message, read by the library."""
    found = message_from_bytes(message.content, policy=policy.default)
    assert isinstance(found, EmailMessage)
    return found


def answer_as_staff(instance: Instance, ticket: Ticket, text: str) -> None:
    """Let an admin answer a ticket."""
    with instance.database.write() as session:
        staff = session.get_one(Staff, instance.firm.staff["root"])
        newest = session.scalars(
            select(Article.id).where(Article.ticket_id == ticket.id).order_by(Article.id.desc())
        ).first()
        assert newest is not None
        values = ReplyValues(text=text, seen_article=newest)
        reply(
            session,
            instance.installation,
            staff_actor(staff),
            staff,
            ticket.public_id,
            values,
        )


def articles(instance: Instance, ticket: Ticket) -> list[Article]:
    """Return the articles of a ticket, in order."""
    with instance.database.read() as session:
        return list(
            session.scalars(
                select(Article).where(Article.ticket_id == ticket.id).order_by(Article.id)
            )
        )


def test_a_case_lives_in_both_directions(world: World) -> None:
    here, anna = world.here, "anna@muster.example"
    here.send(anna, f"From: {anna}\nSubject: Drucker\nMessage-ID: <1@muster.example>\n\nHilfe\n")
    ((ticket, _count),) = here.tickets_of("anna")
    world.wait_for_quiet()
    (confirmation,) = world.mailboxes[anna]
    assert parsed(confirmation)["Auto-Submitted"] == "auto-replied"
    assert confirmation.mail_from == ""

    answer_as_staff(here, ticket, "Bitte einschalten.")
    world.wait_for_quiet()
    answer = parsed(world.mailboxes[anna][-1])
    assert "Bitte einschalten." in answer.get_content()
    assert answer["From"].addresses[0].addr_spec == here.address
    assert f"[Ticket#{ticket.number}]" in answer["Subject"]

    by_reference = (
        f"From: {anna}\nSubject: ganz anders\nMessage-ID: <2@muster.example>\n"
        f"In-Reply-To: {answer['Message-ID']}\n\nIst an.\n"
    )
    here.send(anna, by_reference)
    by_address = f"From: {anna}\nSubject: neu\nMessage-ID: <3@muster.example>\n\nTrotzdem nichts.\n"
    here.send(anna, by_address, to=answer["Reply-To"].addresses[0].addr_spec)
    assert [each.text.strip() for each in articles(here, ticket) if each.visible] == [
        "Hilfe",
        articles(here, ticket)[1].text.strip(),
        "Ist an.",
        "Trotzdem nichts.",
    ]
    assert len(here.tickets_of("anna")) == 1
    world.wait_for_quiet()


def test_a_report_marks_the_mail_that_came_back(world: World) -> None:
    here, bert = world.here, "bert@muster.example"
    here.send(bert, f"From: {bert}\nSubject: Angebot\nMessage-ID: <4@muster.example>\n\nBitte\n")
    ((ticket, _count),) = here.tickets_of("bert")
    answer_as_staff(here, ticket, "Gern.")
    world.wait_for_quiet()
    (mail,) = [each for each in here.outgoing(bert) if each.kind is OutgoingKind.REPLY]
    assert mail.state is OutgoingState.SENT
    report = (
        "From: MAILER-DAEMON@mx.muster.example\nSubject: Undelivered\n"
        "Message-ID: <5@mx.muster.example>\nAuto-Submitted: auto-replied\nMIME-Version: 1.0\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\n\n'
        "--b\nContent-Type: text/plain\n\nIt failed.\n"
        "--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.muster.example\n\n"
        f"Final-Recipient: rfc822; {bert}\nAction: failed\nStatus: 5.1.1\n"
        "Diagnostic-Code: smtp; 550 5.1.1 unknown user\n\n--b--\n"
    )
    state = here.tickets_of("bert")[0][0].state
    here.send("", report, to=mail.mail_from)
    (mail,) = [each for each in here.outgoing(bert) if each.kind is OutgoingKind.REPLY]
    assert (mail.state, "unknown user" in mail.bounce) == (OutgoingState.BOUNCED, True)
    shown = articles(here, ticket)[-1]
    assert (shown.flag, shown.visible) == (Flag.DELIVERY_REPORT, False)
    assert here.tickets_of("bert")[0][0].state is state
    world.wait_for_quiet()


def test_two_installations_answer_each_other_once_at_most(world: World) -> None:
    """Threat L1: each is a customer of the other, and each confirms by itself."""
    here, there = world.here, world.there
    here.add_account("there", there.address)
    there.add_account("here", here.address)
    for mine, other, number in ((here, there, 1), (there, here, 2)):
        mine.send(
            other.address,
            f"From: {other.address}\nSubject: Anfrage {number}\n"
            f"Message-ID: <a{number}@{other.domain}>\n\nGuten Tag\n",
        )
    world.wait_for_quiet()
    for mine, other in ((here, there), (there, here)):
        sent = [
            each
            for each in mine.outgoing(other.address)
            if each.state is OutgoingState.SENT and each.kind is not OutgoingKind.REPLY
        ]
        assert len(sent) == 1


@pytest.mark.parametrize("keeps_subject", [False, True])
def test_a_dumb_responder_ends_at_the_cap(world: World, keeps_subject: bool) -> None:
    """Threat L2: it answers everything at once, with fresh header fields and a null token."""
    here = world.here
    name = f"dumb{int(keeps_subject)}"
    dumb, serial = f"{name}@dumb.example", count()
    here.add_account(name, dumb)

    def respond(message: Received | None) -> None:
        subject = parsed(message)["Subject"] if message and keeps_subject else "Abwesend"
        here.send(
            dumb,
            f"From: {dumb}\nSubject: Re: {subject}\nMessage-ID: <{next(serial)}@dumb.example>\n\n"
            "Ich bin nicht da.\n",
        )

    world.responders[dumb] = respond
    respond(None)
    world.wait_for_quiet()
    got = len(world.mailboxes[dumb])
    assert 1 <= got <= LIMITS.auto_responses_per_address
    assert sum(articles for _ticket, articles in here.tickets_of(name)) == got + 1
    last = here.outgoing(dumb)[-1]
    assert last.state is OutgoingState.SUPPRESSED, "it was not a cap that ended it"
    assert len(here.outgoing(dumb)) == got + 1


def test_a_storm_of_alarms_is_kept_and_hardly_answered(world: World) -> None:
    """Threat L7: nothing is dropped, staff get few tickets, and the robot few answers."""
    there, robot = world.there, "monitoring@muster.example"
    there.add_account("monitoring", robot)
    for number in range(ALARMS):
        there.send(
            robot,
            f"From: {robot}\nSubject: ALARM\nMessage-ID: <alarm{number}@muster.example>\n\n"
            f"Platte {number} voll\n",
        )
    world.wait_for_quiet(120)
    tickets = there.tickets_of("monitoring")
    assert sum(articles for _ticket, articles in tickets) == ALARMS
    assert len(tickets) <= LIMITS.burst_tickets + 1
    assert [ticket.flag for ticket, _count in tickets][-1] is Flag.BURST
    assert len(world.mailboxes[robot]) <= LIMITS.auto_responses_per_address
    assert all(ticket.state is not TicketState.CLOSED for ticket, _count in tickets)


def test_nothing_was_sent_twice(world: World) -> None:
    """After all of the above."""
    ids = [parsed(each)["Message-ID"] for each in world.relay.messages]
    assert len(ids) == len(set(ids))
    assert not world.relay.faults

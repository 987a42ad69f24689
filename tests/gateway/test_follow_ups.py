"""Follow-ups over SMTP: what a mail server is told, and what it is not."""

from pathlib import Path

import pytest
from sqlalchemy import select, update

from core.errors import ConfigError
from core.mail.tokens import Token, TokenKind, make_token
from core.models import Article, OutgoingMail, Queue, Ticket, now
from core.secret_key import load_secret_key, rotate_secret_key
from core.words import (
    DecisionKind,
    Flag,
    FollowUp,
    OutgoingKind,
    OutgoingState,
    TicketState,
)
from tests.gateway.conftest import Run
from tests.gateway.running import ACCEPTED, DATA, ENVELOPE, MESSAGE, Running

CLOSED = "S: 550 5.7.1 This request is closed and takes no more replies. Please write us a new *"
ANNA = "anna@muster.example"


@pytest.fixture
def with_ticket(gateway: Running) -> Running:
    """A gateway that has taken in a mail of Anna's: ticket 1."""
    with gateway.client() as client:
        client.play(ENVELOPE + DATA + MESSAGE + ACCEPTED)
    assert gateway.tickets() == 1
    return gateway


def token(folder: Path, kind: TokenKind = TokenKind.THREAD, ticket: int = 1, mail: int = 1) -> str:
    """Return a token of the gateway whose key is in this folder."""
    key = load_secret_key(str(folder / "secret.key"))
    return make_token(key, Token(kind, ticket, mail))


def send(
    gateway: Running,
    answer: str,
    *,
    sender: str = ANNA,
    to: str = "vertrieb@example.org",
    header: str = "X-Nothing: here",
    mail_from: str | None = None,
) -> None:
    """Send a mail with one more header field; ``answer`` is the reply to its end."""
    with gateway.client() as client:
        client.play(f"""
            C: MAIL FROM:<{sender if mail_from is None else mail_from}>
            S: 250 2.1.0 OK
            C: RCPT TO:<{to}>
            S: 250 2.1.5 OK
            {DATA}
            C: From: {sender}
            C: {header}
            C: Message-ID: <{abs(hash((sender, to, header)))}@x>
            C:
            C: Noch eine Frage
            C: .
            {answer}
        """)


def articles(gateway: Running) -> list[tuple[bool, Flag | None]]:
    """Return of each article of ticket 1 whether its customer sees it, and its flag."""
    with gateway.database.read() as session:
        rows = session.execute(
            select(Article.visible, Article.flag).where(Article.ticket_id == 1).order_by(Article.id)
        )
        return [(visible, flag) for visible, flag in rows]


def close(gateway: Running, follow_up: FollowUp) -> None:
    """Close ticket 1 and set the rule of its queue."""
    with gateway.database.write() as session:
        session.execute(update(Ticket).values(state=TicketState.CLOSED, waiting_since=None))
        for queue in session.scalars(select(Queue)):
            queue.follow_up = follow_up


def test_a_reply_to_the_address_with_the_token(with_ticket: Running, tmp_path: Path) -> None:
    send(with_ticket, ACCEPTED, to=f"vertrieb+{token(tmp_path)}@example.org")
    assert articles(with_ticket) == [(True, None), (True, None)]


def test_a_token_of_before_the_key_was_changed(with_ticket: Running, tmp_path: Path) -> None:
    """The gateway goes on: it sees the new file, and believes the old key."""
    old = token(tmp_path)
    rotate_secret_key(str(tmp_path / "secret.key"), now().date())
    send(with_ticket, ACCEPTED, header=f"In-Reply-To: <{old}@example.org>")
    send(with_ticket, ACCEPTED, header=f"In-Reply-To: <{token(tmp_path)}@example.org>")
    assert len(articles(with_ticket)) == 3


def test_a_forged_token_and_somebody_elses_number_add_nothing(
    with_ticket: Running, tmp_path: Path
) -> None:
    right = token(tmp_path)
    forged = right[:-1] + ("a" if right[-1] != "a" else "b")
    send(with_ticket, ACCEPTED, header=f"References: <{forged}@example.org>")
    send(with_ticket, ACCEPTED, to=f"vertrieb+{forged}@example.org")
    send(with_ticket, ACCEPTED, sender="bert@muster.example", header="Subject: [Ticket#100001]")
    send(with_ticket, ACCEPTED, sender="evil@x.example", header="Subject: [Ticket#100001]")
    assert articles(with_ticket) == [(True, None)]


def test_a_closed_ticket_is_refused_with_what_to_do_instead(
    with_ticket: Running, tmp_path: Path
) -> None:
    close(with_ticket, FollowUp.REJECT)
    send(with_ticket, CLOSED, header=f"In-Reply-To: <{token(tmp_path)}@example.org>")
    send(with_ticket, CLOSED, header="Subject: Re: [Ticket#100001] Frage")
    assert (with_ticket.tickets(), len(with_ticket.stored())) == (1, 1)
    with with_ticket.database.read() as session:
        kinds = session.scalars(select(OutgoingMail.kind).order_by(OutgoingMail.id)).all()
    assert kinds == [OutgoingKind.RECEIVED, OutgoingKind.REJECTED, OutgoingKind.REJECTED]


@pytest.mark.parametrize("sender", ["bert@muster.example", "carol@acme.example", "evil@x.example"])
def test_the_answer_tells_nobody_whether_a_number_exists(with_ticket: Running, sender: str) -> None:
    """Neither a ticket that is closed, nor one that is open, nor none at all."""
    close(with_ticket, FollowUp.REJECT)
    for number in (100001, 100999):
        send(with_ticket, ACCEPTED, sender=sender, header=f"Subject: [Ticket#{number}]")
    fates = {(each.decision, each.reason) for each in with_ticket.deliveries()[1:]}
    assert len(fates) == 1
    assert len(articles(with_ticket)) == 1


def test_a_vacation_reply_to_a_closed_ticket(with_ticket: Running, tmp_path: Path) -> None:
    close(with_ticket, FollowUp.POSSIBLE)
    vacation = f"Auto-Submitted: auto-replied\n            C: In-Reply-To: <{token(tmp_path)}@x>"
    send(with_ticket, ACCEPTED, header=vacation)
    assert articles(with_ticket)[1:] == [(False, Flag.AUTOMATIC)]
    with with_ticket.database.read() as session:
        assert session.get_one(Ticket, 1).state is TicketState.CLOSED


REPORT = """
    C: From: MAILER-DAEMON@mx.example
    C: Message-ID: <report@mx.example>
    C: Content-Type: multipart/report; report-type=delivery-status; boundary=b
    C:
    C: --b
    C: Content-Type: message/delivery-status
    C:
    C: Reporting-MTA: dns; mx.example
    C:
    C: Final-Recipient: rfc822; anna@muster.example
    C: Action: failed
    C: Status: 5.1.1
    C:
    C: --b--
    C: .
"""


def test_a_delivery_report_to_its_bounce_address(with_ticket: Running, tmp_path: Path) -> None:
    with with_ticket.database.write() as session:
        mail = OutgoingMail(
            kind=OutgoingKind.REPLY,
            state=OutgoingState.SENT,
            ticket_id=1,
            recipient=ANNA,
            recipient_key=ANNA,
        )
        session.add(mail)
        session.flush()  # its id is in the address
        bounce = token(tmp_path, TokenKind.BOUNCE, mail=mail.id)
    with with_ticket.client() as client:
        client.play(f"""
            C: MAIL FROM:<>
            S: 250 2.1.0 OK
            C: RCPT TO:<vertrieb+{bounce}@example.org>
            S: 250 2.1.5 OK
            {DATA}
            {REPORT}
            {ACCEPTED}
        """)
    assert articles(with_ticket)[1:] == [(False, Flag.DELIVERY_REPORT)]
    assert with_ticket.deliveries()[-1].decision is DecisionKind.APPEND_ARTICLE
    with with_ticket.database.read() as session:
        bounced = session.scalars(
            select(OutgoingMail).where(OutgoingMail.state == OutgoingState.BOUNCED)
        ).one()
        assert "5.1.1" in bounced.bounce


def test_our_own_mail_that_comes_back(with_ticket: Running, tmp_path: Path) -> None:
    with with_ticket.client() as client:
        client.play(f"""
            {ENVELOPE}
            {DATA}
            C: From: vertrieb@example.org
            C: Message-ID: <{token(tmp_path)}@example.org>
            C:
            C: Guten Tag
            C: .
            S: 554 5.4.6 Message refused: it is one of ours that came back
        """)
    assert with_ticket.tickets() == 1


def test_a_gateway_without_its_key_does_not_start(run: Run, tmp_path: Path) -> None:
    """Threat O3: nobody could tell an answer to our mail from a forged one."""
    run()
    key = tmp_path / "secret.key"
    key.chmod(0o644)
    with pytest.raises(ConfigError, match="others may read it"):
        run()
    key.chmod(0o600)

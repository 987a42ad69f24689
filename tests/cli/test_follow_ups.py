"""``deliver`` and ``explain`` know a reply to our mail: they believe the installation's keys."""

from core.mail.tokens import Token, TokenKind, make_token
from core.models import Ticket
from core.secret_key import load_secret_key
from tests.cli.conftest import Installation, one_line
from tests.intake.firm import a_firm
from tests.intake.mails import a_mail

FROM_ANNA = ("--mail-from", "anna@muster.example", "--rcpt", "vertrieb@example.org")


def a_reply(installation: Installation) -> str:
    """Deliver a mail, and store a reply with a token and another number; return its path."""
    a_firm(installation.database, sender_policy="open")
    first = installation.folder / "first.eml"
    first.write_bytes(a_mail().raw)
    (opened,) = installation.json("deliver", first, *FROM_ANNA)["messages"]
    assert opened["recipients"][0]["ticket"] == 100_001
    key = load_secret_key(str(installation.folder / "secret.key"))
    token = make_token(key, Token(TokenKind.THREAD, 1, 1))
    reply = installation.folder / "reply.eml"
    mail = a_mail(
        subject="[Ticket#100777] Frage",
        headers=f"In-Reply-To: <{token}@example.org>\r\n",
        message_id="<reply@x>",
    )
    reply.write_bytes(mail.raw)
    return str(reply)


def test_explain_says_which_ticket_and_what_contradicts(installation: Installation) -> None:
    told = installation.json("explain", a_reply(installation), *FROM_ANNA)
    (part,) = told["recipients"]
    assert (part["decision"], part["reason"], part["ticket"]) == (
        "append-article",
        "follow-up",
        100_001,
    )
    steps = {step["rule"]: step for step in told["steps"]}
    assert steps["thread"]["answer"] == "contradiction"
    assert "100777" in steps["thread"]["because"]
    assert steps["own_follow_up"]["answer"] == "append-article"
    with installation.database.read() as session:
        assert session.get_one(Ticket, 1).version == 1  # nothing was recorded


def test_deliver_adds_a_reply_to_its_ticket(small_installation: Installation) -> None:
    (done,) = small_installation.json("deliver", a_reply(small_installation), *FROM_ANNA)[
        "messages"
    ]
    assert done["recipients"][0]["decision"] == "append-article"
    assert done["recipients"][0]["ticket"] == 100_001


def test_without_the_key_file_mail_comes_again_later(small_installation: Installation) -> None:
    """A reply must not become a ticket of its own because a file is missing."""
    reply = a_reply(small_installation)
    (small_installation.folder / "secret.key").unlink()
    delivered = small_installation.run("deliver", reply, *FROM_ANNA)
    assert delivered.exit_code == 75
    assert "secret_key_file" in one_line(delivered)
    explained = small_installation.run("explain", reply, *FROM_ANNA)
    assert explained.exit_code == 1
    assert "secret_key_file" in one_line(explained)

"""``explain``, ``ticket``, ``mail`` and ``permissions``: the shapes that scripts rely on."""

import json

import pytest
from sqlalchemy import func, select

from core.audit import staff_actor
from core.cli.tickets import pages
from core.db import Database
from core.intake.incoming import Incoming
from core.intake.pipeline import take_in
from core.models import Mail, Staff, Ticket
from core.paging import Page
from core.tickets.notes import add_note
from tests.cli.conftest import Installation, one_line
from tests.intake.firm import Firm, a_firm
from tests.intake.mails import a_mail

EXPLAIN = ("--mail-from", "anna@muster.example", "--rcpt")


def taken(database: Database, *mails: Incoming) -> list[str]:
    """Take mails in and return their references."""
    with database.write() as session:
        return [receipt.reference for receipt in take_in(session, mails)]


def a_firm_with_mail(database: Database) -> tuple[Firm, list[str]]:
    """Two tickets, a held mail and a refused one."""
    firm = a_firm(database, sender_policy="open")
    return firm, taken(
        database,
        a_mail(message_id="<1@x>", subject="Drucker"),
        a_mail("Kunden#: K-1000\r\n", message_id="<2@x>", to="technik@example.org"),
        a_mail(message_id="<3@x>", to="rechnung@example.org"),
        a_mail(message_id="<4@x>", to="nobody@example.org"),
    )


def test_explain_has_the_shape_of_the_contract(installation: Installation) -> None:
    a_firm(installation.database, sender_policy="open")
    file = installation.folder / "a.eml"
    file.write_bytes(a_mail("Hallo\r\n").raw)
    told = installation.json(
        "explain", file, *EXPLAIN, "vertrieb@example.org", "--rcpt", "rechnung@example.org"
    )
    assert set(told) == {"recipients", "sender", "message", "steps"}
    first, second = told["recipients"]
    assert first.pop("reply").startswith("250 2.0.0 ")
    assert first == {
        "recipient": "vertrieb@example.org",
        "decision": "open-ticket",
        "reason": "allowed",
        "queue": "Vertrieb",
        "ticket": None,
        "customer_user": "anna",
        "customer_number": "K-1000",
        "matched_by": "address",
    }
    assert (second["decision"], second["reason"]) == ("hold", "queue-forbidden")
    assert told["sender"] == {
        "address": "anna@muster.example",
        "evidence": "neutral",
        "why": "Nothing proves or disproves the sender.",
    }
    assert set(told["message"]) == {
        "subject", "from", "to", "date", "message_id", "text", "has_html", "attachments", "defects",
    }  # fmt: skip
    assert [
        step["rule"] for step in told["steps"] if step["answer"] in {"open-ticket", "hold"}
    ] == ["file_it", "queue_forbidden"]
    assert all(set(step) == {"rule", "answer", "because"} for step in told["steps"])
    with installation.database.read() as session:
        assert session.scalar(select(func.count()).select_from(Mail)) == 0


def test_explain_for_people(small_installation: Installation) -> None:
    a_firm(small_installation.database, sender_policy="open")
    raw = a_mail("Hallo\x1b[31m\r\n").raw
    result = small_installation.run("explain", "-", *EXPLAIN, "rechnung@example.org", stdin=raw)
    assert result.exit_code == 0
    assert "rechnung@example.org: hold (queue-forbidden)" in result.stdout
    assert "The account may not write to Rechnung." in result.stdout
    assert "\x1b" not in result.stdout


def test_explain_believes_trusted_relays_only(small_installation: Installation) -> None:
    """An address of ours may come from inside, and inside is what the configuration says."""
    a_firm(small_installation.database, sender_policy="open")
    raw = a_mail(sender="chef@example.org").raw
    relays = {"SCHALTER_SMTP__TRUSTED_RELAYS": '["192.0.2.0/24"]'}
    decisions = {}
    for peer in ("192.0.2.7", "198.51.100.7"):
        result = small_installation.run(
            "explain", "-", *EXPLAIN, "vertrieb@example.org", "--peer", peer, stdin=raw, **relays
        )
        decisions[peer] = "reject (own-address)" in result.stdout
    assert decisions == {"192.0.2.7": False, "198.51.100.7": True}


@pytest.mark.parametrize(
    ("assumed", "evidence", "decision"),
    [
        ("signed", "verified", "open-ticket"),
        ("nothing", "neutral", "open-ticket"),
        ("quarantine", "failed", "hold"),
        ("reject", "failed", "reject"),
        ("header", "neutral", "open-ticket"),
    ],
)
def test_explain_assumes_what_the_sender_check_finds(
    small_installation: Installation, assumed: str, evidence: str, decision: str
) -> None:
    a_firm(small_installation.database)
    trial = ("explain", "-", *EXPLAIN, "vertrieb@example.org", "--assume", assumed, "--json")
    result = small_installation.run(*trial, stdin=a_mail().raw)
    told = json.loads(result.stdout)
    assert told["sender"]["evidence"] == evidence
    assert told["recipients"][0]["decision"] == decision


def test_explain_tells_what_it_cannot_read(small_installation: Installation) -> None:
    missing = small_installation.run("explain", "none.eml", *EXPLAIN, "vertrieb@example.org")
    assert missing.exit_code == 66
    assert one_line(missing) == "schalter: none.eml: no such file or directory"
    wrong = ("explain", "-", *EXPLAIN, "vertrieb@example.org", "--peer", "here")
    assert small_installation.run(*wrong).exit_code == 2


def test_tickets_are_listed_for_scripts(installation: Installation) -> None:
    a_firm_with_mail(installation.database)
    tickets = installation.json("ticket", "list")
    assert [ticket["number"] for ticket in tickets] == [100002, 100001]
    assert tickets[1] | {"id": "", "created_at": "", "changed_at": "", "waiting_since": ""} == {
        "number": 100001,
        "id": "",
        "subject": "Drucker",
        "queue": "Vertrieb",
        "state": "new",
        "priority": "normal",
        "owner": None,
        "customer_number": "K-1000",
        "customer_user": "anna",
        "requester": "anna@muster.example",
        "flag": None,
        "created_at": "",
        "changed_at": "",
        "waiting_since": "",
        "closed_at": None,
        "article_count": 1,
    }


# Options of ``ticket list`` and which tickets they let through.
FILTERS = [
    (("--queue", "Vertrieb"), [100001]),
    (("--state", "closed"), []),
    (("--state", "all"), [100002, 100001]),
    (("--customer", "K-1000"), [100002, 100001]),
    (("--customer", "K-2000"), []),
    (("--login", "ANNA"), [100002, 100001]),
    (("--search", "drucker"), [100001]),
    (("--limit", "1"), [100002]),
    (("--owner", "jonas"), []),
]


@pytest.mark.parametrize(("options", "numbers"), FILTERS, ids=lambda value: str(value))
def test_tickets_are_filtered(
    options: tuple[str, ...], numbers: list[int], small_installation: Installation
) -> None:
    a_firm_with_mail(small_installation.database)
    tickets = small_installation.json("ticket", "list", *options)
    assert [ticket["number"] for ticket in tickets] == numbers


def test_a_long_list_is_read_in_pages() -> None:
    asked: list[tuple[str | None, int]] = []

    def read(cursor: str | None, size: int) -> Page[int]:
        asked.append((cursor, size))
        start = int(cursor or 0)
        return Page(tuple(range(start, start + size)), None, str(start + size))

    assert list(pages(read, 250)) == list(range(250))
    assert asked == [(None, 100), ("100", 100), ("200", 50)]


def test_a_ticket_is_shown_with_internal_notes(installation: Installation) -> None:
    firm, references = a_firm_with_mail(installation.database)
    with installation.database.write() as session:
        root = session.get_one(Staff, firm.staff["root"])
        public_id = session.scalars(select(Ticket.public_id).where(Ticket.id == 1)).one()
        add_note(session, staff_actor(root), root, public_id, "Nur für uns")
    told = installation.json("ticket", "show", "100001")
    assert told["article_count"] == 2
    mail, note = told["articles"]
    assert (mail["mail"], mail["author"], mail["visible"]) == (references[0], "customer", True)
    assert mail["text"].startswith("Guten Tag,")
    assert (note["from"], note["text"], note["visible"]) == ("root", "Nur für uns", False)
    shown = installation.run("ticket", "show", "100001").stdout
    assert "number:           100001\n" in shown
    assert "(staff, internal)" in shown


def test_mails_are_listed_with_their_fates(installation: Installation) -> None:
    _firm, references = a_firm_with_mail(installation.database)
    mails = installation.json("mail", "list")
    assert [mail["reference"] for mail in mails] == references[::-1]
    assert [
        (each["decision"], each["reason"], each["ticket"], each["held"])
        for mail in mails
        for each in mail["deliveries"]
    ] == [
        ("reject", "unknown-recipient", None, None),
        ("hold", "queue-forbidden", None, "waiting"),
        ("open-ticket", "allowed", 100002, None),
        ("open-ticket", "allowed", 100001, None),
    ]
    held = installation.json("mail", "list", "--held", "waiting", "--queue", "Rechnung")
    assert [mail["reference"] for mail in held] == [references[2]]
    refused = installation.json("mail", "list", "--decision", "reject", "--rcpt", "nobody")
    assert [mail["reference"] for mail in refused] == [references[3]]


def test_a_mail_is_shown_with_the_reasons(installation: Installation) -> None:
    _firm, references = a_firm_with_mail(installation.database)
    told = installation.json("mail", "show", references[2])
    (delivery,) = told["deliveries"]
    assert delivery["queue"] == "Rechnung"
    assert delivery["trace"][-1] == {
        "rule": "queue_forbidden",
        "answer": "hold",
        "because": "The account may not write to Rechnung.",
    }
    shown = installation.run("mail", "show", references[2]).stdout
    assert "The account may not write to Rechnung." in shown


def test_permissions_have_their_reasons(installation: Installation) -> None:
    a_firm(installation.database)
    told = installation.json("permissions", "Anna")
    assert (told["login"], told["customer_number"], told["valid"]) == ("anna", "K-1000", True)
    assert told["queues"] == [
        {
            "queue": "Technik",
            "permission": "rw",
            "through": [{"group": "technik", "way": "direct", "permission": "rw"}],
        },
        {
            "queue": "Vertrieb",
            "permission": "rw",
            "through": [{"group": "vertrieb", "way": "customer", "permission": "rw"}],
        },
    ]
    shown = installation.run("permissions", "anna").stdout
    assert 'group "technik" rw, given directly' in shown


def test_permissions_without_group_support(small_installation: Installation) -> None:
    a_firm(small_installation.database, customer_group_support=False)
    told = small_installation.json("permissions", "carol")
    assert {each["permission"] for each in told["queues"]} == {"rw"}
    assert told["queues"][0]["through"] == [
        {"group": None, "way": "no-group-support", "permission": "rw"}
    ]


def test_an_invalid_account_reaches_nothing(small_installation: Installation) -> None:
    a_firm(small_installation.database)
    told = small_installation.json("permissions", "gone")
    assert (told["valid"], told["queues"]) == (False, [])
    assert "No queue can be reached." in small_installation.run("permissions", "gone").stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("permissions", "nobody"), 'There is no account with the login "nobody".'),
        (("ticket", "show", "99"), "There is no ticket 99."),
        (("ticket", "show", "9" * 30), "There is no ticket"),
        (("mail", "show", "none"), "There is no such mail."),
        (("ticket", "list", "--queue", "x"), 'There is no queue "x".'),
        (("ticket", "list", "--customer", "x"), "There is no customer with the Kunden#"),
        (("mail", "list", "--queue", "x"), 'There is no queue "x".'),
    ],
)
def test_what_does_not_exist_is_told(
    arguments: tuple[str, ...], told: str, installation: Installation
) -> None:
    a_firm(installation.database)
    result = installation.run(*arguments)
    assert result.exit_code == 1
    assert told in one_line(result)

"""The blocklist: what can be entered, whose mail it refuses, and what it never touches."""

import ipaddress
from dataclasses import replace

import pytest
from sqlalchemy import event, select

from core.audit import SYSTEM
from core.db import Database
from core.errors import Invalid, NotFound
from core.intake import blocking
from core.intake.blocking import block, blocked_senders, concerned, unblock
from core.intake.blocklist import BlockedEntry, Blocklist
from core.intake.incoming import Incoming
from core.intake.pipeline import take_in
from core.models import AuditEvent, BlockedSender, Delivery, ticket_number
from core.words import BlockedKind, DecisionKind
from tests.intake.firm import a_firm
from tests.intake.mails import AT, a_mail

ADDRESS, DOMAIN, PEER = BlockedKind.ADDRESS, BlockedKind.DOMAIN, BlockedKind.PEER
RELAYS = (ipaddress.ip_network("198.51.100.0/28"),)
OPEN = {"sender_policy": "open"}
REFUSED = "550 5.7.1 Message refused: not permitted for this sender"


def blocked(database: Database, kind: BlockedKind, value: str, comment: str = "") -> int:
    with database.write() as session:
        return block(session, SYSTEM, kind, value, comment, RELAYS).id


def replies(database: Database, *mails: Incoming) -> list[str]:
    """Take the mails in as one batch and return what is answered."""
    with database.write() as session:
        return [str(receipt.reply)[:60].strip() for receipt in take_in(session, mails)]


def from_peer(mail: Incoming, peer: str, *, trusted: bool = False) -> Incoming:
    return replace(mail, envelope=replace(mail.envelope, peer=peer, trusted=trusted))


@pytest.mark.parametrize(
    ("entries", "senders", "peer", "found"),
    [
        ([(ADDRESS, "anna@muster.example")], ["anna@muster.example"], "", 1),
        ([(ADDRESS, "anna@muster.example")], ["", "anna@muster.example"], "", 1),
        ([(ADDRESS, "anna@muster.example")], ["ben@muster.example"], "", None),
        ([(DOMAIN, "muster.example")], ["anna@muster.example"], "", 1),
        ([(DOMAIN, "muster.example")], ["anna@a.b.muster.example"], "", 1),
        ([(DOMAIN, "muster.example")], ["anna@notmuster.example"], "", None),
        ([(DOMAIN, "muster.example")], ["muster.example@other.example"], "", None),
        ([(DOMAIN, "mail.muster.example")], ["anna@muster.example"], "", None),
        ([(DOMAIN, "muster.example")], ["", ""], "", None),
        ([(PEER, "192.0.2.7/32")], ["a@b.example"], "192.0.2.7", 1),
        ([(PEER, "192.0.2.7/32")], ["a@b.example"], "::ffff:192.0.2.7", 1),
        ([(PEER, "192.0.2.7/32")], ["a@b.example"], "192.0.2.8", None),
        ([(PEER, "203.0.113.0/24"), (PEER, "192.0.2.0/25")], [""], "192.0.2.127", 2),
        ([(PEER, "203.0.113.0/24"), (PEER, "192.0.2.0/25")], [""], "192.0.2.128", None),
        ([(PEER, "2001:db8::/32")], [""], "2001:db8:1::1", 1),
        ([(PEER, "2001:db8::/32")], [""], "2001:db9::1", None),
        ([(PEER, "192.0.2.0/24")], [""], "2001:db8::1", None),
        ([(PEER, "192.0.2.0/24")], [""], "", None),
        ([(PEER, "192.0.2.0/24")], [""], "unix", None),
        ([(PEER, "192.0.2.0/24"), (ADDRESS, "a@b.example")], ["a@b.example"], "192.0.2.1", 2),
    ],
)
def test_who_is_on_the_list(
    entries: list[tuple[BlockedKind, str]], senders: list[str], peer: str, found: int | None
) -> None:
    rows = [BlockedEntry(n, kind, value) for n, (kind, value) in enumerate(entries, 1)]
    entry = Blocklist.of(rows).find(senders, peer)
    assert (entry.id if entry else None) == found


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        (ADDRESS, " Spam@Bücher.example ", "spam@xn--bcher-kva.example"),
        (DOMAIN, "@Bücher.example", "xn--bcher-kva.example"),
        (DOMAIN, "*.Muster.example.", "muster.example"),
        (PEER, "192.0.2.7", "192.0.2.7/32"),
        (PEER, "192.0.2.7/24", "192.0.2.0/24"),
        (PEER, "::ffff:192.0.2.7", "192.0.2.7/32"),
        (PEER, "2001:DB8::/32", "2001:db8::/32"),
        (PEER, "10.0.0.0/8", "10.0.0.0/8"),
    ],
)
def test_what_is_stored(
    sqlite_database: Database, kind: BlockedKind, value: str, stored: str
) -> None:
    a_firm(sqlite_database)
    blocked(sqlite_database, kind, value)
    with sqlite_database.read() as session:
        assert session.scalars(select(BlockedSender.value)).all() == [stored]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (ADDRESS, ""),
        (ADDRESS, "niemand"),
        (ADDRESS, "a@b@c.example"),
        (ADDRESS, "vertrieb@example.org"),
        (ADDRESS, "anybody@example.org"),
        (ADDRESS, "there@already.example"),
        (DOMAIN, ""),
        (DOMAIN, "two words"),
        (DOMAIN, "192.0.2.1"),
        (DOMAIN, "example.org"),
        (DOMAIN, "org"),
        (PEER, ""),
        (PEER, "mail.example.org"),
        (PEER, "192.0.2.0/33"),
        (PEER, "9.0.0.0/7"),
        (PEER, "0.0.0.0/0"),
        (PEER, "2000::/15"),
        (PEER, "127.0.0.1"),
        (PEER, "::1"),
        (PEER, "198.51.100.3"),
        (PEER, "198.51.100.0/24"),
    ],
)
def test_what_cannot_be_blocked(sqlite_database: Database, kind: BlockedKind, value: str) -> None:
    a_firm(sqlite_database)
    blocked(sqlite_database, ADDRESS, "there@already.example")
    with pytest.raises(Invalid) as refusal:
        blocked(sqlite_database, kind, value)
    assert refusal.value.field == "value"
    with sqlite_database.read() as session:
        assert len(session.scalars(select(BlockedSender)).all()) == 1


def test_the_list_and_its_comments_have_a_limit(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_firm(sqlite_database)
    monkeypatch.setattr(blocking, "MAX_ENTRIES", 1)
    with pytest.raises(Invalid, match="comment"):
        blocked(sqlite_database, DOMAIN, "spam.example", "x" * 301)
    blocked(sqlite_database, DOMAIN, "spam.example", "x" * 300)
    with pytest.raises(Invalid, match="full"):
        blocked(sqlite_database, DOMAIN, "more.example")


@pytest.mark.parametrize(
    ("kind", "value", "peer"),
    [
        (ADDRESS, "anna@muster.example", "192.0.2.1"),
        (DOMAIN, "example", "192.0.2.1"),
        (PEER, "192.0.2.0/24", "192.0.2.1"),
    ],
)
def test_new_mail_and_replies_are_refused_alike(
    database: Database, kind: BlockedKind, value: str, peer: str
) -> None:
    a_firm(database, **OPEN)
    with database.write() as session:
        (receipt,) = take_in(session, [a_mail()])
    ticket_id = receipt.recipients[0].ticket_id
    assert ticket_id is not None
    entry = blocked(database, kind, value)
    subject = f"Re: [Ticket#{ticket_number(ticket_id)}] Frage"
    reply = a_mail(subject=subject, message_id="<2@x.example>")
    new = a_mail(message_id="<3@x.example>")
    assert replies(database, from_peer(reply, peer), from_peer(new, peer)) == [REFUSED] * 2
    with database.read() as session:
        stored = session.get_one(BlockedSender, entry)
        assert (stored.hits, stored.last_hit_at) == (2, AT)
        refused = session.scalars(
            select(Delivery).where(Delivery.decision == DecisionKind.REJECT)
        ).all()
        assert {delivery.reason for delivery in refused} == {"blocked"}
    with database.write() as session:
        unblock(session, SYSTEM, entry)
    assert replies(database, a_mail(message_id="<4@x.example>"))[0].startswith("250 2.0.0")


def test_the_envelope_sender_counts_too(database: Database) -> None:
    a_firm(database, **OPEN)
    blocked(database, DOMAIN, "bulk.example")
    assert replies(database, a_mail(mail_from="bounces+1@eu.bulk.example")) == [REFUSED]


def test_what_a_relay_of_ours_hands_over_is_not_refused_for_its_address(
    database: Database,
) -> None:
    a_firm(database, **OPEN)
    blocked(database, PEER, "192.0.2.1")
    assert replies(database, a_mail()) == [REFUSED]
    through = from_peer(a_mail(message_id="<2@x.example>"), "192.0.2.1", trusted=True)
    assert replies(database, through)[0].startswith("250 2.0.0")


def test_one_mail_to_two_queues_is_one_hit(database: Database) -> None:
    a_firm(database, **OPEN)
    entry = blocked(database, ADDRESS, "anna@muster.example")
    to = ("vertrieb@example.org", "technik@example.org")
    assert replies(database, a_mail(to=to)) == [REFUSED]
    with database.read() as session:
        assert session.get_one(BlockedSender, entry).hits == 1


def test_hits_of_a_batch_are_one_statement_and_none_without_any(database: Database) -> None:
    a_firm(database, **OPEN)
    for name in ("anna", "bert"):
        blocked(database, ADDRESS, f"{name}@muster.example")
    statements: list[str] = []
    event.listen(database.writer, "before_cursor_execute", lambda *args: statements.append(args[2]))
    batch = [
        a_mail(sender=f"{name}@muster.example", message_id=f"<{number}@x.example>")
        for number in range(4)
        for name in ("bert", "anna")
    ]
    assert replies(database, *batch) == [REFUSED] * 8
    assert len([each for each in statements if "UPDATE blocked_senders" in each]) == 1
    statements.clear()
    replies(database, a_mail(sender="carol@acme.example", message_id="<9@x.example>"))
    assert not [each for each in statements if "blocked_senders" in each]


@pytest.mark.parametrize(
    ("kind", "value", "names"),
    [
        (ADDRESS, "anna@muster.example", ("anna",)),
        (ADDRESS, "gone@acme.example", ()),
        (ADDRESS, "nobody@acme.example", ()),
        (DOMAIN, "muster.example", ("Muster GmbH", "anna", "bert")),
        (DOMAIN, "example", ("Muster GmbH", "anna", "bert", "carol")),
        (DOMAIN, "uster.example", ()),
        (PEER, "192.0.2.0/24", ()),
    ],
)
def test_whom_an_entry_would_shut_out(
    sqlite_database: Database, kind: BlockedKind, value: str, names: tuple[str, ...]
) -> None:
    a_firm(sqlite_database)
    with sqlite_database.read() as session:
        found = concerned(session, kind, value)
    assert found.names == names
    assert bool(found) is bool(names)


def test_every_change_is_in_the_audit_log(database: Database) -> None:
    a_firm(database)
    entry = blocked(database, DOMAIN, "spam.example", "Werbung")
    with database.write() as session:
        assert unblock(session, SYSTEM, entry) == "spam.example"
    told = {"kind": "domain", "value": "spam.example", "comment": "Werbung"}
    with database.read() as session:
        events = session.scalars(select(AuditEvent).order_by(AuditEvent.id)).all()
        assert [(each.action, each.before, each.after) for each in events] == [
            ("blocked", None, told),
            ("unblocked", told, None),
        ]
    with pytest.raises(NotFound), database.write() as session:
        unblock(session, SYSTEM, entry)


def test_the_list_is_searched_and_read_page_by_page(database: Database) -> None:
    a_firm(database)
    for number in range(5):
        blocked(database, DOMAIN, f"spam{number}.example", "Werbung" if number == 3 else "")
    blocked(database, PEER, "192.0.2.0/24")
    with database.read() as session:
        first = blocked_senders(session, kind=DOMAIN, limit=3)
        assert [each.value for each in first.items] == [f"spam{n}.example" for n in (4, 3, 2)]
        rest = blocked_senders(session, kind=DOMAIN, limit=3, cursor=first.next)
        assert [each.value for each in rest.items] == ["spam1.example", "spam0.example"]
        assert [each.value for each in blocked_senders(session, query="WERB").items] == [
            "spam3.example"
        ]
        assert [each.value for each in blocked_senders(session, query="192.0").items] == [
            "192.0.2.0/24"
        ]
        assert not blocked_senders(session, query="%").items

"""``schalter apply`` on both databases: idempotent, all or nothing, what is not named stays."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from core.accounts.customer_users import customer_user_values, customer_user_with_login
from core.accounts.passwords import hash_password, verify_password
from core.accounts.queues import queue_named, queue_values
from core.accounts.staff import StaffValues, save_staff
from core.audit import SYSTEM
from core.cli.demo import ORGANISATION
from core.db import Database
from core.models import AuditEvent, Customer, CustomerUser, Group, Queue, Staff
from core.outgoing.auto_responses import AutoResponseValues, save_auto_response, texts_of
from core.settings import load_settings
from core.words import AutoResponse, Permission, Role
from tests.cli.conftest import Installation, one_line

FIRM = """
[settings]
sender_policy = "open"
customer_group_always_groups = ["alle"]
[[groups]]
name = "alle"
[[groups]]
name = "technik"
[[queues]]
name = "Technik"
group = "technik"
addresses = ["technik@firma.example"]
forbidden = "fallback"
fallback_queue = "Info"
[[queues]]
name = "Info"
group = "alle"
addresses = ["info@firma.example"]
[[customers]]
number = "K-1"
name = "Muster GmbH"
domains = ["Muster.example"]
groups = { technik = "ro" }
[[customer_users]]
login = "anna"
customer_number = "K-1"
emails = ["Anna@MUSTER.example", "a.mueller@muster.example"]
first_name = "Anna"
last_name = "Müller"
groups = { technik = "rw" }
password = "correct horse"
[[staff]]
login = "jonas"
email = "jonas@firma.example"
role = "agent"
groups = { technik = "rw" }
"""


def test_the_sample_organisation_is_applied_once(installation: Installation) -> None:
    first = installation.json("apply", ORGANISATION)
    assert first["dry_run"] is False
    assert {change["action"] for change in first["changes"]} == {"created", "changed"}
    assert installation.json("apply", ORGANISATION)["changes"] == []
    assert installation.run("apply", ORGANISATION).stdout == "Nothing to change.\n"
    explained = installation.json("permissions", "k.hansen")
    assert {each["queue"]: each["permission"] for each in explained["queues"]} == {
        "Allgemeine Anfragen": "rw", "Rechnungen": "rw", "Störungen": "rw", "Wartung": "rw",
    }  # fmt: skip


def test_it_says_what_it_created(installation: Installation) -> None:
    file = installation.file("firm.toml", FIRM)
    assert installation.run("apply", file).stdout.splitlines() == [
        'created group "alle"',
        'created group "technik"',
        'created queue "Info": group alle; addresses info@firma.example',
        'created queue "Technik": group technik; addresses technik@firma.example; '
        "forbidden fallback; fallback_queue Info",
        'created customer "K-1": name Muster GmbH; domains muster.example; groups technik ro',
        'created customer user "anna": customer_number K-1; email Anna@muster.example; '
        "first_name Anna; last_name Müller; more_addresses a.mueller@muster.example; "
        "groups technik rw; password ***",
        'created member of staff "jonas": email jonas@firma.example; role agent; groups technik rw',
        "changed settings: customer_group_always_groups (none) -> alle; "
        "sender_policy balanced -> open",
    ]
    with installation.database.read() as session:
        account = customer_user_with_login(session, "anna")
        assert verify_password("correct horse", account.password_hash)
        assert [row.permission for row in account.permissions] == [Permission.RW]
        assert load_settings(session).customer_group_always_groups == ("alle",)
        names = set(session.scalars(select(AuditEvent.actor_name)))
    assert len(names) == 1
    assert names.pop().startswith("schalter apply (")


def test_it_says_what_it_changed(installation: Installation) -> None:
    installation.run("apply", installation.file("firm.toml", FIRM))
    file = installation.file(
        "change.toml",
        '[[queues]]\nname = "Technik"\nstrangers = "reject"\nevidence = "verified"\n'
        'signature = "Ihre\\nTechnik"\n'
        '[[customer_users]]\nlogin = "ANNA"\nphone = "030 1"\ngroups = { alle = "ro" }\n'
        'password = "another horse"\n',
    )
    assert installation.run("apply", file).stdout.splitlines() == [
        'changed queue "Technik": strangers hold -> reject; evidence any -> verified; '
        "signature (none) -> Ihre\\nTechnik",
        'changed customer user "ANNA": login anna -> ANNA; phone (none) -> 030 1; '
        "groups technik rw -> alle ro; password set",
    ]
    assert installation.run("apply", file).stdout == "Nothing to change.\n"


def test_what_is_not_named_stays(installation: Installation) -> None:
    installation.run("apply", installation.file("firm.toml", FIRM))
    with installation.database.read() as session:
        before = queue_values(queue_named(session, "Technik"))
        account = customer_user_values(customer_user_with_login(session, "anna"))
    installation.run("apply", installation.file("a.toml", '[[customer_users]]\nlogin = "anna"\n'))
    with installation.database.read() as session:
        assert queue_values(queue_named(session, "Technik")) == before
        found = customer_user_with_login(session, "anna")
        assert customer_user_values(found) == account
        assert [row.permission for row in found.permissions] == [Permission.RW]
        assert verify_password("correct horse", found.password_hash)


def test_a_dry_run_changes_nothing(installation: Installation) -> None:
    file = installation.file("firm.toml", FIRM)
    said = installation.run("apply", file, "--dry-run").stdout.splitlines()
    assert said[0] == 'created group "alle"'
    assert said[-1] == "Dry run: nothing was changed."
    assert rows(installation.database) == [0, 0, 0, 0, 0, 0]
    assert installation.json("apply", file, "--dry-run")["dry_run"] is True
    assert rows(installation.database) == [0, 0, 0, 0, 0, 0]


# A change of the file, and what is said of it: found against the database, in its transaction.
REFUSED: list[tuple[Callable[[str], str], str]] = [
    (lambda f: f.replace('group = "alle"', 'group = "all"'), 'line 17: [[queues]] "Info": group: '),
    (
        lambda f: f.replace('{ technik = "ro" }', '{ tecnik = "ro" }'),
        'line 23: [[customers]] "K-1": groups: there is no group "tecnik"',
    ),
    (
        lambda f: f.replace('"agent"\ngroups = { technik', '"agent"\ngroups = { x'),
        'line 36: [[staff]] "jonas": groups: There is no group',
    ),
    (
        lambda f: f.replace('["alle"]', '["all"]'),
        'line 4: [settings] customer_group_always_groups: there is no group "all"',
    ),
    (
        lambda f: f.replace('customer_number = "K-1"', 'customer_number = "k-1"'),
        'line 26: [[customer_users]] "anna": customer_number: There is no customer',
    ),
    (
        lambda f: f.replace("a.mueller@muster.example", "info@firma.example"),
        'line 27: [[customer_users]] "anna": emails: info@firma.example is an address of the queue',
    ),
    (
        lambda f: f.replace('first_name = "Anna"\n', ""),
        'line 24: [[customer_users]] "anna": first_name: is missing, and the customer user is new',
    ),
    (
        lambda f: f.replace('fallback_queue = "Info"', 'fallback_queue = "Inf"'),
        'line 14: [[queues]] "Technik": fallback_queue: There is no queue "Inf".',
    ),
    (lambda f: f.replace('"Anna@MUSTER', '"Anna MUSTER'), '"anna": emails: A mail address has'),
]  # fmt: skip


@pytest.mark.parametrize(("change", "told"), REFUSED, ids=[told for _change, told in REFUSED])
def test_nothing_is_applied_when_something_cannot_be(
    change: Callable[[str], str], told: str, small_installation: Installation
) -> None:
    installation = small_installation
    text = change(FIRM)
    assert text != FIRM
    result = installation.run("apply", installation.file("firm.toml", text))
    assert result.exit_code == 1
    assert told in one_line(result)
    assert result.stdout == ""
    assert rows(installation.database) == [0, 0, 0, 0, 0, 0]


def test_entries_may_take_what_others_give_up(installation: Installation) -> None:
    installation.run("apply", installation.file("firm.toml", FIRM))
    file = installation.file(
        "moved.toml",
        '[[queues]]\nname = "Neu"\ngroup = "alle"\naddresses = ["technik@firma.example"]\n'
        '[[queues]]\nname = "Technik"\naddresses = []\n',
    )
    assert installation.run("apply", file).exit_code == 0
    with installation.database.read() as session:
        assert queue_values(queue_named(session, "Neu")).addresses == ("technik@firma.example",)
        assert queue_values(queue_named(session, "Technik")).addresses == ()


def test_queues_may_fall_back_to_each_other(small_installation: Installation) -> None:
    queue = '[[queues]]\nname = "{}"\ngroup = "g"\nforbidden = "fallback"\nfallback_queue = "{}"\n'
    file = small_installation.file(
        "circle.toml", '[[groups]]\nname = "g"\n' + queue.format("A", "B") + queue.format("B", "A")
    )
    assert small_installation.run("apply", file).exit_code == 0
    assert small_installation.run("apply", file).stdout == "Nothing to change.\n"
    with small_installation.database.read() as session:
        assert queue_values(queue_named(session, "A")).fallback_queue == "B"
        assert queue_values(queue_named(session, "B")).fallback_queue == "A"


def test_automatic_answers_are_switched_and_keep_their_texts(installation: Installation) -> None:
    installation.run("apply", installation.file("firm.toml", FIRM))
    with installation.database.write() as session:
        info = queue_named(session, "Info").id
        values = AutoResponseValues(kind=AutoResponse.RECEIVED, text_de="Danke")
        save_auto_response(session, SYSTEM, info, values)
    queue = '[[queues]]\nname = "Info"\nauto_responses = '
    file = installation.file("off.toml", queue + "{ received = false, follow-up-received = true }")
    assert installation.run("apply", file).stdout.splitlines() == [
        'changed queue "Info": auto_responses received true -> received false',
    ]
    assert installation.run("apply", file).stdout == "Nothing to change.\n"
    with installation.database.read() as session:
        assert texts_of(session, info, AutoResponse.RECEIVED) == replace(values, enabled=False)
        assert texts_of(session, info, AutoResponse.NEW_TICKET).enabled
        event = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(1)).one()
    assert (event.object_kind, event.object_name) == ("queue", "Info")
    assert event.actor_name.startswith("schalter apply (")


def test_a_new_queue_may_begin_without_automatic_answers(
    small_installation: Installation,
) -> None:
    group = '[[groups]]\nname = "neu"\n'
    queue = '[[queues]]\nname = "Neu"\ngroup = "neu"\nauto_responses = { new-ticket = false }\n'
    file = small_installation.file("new.toml", group + queue)
    assert small_installation.run("apply", file).stdout.splitlines() == [
        'created group "neu"',
        'created queue "Neu": group neu; auto_responses new-ticket false',
    ]


def test_a_password_may_come_as_its_hash(small_installation: Installation) -> None:
    installation = small_installation
    installation.run("apply", installation.file("firm.toml", FIRM))
    hashed = hash_password("battery staple")
    text = f'[[staff]]\nlogin = "jonas"\npassword_hash = "{hashed}"\n'
    file = installation.file("hash.toml", text)
    result = installation.run("apply", file)
    assert result.stdout == 'changed member of staff "jonas": password set\n'
    assert installation.run("apply", file).stdout == "Nothing to change.\n"
    with installation.database.read() as session:
        stored = session.scalars(select(Staff.password_hash).where(Staff.login == "jonas")).one()
    assert stored == hashed


def test_the_last_admin_stays(small_installation: Installation) -> None:
    installation = small_installation
    installation.run("init")
    result = installation.run(
        "apply", installation.file("a.toml", '[[staff]]\nlogin = "admin"\nrole = "agent"\n')
    )
    assert 'line 3: [[staff]] "admin": role: This is the last admin.' in one_line(result)


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ('role = "admin"', "role"),
        ('password = "correct horse battery"', "password"),
        ('groups = { vertrieb = "ro" }', "groups"),
    ],
)
def test_staff_of_a_directory_are_changed_there(
    small_installation: Installation, line: str, field: str
) -> None:
    installation = small_installation
    values = StaffValues(login="anna", email="anna@firm.example", role=Role.AGENT)
    with installation.database.write() as session:
        session.add(Group(name="vertrieb"))
        save_staff(session, SYSTEM, values, directory_key="of-anna")
    env = {
        "SCHALTER_STAFF_DIRECTORY": json.dumps(
            {
                "servers": ["ldap.firm.example"],
                "base": "dc=firm",
                "roles": {"cn=agents": "agent"},
                "groups": {"cn=agents": {"vertrieb": "rw"}},
            }
        )
    }
    file = installation.file("a.toml", f'[[staff]]\nlogin = "anna"\n{line}\n')
    result = installation.run("apply", file, **env)
    assert f'"anna": {field}: This is kept in the directory of staff' in one_line(result)


def rows(database: Database) -> list[int]:
    """Return how many of each thing there are, and of audit events."""
    models = (Group, Queue, Customer, CustomerUser, Staff, AuditEvent)
    with database.read() as session:
        return [session.scalars(select(func.count()).select_from(each)).one() for each in models]

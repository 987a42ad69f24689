"""What files come to: new, changed, unchanged and faulty rows; all or nothing; there and back."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, func, select

from core.accounts.customer_users import CustomerUserValues, customer_user_values
from core.accounts.customers import CustomerValues
from core.accounts.groups import GroupValues, save_group
from core.audit import SYSTEM
from core.db import Database
from core.errors import Stale
from core.exchange.bring import Refused, bring_about
from core.exchange.columns import CUSTOMERS, USERS
from core.exchange.plan import Action, Plan, State, undo_states
from core.exchange.reading import FileRefused
from core.exchange.writing import write_sheet
from core.models import AuditEvent, Customer, CustomerUser, WebSession, now
from core.words import Permission, Validity
from tests.exchange.files import bring, entries_of, exported, faults, set_up, tried

HEADER = "login;customer_number;email;first_name;last_name"


def users(*rows: str, header: str = HEADER) -> str:
    return "\n".join([header, *rows])


def counts(plan: Plan) -> list[int]:
    return [plan.counts[action] for action in Action]


def test_what_is_exported_changes_nothing_when_it_is_imported(database: Database) -> None:
    set_up(database)
    for kind, count in (("users", 3), ("customers", 2)):
        plan = tried(database, exported(database, kind))
        assert (counts(plan), plan.faults) == ([0, 0, count], [])


def test_an_export_fills_an_empty_installation(
    sqlite_database: Database, postgresql_database: Database
) -> None:
    set_up(sqlite_database)
    more = users(
        '=1+1;K-1;=x@muster.example;"+49";-x;"second@muster.example third@muster.example";'
        'ungültig-temporär;2999-12-31;"zwei\nZeilen; ""so"" ";"""after sales""=ro"',
        "dora;K-2;=x@muster.example;Dora;=2;;valid;;;",
        header=f"{HEADER};more_addresses;valid;invalid_until;comment;groups",
    )
    share = "login;share_address\ndora;yes\n"
    assert faults(sqlite_database, more)  # dora's address is another's
    bring(sqlite_database, more.replace("dora;K-2;=x@", "dora;K-2;dora@"))
    bring(
        sqlite_database,
        share.replace("share_address", "share_address;email").replace(
            "yes", "yes;=x@muster.example"
        ),
    )
    with postgresql_database.write() as session:
        for name in ("technik", "after sales"):
            save_group(session, SYSTEM, GroupValues(name=name))
    for kind in ("customers", "users"):
        bring(postgresql_database, exported(sqlite_database, kind))
        assert exported(postgresql_database, kind) == exported(sqlite_database, kind)
    assert b"\n'=1+1;K-1;'=x@muster.example;" in exported(postgresql_database)


def test_a_plan_says_what_is_new_changed_and_unchanged(database: Database) -> None:
    set_up(database)
    plan = tried(
        database,
        users(
            "ANNA;K-1;anna@muster.example;Anna;Neumann",
            "bert;K-1;bert@muster.example;Bert;Muster",
            "dora;K-2;dora@acme.example;Dora;Doe",
        ),
    )
    assert plan.faults == []
    assert [(row.line, row.key, row.action) for row in plan.rows] == [
        (2, "anna", Action.CHANGED),
        (3, "bert", Action.UNCHANGED),
        (4, "dora", Action.NEW),
    ]
    assert plan.rows[0].fields == {"login": ("anna", "ANNA"), "last_name": ("Muster", "Neumann")}
    assert plan.rows[2].fields["email"] == (None, "dora@acme.example")
    with database.read() as session:
        assert session.scalar(select(func.count(CustomerUser.id))) == 3


def test_an_import_is_stored_and_audited(database: Database) -> None:
    set_up(database)
    bring(
        database,
        users(
            "anna;K-2;anna@muster.example;Anna;Muster;technik=ro",
            "dora;K-2;dora@acme.example;Dora;Doe;technik=rw",
            header=f"{HEADER};groups",
        ),
    )
    with database.read() as session:
        anna, dora = session.scalars(
            select(CustomerUser)
            .where(CustomerUser.login.in_(["anna", "dora"]))
            .order_by(CustomerUser.login)
        )
        assert anna.customer.number == "K-2"
        assert [row.permission for row in anna.permissions] == [Permission.RO]
        assert "acme" in dora.search_text
        events = session.execute(
            select(AuditEvent.object_name, AuditEvent.action, AuditEvent.before).where(
                AuditEvent.object_id.in_([anna.id, dora.id]),
                AuditEvent.object_kind == "customer-user",
            )
        ).all()
    assert ("anna", "changed", {"customer_number": "K-1"}) in events
    assert ("dora", "created", None) in events
    assert ("anna", "permissions-changed", {"groups": {"technik": None}}) in events


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (
            users("anna;K-9;;Anna;", "bert;K-1;carol;Bert;Muster"),
            [
                "line 2, column last_name: Please fill this in.",
                "line 2, column email: Please fill this in.",
                'line 2, column customer_number: There is no customer with the Kunden# "K-9".',
                "line 3, column email: A mail address has one @, as in name@example.org.",
            ],
        ),
        (
            "Login;E-Mail\ndora;anna@muster.example",
            [
                "line 2, column customer_number: Please fill this in.",
                "line 2, column first_name: Please fill this in.",
                "line 2, column last_name: Please fill this in.",
                'line 2, column E-Mail: anna@muster.example already belongs to the account "anna".',
            ],
        ),
        (
            "Login;Nachname\nanna;A\nAnna;B",
            ["line 3, column Login: This is in the file already, on line 2."],
        ),
        ("login;theme\nanna;pink", ["line 2, column theme: There is no such theme."]),
        ("login;language\n;de\n", None),
        (
            "login;groups\nanna;buchhaltung=rw",
            ['line 2, column groups: There is no group "buchhaltung".'],
        ),
        (
            "login;valid;invalid_until\nanna;invalid-temporarily;2020-01-01",
            ["line 2, column invalid_until: This day has already passed."],
        ),
        (
            "number;url;valid\nK-1;javascript:x;perhaps\nK-2;javascript:x;",
            [
                'line 2, column valid: "perhaps" is neither yes nor no.',
                "line 3, column url: An address of a web page begins with https:// or http://.",
            ],
        ),
    ],
)
def test_faults_name_line_and_column(
    sqlite_database: Database, content: str, found: list[str] | None
) -> None:
    set_up(sqlite_database)
    if found is None:
        assert faults(sqlite_database, content)
    else:
        assert faults(sqlite_database, content) == found


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Name;Ort\nx;y", "There is no column for number."),
        (
            "login;E-Mail;email\nx;y;z",
            None,  # of two that seem the same, the first is meant
        ),
    ],
)
def test_columns_that_are_refused(
    sqlite_database: Database, content: str, text: str | None
) -> None:
    if text is None:
        assert entries_of(content).headers == {"login": "login", "email": "E-Mail"}
        return
    with pytest.raises(FileRefused) as refused:
        entries_of(content)
    assert str(refused.value) == text


def test_one_fault_at_the_end_changes_nothing(database: Database) -> None:
    set_up(database)
    before = exported(database)
    many = [f"new{i};K-1;new{i}@muster.example;New;{i}" for i in range(1200)]
    with pytest.raises(Refused) as refused:
        bring(database, users(*many, "last;K-9;last@muster.example;Last;One"))
    assert str(refused.value) == "1 fault in the file. Nothing was imported."
    assert exported(database) == before


def test_fields_without_a_column_stay_as_they_are(sqlite_database: Database) -> None:
    set_up(sqlite_database)
    bring(sqlite_database, "login;phone;theme\nanna;'+49 1;dark\n")
    bring(sqlite_database, "login;theme\nanna;\n")  # a word that is left empty stays, too
    assert b"\nanna;K-1;anna@muster.example;;no;;Anna;Muster;'+49 1;" in exported(sqlite_database)
    assert b";dark;" in exported(sqlite_database)
    bring(sqlite_database, "login;phone\nanna;\n")
    assert b"+49" not in exported(sqlite_database)


@pytest.mark.parametrize("turned", [False, True])
def test_an_address_is_handed_on_within_a_file(database: Database, turned: bool) -> None:
    set_up(database)
    rows = [
        "anna;K-1;anna.neu@muster.example;Anna;Muster",
        "bert;K-1;anna@muster.example;Bert;Muster",
        "dora;K-1;bert@muster.example;Dora;Doe",
    ]
    plan = bring(database, users(*(reversed(rows) if turned else rows)))
    assert counts(plan) == [1, 2, 0]
    with database.read() as session:
        mails = {a.login: a.email for a in session.scalars(select(CustomerUser))}
    assert mails["bert"] == "anna@muster.example"
    assert mails["dora"] == "bert@muster.example"


def test_two_rows_that_want_one_address(sqlite_database: Database) -> None:
    set_up(sqlite_database)
    rows = [f"d{i};K-1;d@muster.example;D;{i}" for i in range(2)]
    assert faults(sqlite_database, users(*rows)) == [
        'line 3, column email: d@muster.example already belongs to the account "d0".'
    ]


def test_accounts_and_customers_that_become_invalid_are_signed_out(database: Database) -> None:
    set_up(database)
    for content in ("login;valid\nanna;invalid\n", "number;valid\nK-1;invalid\n"):
        with database.write() as session:
            bert = session.scalars(select(CustomerUser).where(CustomerUser.login == "bert")).one()
            anna = session.scalars(select(CustomerUser).where(CustomerUser.login == "anna")).one()
            for account in (anna, bert):
                session.add(
                    WebSession(
                        token_hash=f"{account.login}{content}".encode()[:32].ljust(32),
                        customer_user_id=account.id,
                        created_at=now(),
                        seen_at=now(),
                    )
                )
            ids = {anna.id: "anna", bert.id: "bert"}
        bring(database, content)
        with database.read() as session:
            left = {ids[i] for i in session.scalars(select(WebSession.customer_user_id)) if i}
        assert left == ({"bert"} if "login" in content else set())


def test_the_undo_file_brings_everything_back(database: Database) -> None:
    set_up(database)
    before = exported(database).decode()
    plan = bring(
        database,
        users(
            "anna;K-2;new@muster.example;Änne;Neumann;technik=rw",
            "dora;K-2;anna@muster.example;Dora;Doe;technik=ro",
            header=f"{HEADER};groups",
        ),
    )
    undo = b"".join(write_sheet(USERS, undo_states(plan)))
    assert counts(bring(database, undo)) == [0, 2, 0]
    after = exported(database).decode()
    assert [line for line in after.splitlines() if not line.startswith("dora;")] == (
        before.splitlines()
    )
    assert "\ndora;K-2;anna@muster.example;;no;;Dora;Doe;;;;;;;;invalid;" in after


def test_the_undo_file_of_customers(sqlite_database: Database) -> None:
    set_up(sqlite_database)
    before = exported(sqlite_database, "customers").decode()
    plan = bring(sqlite_database, "number;name;groups\nK-1;Neu;technik=ro\nK-3;Drei;technik=rw\n")
    bring(sqlite_database, b"".join(write_sheet(CUSTOMERS, undo_states(plan))))
    after = exported(sqlite_database, "customers").decode()
    assert after == before + "K-3;Drei;;;;;;;;invalid;technik=rw\r\n"


def test_what_was_agreed_to_is_what_happens(database: Database) -> None:
    set_up(database)
    content = "login;last_name\nanna;Neumann\n"
    agreed = tried(database, content).digest
    bring(database, "login;last_name\nanna;Zwischen\n")
    with pytest.raises(Stale, match="has changed since this was shown"):
        bring(database, content, agreed)
    assert b";Zwischen;" in exported(database)
    bring(database, content, tried(database, content).digest)
    assert b";Neumann;" in exported(database)


def test_who_saves_at_the_same_moment_is_told(postgresql_database: Database) -> None:
    database = postgresql_database
    set_up(database)
    one, other = (users(f"dora;K-1;dora{i}@muster.example;Dora;Doe") for i in range(2))
    entries = entries_of(one)
    with database.write() as session:
        # The other commits after this one has looked, and before it sends anything.
        event.listen(session, "before_flush", lambda *_all: bring(database, other), once=True)
        with pytest.raises(Stale, match="at the same moment"):
            bring_about(session, SYSTEM, entries)
        session.rollback()
    assert b"dora1@" in exported(database)


def test_rows_cost_no_query_each(sqlite_database: Database) -> None:
    set_up(sqlite_database)
    statements: list[str] = []
    event.listen(
        sqlite_database.writer,
        "before_cursor_execute",
        lambda _c, _cursor, statement, *_rest: statements.append(statement),
    )
    bring(
        sqlite_database,
        users(
            *(f"n{i};K-1;n{i}@muster.example;N;{i};technik=ro" for i in range(400)),
            header=f"{HEADER};groups",
        ),
    )
    assert sum(statement.startswith("SELECT") for statement in statements) < 30


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(TEXT, TEXT, TEXT, st.sampled_from(Validity)), min_size=1, max_size=4))
def test_there_and_back_is_the_identity(
    tmp_path_factory: pytest.TempPathFactory,
    sqlite_template: Path,
    rows: list[tuple[str, str, str, Validity]],
) -> None:
    file = tmp_path_factory.mktemp("there") / "x.db"
    file.write_bytes(sqlite_template.read_bytes())
    database = Database(f"sqlite:///{file}")
    try:
        bring(
            database,
            b"".join(write_sheet(CUSTOMERS, [State(CustomerValues(number="K-1", name="=A"), {})])),
        )
        states = [
            State(
                CustomerUserValues(
                    login=f"u{i}{login}",
                    customer_number="K-1",
                    email=f"u{i}@x.example",
                    first_name=f"={phone}",
                    last_name=f"'{i}",
                    phone=phone,
                    comment=f"{comment}\n'={comment}",
                    valid=valid,
                ),
                {},
            )
            for i, (login, phone, comment, valid) in enumerate(rows)
        ]
        bring(database, b"".join(write_sheet(USERS, states)))
        assert counts(tried(database, exported(database))) == [0, 0, len(rows)]
        with database.read() as session:
            stored = {
                a.login: customer_user_values(a) for a in session.scalars(select(CustomerUser))
            }
            assert session.scalars(select(Customer.name)).one() == "=A"
        assert all(values.first_name[:1] == "=" for values in stored.values())
        assert all(values.last_name[:1] == "'" for values in stored.values())
    finally:
        database.dispose()

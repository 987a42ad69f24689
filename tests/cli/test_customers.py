"""``schalter customers``: files in and out, faults by line and column, undo."""

import json
import stat
from pathlib import Path

import pytest

from tests.cli.conftest import Installation
from tests.exchange.files import CUSTOMERS, USERS, exported, set_up

EXCEL = (
    "sep=;\r\nKunden#;Firma;Straße;PLZ;Ort;Gültig;Gruppen\r\n"
    "K-1;Müller & Söhne;Lange Straße 1;01067;Dresden;ungültig;technik=rw\r\n"
    "K-7;Größe GmbH;;;Köln;;\r\n"
).encode("cp1252")


@pytest.fixture
def filled(installation: Installation) -> Installation:
    """An installation with customers and customer users."""
    set_up(installation.database)
    return installation


@pytest.fixture
def small(small_installation: Installation) -> Installation:
    """The same on SQLite."""
    set_up(small_installation.database)
    return small_installation


def test_a_file_of_excel_is_imported_and_undone(filled: Installation) -> None:
    before = exported(filled.database, "customers")
    file, undo = filled.folder / "firmen.csv", filled.folder / "undo.csv"
    file.write_bytes(EXCEL)
    tried = filled.run("customers", "import", file, "--dry-run")
    assert tried.exit_code == 0, tried.output
    assert tried.stdout.splitlines() == [
        'line 3: changed "K-1": name Muster GmbH -> Müller & Söhne; '
        "street (none) -> Lange Straße 1; postcode (none) -> 01067; city Köln -> Dresden; "
        "valid true -> false",
        'line 4: new "K-7"',
        "1 new, 1 changed, 0 unchanged.",
        "Dry run: nothing was changed.",
    ]
    assert exported(filled.database, "customers") == before
    done = filled.run("customers", "import", file, "--undo", undo)
    assert done.exit_code == 0, done.output
    assert "Müller & Söhne".encode() in exported(filled.database, "customers")
    assert stat.S_IMODE(undo.stat().st_mode) == 0o600
    assert filled.run("customers", "import", undo).exit_code == 0
    after = exported(filled.database, "customers")
    assert after == before + "K-7;Größe GmbH;;;;Köln;;;;invalid;\r\n".encode()


def test_faults_are_told_by_line_and_column(filled: Installation) -> None:
    before = exported(filled.database)
    file = filled.file("users.csv", "Login;E-Mail\nanna;new@x.example\ndora;nonsense\n")
    result = filled.run("customers", "import", file)
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "line 3, column customer_number: Please fill this in.",
        "line 3, column first_name: Please fill this in.",
        "line 3, column last_name: Please fill this in.",
        "line 3, column E-Mail: A mail address has one @, as in name@example.org.",
        f"schalter: {file}: 4 faults in the file. Nothing was imported.",
    ]
    assert exported(filled.database) == before


def test_json_tells_rows_and_faults(small: Installation) -> None:
    good = small.file("good.csv", "login;last_name\nanna;Neu\nbert;Muster\n")
    assert small.json("customers", "import", good, "--dry-run") == {
        "kind": "users",
        "dry_run": True,
        "imported": False,
        "counts": {"new": 0, "changed": 1, "unchanged": 1},
        "rows": [
            {
                "line": 2,
                "key": "anna",
                "action": "changed",
                "fields": {"last_name": {"old": "Muster", "new": "Neu"}},
            }
        ],
        "faults": [],
    }
    bad = small.run("customers", "import", small.file("bad.csv", "login;valid\nx;?\n"), "--json")
    assert bad.exit_code == 1
    told = json.loads(bad.stdout)
    assert told["imported"] is False
    assert told["faults"] == [
        {
            "line": 2,
            "column": "valid",
            "text": '"?" is none of valid, invalid and invalid-temporarily.',
        }
    ]


def test_columns_are_put_to_fields(small: Installation) -> None:
    file = small.file("crm.csv", "Login,Rufname,Ort,Farbe\nanna,Änne,Ulm,blau\n")
    unknown = small.run("customers", "import", file)
    assert unknown.exit_code == 1
    assert 'the column "Rufname" is not known: say what it is with --map' in unknown.stderr
    maps = ("--map", "Rufname=first_name", "--map", "Farbe=")
    assert small.json("customers", "import", file, *maps)["rows"][0]["fields"] == {
        "first_name": {"old": "Anna", "new": "Änne"},
        "city": {"old": "", "new": "Ulm"},
    }


@pytest.mark.parametrize("text", ["Rufname", "Rufname=nickname", "Farbe=city"])
def test_a_map_that_cannot_be_meant_is_wrong_use(small: Installation, text: str) -> None:
    file = small.file("crm.csv", "Login,Rufname\nanna,Änne\n")
    assert small.run("customers", "import", file, "--map", text).exit_code == 2


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "The file is empty."),
        (b"number;name\nK-1;x\0\n", "Line 2: a NUL character; this is no text file."),
        (b"name;city\nx;y\n", "There is no column for number."),
    ],
)
def test_a_file_that_cannot_be_read(small: Installation, content: bytes, text: str) -> None:
    file = small.folder / "x.csv"
    file.write_bytes(content)
    result = small.run("customers", "import", file)
    assert (result.exit_code, result.stderr) == (1, f"schalter: {file}: {text}\n")


def test_an_undo_file_overwrites_nothing(small: Installation) -> None:
    before = exported(small.database)
    undo = small.file("undo.csv", "precious")
    file = small.file("x.csv", "login;last_name\nanna;Neu\n")
    result = small.run("customers", "import", file, "--undo", undo)
    assert (result.exit_code, result.stderr) == (1, f"schalter: {undo}: File exists\n")
    assert undo.read_text() == "precious"
    assert exported(small.database) == before


def test_a_dry_run_has_nothing_to_undo(small: Installation) -> None:
    file, undo = small.file("x.csv", "login;last_name\nanna;Neu\n"), small.folder / "undo.csv"
    assert small.run("customers", "import", file, "--dry-run", "--undo", undo).exit_code == 2
    assert not undo.exists()


def test_a_missing_file_is_told(small: Installation) -> None:
    file = small.folder / "none.csv"
    result = small.run("customers", "import", file)
    assert (result.exit_code, result.stderr) == (
        1,
        f"schalter: {file}: No such file or directory\n",
    )


@pytest.mark.parametrize("kind", ["users", "customers"])
def test_an_export_is_what_import_reads(small: Installation, kind: str) -> None:
    file = small.folder / "out.csv"
    assert small.run("customers", "export", file, "--kind", kind).exit_code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_bytes() == exported(small.database, kind)
    assert sorted(path.name for path in small.folder.glob("*.csv*")) == ["out.csv"]
    rows = {"users": USERS, "customers": CUSTOMERS}[kind].count("\n") - 1
    assert small.json("customers", "import", file)["counts"] == {
        "new": 0,
        "changed": 0,
        "unchanged": rows,
    }
    assert small.process("customers", "export", "-", "--kind", kind).stdout == (
        file.read_bytes().decode()
    )


def test_an_export_into_a_missing_folder_leaves_nothing(small: Installation) -> None:
    result = small.run("customers", "export", Path("/nonexistent/x.csv"))
    assert result.exit_code == 1
    assert result.stderr.startswith("schalter: ")

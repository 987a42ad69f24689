"""The revision that a program needs, which it tells without Alembic."""

import subprocess
import sys

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import text

from core.db import Database
from core.errors import DatabaseUnavailable
from core.migrate import alembic_config, upgrade
from core.revision import VERSIONS, check_revision, current_revision, newest_revision


def test_alembic_agrees_on_the_newest_revision() -> None:
    scripts = ScriptDirectory.from_config(alembic_config())
    assert newest_revision() == scripts.get_current_head()
    for script in scripts.walk_revisions():
        assert list(VERSIONS.glob(f"{script.revision}_*.py")) != [], "a file is named by revision"


def test_a_database_at_the_newest_revision_is_fine(database: Database) -> None:
    assert current_revision(database) == newest_revision()
    check_revision(database)
    assert upgrade(database) is False


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("DROP TABLE alembic_version", "is empty, this program needs"),
        ("DELETE FROM alembic_version", "is empty, this program needs"),
        ("UPDATE alembic_version SET version_num = '9999'", "is at revision 9999, this program"),
    ],
)
def test_any_other_revision_is_told(statement: str, told: str, database: Database) -> None:
    with database.write() as session:
        session.execute(text(statement))
    with pytest.raises(DatabaseUnavailable, match=told):
        check_revision(database)


def test_a_newer_database_is_left_alone(database: Database) -> None:
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseUnavailable, match="9999"):
        upgrade(database)


@pytest.mark.parametrize("program", ["core.cli.demo", "core.worker", "gateway.__main__"])
def test_programs_start_without_alembic(program: str) -> None:
    code = f"import sys, {program}; sys.exit('alembic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

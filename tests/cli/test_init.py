"""``schalter init``: repeatable, and a password that is shown once."""

import re
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from core.accounts.passwords import verify_password
from core.accounts.staff import StaffValues, save_staff
from core.audit import SYSTEM
from core.cli.instance import PROGRAMS, refuse_network_file_system, served_once
from core.db import Database
from core.errors import DatabaseUnavailable
from core.models import AuditEvent, Staff
from core.words import Role
from tests.cli.conftest import Installation, one_line
from tests.support.postgresql import PostgresqlServer
from tests.support.processes import run_process


def test_a_new_installation(tmp_path: Path) -> None:
    env = {
        "SCHALTER_DATABASE__URL": f"sqlite:///{tmp_path}/new/schalter.db",
        "SCHALTER_SECRET_KEY_FILE": str(tmp_path / "new" / "secret.key"),
    }
    installation = Installation(tmp_path, Database("sqlite:///unused.db"), env)
    first = installation.run("init")
    assert first.exit_code == 0, first.output
    assert "schalter.db created" in first.stdout
    found = re.search(r"one-time password ([a-z0-9-]{23})\n", first.stdout)
    assert found is not None
    database = Database(env["SCHALTER_DATABASE__URL"])
    with database.read() as session:
        admin = session.scalars(select(Staff)).one()
        assert (admin.login, admin.role, admin.must_change_password) == ("admin", Role.ADMIN, True)
        assert verify_password(found[1], admin.password_hash)
        events = session.scalars(select(AuditEvent)).all()
        assert not any(found[1] in f"{event.before}{event.after}" for event in events)
    for name in ("schalter.db", "secret.key"):
        assert (tmp_path / "new" / name).stat().st_mode & 0o077 == 0
    again = installation.run("init")
    assert "made" not in again.stdout
    assert "is up to date" in again.stdout
    assert "there is one already" in again.stdout
    assert found[1] not in again.stdout
    database.dispose()


def test_an_admin_of_a_directory_does_not_stand_in_for_one_here(
    small_installation: Installation,
) -> None:
    with small_installation.database.write() as session:
        values = StaffValues(login="bert", email="bert@firm.example", role=Role.ADMIN)
        save_staff(session, SYSTEM, values, directory_key="of-bert")
    assert 'login "admin", one-time password' in small_installation.run("init").stdout
    assert "there is one already" in small_installation.run("init").stdout


def test_an_empty_postgresql_database(postgresql_server: PostgresqlServer, tmp_path: Path) -> None:
    name = postgresql_server.create()
    env = {
        "SCHALTER_DATABASE__URL": postgresql_server.url(name),
        "SCHALTER_SECRET_KEY_FILE": str(tmp_path / "secret.key"),
    }
    installation = Installation(tmp_path, Database("sqlite:///unused.db"), env)
    assert " created" in installation.run("init").stdout
    assert " is up to date" in installation.run("init").stdout
    postgresql_server.drop(name)


MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:26 / /srv/mail rw shared:2 - nfs4 server:/mail rw,vers=4.2
31 22 0:27 / /srv/mail\\040local rw - xfs /dev/vdb rw
32 30 0:28 / /srv/mail/fast rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("file", "refused"),
    [
        ("/var/lib/schalter.db", False),
        ("/srv/mail/schalter.db", True),
        ("/srv/mail/deeper/schalter.db", True),
        ("/srv/mail local/schalter.db", False),
        ("/srv/mail/fast/schalter.db", False),
        ("/srv/mailbox/schalter.db", False),
    ],
)
def test_no_sqlite_on_a_network_file_system(file: str, refused: bool, tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS, encoding="utf-8")
    if not refused:
        refuse_network_file_system(Path(file), mounts)
        return
    with pytest.raises(DatabaseUnavailable, match="network file system \\(nfs4\\)"):
        refuse_network_file_system(Path(file), mounts)


def test_this_machine_tells_its_file_systems(tmp_path: Path) -> None:
    refuse_network_file_system(tmp_path / "schalter.db")
    refuse_network_file_system(tmp_path / "schalter.db", tmp_path / "no-such-system")


HOLD_IT = """
import sys
import time
from pathlib import Path
from core.cli.instance import served_once
with served_once(Path(sys.argv[1]), sys.argv[2:]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_an_sqlite_file_is_served_once_by_each_program(tmp_path: Path) -> None:
    file = tmp_path / "schalter.db"
    with run_process(sys.executable, "-c", HOLD_IT, file, "gateway", "worker") as process:
        process.wait_for_output("held")
        told = f"already being served by process {process.pid} \\(gateway\\)"
        with pytest.raises(DatabaseUnavailable, match=told), served_once(file, PROGRAMS):
            pass
        with served_once(file, ["portal"]):  # systemd may run each on its own
            pass
        process.kill()
    with served_once(file, PROGRAMS):  # the lock ends with its holder, however that ended
        pass


def test_a_folder_that_cannot_be_made_is_told(small_installation: Installation) -> None:
    result = small_installation.run("init", SCHALTER_DATABASE__URL="sqlite:////proc/none/x.db")
    assert result.exit_code == 1
    assert "database sqlite:////proc/none/x.db: No such file or directory" in one_line(result)

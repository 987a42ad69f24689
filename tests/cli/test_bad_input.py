"""What a new user gets wrong, with the real program: one line that says what, and no traceback."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.cli.conftest import SCHALTER, Installation, one_line
from tests.intake.firm import a_firm
from tests.support.processes import run_process
from tests.support.sources import ROOT

pytestmark = pytest.mark.slow


def test_an_unknown_key_in_the_file(small_installation: Installation) -> None:
    small_installation.file("schalter.toml", "[smtp]\nlistn = '127.0.0.1:25'\n")
    done = small_installation.process("check")
    assert done.returncode == 1
    assert "schalter.toml: unknown key smtp.listn" in done.stdout
    done = small_installation.process("serve")
    assert (done.returncode, one_line(done)) == (
        1, "schalter: schalter.toml: unknown key smtp.listn",
    )  # fmt: skip


def test_a_configuration_file_that_is_not_there(small_installation: Installation) -> None:
    done = small_installation.process("--config", "none.toml", "init")
    assert (done.returncode, one_line(done)) == (
        1, "schalter: none.toml: No such file or directory",
    )  # fmt: skip


def test_the_file_that_config_names_reaches_the_children(small_installation: Installation) -> None:
    """The console changes no folder, and a child reads the same file as its parent."""
    installed = small_installation.env
    text = (
        f'secret_key_file = "{installed["SCHALTER_SECRET_KEY_FILE"]}"\n'
        f'[database]\nurl = "{installed["SCHALTER_DATABASE__URL"]}"\n'
        f'[smtp]\nlisten = "{installed["SCHALTER_SMTP__LISTEN"]}"\n'
    )
    small_installation.file("other.toml", text)
    command = (SCHALTER, "--config", "other.toml", "serve", "--only", "gateway")
    with run_process(*command, cwd=small_installation.folder) as process:
        process.wait_for_port(int(installed["SCHALTER_SMTP__LISTEN"].rpartition(":")[2]))
        assert process.stop() == 0, process.output


def test_a_defect_is_one_line_unless_more_is_wanted(small_installation: Installation) -> None:
    small_installation.file("break.toml", "")
    broken = {"PYTHONPATH": str(small_installation.folder)}
    small_installation.file(
        "sitecustomize.py", "import core.apply.wanted as w\nw.find_lines = lambda text: 1 / 0\n"
    )
    done = small_installation.process("apply", "break.toml", **broken)
    assert (done.returncode, one_line(done)) == (
        1,
        "schalter: internal error, please report it: ZeroDivisionError: division by zero",
    )
    done = small_installation.process("--traceback", "apply", "break.toml", **broken)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_wrong_use(small_installation: Installation) -> None:
    for arguments in (("nonsense",), ("apply",), ("init", "--nonsense"), ("ticket", "show", "x")):
        done = small_installation.process(*arguments)
        assert done.returncode == 2, done
        assert "Usage: schalter" in done.stderr


def test_every_command_has_a_help(small_installation: Installation) -> None:
    for arguments in (
        (), ("init",), ("serve",), ("demo",), ("apply",), ("deliver",), ("explain",), ("ticket",),
        ("ticket", "list"), ("ticket", "show"), ("mail",), ("mail", "list"), ("mail", "show"),
        ("permissions",), ("check",),
    ):  # fmt: skip
        result = small_installation.run(*arguments, "--help")
        assert result.exit_code == 0
        assert result.stdout.startswith("Usage: ")
        options = [line for line in result.stdout.splitlines() if line.startswith("  -")]
        assert all(len(line.split("  ")) > 2 or len(line) > 20 for line in options)


def test_a_reader_that_closes_its_end(small_installation: Installation) -> None:
    a_firm(small_installation.database)
    done = subprocess.run(
        f"{SCHALTER} permissions anna --json | head -c 1",
        shell=True, capture_output=True, text=True, check=False,
        cwd=small_installation.folder, env={**os.environ, **small_installation.env},
    )  # fmt: skip
    assert done.stdout == "{"
    assert "Traceback" not in done.stderr


# Becomes somebody who is not root once all is imported: the program itself may be closed to them.
AS_NOBODY = """
import os, sqlite3, sys
from core.cli import main
from core.cli import deliver, tickets
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
main(sys.argv[1:])
"""


def test_somebody_without_permission() -> None:
    """A mail server's account that may not read the database keeps the mail."""
    with TemporaryDirectory(prefix="schalter-closed-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for file in ("schalter.db", "closed.eml"):
            (folder / file).touch(mode=0)
        env = {**os.environ, "SCHALTER_DATABASE__URL": f"sqlite:///{folder}/schalter.db"}

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-c", AS_NOBODY, *arguments],
                input="Subject: x\n\ny\n", text=True, capture_output=True, check=False,
                cwd=ROOT, env=env,
            )  # fmt: skip

        deliver = ("deliver", "--mail-from", "a@b.example", "--rcpt", "c@d.example")
        done = run(*deliver)
        assert (done.returncode, one_line(done)) == (
            75, f"schalter: database {env['SCHALTER_DATABASE__URL']}: unable to open database file",
        )  # fmt: skip
        done = run(*deliver, f"{folder}/closed.eml")
        assert (done.returncode, one_line(done)) == (
            66, f"schalter: {folder}/closed.eml: permission denied",
        )  # fmt: skip
        assert run("ticket", "list").returncode == 1

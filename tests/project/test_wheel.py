"""A built wheel holds all that the program needs, and finds it far from the repository."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.support.sources import PROGRAM_FOLDERS, ROOT, files

pytestmark = pytest.mark.slow

USE_IT = """
import sys
from gettext import GNUTranslations
from pathlib import Path

import core
from core.db import Database
from core.i18n import translations
from core.migrate import upgrade
from core.revision import check_revision

assert Path(core.__file__).is_relative_to(sys.argv[1]), core.__file__
database = Database("sqlite:///schalter.db")
upgrade(database)
check_revision(database)
assert isinstance(translations("de"), GNUTranslations)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, cwd=ROOT)
    (built,) = folder.glob("schalter-*.whl")
    return built


def test_it_holds_every_file_of_the_program(wheel: Path) -> None:
    expected = {path.relative_to(ROOT).as_posix() for path in files(*PROGRAM_FOLDERS)} | {
        f"core/_templates/{path.relative_to(ROOT / 'templates').as_posix()}"
        for path in files("templates")
    }
    with ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == expected


def test_an_installed_wheel_finds_its_files(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "installed"
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index",
        "--target", target, wheel, cwd=tmp_path)  # fmt: skip
    run(sys.executable, "-c", USE_IT, target, cwd=tmp_path, env={"PYTHONPATH": str(target)})


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

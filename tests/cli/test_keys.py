"""``schalter keys``: a new key in front, the old ones listed, and none of them ever shown."""

from datetime import timedelta
from pathlib import Path

import pytest

from core.models import now
from core.secret_key import believed_until, load_key_ring
from tests.cli.conftest import Installation, one_line


def key_file(installation: Installation) -> Path:
    """Return the key file of an installation."""
    return Path(installation.env["SCHALTER_SECRET_KEY_FILE"])


def test_a_new_key_is_put_in_front(small_installation: Installation) -> None:
    file = key_file(small_installation)
    before = load_key_ring(str(file))
    done = small_installation.process("keys", "rotate")
    assert (done.returncode, done.stderr) == (0, "")
    after = load_key_ring(str(file))
    assert after.current != before.current
    today = now().date()
    assert after.retired == ((before.current, today),)
    assert done.stdout.splitlines() == [
        f"Secret key: {file} has a new key",
        f"What the one before it signed is believed until {believed_until(today)}; "
        "keys in the file: 2",
    ]
    assert file.stat().st_mode & 0o777 == 0o600


def test_keys_are_listed_without_themselves(small_installation: Installation) -> None:
    file = key_file(small_installation)
    assert small_installation.json("keys", "list") == [
        {"state": "in use", "replaced": None, "believed_until": None}
    ]
    today = now().date()
    long_ago = today - timedelta(days=800)
    file.write_text(f"{file.read_text()}{'ab' * 32} {long_ago}\n")
    small_installation.run("keys", "list")
    listed = small_installation.run("keys", "list")
    assert [line.split() for line in listed.stdout.splitlines()[1:]] == [
        ["in", "use", "(none)", "(none)"],
        ["expired", str(long_ago), str(believed_until(long_ago))],
    ]
    rotated = small_installation.run("keys", "rotate")
    assert rotated.exit_code == 0
    listed = small_installation.run("keys", "list")
    assert [line.split() for line in listed.stdout.splitlines()[1:]] == [
        ["in", "use", "(none)", "(none)"],
        ["believed", str(today), str(believed_until(today))],
    ]
    shown = rotated.output + listed.output + small_installation.run("keys", "list", "--json").output
    ring = load_key_ring(str(file))
    for key in (ring.current, *(key for key, _day in ring.retired)):
        assert key.hex()[:8] not in shown


@pytest.mark.parametrize("action", ["rotate", "list"])
@pytest.mark.parametrize(
    ("content", "mode", "complaint"),
    [
        (None, 0o600, 'no such file: run "schalter init"'),
        ("nonsense", 0o600, "not a key of 32 bytes"),
        ("00" * 32, 0o644, "others may read it"),
    ],
)
def test_what_is_wrong_with_the_file_is_one_line(
    small_installation: Installation, action: str, content: str | None, mode: int, complaint: str
) -> None:
    file = key_file(small_installation)
    file.unlink()
    if content is not None:
        file.touch()
        file.write_text(content)
        file.chmod(mode)
    result = small_installation.run("keys", action)
    assert result.exit_code == 1
    assert complaint in one_line(result)
    assert file.exists() is (content is not None)
    if content is not None:
        assert file.read_text() == content

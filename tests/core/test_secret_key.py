"""The key file: made once, secret, and refused when it is not."""

from pathlib import Path

import pytest

from core.errors import ConfigError
from core.secret_key import ensure_secret_key, load_secret_key


def test_it_is_made_once(tmp_path: Path) -> None:
    file = tmp_path / "new" / "secret.key"
    assert ensure_secret_key(str(file))
    key = load_secret_key(str(file))
    assert len(key) == 32
    assert not ensure_secret_key(str(file))
    assert load_secret_key(str(file)) == key


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    file = tmp_path / "secret.key"
    ensure_secret_key(str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o640)
    with pytest.raises(ConfigError, match="others may read it"):
        load_secret_key(str(file))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, 'run "schalter init"'), ("", "not a key"), ("zz" * 32, "not a key"),
     ("00" * 31, "not a key"), ("00" * 33, "not a key")],
)  # fmt: skip
def test_what_is_no_key_is_refused(tmp_path: Path, content: str | None, complaint: str) -> None:
    file = tmp_path / "secret.key"
    if content is not None:
        file.touch(mode=0o600)
        file.write_text(content)
    with pytest.raises(ConfigError, match=complaint) as refused:
        load_secret_key(str(file))
    assert str(file) in str(refused.value)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="secret_key_file"):
        ensure_secret_key(str(tmp_path / "file" / "secret.key"))

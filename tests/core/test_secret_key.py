"""The key file: made once, secret, refused when it is not, and its key replaced now and then."""

import os
from datetime import date, timedelta
from pathlib import Path

import pytest

from core.errors import ConfigError
from core.mail.tokens import Token, TokenKind, make_token, read_token
from core.secret_key import (
    BELIEVED,
    KeyRing,
    Keys,
    believed_until,
    ensure_secret_key,
    load_key_ring,
    load_secret_key,
    rotate_secret_key,
)

TODAY = date(2026, 11, 24)
TOKEN = Token(TokenKind.THREAD, 1, 2)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A key file with one key."""
    file = tmp_path / "secret.key"
    ensure_secret_key(str(file))
    return file


def write(file: Path, *lines: str) -> None:
    """Write these lines into a key file in one piece, as an editor does."""
    new = file.with_suffix(".edited")
    new.touch(mode=0o600)
    new.write_text("\n".join(lines))
    new.replace(file)


def test_it_is_made_once(tmp_path: Path) -> None:
    file = tmp_path / "new" / "secret.key"
    assert ensure_secret_key(str(file))
    key = load_secret_key(str(file))
    assert len(key) == 32
    assert not ensure_secret_key(str(file))
    assert load_secret_key(str(file)) == key


def test_nobody_else_may_read_it(file: Path) -> None:
    assert file.stat().st_mode & 0o777 == 0o600
    rotate_secret_key(str(file), TODAY)
    assert file.stat().st_mode & 0o777 == 0o600
    for mode in (0o640, 0o604, 0o620, 0o601):
        file.chmod(mode)
        with pytest.raises(ConfigError, match="others may read it"):
            load_secret_key(str(file))
        with pytest.raises(ConfigError, match="others may read it"):
            Keys(str(file))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, 'run "schalter init"'), ("", "not a key"), ("zz" * 32, "not a key"),
     ("00" * 31, "not a key"), ("00" * 33, "not a key"), ("\n \n", "not a key"),
     ("00" * 32 + "\n" + "11" * 32, "not a key"),  # retired, but when?
     ("00" * 32 + "\n" + "11" * 32 + " 2026-13-01", "not a key"),
     ("00" * 32 + "\n" + "11" * 31 + " 2026-11-01", "not a key"),
     ("00" * 32 + "\nschlüssel", "not a key")],
)  # fmt: skip
def test_what_is_no_key_is_refused(tmp_path: Path, content: str | None, complaint: str) -> None:
    """Without a key nothing starts (threat O3)."""
    file = tmp_path / "secret.key"
    if content is not None:
        file.touch(mode=0o600)
        file.write_text(content)
    for read in (load_secret_key, load_key_ring, Keys, lambda path: rotate_secret_key(path, TODAY)):
        with pytest.raises(ConfigError, match=complaint) as refused:
            read(str(file))
        assert str(file) in str(refused.value)
        assert "00" * 16 not in str(refused.value)
    assert file.exists() is (content is not None)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="secret_key_file"):
        ensure_secret_key(str(tmp_path / "file" / "secret.key"))


def test_a_key_is_replaced_and_the_old_one_still_believed(file: Path) -> None:
    first = load_secret_key(str(file))
    ring = rotate_secret_key(str(file), TODAY)
    assert ring == load_key_ring(str(file))
    assert ring.current != first
    assert len(ring.current) == 32
    assert ring.retired == ((first, TODAY),)
    assert ring.believed(TODAY) == (ring.current, first)
    second = rotate_secret_key(str(file), TODAY + timedelta(days=30))
    assert second.retired == ((ring.current, TODAY + timedelta(days=30)), (first, TODAY))
    assert [each.name for each in file.parent.iterdir()] == ["secret.key"]


@pytest.mark.parametrize(
    ("days", "believed"),
    [(0, True), (1, True), (365, True), (2 * 365 + 1, True), (2 * 365 + 2, False), (9999, False)],
)
def test_an_old_token_is_believed_for_two_years(file: Path, days: int, believed: bool) -> None:
    text = make_token(load_secret_key(str(file)), TOKEN)
    ring = rotate_secret_key(str(file), TODAY)
    later = TODAY + timedelta(days=days)
    assert (read_token(ring.believed(later), text) == TOKEN) is believed
    assert (later <= believed_until(TODAY)) is believed
    new = make_token(ring.current, TOKEN)
    assert read_token(ring.believed(later), new) == TOKEN


def test_a_key_that_is_no_longer_believed_goes_with_the_next_rotation(file: Path) -> None:
    first = load_secret_key(str(file))
    last_day = TODAY + BELIEVED
    rotate_secret_key(str(file), TODAY)
    assert first in [key for key, _day in rotate_secret_key(str(file), last_day).retired]
    ring = rotate_secret_key(str(file), last_day + timedelta(days=1))
    assert first not in [key for key, _day in ring.retired]
    assert len(ring.retired) == 2
    assert first.hex() not in file.read_text()


def test_what_a_rotation_left_unfinished_is_no_hindrance(file: Path) -> None:
    file.with_name("secret.key.new").write_text("half")
    ring = rotate_secret_key(str(file), TODAY)
    assert load_key_ring(str(file)) == ring
    assert not file.with_name("secret.key.new").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_file_stays_with_the_account_that_the_service_runs_as(file: Path) -> None:
    os.chown(file, 4242, 4343)
    rotate_secret_key(str(file), TODAY)
    assert (file.stat().st_uid, file.stat().st_gid) == (4242, 4343)


def test_a_running_program_takes_the_new_key_at_once(file: Path) -> None:
    keys = Keys(str(file))
    before = keys.ring
    text = make_token(before.current, TOKEN)
    assert keys.ring is before  # not read again without need
    after = rotate_secret_key(str(file), TODAY)
    assert keys.ring == after
    assert read_token(keys.ring.believed(TODAY), text) == TOKEN


def test_a_file_that_is_half_written_changes_nothing(file: Path) -> None:
    keys = Keys(str(file))
    before = keys.ring
    whole = ("aa" * 32, f"{before.current.hex()} 2026-11-24")
    for half in ((), ("aa" * 20,), (whole[0], whole[1][:40]), (whole[0], whole[1][:-1])):
        write(file, *half)
        assert keys.ring is before
    file.unlink()
    assert keys.ring is before
    write(file, *whole)
    assert keys.ring == KeyRing(b"\xaa" * 32, ((before.current, TODAY),))


def test_a_file_that_others_may_read_changes_nothing_until_it_is_put_right(file: Path) -> None:
    keys = Keys(str(file))
    before = keys.ring
    after = rotate_secret_key(str(file), TODAY)
    file.chmod(0o644)
    assert keys.ring is before
    file.chmod(0o600)
    assert keys.ring == after


def test_blank_lines_and_line_ends_do_not_matter(file: Path) -> None:
    file.write_text(f"\n{'aa' * 32}  \r\n\r\n{'bb' * 32}   2026-11-24\r\n\n")
    assert load_key_ring(str(file)) == KeyRing(b"\xaa" * 32, ((b"\xbb" * 32, TODAY),))

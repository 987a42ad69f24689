"""The secret keys of an installation: a file that only its owner may read.

The first line is the key in use: it signs sessions of browsers and the tokens in outgoing mail, so
every process of one installation needs the same. Keys that were in use before follow, each with
the day on which it was replaced; what they signed is still believed for two years (threat O3).
"""

import os
import secrets
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from core.errors import ConfigError

KEY_BYTES = 32
MODE = 0o600
BELIEVED = timedelta(days=731)  # how long after its replacement


def believed_until(replaced: date) -> date:
    """Return the last day on which a key that was replaced on this day is believed."""
    return replaced + BELIEVED


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The key that signs, and those before it that are still believed, newest first."""

    current: bytes
    retired: tuple[tuple[bytes, date], ...] = ()

    def believed(self, today: date) -> tuple[bytes, ...]:
        """Return every key whose signatures count today, the current one first."""
        kept = (key for key, replaced in self.retired if today <= believed_until(replaced))
        return (self.current, *kept)


class Keys:
    """The key ring of a file, read again when the file has changed; use it from any thread.

    Making one reads the file; raises ``ConfigError`` as ``load_key_ring`` does. Later faults of
    the file leave the ring as it is: a running service goes on.
    """

    def __init__(self, path: str) -> None:
        self._file = Path(path)
        self._changed = self._stamp()  # before reading: what changes meanwhile is seen later
        self._ring = load_key_ring(path)

    @property
    def ring(self) -> KeyRing:
        """The ring as the file has it now."""
        stamp = self._stamp()
        if stamp != self._changed:
            try:
                self._ring = load_key_ring(str(self._file))
            except ConfigError:
                return self._ring  # half written, or gone: the next look may find it
            self._changed = stamp
        return self._ring

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino


def ensure_secret_key(path: str) -> bool:
    """Make the key file where there is none; return whether it was made.

    Raises ``ConfigError`` when it cannot be written.
    """
    file = Path(path)
    if file.is_file():
        return False
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        _write(file, KeyRing(secrets.token_bytes(KEY_BYTES)))
    except OSError as error:
        raise ConfigError(f"secret_key_file: {file}: {error.strerror}") from None
    return True


def rotate_secret_key(path: str, today: date) -> KeyRing:
    """Put a new key in front of the one in use; drop those that are no longer believed.

    The file is replaced as a whole, so no process ever reads half of it, and stays its owner's:
    root may do this for the account that the service runs as. Raises ``ConfigError`` when it
    cannot be read or written.
    """
    before = load_key_ring(path)
    kept = tuple(each for each in before.retired if today <= believed_until(each[1]))
    ring = KeyRing(secrets.token_bytes(KEY_BYTES), ((before.current, today), *kept))
    file = Path(path)
    new = file.with_name(f"{file.name}.new")
    try:
        owner = file.stat()
        new.unlink(missing_ok=True)
        _write(new, ring)
        os.chown(new, owner.st_uid, owner.st_gid)
        new.replace(file)
        _sync_folder(file.parent)
    except OSError as error:
        raise ConfigError(f"secret_key_file: {file}: {error.strerror}") from None
    return ring


def load_secret_key(path: str) -> bytes:
    """Return the key in use; raises ``ConfigError`` as ``load_key_ring`` does."""
    return load_key_ring(path).current


def load_key_ring(path: str) -> KeyRing:
    """Return the keys of the file.

    Raises ``ConfigError`` when there is none, when it is not one of ours, or when others than its
    owner may read it: without a key that is secret, nothing that is signed with it is true.
    """
    file = Path(path)
    try:
        if file.stat().st_mode & 0o077:
            raise ConfigError(
                f"secret_key_file: {file}: others may read it: chmod 600, then make a new key"
            )
        lines = file.read_text(encoding="ascii").split("\n")
        first, *others = [line for line in lines if line.strip()] or [""]
        return KeyRing(_key(first), tuple(_retired(line) for line in others))
    except FileNotFoundError:
        raise ConfigError(f'secret_key_file: {file}: no such file: run "schalter init"') from None
    except OSError as error:
        raise ConfigError(f"secret_key_file: {file}: {error.strerror}") from None
    except ValueError:
        raise ConfigError(f"secret_key_file: {file}: not a key of {KEY_BYTES} bytes") from None


def _key(text: str) -> bytes:
    key = bytes.fromhex(text.strip())
    if len(key) != KEY_BYTES:
        raise ValueError("of another length")
    return key


def _retired(line: str) -> tuple[bytes, date]:
    key, _blank, replaced = line.strip().partition(" ")
    return _key(key), date.fromisoformat(replaced.strip())


def _write(file: Path, ring: KeyRing) -> None:
    lines = [ring.current.hex(), *(f"{key.hex()} {day.isoformat()}" for key, day in ring.retired)]
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
    with os.fdopen(descriptor, "w", encoding="ascii") as opened:
        opened.write("\n".join(lines) + "\n")
        opened.flush()
        os.fsync(opened.fileno())


def _sync_folder(folder: Path) -> None:
    """Make a replacement last: after a power cut, too, what the new key signed is believed."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

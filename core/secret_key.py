"""The secret key of an installation: a file that only its owner may read.

Sessions of browsers are signed with it, so every process of one installation needs the same.
"""

import os
import secrets
from pathlib import Path

from core.errors import ConfigError

KEY_BYTES = 32
MODE = 0o600


def ensure_secret_key(path: str) -> bool:
    """Make the key file where there is none; return whether it was made.

    Raises ``ConfigError`` when it cannot be written.
    """
    file = Path(path)
    if file.is_file():
        return False
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
    except OSError as error:
        raise ConfigError(f"secret_key_file: {file}: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="ascii") as opened:
        opened.write(secrets.token_hex(KEY_BYTES) + "\n")
        opened.flush()
        os.fsync(opened.fileno())
    return True


def load_secret_key(path: str) -> bytes:
    """Return the key.

    Raises ``ConfigError`` when there is none, when it is not one of ours, or when others than its
    owner may read it: without a key that is secret, nothing that is signed with it is true.
    """
    file = Path(path)
    try:
        if file.stat().st_mode & 0o077:
            raise ConfigError(
                f"secret_key_file: {file}: others may read it: chmod 600, then make a new key"
            )
        text = file.read_text(encoding="ascii").strip()
        key = bytes.fromhex(text)
    except FileNotFoundError:
        raise ConfigError(f'secret_key_file: {file}: no such file: run "schalter init"') from None
    except OSError as error:
        raise ConfigError(f"secret_key_file: {file}: {error.strerror}") from None
    except ValueError:
        raise ConfigError(f"secret_key_file: {file}: not a key of {KEY_BYTES} bytes") from None
    if len(key) != KEY_BYTES:
        raise ConfigError(f"secret_key_file: {file}: not a key of {KEY_BYTES} bytes")
    return key

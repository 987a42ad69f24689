"""The gateway as a program of its own, for what cannot be seen from inside one process."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.secret_key import ensure_secret_key
from tests.gateway.running import HOSTNAME
from tests.support.processes import RunningProcess, run_process


@contextmanager
def gateway_program(
    folder: Path, url: str, port: int, *wrapper: str | Path, **smtp: str
) -> Iterator[RunningProcess]:
    """Run ``python -m gateway`` while the block lasts; ``wrapper`` is put before its command."""
    config = folder / "schalter.toml"
    unlimited = dict.fromkeys(("mails_per_sender", "mails_per_domain", "mails_per_client"), "0")
    keys = {"listen": f'"127.0.0.1:{port}"', "hostname": f'"{HOSTNAME}"', **unlimited, **smtp}
    lines = "".join(f"{key} = {value}\n" for key, value in keys.items())
    key = folder / "secret.key"
    ensure_secret_key(str(key))
    config.write_text(f'secret_key_file = "{key}"\n[database]\nurl = "{url}"\n[smtp]\n{lines}')
    env = {"SCHALTER_CONFIG": str(config)}
    with run_process(*wrapper, sys.executable, "-m", "gateway", env=env) as process:
        yield process

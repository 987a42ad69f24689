"""A Postfix of our own: in a folder of its own, on a free port, for tests and the benchmark."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import free_port, wait_for_port


class NoPostfix(Exception):
    """Postfix cannot be run on this machine; the text says why."""


@contextmanager
def run_postfix(folder: Path, main_cf: str, transport: str) -> Iterator[int]:
    """Run Postfix while the block lasts and give the port of its smtpd.

    ``main_cf`` says where mail goes, ``transport`` is the delivery program that it needs. The log
    is ``folder/log``. Raises ``NoPostfix``.
    """
    if not shutil.which("postfix"):
        raise NoPostfix("postfix is not installed")
    if os.geteuid() != 0:
        raise NoPostfix("only root can start Postfix")
    port = free_port()
    folder.chmod(0o755)  # its programs run under an account of their own
    for name in ("config", "spool", "data"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix")
    (folder / "config/main.cf").write_text(_MAIN_CF.format(folder=folder) + main_cf)
    (folder / "config/master.cf").write_text(_MASTER_CF.format(port=port, transport=transport))
    command = ["postfix", "-c", str(folder / "config")]
    started = subprocess.run([*command, "start"], capture_output=True, text=True, check=False)
    if started.returncode:
        raise NoPostfix(f"it does not start: {started.stderr.strip()}")
    try:
        wait_for_port(port)
        yield port
    finally:
        subprocess.run([*command, "stop"], capture_output=True, check=True)


_MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = postfix.example
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_client_connection_count_limit = 0
multi_instance_name = postfix-schalter
"""

_MASTER_CF = """\
127.0.0.1:{port} inet n - n - 100 smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
{transport} unix - - n - - {transport}
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

"""What an SQLite file needs from whoever serves it: a local disk, and one instance (threat S9)."""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from core.errors import DatabaseUnavailable

PROGRAMS = ("portal", "gateway", "worker")  # the one that takes longest to start comes first
MOUNTS = Path("/proc/self/mountinfo")
# Locks on these do not hold, or not for every client; SQLite's own documentation warns of them.
NETWORK_FILE_SYSTEMS = frozenset(
    {"9p", "afs", "ceph", "cifs", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs", "glusterfs",
     "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs"}
)  # fmt: skip
_SLOT = 16  # bytes of the lock file for each program: its process id, then a line end


def refuse_network_file_system(file: Path, mounts: Path = MOUNTS) -> None:
    """Raise ``DatabaseUnavailable`` if the file would be on another machine's disk."""
    kind = _file_system(file, mounts)
    if kind in NETWORK_FILE_SYSTEMS:
        raise DatabaseUnavailable(
            f"database {file}: it is on a network file system ({kind}), where SQLite can lose "
            "data: use a local disk, or PostgreSQL"
        )


def _file_system(file: Path, mounts: Path) -> str:
    """Return the kind of file system a file is on, "" where the system does not tell.

    The file need not exist. Each line of ``mountinfo`` (proc(5)) has the mount point as its fifth
    field and the kind as the first after a lone hyphen; of those above the file the longest wins.
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    target, best, kind = file.absolute().resolve(), "", ""
    for line in lines:
        fields = line.split()
        point = fields[4].encode().decode("unicode_escape")  # spaces are \040
        if target.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, fields[fields.index("-") + 1]
    return kind


@contextmanager
def served_once(file: Path, programs: Sequence[str]) -> Iterator[None]:
    """Hold the right to serve an SQLite file with these programs, while the block lasts.

    The lock is per program, so that systemd may run each on its own; it ends with the process,
    however that ends. Raises ``DatabaseUnavailable`` naming who has it.
    """
    lock = file.with_name(f"{file.name}.lock")
    with ExitStack() as stack:
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DatabaseUnavailable(f"{lock}: {error.strerror}") from None
        stack.callback(os.close, descriptor)
        for program in programs:
            _take(descriptor, program, file)
        yield


def _take(descriptor: int, program: str, file: Path) -> None:
    slot = PROGRAMS.index(program) * _SLOT
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, _SLOT, slot)
    except OSError:
        holder = os.pread(descriptor, _SLOT, slot).decode("ascii", "replace").strip("\0 \n")
        raise DatabaseUnavailable(
            f"database {file}: already being served by process {holder} ({program})"
        ) from None
    os.pwrite(descriptor, f"{os.getpid():<{_SLOT - 1}}\n".encode(), slot)

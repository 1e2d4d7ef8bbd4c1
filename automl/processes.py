"""Which process is meant, on which machine: for what outlives the process that wrote it down."""

from __future__ import annotations

import socket
from pathlib import Path

SELF = Path("/proc/self/stat")


def here() -> str:
    """The machine, and which of its containers: a process number means something there only."""
    try:
        return f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def born(pid: int) -> int | None:
    """When the process of this number began, in ticks since the machine did; None where it lives no more.

    With its number this is one process, whatever is done to the clock: seconds since 1970 change when it is set. Where
    a system has no ``/proc`` it is hundredths of these seconds: its kernel keeps when a process began as it was told.
    """
    if not SELF.exists():
        return _told(pid)
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # gone, also while it was read; or not one of ours
        return None
    state, *fields = stat.rpartition(b")")[2].split()  # the name before may hold anything
    return None if state in b"ZX" else int(fields[18])


def _told(pid: int) -> int | None:
    import psutil  # the programs that only answer from a bundle do without

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else round(100 * process.create_time())
    except psutil.Error:
        return None

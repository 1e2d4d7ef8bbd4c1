"""Which process is meant, on which machine: for what outlives the process that wrote it down."""

from __future__ import annotations

import socket
from pathlib import Path


def here() -> str:
    """The machine, and which of its containers: a process number means something there only."""
    try:
        return f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()

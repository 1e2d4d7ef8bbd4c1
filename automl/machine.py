"""What of this machine a process may use: a container or a batch job has less than all of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

MOUNTED, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def cores(mounted: Path = MOUNTED, own: Path = OWN) -> int:
    """Processor cores: those that it may run on, and no more whole ones than its control groups give it time for."""
    found: float = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder, unified in control_groups("cpu", mounted, own):
        with contextlib.suppress(OSError, ValueError):  # another container's, or "max"
            if unified:
                quota, period = map(int, (folder / "cpu.max").read_text().split())
            else:
                quota, period = (int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
            if quota > 0:  # -1: no limit
                found = min(found, quota / period)
    return max(int(found), 1)


def control_groups(kind: str, mounted: Path = MOUNTED, own: Path = OWN) -> Iterator[tuple[Path, bool]]:
    """Folders of the groups that bound ``kind`` (cpu, memory), the process' own before those above: all limits hold.

    And whether each is one of version 2, whose files have other names. None where there is no Linux.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if kinds and kind not in kinds.split(","):
            continue
        top = mounted / kind if kinds else mounted
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(top):
                break
            yield folder, not kinds

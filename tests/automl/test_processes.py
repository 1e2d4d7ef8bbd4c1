"""Which process is meant: by its number and when it began, whatever the clock says."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from automl import processes
from automl.processes import born


@pytest.mark.parametrize("there", [True, False], ids=["with /proc", "without"])
def test_a_process_began_once_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    if not there:
        monkeypatch.setattr(processes, "SELF", tmp_path / "stat")
    assert born(os.getpid()) == born(os.getpid()) is not None
    sleep = shutil.which("sleep")
    assert sleep is not None
    odd = tmp_path / "a) Z 1 (b"  # what the system calls it, and puts before its state
    odd.symlink_to(sleep)
    process = subprocess.Popen([odd, "60"])
    began = born(process.pid)
    assert began is not None and began >= (born(os.getpid()) or 0)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has asked how
    assert born(process.pid) is None
    process.wait()
    assert born(process.pid) is None

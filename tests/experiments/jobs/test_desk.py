"""What is asked of the clerk, one question after the other."""

from __future__ import annotations

import os
import resource
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from automl.serve.limits import Refused
from experiments.jobs import desk
from experiments.jobs.desk import Clerk
from tests.experiments.jobs.conftest import HERE

COMMAND = [sys.executable, HERE, "clerk"]


def test_who_waited_for_its_turn_has_all_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the clerk would be killed over a question that it had no time for."""
    clerk = Clerk(COMMAND, tmp_path / "log.txt", 60)
    now = [0.0]

    class Turn:
        def acquire(self, timeout: float) -> bool:
            now[0] += 60
            return True

        def release(self) -> None: ...

    try:
        clerk.ask("check", asked={})
        process = clerk._process
        monkeypatch.setattr(clerk, "_turn", Turn())
        monkeypatch.setattr(desk, "time", SimpleNamespace(monotonic=lambda: now[0]))
        assert clerk.ask("check", asked={"data": "iris"})["ok"]["what"] == "check"
        assert clerk._process is process
    finally:
        clerk.close()


def test_an_end_reaches_who_asks(tmp_path: Path) -> None:
    told: list[Any] = []
    for command in ([sys.executable, "-c", "import time; time.sleep(600)"], COMMAND):  # it never comes up; it is up
        clerk = Clerk(command, tmp_path / "log.txt", 600)

        def ask(clerk: Clerk = clerk) -> None:
            try:
                clerk.ask("check", asked={"data": "slow"})
            except BaseException as error:
                told.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        until = time.monotonic() + 60
        while clerk._process is None or clerk._up != (command is COMMAND):
            assert time.monotonic() < until
            time.sleep(0.01)
        clerk.close()
        thread.join(60)
        assert not thread.is_alive() and clerk._process is None
    assert [type(error) for error in told] == [Refused, Refused] and {error.code for error in told} == {503}


def test_a_clerk_that_does_not_read_is_not_waited_for(tmp_path: Path) -> None:
    clerk = Clerk([sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"], tmp_path / "log.txt", 60)
    clerk._line(clerk._living(), time.monotonic() + 60)
    clerk._up, clerk.seconds = True, 0.2
    with pytest.raises(Refused, match="could not be checked within"):
        clerk.ask("check", asked={"data": "x" * 2**20})  # more than a pipe holds
    assert clerk._process is None


def test_many_connections_are_no_hindrance(tmp_path: Path) -> None:
    """Its pipes are then no files that select() knows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2000:
        pytest.skip("this machine allows fewer files")
    clerk, taken = Clerk(COMMAND, tmp_path / "log.txt", 60), []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
        taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
        assert clerk.ask("check", asked={"data": "iris"})["ok"]["what"] == "check"
    finally:
        clerk.close()
        for file in taken:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

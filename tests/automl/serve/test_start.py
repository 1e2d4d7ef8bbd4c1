"""What is told where the server cannot start."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from automl.errors import UserError
from automl.serve import run
from automl.serve.__main__ import _server
from automl.serve.metrics import metrics_folder
from automl.serve.run import FAILED, Supervisor
from automl.serve.settings import VARIABLE, Settings


def test_what_is_missing_is_named_as_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By packages: of a small install the whole program's extra is none."""
    real = importlib.util.find_spec

    def find(name: str) -> Any:
        return None if name in ("fastapi", "python_multipart") else real(name)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    with pytest.raises(UserError, match=r"Run: pip install fastapi python-multipart$"):
        _server()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_part_that_cannot_be_mounted_is_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """By who started the only worker, and by each of several as they tell of models that do not load."""
    monkeypatch.setattr(sys, "setswitchinterval", lambda seconds: None)
    monkeypatch.setenv(VARIABLE, Settings(registry=str(tmp_path), workers=workers).to_env())

    def mount(made: Any) -> None:
        raise UserError("jobs.db is broken. Move it away")

    if workers == 1:
        with pytest.raises(UserError, match=r"^jobs\.db is broken\. Move it away$"):
            run.app(mount)
        return
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(run.app(mount)({"type": "lifespan"}, None, send))
    assert sent == [{"type": "lifespan.startup.failed", "message": "jobs.db is broken. Move it away"}]


@pytest.mark.parametrize("status", [1, 3])
def test_workers_of_which_none_ever_started_end_the_server(status: int) -> None:
    """Whatever their status: one that raised while it was made was started anew for ever, twice a second."""
    supervisor = object.__new__(Supervisor)
    ended = SimpleNamespace(is_alive=lambda: False, join=lambda: None)
    supervisor.processes = [SimpleNamespace(process=ended, pid=1, exitcode=status, kill=lambda: None)]  # type: ignore[list-item]
    supervisor._asked, supervisor._served, supervisor._again, supervisor.failed = {}, False, 0.0, 0
    supervisor.should_exit = threading.Event()
    supervisor.keep_subprocess_alive()
    assert supervisor.failed == FAILED and supervisor.should_exit.is_set()


def test_what_lies_in_the_way_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "metrics").write_text("")
    (tmp_path / "lock").mkdir()
    with pytest.raises(UserError, match=r"metrics cannot be made anew: .+\. Remove it, or set state=FOLDER$"):
        metrics_folder(tmp_path)
    with pytest.raises(UserError, match=r"lock cannot be written: .+\. Mend its rights"), run.alone(tmp_path):
        pass

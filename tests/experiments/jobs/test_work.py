"""The process of a job where its table cannot be written: a full disk, a lock that nobody gives back."""

from __future__ import annotations

import sqlite3
import sys
from typing import Any, cast

import pytest

from experiments.jobs import work
from experiments.jobs.work import Told, signs_of_life, surely

FULL = sqlite3.OperationalError("database or disk is full")


class Left(BaseException):
    """The process would have ended."""


@pytest.fixture(autouse=True)
def left(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(code: int) -> None:
        raise Left(code)

    monkeypatch.setattr(work, "BEAT", 0.0)
    monkeypatch.setattr(work.os, "_exit", leave)


class Held:
    """A lease whose end cannot be written the first two times."""

    def __init__(self, word: str) -> None:
        self.word = word
        self.ends: list[str] = []

    def beat(self, progress: Any = None) -> str:
        return self.word

    def end(self, state: str, error: str = "") -> bool:
        self.ends.append(state)
        if len(self.ends) < 3:
            raise FULL
        return True


@pytest.mark.parametrize(("word", "grace", "state"), [("stop", 120.0, "cancelled"), ("go", -1e9, "failed")])
def test_an_end_is_said_when_it_can_be(word: str, grace: float, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "GRACE", grace)
    held = Held(word)
    with pytest.raises(Left):
        signs_of_life(cast(Any, held), Told(), 1.0)
    assert held.ends == [state] * 3


def test_what_was_lost_ends_also_where_nothing_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Log:
        def write(self, text: str) -> None:
            raise OSError("no space left on device")

        def flush(self) -> None: ...

    monkeypatch.setattr(sys, "stderr", Log())
    with pytest.raises(Left):
        signs_of_life(cast(Any, Held("lost")), Told(), 1.0)


def test_what_must_be_said_is_said_until_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held("go")
    assert surely(held.end, "done") and held.ends == ["done"] * 3
    monkeypatch.setattr(work, "HANGS", -1.0)  # this process counts as lost by now
    with pytest.raises(sqlite3.Error):
        surely(Held("go").end, "done")

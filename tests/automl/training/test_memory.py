"""Freed memory goes back when the process has grown, and only then."""

from __future__ import annotations

import numpy as np
import pytest

from automl.training import memory


def test_memory_is_given_back_after_a_growth(monkeypatch: pytest.MonkeyPatch) -> None:
    if memory._trim() is None:
        pytest.skip("no glibc here")
    calls: list[int] = []
    monkeypatch.setattr(memory, "_trim", lambda: lambda size: calls.append(size))
    monkeypatch.setattr(memory, "_after", None)
    memory.give_back()
    assert not calls
    held = np.ones(2 * memory.ENOUGH // 8)
    memory.give_back()
    assert len(calls) == 1
    memory.give_back()
    assert len(calls) == 1
    del held
    memory.give_back()
    assert len(calls) == 1


def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_trim", lambda: None)
    memory.give_back()

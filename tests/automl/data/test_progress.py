"""The progress bar: there when a step is long and someone looks, silent else."""

from __future__ import annotations

import pytest

from automl.data import progress


def test_shows_on_a_terminal_when_it_takes_long(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.0)
    with progress.Progress("reading rows", 10, show=True) as bar:
        bar.advance(10)
    assert "reading rows" in capsys.readouterr().err


def test_is_silent_when_short_or_piped(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    with progress.Progress("short", 10, show=True) as bar:
        bar.advance(10)
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.0)
    assert list(progress.track([1, 2, 3], "piped")) == [1, 2, 3]
    captured = capsys.readouterr()
    assert captured.err == captured.out == ""

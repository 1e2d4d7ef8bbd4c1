"""What a person sees while a search runs."""

from __future__ import annotations

import io
import sys
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from automl.types import Budget
from experiments.events import STAGES, Events
from experiments.notebook import Notebook, progress
from experiments.progress import Progress, clock_text, one_line, score_text
from tests.automl.examples import CONVNET, trial


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def shown(budget: Budget, *, terminal: bool = False, quiet: bool = False) -> tuple[Progress, Clock, io.StringIO]:
    out, clock = io.StringIO(), Clock()
    console = Console(file=out, force_terminal=terminal, width=200, color_system="standard" if terminal else None)
    return Progress(budget, quiet=quiet, console=console, clock=clock), clock, out


def test_without_a_terminal_each_trial_is_one_plain_line():
    progress, clock, out = shown(Budget(trials=3))
    error = "Traceback (most recent call last):\n  File x\n\x1b[31mValueError: [bold]no[/bold]\x1b[0m\n"
    with progress:
        progress.stage("search")
        for i, t in enumerate((trial(score=0.5), trial(status="failed", score=None, error=error), trial(score=0.25))):
            clock.now = 10.0 * (i + 1)
            progress.trial(t)
    lines = out.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0].split() == ["[1/3]", "0.5000", "mlp", "1.5", "s", "best", "0.5000", "(mlp)", "0:20", "left"]
    assert "failed" in lines[1]
    assert lines[1].endswith("ValueError: [bold]no[/bold]")
    assert "best 0.5000 (mlp)" in lines[2]
    assert "1 failed" in lines[2]
    assert "\x1b" not in out.getvalue()


@given(error=st.text(), family=st.sampled_from(["mlp", "a" * 30]))
def test_no_error_text_breaks_the_line(error, family):
    progress, _, out = shown(Budget())
    with progress:
        progress.stage("search")
        progress.trial(trial(status="failed", score=None, error=error))
    assert out.getvalue().count("\n") == 1
    assert out.getvalue()[:-1].isprintable()


def test_on_a_terminal_one_line_lives_and_each_new_best_stays():
    progress, clock, out = shown(Budget(trials=3, seconds=100), terminal=True)
    with progress:
        progress.stage("search")
        progress.trial(trial(score=0.5))
        clock.now = 65
        progress.trial(trial(score=0.25))
        progress.trial(trial(score=0.75, candidate=CONVNET))
    text = out.getvalue()
    assert "\x1b" in text
    assert "0:00   0.5000   mlp" in text
    assert "1:05   0.7500   convnet" in text
    assert "0.2500" not in text
    assert "3/3 trials" in text
    assert "best 0.7500 (convnet)" in text
    assert text.endswith("\x1b[?25h")  # the cursor is shown again


def test_the_display_ends_when_the_search_is_interrupted():
    progress, _, out = shown(Budget(), terminal=True)
    with pytest.raises(KeyboardInterrupt), progress:
        progress.stage("search")
        raise KeyboardInterrupt
    assert out.getvalue().endswith("\x1b[?25h")


@pytest.mark.parametrize("terminal", [True, False])
def test_quiet_shows_nothing(terminal):
    progress, _, out = shown(Budget(trials=1), terminal=terminal, quiet=True)
    with progress:
        progress.stage("search")
        progress.trial(trial())
    assert out.getvalue() == ""


def test_time_left_is_the_side_that_ends_first():
    progress, clock, _ = shown(Budget(trials=10, seconds=100))
    with progress:
        progress.stage("search")
        assert progress.seconds_left() == 100  # no pace yet
        clock.now = 2
        progress.trial(trial())
        assert progress.seconds_left() == 18
        clock.now = 3
        assert progress.seconds_left() == 17
        clock.now = 99.5
        assert progress.seconds_left() == 0.0
    unbounded, _, _ = shown(Budget())
    assert unbounded.seconds_left() is None
    assert unbounded.share() is None


def test_trials_from_before_a_kill_have_no_line_and_no_pace():
    progress, clock, out = shown(Budget(trials=10))
    with progress:
        progress.stage("search")
        for _ in range(5):
            progress.trial(trial(score=0.75), resumed=True)
        assert out.getvalue() == ""
        assert progress.seconds_left() is None
        clock.now = 3
        progress.trial(trial(score=0.5))
    assert progress.seconds_left() == 12
    assert out.getvalue().split()[0:2] == ["[", "6/10]"]
    assert "best 0.7500" in out.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_an_error_is_shown_with_its_own_sign(terminal):
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=200)
    with Progress(Budget(trials=3), console=console) as progress:
        progress.start({}, "line", "rmse")
        progress.stage("search")
        progress.trial(trial(score=-51.2))
        progress.trial(trial(score=-48.5))
    assert "48.5000" in out.getvalue() and "best 48.5000" in out.getvalue() and "-51.2" not in out.getvalue()
    assert "-48.5" not in out.getvalue()


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (7.4, "0:07"), (59.6, "1:00"), (3723, "1:02:03")])
def test_clock_text(seconds, text):
    assert clock_text(seconds) == text


def test_scores_of_small_targets_are_told_apart():
    assert [score_text(v) for v in (3.2e-5, 0.98765, 0.0, 123.4, 51234.5)] == [
        "3.2e-05", "0.9877", "0.0000", "123.4000", "51234.5"
    ]  # fmt: skip


def test_one_line_keeps_what_says_most():
    assert one_line("") == ""
    assert one_line("Traceback\n  File\nKeyError: 'x'\n\n") == "KeyError: 'x'"
    assert len(one_line("x" * 500)) == 100


def test_the_time_that_workers_need_to_start_is_not_the_budgets():
    spent = [0.0]
    progress = Progress(Budget(seconds=60), quiet=True, spent=lambda: spent[0])
    with progress:
        progress.stage("search")
        assert progress.seconds_left() == 60 and progress.share() == 0
        spent[0] = 15.0
        assert progress.seconds_left() == 45 and progress.share() == 0.25


@pytest.mark.parametrize("terminal", [True, False])
def test_each_stage_is_named_once_as_it_begins(terminal):
    progress, _, out = shown(Budget(trials=1), terminal=terminal)
    events = Events(progress)
    with progress:
        for stage in ("read", "import", "prepare", "search", "refit", "export", "refit", "export"):
            with events.during(stage):
                pass
    for words in ("reading the data ...", "checking and preparing", "training the chosen", "exporting and checking"):
        assert out.getvalue().count(words) == 1
    assert set(events.seconds) == set(STAGES)
    hidden, _, nothing = shown(Budget(trials=1), terminal=terminal, quiet=True)
    hidden.stage("read")
    assert nothing.getvalue() == ""


class Handle:
    """What a notebook shows at one place."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def update(self, html: str) -> None:
        self.shown.append(html)

    def display(self, html: str, display_id: bool) -> Handle:
        assert display_id and not self.shown, "a second display"
        self.update(html)
        return self


@pytest.fixture
def kernel(monkeypatch) -> Handle:
    """A stand-in for IPython within a kernel."""
    handle, package, display = Handle(), types.ModuleType("IPython"), types.ModuleType("IPython.display")
    package.get_ipython = lambda: types.SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    display.display, display.HTML = handle.display, str  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return handle


def test_in_a_notebook_one_display_changes(kernel, capsys):
    shown = progress(Budget(trials=3), quiet=False)
    assert isinstance(shown, Notebook)
    events = Events(shown)
    with shown, events.during("search"):
        events.start({}, "prices", "rmse")
        for t in (
            trial(0, score=-3.0),
            trial(1, score=None, status="failed", error="a <b>bad</b> one"),
            trial(2, score=-2.0),
        ):
            events.trial(t)
    assert len(kernel.shown) == 4 and "<b>searching</b>" in kernel.shown[0]
    last = kernel.shown[-1]
    assert last.index("2.0000</td>") < last.index("3.0000</td>") and ">rmse<" in last and "3 of 3 trials" in last
    assert "a &lt;b&gt;bad&lt;/b&gt; one" in last
    assert capsys.readouterr() == ("", "")


def test_a_shell_of_ipython_and_quiet_runs_get_no_table(kernel, monkeypatch):
    assert type(progress(Budget(), quiet=True)) is Progress
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: types.SimpleNamespace())
    assert type(progress(Budget(), quiet=False)) is Progress
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: None)
    assert type(progress(Budget(), quiet=False)) is Progress

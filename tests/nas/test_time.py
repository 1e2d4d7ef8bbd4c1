"""Who decides how long something takes: one file."""

import pytest

from automl.types import Budget, Input, Task
from nas import time as module
from nas.time import (
    LEAST_SEARCH,
    PLANNED,
    SEARCHED,
    SHORTEST,
    Clock,
    export_seconds,
    full_length,
    importance_seconds,
    refit_seconds,
    simple_seconds,
    training_limit,
)

TABLE = Input("table", "tabular", (3,), cardinalities=(0, 0, 0))
TEXT = Input("text", "text", (9,), vocabulary=50)


@pytest.fixture
def now(monkeypatch):
    class Now:
        at = 100.0

    monkeypatch.setattr(module.time, "monotonic", lambda: Now.at)
    return Now


def test_a_search_ends_in_time_for_what_follows_it(now):
    clock, export = Clock(200.0, began=95.0), export_seconds(5, 200.0)
    budget = clock.search_begins(Budget(trials=7, seconds=200.0, epochs=4), 5, refit=True)
    could = 195.0 - export
    assert budget == Budget(trials=7, seconds=PLANNED * could, epochs=4), "about what it will have"
    assert clock.search_begins(budget, 5, refit=False).seconds == 195.0 - export, "5 s of reading, and the export"
    now.at = 140.0
    assert (clock.elapsed, clock.left, clock.for_search) == (45.0, 155.0, 155.0 - export)
    clock.refit = 10.0  # what would be chosen takes so long to be trained once more
    assert clock.for_search == 145.0 - export
    clock.answers = 4.0  # and what it would be judged on so long to be answered
    assert clock.for_search == 141.0 - export and refit_seconds(None, clock, 5) == 151.0 - export
    clock.answers, clock.refit = 0.0, 1e9
    assert clock.for_search == pytest.approx(SEARCHED * could - 40.0), "a search has its share first"


def test_a_short_run_leaves_its_last_trainings_something_too(now):
    clock = Clock(80.0, began=85.0)  # 15 s of reading, and some 10 s of export: less than four fifths can be searched
    clock.search_begins(Budget(seconds=80.0), 5, refit=True)
    could = clock.for_search
    clock.refit = 7.0
    assert could is not None and clock.for_search == could - 7.0


@pytest.mark.parametrize("before", [0.0, 300.0, 450.0, 486.0])
def test_a_search_that_is_resumed_has_what_it_has_not_had(now, before):
    """And leaves the last trainings what an uninterrupted one does, but for reading twice."""
    clock = Clock(600.0, began=95.0)
    clock.search_begins(Budget(seconds=600.0), 5, refit=True)
    clock.before, clock.refit = before, 100.0
    left = clock.for_search
    assert left is not None and before + left == pytest.approx(600 - 5 - export_seconds(5, 600.0) - 100)
    now.at += left
    assert refit_seconds(None, clock, 5) == pytest.approx(100.0)


def test_half_of_a_budget_is_searched_whatever_else_takes_long(now):
    clock = Clock(20.0, began=70.0)  # reading took longer than all that is given
    assert clock.search_begins(Budget(seconds=20.0), 5, refit=True).seconds == LEAST_SEARCH * 20.0
    now.at = 104.0
    assert clock.for_search == LEAST_SEARCH * 20.0 - 4.0 and clock.left == -14.0
    clock.before = 20.0
    assert (clock.for_search or 0.0) <= 0, "but once"


def test_without_a_bound_nothing_ends(now):
    clock = Clock()
    budget = Budget(trials=3)
    assert clock.search_begins(budget, 5, refit=True) == budget and clock.left is None and clock.for_search is None
    assert refit_seconds(None, clock, 5) is None


def test_a_refit_has_what_the_clock_leaves_beside_the_export(now):
    clock = Clock(60.0, began=50.0)
    assert refit_seconds(None, clock, 5) == 10.0 - export_seconds(5, 60.0)
    assert refit_seconds(True, clock, 5) is None and refit_seconds(False, clock, 5) == 0.0
    now.at = 200.0
    assert refit_seconds(None, clock, 5) == 0.0


def test_a_short_run_asks_its_model_for_a_shorter_time():
    assert [importance_seconds(s) for s in (None, 1e4, 60.0, 1.0)] == [2.0, 2.0, 1.2, 0.3]
    assert [simple_seconds(s) for s in (None, 1e4, 60.0, 1.0)] == [4.0, 4.0, pytest.approx(1.8), 0.5]
    assert export_seconds(2, 1.0) == pytest.approx(export_seconds(2, None) - 1.7 - 3.5)


def test_what_workers_see_to_meanwhile_takes_no_time_of_its_own(now):
    assert export_seconds(5, 60.0, beside=True) == pytest.approx(export_seconds(5, 60.0) - simple_seconds(60.0))
    assert export_seconds(1, None, beside=True) == simple_seconds(None) + importance_seconds(None), "it is longer"
    clock = Clock(60.0, began=50.0)
    clock.beside = True
    clock.search_begins(Budget(seconds=60.0), 5, refit=True)
    assert clock.export == export_seconds(5, 60.0, beside=True)
    assert refit_seconds(None, clock, 5) == 10.0 - clock.export


@pytest.mark.parametrize(("inputs", "least"), [((TABLE,), 45), ((TEXT,), 15), ((TABLE, TEXT), 15)])
def test_how_long_a_training_is_follows_from_the_data_unless_it_is_said(inputs, least):
    task = Task("t", "binary", inputs, 2, "accuracy")
    assert full_length(task, None) == least and full_length(task, 7) == 7


@pytest.mark.parametrize(
    ("epochs", "left", "most", "expected"),
    [
        (15, 100.0, None, 50.0),  # of full length: half of the budget
        (5, 100.0, None, 100 / 6),  # its share of that
        (1, 100.0, None, 5.0),  # but no less than the least
        (15, 30.0, None, 30.0),  # what is left
        (15, 100.0, 20.0, 20.0),  # what any training may take
        (15, -3.0, None, SHORTEST),
    ],
)
def test_a_training_has_its_share_of_a_search(epochs, left, most, expected):
    assert training_limit(Budget(seconds=100.0, epochs=15), epochs, left, most) == pytest.approx(expected)


def test_a_budget_without_seconds_limits_no_training():
    assert training_limit(Budget(trials=5), 15, None) is None
    assert training_limit(Budget(trials=5), 15, None, most=3.0) == 3.0

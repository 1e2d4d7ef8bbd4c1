"""Permutation importance: functions whose answer is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from automl.data.dataset import Dataset
from automl.data.encode.encoding import Encoding
from automl.deploy import importance as module
from automl.deploy.importance import Importances, fields_of, importance
from automl.metrics import accuracy, r2

RNG = np.random.default_rng(0)
ROWS = 2000
TABLE = pd.DataFrame(RNG.normal(size=(ROWS, 5)), columns=list("abcde"))
TABLE["copy"] = TABLE["a"]
TABLE["city"] = RNG.choice(["x", "y"], ROWS)


def asked(f, table: pd.DataFrame = TABLE, target=None, seconds: float = 60.0, score=r2, **more) -> Importances:
    """Importance where the truth is what ``f`` answers, or ``target``; ``f`` takes encoded columns by raw name."""
    data = Dataset("t", table, pd.Series(np.zeros(len(table)), name="y"))
    encoding = Encoding.fit(data, np.arange(len(table)), kind="regression")
    places = encoding.encoders[0].places()  # type: ignore[attr-defined]

    def predict(inputs):
        return f({name: inputs[0][:, at[0]] for name, at in places.items()})

    inputs = encoding.transform(data)
    y = predict(inputs) if target is None else target
    return importance(predict, encoding, inputs, y, score, seconds, **more)


def test_what_is_added_up_falls_by_twice_its_share():
    """Var(w (x - x')) = 2 w² Var(x), so R² falls by twice the share of the variance that a column has."""
    found = asked(lambda x: 3 * x["b"] + 1 * x["c"])
    by_name = {f.field: f for f in found.found}
    assert [f.field for f in found.found[:2]] == ["b", "c"] and found.rows == 1000
    assert abs(by_name["b"].mean - 1.8) < 4 * by_name["b"].error < 0.5
    assert abs(by_name["c"].mean - 0.2) < 4 * by_name["c"].error < 0.1
    assert all(f.mean == f.error == 0 for f in found.found[2:]) and len(found.found) == found.fields == 7


def test_a_column_that_says_nothing_is_zero_within_its_error():
    """A model that fell for noise: it looks at it, and is no better for it."""
    target = TABLE["b"].to_numpy() + RNG.normal(size=ROWS)
    hits = []
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(ROWS)[:300]
        found = asked(lambda x: np.stack([x["b"] < 0.3 * x["d"], x["b"] > 0.3 * x["d"]], axis=1) * 1.0,
                      TABLE.iloc[order], (target[order] > 0).astype(int), score=accuracy)  # fmt: skip
        by_name = {f.field: f for f in found.found}
        assert by_name["b"].mean > 3 * by_name["b"].error > 0
        hits.append(abs(by_name["d"].mean) < 2.5 * by_name["d"].error)
    assert sum(hits) >= 4


def test_what_two_columns_do_together_is_in_both():
    found = asked(lambda x: x["b"] * x["c"])
    assert {f.field for f in found.found[:2]} == {"b", "c"}
    assert all(f.mean == pytest.approx(2, abs=4 * f.error) for f in found.found[:2]), "each alone takes all"


def test_two_copies_hide_each_other():
    """The mean of two copies: shuffling one leaves half of the value, R² falls by 2 / 4 and not by 2."""
    found = {f.field: f for f in asked(lambda x: (x["a"] + x["copy"]) / 2).found}
    for name in ("a", "copy"):
        assert found[name].mean == pytest.approx(0.5, abs=4 * found[name].error)


def test_the_error_is_smaller_with_more_rows():
    def error(rows: int) -> float:
        target = TABLE["b"].to_numpy()[:rows] + RNG.normal(size=rows)
        return next(f.error for f in asked(lambda x: x["b"], TABLE.iloc[:rows], target).found if f.field == "b")

    assert error(1000) < error(60)


@pytest.mark.parametrize(("seconds", "rows", "told"), [(24.0, 100, 7), (9.0, 100, 3), (3.0, 100, 0), (999.0, 1000, 7)])
def test_it_keeps_its_time_and_says_what_was_left(monkeypatch, seconds, rows, told):
    """A model that takes a second for any number of rows."""
    now = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])

    def slow(x):
        now[0] += 1.0
        return 2 * x["c"] + x["b"]

    found = asked(slow, seconds=seconds)
    assert now[0] - 1 <= seconds + 1, "one for the truth, and the last may begin in time"
    assert (len(found.found), found.fields, found.rows) == (told, 7, rows)
    assert not told or found.found[0].field == "c", "what fell most at first comes first"


def test_no_time_at_all_is_no_fault():
    assert asked(lambda x: x["b"], seconds=0.0) == Importances((), 100, 7)


def test_a_shuffle_is_the_same_whenever_it_is_made():
    assert asked(lambda x: x["b"] + x["c"], repeats=2) == asked(lambda x: x["b"] + x["c"], repeats=2)


def test_a_column_is_shuffled_whole_and_inputs_too():
    holes = TABLE[["a", "b"]].copy()
    holes.loc[::3, "a"] = np.nan
    data = Dataset("t", holes, pd.Series(RNG.normal(size=ROWS), name="y"),
                   arrays={"scan": RNG.integers(0, 255, (ROWS, 4, 4))}, modalities={"scan": "image"})  # fmt: skip
    encoding = Encoding.fit(data, np.arange(200), kind="regression")
    assert [f.name for f in fields_of(encoding)] == ["a", "b", "the 2 columns together", "scan"]
    inputs = encoding.transform(data, np.arange(200))
    seen = []

    def predict(given):
        seen.append(given)
        return given[0][:, 0]

    importance(predict, encoding, inputs, inputs[0][:, 0], r2, 60.0, repeats=2)
    rows = {tuple(r) for r in inputs[0][:, fields_of(encoding)[0].places]}
    changed = [g for g in seen[2:] if not np.array_equal(g[0], seen[1][0])]
    assert len(changed) == 2 * 3
    assert all({tuple(r) for r in g[0][:, fields_of(encoding)[0].places]} <= rows for g in changed)
    assert sum(not np.array_equal(g[1], seen[1][1]) for g in seen[2:]) == 2


def test_of_a_picture_alone_its_patches_are_asked():
    data = Dataset("p", pd.DataFrame(index=range(50)), pd.Series(RNG.normal(size=50), name="y"),
                   arrays={"scan": RNG.integers(0, 255, (50, 8, 8))}, modalities={"scan": "image"})  # fmt: skip
    encoding = Encoding.fit(data, np.arange(50), kind="regression")
    inputs = encoding.transform(data)
    found = importance(lambda g: g[0][:, 0, 7, 7] * 1.0, encoding, inputs, inputs[0][:, 0, 7, 7] * 1.0, r2, 60.0)
    assert found.fields == 16 and found.found[0].field == "scan, rows 7 to 8, columns 7 to 8"
    assert {f.mean for f in found.found[1:]} == {0.0}

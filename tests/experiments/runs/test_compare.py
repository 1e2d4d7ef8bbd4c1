"""Runs beside one another: what differs, and the page."""

import json
import re

import numpy as np
import pytest

from automl.errors import UserError
from experiments.runs.compare import curves, page_of, said
from experiments.runs.differences import differing
from experiments.runs.found import Run
from tests.experiments.runs.folders import TRIED, result, write_run


def test_options_that_differ_once_each():
    one = {"seed": 0, "strategy": {"_target_": "a.B", "seed": 0, "beta": 1}, "budget": {"trials": 5},
           "family": {"mlp": {"widths": [8]}, "tcn": {"depth": 2}}, "run": {"_target_": "x"}}  # fmt: skip
    other = {"seed": 1, "strategy": {"_target_": "a.C", "seed": 1, "gamma": 2}, "budget": {"trials": 7},
             "family": {"mlp": {"widths": [16]}}, "reads": ["x"], "run": {"_target_": "y"}}  # fmt: skip
    assert differing([one, other]) == {
        "seed": ["0", "1"],
        "strategy._target_": ["a.B", "a.C"],
        "budget.trials": ["5", "7"],
        "family": ["[mlp,tcn]", "[mlp]"],
        "family.mlp.widths": ["[8]", "[16]"],
    }
    assert differing([one, one]) == {}
    assert differing([{"a": 1}, {}])["a"] == ["1", "–"]


@pytest.fixture
def runs(tmp_path) -> list[Run]:
    """The second one by an error, on other data."""
    error = [t | {"score": t["score"] and 10 * t["score"]} for t in TRIED]
    for name, seed, of in (
        ("a", 0, result(interval=[0.75, 0.85], baseline={"accuracy": 0.1})),
        ("b", 1, result(val=0.95)),
        ("c", 0, result("<house>", 7.0, 8.0, "rmse", tried=error)),
    ):
        write_run(tmp_path / name, {"seed": seed}, of)
    return [Run.of(tmp_path / name) for name in "abc"]


def test_they_stand_in_columns(runs):
    text = said(runs[:2])
    rows = {line[:20].strip(): line[20:].split() for line in text.splitlines()[3:]}
    assert rows["seed"] == ["0", "1"] and rows["validation accuracy"][:2] == ["0.9000", "0.9500"]
    assert "0.7500 to 0.8500" in text and "mlp 2, convnet 1" in text
    assert "rmse" in said(runs)


def test_the_page_draws_runs_of_one_metric_over_one_another(runs):
    page = page_of(runs)
    figures = [json.loads(text) for text in re.findall(r'<script type="application/json">(.*?)</script>', page)]
    assert [[line["name"] for line in f["data"]] for f in figures] == [["run 1", "run 2"]] * 2 + [["run 3"]] * 2
    assert figures[0]["data"][0]["x"] == [1, 2, 3] and figures[0]["data"][0]["y"] == [0.7, 0.7, 0.9]
    assert figures[1]["data"][0]["x"] == [1.0, 1.5, 3.5]
    assert figures[2]["data"][0]["y"] == [7.0, 7.0, 7.0], "of an error the lowest is the best"
    assert "&lt;house&gt;" in page and "<house>" not in page


def test_a_search_in_which_nothing_worked_has_no_line():
    assert curves([("a", []), ("b", [TRIED[1]])], "accuracy", "trials") is None
    drawn = curves([("a", []), ("b", TRIED)], "accuracy", "trials")
    assert drawn is not None and np.isfinite(drawn["data"][1]["y"]).all()


def test_what_is_no_run_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"holds no result.json; give the folder of a finished run"):
        Run.of(tmp_path)

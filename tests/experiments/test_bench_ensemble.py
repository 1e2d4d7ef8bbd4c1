"""The comparison of ways to average the networks of a finished search."""

import numpy as np
import pandas as pd
import pytest

from automl.errors import UserError
from automl.types import Input, Task
from experiments.bench import ensemble
from experiments.bench._finished import Finished
from experiments.solve.python import solve
from tests.experiments.recipes import recipe


def test_a_network_that_is_right_is_chosen_and_every_way_is_scored():
    rng = np.random.default_rng(0)
    task = Task("toy", "binary", (Input("x", "tabular", (1,), cardinalities=(0,)),), 2, "accuracy")
    y = rng.integers(0, 2, 400)
    good, bad = (np.where(np.eye(2)[y] == 1, share, 1 - share) for share in (0.9, 0.2))
    found = ensemble.scores((task, [good, bad], y, [good, bad], y, ["a", "b"]))
    ways = {"best", "level", "greedy", "select"}
    assert set(found) == {*ways, *(f"begun {n}" for n in ensemble.BEGUN), *(f"size {n}" for n in ensemble.LARGER)}
    assert set(found.values()) == {1.0}
    found = ensemble.scores((task, [good, bad], y, [bad, good], y, ["a", "b"]))
    assert set(found.values()) == {0.0}, "judged on the test rows, chosen on the others"


@pytest.mark.whole
def test_a_finished_run_is_compared(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    quick = ["data=sklearn", "data.name=wine", "family=[mlp]", "engine=sequential", "metalearner=uniform"]
    short = ["strategy=random", "budget.epochs=2", "progress=false", "task.folds=0", "task.check=false"]
    solution = solve(None, seconds=None, trials=3, overrides=[*quick, *short])
    ensemble.run(recipe("ensemble", runs=[str(solution.folder)]))
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("mean  best ") and "select" in line
    with pytest.raises(UserError, match=r"holds no config.yaml"):
        ensemble.run(recipe("ensemble", runs=[str(tmp_path)]))


def test_no_way_is_decided_by_the_test_rows():
    task = Task("toy", "binary", (Input("x", "tabular", (1,), cardinalities=(0,)),), 2, "balanced_accuracy")

    def answers(y: np.ndarray, low: float, high: float) -> np.ndarray:
        p = np.where(y == 1, high, low)
        return np.stack([1 - p, p], axis=1)

    y, test_y = np.repeat([0, 1], [900, 100]), np.repeat([0, 1], 500)
    found = ensemble.scores((task, [answers(y, 0.05, 0.3)], y, [answers(test_y, 0.3, 0.6)], test_y, ["a"]))
    assert set(found.values()) == {0.5}, "what suits the validation rows takes all test rows for the rare class"


@pytest.mark.whole
def test_each_run_has_its_own_networks(tmp_path, monkeypatch):
    """Runs share a store and a folder of networks: the newest are not those of every run."""
    monkeypatch.chdir(tmp_path)
    quick = ["data=sklearn", "data.name=wine", "family=[mlp]", "engine=sequential", "metalearner=uniform"]
    short = ["strategy=random", "budget.epochs=2", "progress=false", "task.folds=0", "task.check=false"]
    runs = [
        solve(None, seconds=None, trials=2, folder=tmp_path / name, overrides=[*quick, *short, f"seed={seed}"])
        for seed, name in enumerate(("one", "two"))
    ]
    found = [Finished.of(run.folder) for run in runs]
    assert found[0].artifacts.folder != found[1].artifacts.folder and all(of.best for of in found)
    assert [{t.seed for t in of.trials} for of in found] == [{0}, {1}]


@pytest.mark.whole
def test_its_rows_are_those_of_the_run(tmp_path, monkeypatch):
    """Of many rows some are held out to calibrate on: no network learned from these, and none was judged by them."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x = rng.normal(size=7000)
    pd.DataFrame({"x": x, "y": np.where(x + rng.normal(size=7000) > 0, "a", "b")}).to_csv("many.csv", index=False)
    quick = ["data=file", "data.path=many.csv", "family=[mlp]", "engine=sequential", "metalearner=uniform"]
    short = ["strategy=random", "budget.epochs=1", "progress=false", "task.check=false"]
    of = Finished.of(solve(None, seconds=None, trials=1, overrides=[*quick, *short]).folder)
    assert of.prepared.parts.held is not None
    assert len(of.prepared.parts.valid) == len(of.artifacts.predictions(of.best[0]))

"""The comparison of ways to average the networks of a finished search."""

import numpy as np
import pytest

from automl.errors import UserError
from automl.types import Input, Task
from experiments.bench import ensemble
from experiments.solve.python import solve
from tests.experiments.recipes import recipe


def test_a_network_that_is_right_is_chosen_and_every_way_is_scored():
    rng = np.random.default_rng(0)
    task = Task("toy", "binary", (Input("x", "tabular", (1,), cardinalities=(0,)),), 2, "accuracy")
    y = rng.integers(0, 2, 400)
    good, bad = (np.where(np.eye(2)[y] == 1, share, 1 - share) for share in (0.9, 0.2))
    found = ensemble.scores((task, [good, bad], y, [good, bad], y, ["a", "b"]))
    assert set(found) == {"best", "level", "greedy", *(f"begun {n}" for n in ensemble.BEGUN), "select"}
    assert set(found.values()) == {1.0}
    found = ensemble.scores((task, [good, bad], y, [bad, good], y, ["a", "b"]))
    assert set(found.values()) == {0.0}, "judged on the test rows, chosen on the others"


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

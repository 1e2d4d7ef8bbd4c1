"""A run of which no row is held out to test, and one that ends at its goal: what they say of themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from automl.errors import UserError
from automl.types import Task
from experiments.compose import composed
from experiments.settings import settings
from experiments.solve.python import solve
from experiments.solve.result import summary
from experiments.solve.search import ending_goal
from experiments.solve.solution import Solution

QUICK = [
    *("engine=sequential", "engine.threads=1", "family=[linear]", "metalearner=uniform", "strategy=random"),
    *("budget.epochs=2", "task.folds=0", "progress=false", "task.test_share=0"),
    *("budget.stop_at_goal=true", "task.goal='accuracy >= 0.6'"),
]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 3))
TABLE = pd.DataFrame(X, columns=["a", "b", "c"]).assign(y=np.where(X[:, 0] > 0, "up", "down"))


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("run")


def run(place: Path, name: str, *more: str) -> Solution:
    own = [f"store.url=sqlite:///{place}/store.db", f"artifacts={place}/searches"]
    return solve(TABLE, "y", seconds=None, trials=4, folder=place / name, overrides=[*QUICK, *own, *more])


@pytest.fixture(scope="module")
def solution(place) -> Solution:
    return run(place, "first")


def test_everything_says_that_no_rows_were_held_out(solution):
    of = solution.result
    assert (of["data"]["test"], of["test"], of["baseline"], of["interval"]) == (0, {}, {}, None)
    assert of["calibration"]["coverage"] == {} and of["classes_on_test"] == of["mistakes"] == []
    assert of["data"]["train"] + int(of["judged_by"].split()[0]) == len(TABLE)
    said = "no test rows were held out"
    assert said in summary(solution) and said in solution._repr_html_() and "None" not in summary(solution)
    report = (solution.folder / "report.html").read_text()
    assert "No test rows were held out: this is on validation rows." in report and "could not be made" not in report
    assert ", test on" not in report and "predictions.parquet" not in report
    assert not (solution.folder / "predictions.parquet").exists()
    card = (solution.bundle / "README.md").read_text()
    assert "No test rows were held out" in card and "model-index" not in card
    assert solution.leaderboard()["test"].isna().all()
    assert solution.predict(TABLE).shape == (120,)


def test_the_search_ends_at_its_goal(solution):
    assert len(solution.result["tried"]) == 1 and solution.result["val"]["accuracy"] >= 0.6
    assert solution.result["task"]["goal_met"] is None, "validation rows chose the model: they judge no goal"
    assert "the search ended when trial 0 met the goal accuracy >= 0.6" in summary(solution)


def test_one_that_has_met_its_goal_is_resumed_without_further_trainings(solution, place, capfd):
    again = run(place, "again", "resume=true")
    assert len(again.result["tried"]) == 1
    assert "going on with search 1, which has 1 trial" in capfd.readouterr().err


def test_a_goal_that_no_training_tells_is_refused():
    few = ["data=sklearn", "family=[mlp]", "budget.stop_at_goal=true"]
    wanted = settings(composed([*few, "task.goal='megabytes <= 1'"]))
    with pytest.raises(
        UserError, match=r"judged by accuracy, task.goal is on megabytes. Leave budget.stop_at_goal out"
    ):
        ending_goal(wanted, Task("t", "binary", (), 2, "accuracy", goal="megabytes <= 1"))
    with pytest.raises(UserError, match=r"task.goal is on log_loss. Set task.metric=log_loss"):
        ending_goal(wanted, Task("t", "binary", (), 2, "accuracy", goal="log_loss <= 1"))
    with pytest.raises(UserError, match=r"budget.stop_at_goal=true needs a goal"):
        settings(composed(few))

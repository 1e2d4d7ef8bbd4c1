"""Training the chosen networks once more, on all rows that may be learned from."""

import dataclasses
import math
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from automl import metrics
from automl.data.dataset import Part, Parts
from automl.errors import UserError
from automl.training.predictor import predict
from automl.types import Budget, Candidate, Input, Task, Trial
from experiments import finish
from experiments.finish import refits, refitted
from experiments.settings import REFIT_SHARE, refit_seconds
from experiments.solve import solve

CHOICES = {"learning_rate": 0.03, "batch_size": 32}
TASK = Task("line", "binary", (Input("x", "tabular", (2,), cardinalities=(0, 0)),), 2, "accuracy")
TRIAL = Trial("line", Candidate("mlp", CHOICES), 6, 0, "ok", score=0.6, curve=(0.5, 0.6, 0.5, 0.5), seconds=2.0)


def part(seed: int, rows: int) -> Part:
    x = np.random.default_rng(seed).normal(size=(rows, 2)).astype(np.float32)
    return Part((x,), (x[:, 0] > x[:, 1]).astype(np.int64), np.arange(rows))


PARTS = Parts(part(0, 120), part(1, 40), part(2, 400))


def again(trial: Trial = TRIAL, seconds: float = math.inf, network: nn.Module | None = None):
    return refitted(network or nn.Linear(2, 2), TASK, PARTS, trial, seconds=seconds)


def test_the_network_learns_from_all_rows():
    predictor = again()
    assert predictor is not None and not predictor.training
    assert metrics.score("accuracy", "binary", PARTS.test.y, predict(predictor, PARTS.test.inputs)) > 0.9


def test_barred_rows_are_not_learned_at_last():
    wrong = dataclasses.replace(PARTS.valid, y=1 - PARTS.valid.y, rows=np.arange(200, 240))
    parts = dataclasses.replace(PARTS, valid=wrong, barred=np.arange(200, 239))
    assert parts.teaching.rows.tolist() == [*range(120), 239]
    trained = refitted(nn.Linear(2, 2), TASK, parts, dataclasses.replace(TRIAL, score=None), seconds=math.inf)
    assert trained is not None
    assert metrics.score("accuracy", "binary", PARTS.test.y, predict(trained, PARTS.test.inputs)) > 0.9


def test_what_would_take_too_long_is_not_begun():
    class Untouched(nn.Linear):
        def forward(self, input):
            raise AssertionError("was trained")

    # 2 s for 120 rows are 2.67 s for 160.
    assert again(seconds=2.6, network=Untouched(2, 2)) is None
    assert again(seconds=0.0, network=Untouched(2, 2), trial=dataclasses.replace(TRIAL, seconds=0.0)) is None
    assert again(seconds=2.7) is not None


def test_a_network_that_comes_out_worse_is_not_taken():
    assert again(dataclasses.replace(TRIAL, score=1.01)) is None


def test_a_network_that_fails_is_not_taken():
    class Broken(nn.Linear):
        def forward(self, input):
            raise RuntimeError("no")

    assert again(network=Broken(2, 2)) is None


def test_most_weight_per_second_goes_first_and_each_is_told_what_is_left(monkeypatch):
    asked = []

    def record(network, task, parts, trial, *, seconds):
        asked.append((trial.number, seconds))
        return None if trial.number == 1 else "again"

    monkeypatch.setattr(finish, "refitted", record)
    monkeypatch.setattr(finish, "network_of", lambda *_: None)
    costs = ((0, 0.5, 50.0), (1, 0.3, 1.0), (2, 0.2, 2.0))
    members = [(dataclasses.replace(TRIAL, number=n, seconds=s), w) for n, w, s in costs]
    assert refits(TASK, PARTS, {}, {}, members, 30.0) == {2: "again", 0: "again"}
    assert [number for number, _ in asked] == [1, 2, 0]
    assert all(29 < seconds <= 30 for _, seconds in asked)


def test_auto_takes_a_share_of_the_search():
    assert refit_seconds("auto", Budget(seconds=120)) == 120 * REFIT_SHARE
    assert refit_seconds("auto", Budget(trials=9)) == refit_seconds(True, Budget(seconds=1)) == math.inf
    assert refit_seconds(False, Budget(trials=9)) == 0
    with pytest.raises(UserError, match=r"^objective\.refit=yes must be auto, true or false$"):
        refit_seconds("yes", Budget())


def test_a_finished_search_can_be_made_into_another_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = part(3, 200)
    search = ["engine=sequential", "progress=false", "level=3", "metalearner=uniform", "strategy=random",
              "family=[mlp]", "budget.epochs=2", "task.check=false", "task.folds=0"]  # fmt: skip
    first = solve(frame.inputs[0], frame.y, seconds=None, trials=2, overrides=search)
    assert all(m["refit"] for m in first.result["ensemble"])
    assert "on training and validation rows together" in (first.folder / "report.html").read_text()
    later = ["resume=true", "objective.refit=false", "objective.ensemble=1"]
    second = solve(frame.inputs[0], frame.y, seconds=None, trials=2, overrides=[*search, *later])
    assert [m["refit"] for m in second.result["ensemble"]] == [False]
    assert "on training and validation rows together" not in (second.folder / "report.html").read_text()
    with sqlite3.connect(Path("outputs/store.db")) as db:
        assert db.execute("select count(*) from trials").fetchone() == (2,)

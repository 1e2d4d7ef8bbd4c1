"""Cross-validation of one network: whose predictions, which epochs, and what becomes of trouble."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from automl import metrics
from automl.data.dataset import Part
from automl.data.folds import Folds
from automl.training import folds as module
from automl.training.folds import cross_validate, pooled_curve
from automl.training.predictor import Predictor, predict
from automl.training.train import Fit, train
from automl.types import Input, Task

TASK = Task("toy", "binary", (Input("x", "tabular", (3,), cardinalities=(0,) * 3),), 2, "accuracy")
VALUES = Task("toy", "regression", (Input("x", "tabular", (3,), cardinalities=(0,) * 3),), 1, "r2")
CHOICES = {"learning_rate": 0.03, "batch_size": 8}


@pytest.fixture(autouse=True)
def few_passes(monkeypatch):
    """30 rows are seen six times in an epoch, not thirty: it is the bookkeeping that is tested here."""
    monkeypatch.setattr("automl.training.rows.EPOCH_ROWS", 200)


def rows(count: int = 30, task: Task = TASK) -> Part:
    x = np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)
    y = x[:, 0] + 5 if task.kind == "regression" else (x[:, 0] > 0)
    return Part((x,), y.astype(np.float32 if task.kind == "regression" else np.int64), np.arange(count))


def folds_of(part: Part, k: int = 3) -> Folds:
    """Row i is in fold i modulo k: no fold is a block."""
    place = np.arange(len(part)) % k
    return Folds(part, tuple((np.flatnonzero(place != i), np.flatnonzero(place == i)) for i in range(k)))


def linear(task: Task = TASK) -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(3, task.num_outputs)


def run(folds: Folds, make=linear, task: Task = TASK, **more):
    return cross_validate(
        make(), task, folds, {**CHOICES, **more.pop("choices", {})}, **{"epochs": 4, "seed": 0, **more}
    )


class Parrot(nn.Module):
    """Says of every row what its first column is: predictions show whose they are."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :1] * self.scale


def test_the_predictions_are_of_each_row_in_its_place() -> None:
    folds = folds_of(rows(task=VALUES))
    found = run(folds, Parrot, VALUES, choices={"learning_rate": 1e-9, "weight_decay": 0.0}).fit
    assert found.status == "ok" and found.predictions is not None and found.predictions.shape == (30,)
    for train_at, valid_at in folds.pairs:  # the scale is that of the fold's own training rows
        y = folds.rows.y[train_at]
        expected = folds.rows.inputs[0][valid_at, 0] * y.std() + y.mean()
        assert np.allclose(found.predictions[valid_at], expected, atol=1e-5)


def test_it_is_each_fold_trained_alone_and_one_training_on_all_rows() -> None:
    folds = folds_of(rows())
    found = run(folds)
    fit = found.fit
    assert fit.status == "ok" and not found.cut and fit.epochs == len(fit.curve) == 4
    histories = []
    for i in range(3):
        histories.append([])
        alone = train(linear(), TASK, *folds.parts(i), CHOICES, epochs=4, seed=0, history=histories[-1])
        assert len(histories[-1]) == alone.epochs == 4
    at_best = folds.pooled([h[fit.best_epoch - 1] for h in histories])
    assert fit.predictions is not None and np.allclose(fit.predictions, at_best, atol=1e-6)
    assert fit.score == max(fit.curve) == fit.curve[fit.best_epoch - 1]
    assert fit.score == metrics.score("accuracy", "binary", folds.valid.y, fit.predictions)
    last = train(linear(), TASK, folds.rows, None, CHOICES, epochs=fit.best_epoch, horizon=4, seed=0)
    assert last.state is not None and fit.state is not None
    assert all(torch.equal(last.state[name], fit.state[name]) for name in fit.state)


def test_the_weights_of_values_go_with_the_scale_of_all_rows() -> None:
    folds = folds_of(rows(60, VALUES))
    fit = run(folds, lambda: linear(VALUES), VALUES, epochs=10).fit
    assert fit.mean == pytest.approx(float(folds.rows.y.mean())) and fit.std == pytest.approx(float(folds.rows.y.std()))
    network = linear(VALUES)
    assert fit.state is not None
    network.load_state_dict(fit.state)
    said = predict(Predictor(network, VALUES, fit.mean, fit.std), folds.rows.inputs)
    assert metrics.r2(folds.rows.y, said) > 0.9 and (fit.score or 0) > 0.9


def test_the_same_seed_gives_the_same_and_another_seed_another() -> None:
    folds = folds_of(rows())
    one, same, other = (run(folds, seed=s).fit for s in (3, 3, 4))
    assert one.curve == same.curve and one.predictions is not None and same.predictions is not None
    assert np.array_equal(one.predictions, same.predictions)
    assert other.predictions is not None and not np.array_equal(one.predictions, other.predictions)


def test_the_best_epoch_is_one_for_all_folds() -> None:
    """Fold 1 is best after epoch 1, fold 2 after epoch 3 and by more: epoch 3 it is, with what fold 1 said then."""
    part = Part((np.zeros((4, 3), np.float32),), np.array([0, 0, 1, 1]), np.arange(4))
    folds = Folds(part, ((np.array([1, 2]), np.array([0, 3])), (np.array([0, 3]), np.array([1, 2]))))
    right, wrong = np.array([[0.9, 0.1], [0.1, 0.9]]), np.array([[0.1, 0.9], [0.9, 0.1]])
    half = np.array([[0.9, 0.1], [0.9, 0.1]])
    curve, best = pooled_curve(folds, TASK, [[right, half, half], [wrong, half, right]])
    assert curve == (0.5, 0.5, 0.75) and best == 3
    # A fold that stopped early stands with its last word; equal scores are told apart by log-loss.
    curve, best = pooled_curve(folds, TASK, [[right], [half, half * 0.5 + 0.25, half * 0.5 + 0.25]])
    assert curve == (0.75, 0.75, 0.75) and best == 2


class Failing(nn.Linear):
    """Gives NaN when it is trained on rows whose first column is ever above a limit."""

    limit = 0.0

    def forward(self, input: Tensor) -> Tensor:
        fails = self.training and bool((input[:, 0] > self.limit).any())
        return super().forward(input) * (torch.nan if fails else 1.0)


def test_a_failing_fold_decides_the_status() -> None:
    part = rows()
    folds = folds_of(part)
    order = np.argsort(-part.inputs[0][:, 0])
    outlier = next(i for i in range(3) if order[0] in folds.pairs[i][1])  # the fold that does not train on the highest

    def make() -> nn.Module:
        network = Failing(3, 2)
        network.limit = float(part.inputs[0][order[1], 0])
        return network

    found = run(folds, make)
    first = 1 if outlier == 0 else 0
    assert found.fit.status == "diverged" and found.fit.error.startswith(f"fold {first + 1} of 3: ")
    assert found.fit.score is None and found.fit.predictions is None and found.fit.state is None
    assert "\n" not in found.fit.error


class Counting(nn.Linear):
    """Counts how often a training begins: when it is set back to its first weights."""

    begun = 0

    def load_state_dict(self, *args: Any, **more: Any) -> Any:
        self.begun += 1
        return super().load_state_dict(*args, **more)


@pytest.mark.parametrize("task", [TASK, VALUES])
def test_a_network_that_learns_nothing_is_given_up_after_two_folds(task: Task) -> None:
    part = rows(40, task)
    folds = folds_of(part, 5)

    def fits(network: Counting, rate: float) -> tuple[Fit, int]:
        found = cross_validate(network, task, folds, {**CHOICES, "learning_rate": rate}, epochs=4, seed=0).fit
        return found, network.begun

    stuck = Counting(3, task.num_outputs)
    with torch.no_grad():  # sure of the wrong sign, and far too slow to mend it
        stuck.weight.copy_(torch.tensor([[9.0, 0, 0], [-9, 0, 0]] if task is TASK else [[-9.0, 0, 0]]))
    (poor, few), (good, all_folds) = fits(stuck, 1e-9), fits(Counting(3, task.num_outputs), 0.1)
    assert few == all_folds - 2 * 3, "each training sets the weights twice: first and best"
    assert poor.status == good.status == "ok"
    for fit in (poor, good):  # both can be ranked, put into an ensemble and exported
        assert fit.predictions is not None and len(fit.predictions) == 40 and fit.state is not None
        assert fit.score == metrics.score(task.metric, task.kind, part.y, fit.predictions)
    assert (poor.score or 0) < (good.score or 0)


def test_a_failure_on_all_rows_is_said(monkeypatch) -> None:
    def fails_at_the_end(*args, **more):
        return Fit("oom", error="planted") if args[3] is None else train(*args, **more)

    monkeypatch.setattr(module, "train", fails_at_the_end)
    fit = run(folds_of(rows())).fit
    assert (fit.status, fit.error, fit.score) == ("oom", "on all rows: planted", None) and len(fit.curve) == 4


class Slow(nn.Linear):
    def __init__(self, clock: list[float]) -> None:
        super().__init__(3, 2)
        self.clock = clock

    def forward(self, input: Tensor) -> Tensor:
        self.clock[0] += 0.02 if self.training else 0.0
        return super().forward(input)


def test_the_time_limit_is_shared_by_the_folds(clock: list[float]) -> None:
    """400 epochs of 2 or 3 steps of 20 ms would take a minute: all folds are cut, and the last training fits in."""
    found = run(
        folds_of(rows(24)), lambda: Slow(clock), epochs=400, seconds=2.5, choices={"batch_size": 8, "patience": 400}
    )
    fit = found.fit
    assert fit.status == "ok", fit.error
    assert found.cut and 1 <= fit.epochs < 60 and len(fit.curve) == fit.epochs
    assert fit.seconds < 5
    assert fit.predictions is not None and len(fit.predictions) == 24


def test_no_time_at_all_is_a_timeout() -> None:
    fit = run(folds_of(rows(24)), epochs=400, seconds=1e-9, choices={"patience": 400}).fit
    assert fit.status in ("timeout", "ok") and fit.seconds < 3


def test_time_aware_folds_judge_the_later_rows_only() -> None:
    part = rows(40)
    blocks = np.array_split(np.arange(40), 4)
    folds = Folds(part, tuple((np.concatenate(blocks[:i]), blocks[i]) for i in (1, 2, 3)))
    fit = run(folds).fit
    assert fit.status == "ok" and fit.predictions is not None and len(fit.predictions) == len(folds.valid) == 30
    assert fit.score == metrics.score("accuracy", "binary", part.y[10:], fit.predictions)

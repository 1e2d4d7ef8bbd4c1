"""What families fit before their first step keeps the time that it is given."""

from __future__ import annotations

import dataclasses
import itertools
import math
import time

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix, random_array
from sklearn.base import BaseEstimator

from automl.data.dataset import Part
from automl.models.closed_form import fits, trees
from automl.models.closed_form import linear_head as dense
from automl.models.closed_form import sparse_head as sparse
from automl.models.closed_form.linear_head import linear_head
from automl.models.closed_form.sparse_head import FEWEST, STRENGTHS, sparse_head
from automl.models.closed_form.trees import boosted
from automl.training.module import Begins, OutOfTime
from automl.training.predictor import Predictor, predict
from automl.training.train import train
from automl.types import Input, Task
from nas.evaluate import evaluate
from nas.family import build
from nas.job import Job, Order
from nas.testing.families import TASKS, axes_of, candidate_at, rows
from tests.nas.family_tasks import FAMILIES

GROWN = {"rounds": 40, "leaves": 8, "threads": 1, "max_features": 0.5, "random_state": 3}
FAR = 1e9
BEGINS = [
    (name, task.name)
    for name, family in FAMILIES.items()
    for task in TASKS.values()
    if family.supports(task) and hasattr(family.space(task), "begin")
]


@pytest.fixture(autouse=True)
def nothing_known():
    """What a test was fitted before would take no time in another."""
    fits.forget()


class Clock:
    """Every look at it is a second later, and nothing is known from before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fits.forget()
        counted = itertools.count()
        monkeypatch.setattr(time, "monotonic", lambda: float(next(counted)))


def classes(count: int, rows: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 6)).astype(np.float32)
    return x, (x @ rng.normal(size=(6, count)) + rng.gumbel(size=(rows, count))).argmax(axis=1)


def same(one, other) -> bool:
    pairs = zip(one, other, strict=True)
    return all(np.array_equal(a, b) for round, again in pairs for a, b in zip(round, again, strict=True))


class TestTrees:
    def test_stages_grow_the_trees_of_one_go(self):
        x, y = classes(3)
        whole, base = boosted(x, y, 3, **GROWN)
        staged, again = boosted(x, y, 3, **GROWN, until=time.monotonic() + 1000)
        assert len(whole) == 40 and same(whole, staged) and np.array_equal(base, again)

    def test_out_of_time_it_keeps_what_has_grown(self, monkeypatch):
        x, y = classes(2)
        whole, _ = boosted(x, y, 2, **GROWN)
        Clock(monkeypatch)
        some, _ = boosted(x, y, 2, **GROWN, until=8.0)
        assert 1 < len(some) < 40 and same(whole[: len(some)], some)
        assert len(boosted(x, y, 2, **GROWN, until=-FAR)[0]) == 1, "never none"

    def test_a_round_of_many_trees_is_not_begun_too_late(self, monkeypatch):
        x, y = classes(5)
        monkeypatch.setattr(trees, "grow", lambda *_: pytest.fail("grown"))
        with pytest.raises(OutOfTime, match="one round of 5 trees would take about"):
            boosted(x, y, 5, **GROWN, until=time.monotonic())

    def test_a_round_is_priced_as_what_it_takes(self, monkeypatch):
        """Binning takes a second, a tree a tenth: a round of 100 trees takes 11 s, and two were spent to know that."""
        at = [0.0]

        class Growing(BaseEstimator):
            def __init__(self, max_iter=1):
                self.max_iter = max_iter

            def fit(self, x, y):
                at[0] += 1.0 + 0.1 * (self.max_iter - getattr(self, "grown_", 0))
                self.grown_ = self.max_iter

        monkeypatch.setattr(time, "monotonic", lambda: at[0])
        x, y = classes(2)
        with pytest.raises(OutOfTime, match=r"about 11\.0 s, 10\.5 s are left"):
            trees.check_round(Growing(), x, y, 100, until=2.6 + 10.5)
        at[0] = 0.0
        trees.check_round(Growing(), x, y, 100, until=2.6 + 11.5)


class TestDense:
    @pytest.mark.parametrize("count", [0, 2, 4])
    def test_a_limit_that_is_far_away_changes_nothing(self, count):
        x, y = classes(max(count, 2))
        for one, other in zip(
            linear_head(x, y, count, threads=1), linear_head(x, y, count, threads=1, until=math.inf), strict=True
        ):
            np.testing.assert_array_equal(one, other)
        far = linear_head(x, y, count, threads=1, until=time.monotonic() + FAR)
        np.testing.assert_array_equal(far[0], linear_head(x, y, count, threads=1)[0])

    def test_out_of_time_it_makes_fewer_passes_and_tries_fewer_strengths(self, monkeypatch):
        x, y = classes(4)
        asked: list[int] = []
        plain = dense.solver
        monkeypatch.setattr(dense, "solver", lambda c, passes: (asked.append(passes), plain(c, passes))[1])
        linear_head(x, y, 4, threads=1)
        assert set(asked) == {dense.PASSES} and len(asked) == 1 + dense.FOLDS
        asked.clear()
        Clock(monkeypatch)
        weight, bias = linear_head(x, y, 4, threads=1, until=30.0)
        assert asked[0] == 2 and asked[-1] < dense.PASSES and len(asked) - 1 < 1 + dense.FOLDS, "the first is the probe"
        assert ((x @ weight + bias).argmax(axis=1) == y).mean() > 0.4

    @pytest.mark.parametrize("count", [0, 4])
    def test_without_any_time_it_learns_from_the_first_rows(self, count):
        x, y = classes(4, rows=2000)
        few = linear_head(x, y, count, threads=1, until=time.monotonic())
        assert all(np.isfinite(part).all() for part in few)
        assert not np.allclose(few[0], linear_head(x, y, count, threads=1)[0])


class TestSparse:
    x = csr_matrix(random_array((3000, 50), density=0.1, rng=np.random.default_rng(0)), dtype=np.float32)
    y = np.asarray(x[:, :4].argmax(axis=1)).ravel()

    def tried(self, monkeypatch, until: float) -> tuple[list[int], np.ndarray]:
        """Rows of each fit of all classes but the probe, and the weights."""
        found: list[int] = []
        plain = sparse.weights
        kept = lambda x, aim, *rest: (found.append(x.shape[0]), plain(x, aim, *rest))[1]  # noqa: E731
        monkeypatch.setattr(sparse, "weights", kept)
        weight, _ = sparse_head(self.x, self.y, 4, until=until)
        return found, weight

    def test_a_limit_that_is_far_away_changes_nothing(self, monkeypatch):
        found, weight = self.tried(monkeypatch, time.monotonic() + FAR)
        assert found == [3000] + [2400] * (len(STRENGTHS) - 1) + [3000], "one end needs no look"
        np.testing.assert_array_equal(weight, sparse_head(self.x, self.y, 4)[0])

    def test_out_of_time_one_strength_and_the_rows_not_held_out_do(self, monkeypatch):
        Clock(monkeypatch)
        found, weight = self.tried(monkeypatch, 7.0)
        assert found == [3000, 2400] and weight.any()

    def test_then_it_learns_from_fewer_rows_and_never_from_too_few(self, monkeypatch):
        Clock(monkeypatch)
        found, _ = self.tried(monkeypatch, 4.0)
        assert found[1] < 2400
        with pytest.raises(OutOfTime, match="4 linear models would take about"):
            sparse_head(self.x, self.y, 4, until=0.0)
        assert FEWEST < 3000


@pytest.mark.parametrize(("name", "of"), BEGINS)
def test_every_family_begins_with_fewer_rows_and_without_time(name, of):
    """The batches may end before ``y`` does; what is too late is told or made do with."""
    family, task = FAMILIES[name], TASKS[of]
    axes = axes_of(family, task)
    y = torch.randn(90) if task.kind == "regression" else torch.arange(90) % task.num_outputs
    batch = rows(task, 40)
    for until in (math.inf, -FAR):
        network = build(family, task, candidate_at(family, axes, 0), axes, seed=0)
        assert isinstance(network, Begins)
        try:
            with torch.no_grad():
                network.begin([batch], y, until=until)
        except OutOfTime:
            assert until < 0
        assert network.eval()(*batch).isfinite().all()


@pytest.mark.parametrize("name", ["boosted_trees", "forest", "linear"])
@pytest.mark.parametrize("count", [100, 1000])
def test_many_classes_keep_the_limit(name, count):
    x, y = classes(count, rows=2 * count)
    inputs = (Input("x", "tabular", (6,), cardinalities=(0,) * 6),)
    task = Task("many", "multiclass", inputs, count, "accuracy")
    family = FAMILIES[name]
    axes = axes_of(family, task)
    candidate = candidate_at(family, axes, 0)
    candidate = dataclasses.replace(candidate, choices={**candidate.choices, "batch_size": 256})
    part = Part((x,), y, np.arange(len(y)))
    job = Job(task, part, part, {name: family}, {name: axes}, "cpu")
    began = time.monotonic()
    outcome = evaluate(job, Order(candidate, 9, 0, seconds=1.0))
    assert outcome.status in ("ok", "timeout"), outcome.error
    assert time.monotonic() - began < 4.0, "at twice the limit and 2 s it would be killed"


@pytest.mark.parametrize(
    ("name", "of", "end"), [("linear", "numbers", -1), ("rocket", "series", 0), ("ngram_linear", "text", -1)]
)
def test_a_weight_that_all_rows_have_begins_as_none(name, of, end):
    """Noise: a head that leaves out one of ten copies at a time takes it for knowledge."""
    family, task = FAMILIES[name], TASKS[of]
    axes, rng = axes_of(family, task), np.random.default_rng(0)
    inputs = [x.numpy() for x in rows(task, 120)]
    y = rng.normal(size=120).astype(np.float32) if task.kind == "regression" else rng.integers(0, task.num_outputs, 120)
    sure = []
    for times in (1, 10):
        part = Part(
            tuple(np.repeat(x, times, axis=0) for x in inputs), np.repeat(y, times), np.repeat(np.arange(120), times)
        )
        network = build(family, task, candidate_at(family, axes, end), axes, seed=0)
        still = {"learning_rate": 1e-9, "weight_decay": 0.0}
        fit = train(network, task, part, None, still, epochs=1, seed=0, device="cpu")
        assert fit.status == "ok", fit.error
        told = predict(Predictor(network, task, fit.mean, fit.std), inputs)
        sure.append(float(told.std() if task.kind == "regression" else told.max(axis=1).mean()))
    assert sure[1] < sure[0] + 0.1

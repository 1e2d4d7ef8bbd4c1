"""Forests in a network: the trees are scikit-learn's, and a network knows the table before its first step."""

from __future__ import annotations

import copy
import dataclasses
import time
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor

from automl.data.dataset import Part
from automl.models.closed_form.fits import forget
from automl.models.closed_form.forest import Forest, forest
from automl.models.closed_form.trees import deepest
from automl.training.predictor import network_size
from automl.training.train import train
from automl.types import Candidate, Input, Limits, Task
from nas.evaluate import evaluate
from nas.families.forest import Forests, size
from nas.family import build, search_axes
from nas.job import Job, Order
from nas.testing.families import options_of

TASK = Task("table", "multiclass", (Input("table", "tabular", (4,), cardinalities=(0, 7, 0, 30)),), 3, "accuracy")
CHOICES = {"kind": "extra", "trees": 30, "leaves": 128, "smallest_leaf": 1, "columns": 1.0}
KINDS: dict[str, Any] = {
    "extra": (ExtraTreesRegressor, ExtraTreesClassifier),
    "random": (RandomForestRegressor, RandomForestClassifier),
}


def network(task: Task = TASK, **choices: Any) -> Any:
    family = Forests()
    axes = search_axes({family.name: family}, task, ())[family.name]
    return build(family, task, Candidate(family.name, CHOICES | choices), axes, seed=0)


def table(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 5)).astype(np.float32)
    return x, x[:, 0] * x[:, 1] + x[:, 2] + rng.normal(size=count) / 4


def answers(x: np.ndarray, y: np.ndarray, classes: int, new: np.ndarray, **options: Any) -> np.ndarray:
    """(rows, outputs), by the tensors."""
    asked: Any = {"kind": "extra", "trees": 12, "leaves": 40, "threads": 1, "random_state": 0} | options
    found = forest(x, y, classes, **asked)
    net = Forest(asked["trees"], asked["leaves"], max(classes, 1))
    net.fill(found)
    return net(torch.from_numpy(new)).numpy()


class TestTensors:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("classes", [0, 2, 4])
    def test_they_answer_as_scikit_learn_does(self, kind, classes):
        x, y = table(600)
        y = np.digitize(y, np.linspace(-1, 1, classes + 1)[1:-1]) if classes else y
        of = {"min_samples_leaf": 3, "max_features": 0.6}
        model = KINDS[kind][classes > 0](12, max_leaf_nodes=40, max_depth=deepest(40), random_state=0, **of).fit(x, y)
        new = table(300, seed=1)[0] * 2
        expected = model.predict_proba(new) if classes else model.predict(new)[:, None]
        np.testing.assert_allclose(answers(x, y, classes, new, kind=kind, **of), expected, rtol=1e-4, atol=1e-5)

    def test_classes_without_rows_have_no_share(self):
        x, y = table(200)
        told = answers(x, np.where(y > 0, 3, 1), 5, x)
        assert not told[:, [0, 2, 4]].any() and ((told[:, 3] > told[:, 1]) == (y > 0)).mean() > 0.95
        assert (answers(x, np.full(200, 2), 4, x) == [0, 0, 1, 0]).all()

    def test_stages_grow_the_trees_of_one_go_and_time_ends_them(self, monkeypatch):
        x, y = table(300)
        of: Any = {"kind": "random", "trees": 12, "leaves": 40, "threads": 1, "random_state": 3}
        whole, asked = forest(x, y, 0, **of), []
        forget()
        plain = RandomForestRegressor.fit
        monkeypatch.setattr(RandomForestRegressor, "fit", lambda self, *xy: asked.append(1) or plain(self, *xy))
        staged = forest(x, y, 0, **of, until=time.monotonic() + 1000)
        assert len(asked) > 1 and len(whole) == len(staged) == 12
        for one, other in zip(whole, staged, strict=True):
            np.testing.assert_array_equal(one[0], other[0])
            np.testing.assert_array_equal(one[1], other[1])
        some = forest(x, y, 0, kind="random", trees=12, leaves=40, threads=1, random_state=4, until=-1e9)
        assert len(some) == 1, "never none"
        net = Forest(12, 40, 1)
        net.fill(some)
        only = Forest(1, 40, 1)
        only.fill(some)
        torch.testing.assert_close(net(torch.from_numpy(x)), only(torch.from_numpy(x)))

    def test_a_state_of_another_size_is_taken(self):
        """What is kept are the nodes that there are: a table of few rows makes a small file."""
        x, y = table(200)
        net, other = Forest(12, 2048, 1), Forest(12, 2048, 1)
        empty = copy.deepcopy(net.state_dict())
        net.fill(forest(x, y, 0, kind="extra", trees=12, leaves=2048, threads=1, random_state=0))
        assert len(net.number) < 12 * 2 * 200 + 2
        other.load_state_dict(net.state_dict())
        told = other(torch.from_numpy(x))
        assert torch.equal(told, net(torch.from_numpy(x))) and told.unique().numel() > 50
        other.load_state_dict(empty)
        assert not other(torch.from_numpy(x)).any()


class TestBegin:
    @pytest.mark.parametrize(("kind", "outputs"), [("multiclass", 3), ("binary", 2), ("regression", 1)])
    def test_it_knows_the_table_before_its_first_step(self, kind, outputs):
        rng = np.random.default_rng(0)
        x = np.stack([rng.normal(size=3000), rng.integers(1, 7, 3000), rng.normal(size=3000),
                      rng.integers(1, 30, 3000)], 1).astype(np.float32)  # fmt: skip
        y = np.where(x[:, 0] > 0, x[:, 3] % 3, np.digitize(x[:, 2], [-0.5, 0.5])).astype(np.int64)
        y = {"multiclass": y, "binary": (y > 0).astype(np.int64), "regression": (y - y.mean()) / y.std()}[kind]
        target, seen = torch.from_numpy(y), torch.from_numpy(x)
        net = network(dataclasses.replace(TASK, kind=kind, num_outputs=outputs), leaves=512)
        with torch.no_grad():
            net.begin(((part,) for part in seen[:2000].split(300)), target[:2000])
            told = net.eval()(seen[2000:])
        assert told.shape == (1000, outputs) and told.isfinite().all()
        if outputs == 1:
            assert (told[:, 0] - target[2000:]).square().mean() < 0.3
        else:
            assert (told.argmax(1) == target[2000:]).double().mean() > 0.9
            torch.testing.assert_close(told.exp().sum(1), torch.ones(1000))


def test_wide_tables_and_many_trees_are_grown_from_fewer_rows():
    wide = dataclasses.replace(TASK, inputs=(Input("table", "tabular", (500,), cardinalities=(0,) * 500),))
    counts = [network(of, trees=trees).begin_rows for of, trees in ((TASK, 30), (wide, 30), (wide, 200))]
    assert counts[0] == 50_000 > counts[1] > counts[2] == 1_000


def test_many_classes_leave_out_what_is_too_large():
    def of(outputs: int) -> Task:
        return dataclasses.replace(TASK, num_outputs=outputs)

    assert options_of(Forests(), of(2), "trees") == (30, 100, 200)
    assert options_of(Forests(), of(60), "leaves") == (128, 512, 2048)
    names = [axis.name for axis in Forests().space(of(400)).axes()]
    assert "leaves" in names and "trees" not in names, "thirty trees are the least"
    assert Forests().supports(of(2000)) and not Forests().supports(of(3000))
    assert size(30, 128, 2000) <= Forests().megabytes < size(30, 128, 3000)


def test_its_size_is_that_of_what_has_grown():
    x, y = table(300)
    part = Part((x,), y.astype(np.float32), np.arange(300))
    of = Task("grown", "regression", (Input("table", "tabular", (5,), cardinalities=(0,) * 5),), 1, "r2")
    family = Forests()
    for most in (None, 5000):
        task = dataclasses.replace(of, limits=Limits(parameters=most))
        axes = search_axes({family.name: family}, task, ())
        job = Job(task, part, part, {family.name: family}, axes, "cpu")
        outcome = evaluate(job, Order(Candidate(family.name, CHOICES), 1, 0))
        assert outcome.parameters is not None and outcome.parameters > 5000
        if most:
            assert outcome.status == "skipped" and "the limit is 5000" in outcome.error and outcome.weights is None
        else:
            assert outcome.status == "ok" and outcome.weights is not None
            assert len(outcome.weights) > 4 * outcome.parameters


def test_a_training_tells_the_size_of_what_has_grown():
    x, y = table(300)
    part = Part((x,), y.astype(np.float32), np.arange(300))
    task = Task("grown", "regression", (Input("table", "tabular", (5,), cardinalities=(0,) * 5),), 1, "r2")
    net = network(task)
    empty = network_size(net)
    fit = train(net, task, part, part, {}, epochs=1, seed=0, device="cpu")
    assert fit.parameters == network_size(net) > empty + 5000

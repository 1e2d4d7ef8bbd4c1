"""The linear model beside the deployed one."""

from __future__ import annotations

import dataclasses
import itertools
import math
import pickle

import numpy as np
import pytest

from automl.data.dataset import Part, Parts, taken
from automl.metrics import scores
from automl.types import Input, Task
from experiments.solve import simple
from experiments.solve.simple import Simple, features
from nas.engines.sequential import SequentialEngine
from nas.job import Job

ROWS = 240


def parts_of(inputs: list[np.ndarray], y: np.ndarray) -> Parts:
    ends = (0, ROWS // 2, 3 * ROWS // 4, ROWS)
    rows = [np.arange(a, b) for a, b in itertools.pairwise(ends)]
    train, valid, test = (Part(tuple(a[r] for a in inputs), y[r], r) for r in rows)
    return Parts(train, valid, test)


def task_of(kind, inputs: tuple[Input, ...], classes: int = 0, metric: str = "accuracy") -> Task:
    names = tuple(map(str, range(classes)))
    return Task("toy", kind, inputs, classes or 1, metric, "toy", names)


def simple_model(task: Task, parts: Parts, seconds: float) -> Simple | None:
    engine = SequentialEngine()
    engine.take(Job(task, parts.train, parts.valid, {}, {}))
    return simple.simple_model(engine, task, parts, seconds)()


TOY = np.random.default_rng(0)
CLASS = TOY.integers(0, 3, ROWS)
CASES = {
    "tabular": (Input("x", "tabular", (3,), cardinalities=(0, 4, 0)),
                np.stack([TOY.normal(size=ROWS), CLASS + 1.0, TOY.normal(size=ROWS)], axis=1).astype(np.float32)),
    "image": (Input("x", "image", (3, 9, 9)),
              np.clip(TOY.normal(60 * CLASS[:, None, None, None] + 60, 20, (ROWS, 3, 9, 9)), 0, 255).astype(np.uint8)),
    "audio": (Input("x", "audio", (1, 40, 70)),
              (TOY.normal(size=(ROWS, 1, 40, 70)) + np.eye(3)[CLASS][:, None, :1, None]
               - np.eye(3)[CLASS][:, None, 1:2, None]).astype(np.float32)),
    "series": (Input("x", "series", (2, 300)),
               (TOY.normal(size=(ROWS, 2, 300)) + CLASS[:, None, None]).astype(np.float32)),
    "text": (Input("x", "text", (12,), vocabulary=5000, letters=2),
             np.concatenate([CLASS[:, None] + 7, TOY.integers(0, 5000, (ROWS, 11))], axis=1).astype(np.int32)),
}  # fmt: skip


@pytest.mark.parametrize("modality", CASES)
def test_it_learns_what_is_linear_in_every_modality(modality):
    of, array = CASES[modality]
    task = task_of("multiclass", (of,), 3)
    parts = parts_of([array], CLASS)
    made = simple_model(task, parts, 2.0)
    assert made is not None and made.name == "logistic regression" and made.rows == ROWS // 2
    assert made.features == features((of,), [array]).shape[1]
    np.testing.assert_allclose(made.test.sum(axis=1), 1, atol=1e-6)
    assert made.valid.shape == (ROWS // 4, 3) and made.weights is None
    assert scores("multiclass", parts.test.y, made.test)["accuracy"] > 0.75


def test_values_and_several_inputs():
    rng = np.random.default_rng(1)
    x, z = rng.normal(size=(ROWS, 2)).astype(np.float32), rng.normal(size=(ROWS, 1, 50)).astype(np.float32)
    y = (1e4 + 30 * x[:, 0] + 100 * z.mean(axis=(1, 2)) + rng.normal(size=ROWS)).astype(np.float32)
    task = task_of("regression", (Input("a", "tabular", (2,)), Input("b", "series", (1, 50))), metric="rmse")
    made = simple_model(task, parts_of([x, z], y), 5.0)
    assert made is not None and made.name == "ridge regression" and made.test.shape == (ROWS // 4,)
    assert scores("regression", y[3 * ROWS // 4 :], made.test)["r2"] > 0.98


def test_copies_that_stand_for_weights_are_not_told_as_rows():
    of, array = CASES["tabular"]
    parts = parts_of([array], CLASS)
    heavy = taken(parts.train, np.repeat(np.arange(len(parts.train)), 3))
    made = simple_model(task_of("multiclass", (of,), 3), dataclasses.replace(parts, train=heavy), 2.0)
    assert made is not None and made.rows == ROWS // 2


def test_rare_classes_are_decided_for_as_the_model_does():
    rng = np.random.default_rng(2)
    y = (rng.random(ROWS) < 0.1).astype(np.int64)
    x = (rng.normal(size=(ROWS, 2)) + y[:, None]).astype(np.float32)
    task = task_of("binary", (Input("x", "tabular", (2,)),), 2, "balanced_accuracy")
    made = simple_model(task, parts_of([x], y), 5.0)
    assert made is not None and made.weights is not None and made.weights[1] == 1 > made.weights[0]


def test_it_learns_from_the_training_rows_alone():
    of, array = CASES["tabular"]
    task, parts = task_of("multiclass", (of,), 3), parts_of([array], CLASS)
    other = Parts(parts.train, parts.valid, Part((parts.test.inputs[0] + 50,), parts.test.y * 0, parts.test.rows))
    one, two = simple_model(task, parts, math.inf), simple_model(task, other, math.inf)
    assert one is not None and two is not None
    np.testing.assert_array_equal(one.valid, two.valid)


def test_a_fault_of_it_costs_no_search(monkeypatch, caplog):
    def broken(*_, **__):
        raise MemoryError("no room")

    monkeypatch.setattr(simple, "linear_head", broken)
    of, array = CASES["tabular"]
    assert simple_model(task_of("multiclass", (of,), 3), parts_of([array], CLASS), 1.0) is None
    assert "MemoryError: no room" in caplog.text


def test_a_worker_fits_it_while_this_process_goes_on():
    class Aside(SequentialEngine):
        aside, asked = True, 0  # type: ignore[assignment]

        def beside(self, work):
            self.asked += 1
            made = pickle.loads(pickle.dumps(work))(self.job)  # as it is sent to another process
            return lambda: made

    of, array = CASES["tabular"]
    task, parts, engine = task_of("multiclass", (of,), 3), parts_of([array], CLASS), Aside()
    engine.take(Job(task, parts.train, parts.valid, {}, {}))
    made = simple.simple_model(engine, task, parts, math.inf)
    one, here = made(), simple_model(task, parts, math.inf)
    assert one is made() and engine.asked == 1 and one is not None and here is not None
    np.testing.assert_allclose(one.test, here.test, atol=1e-9)


def test_no_test_rows_are_no_fault():
    of, array = CASES["series"]
    parts = parts_of([array], CLASS)
    none = Part((array[:0],), CLASS[:0], np.arange(0))
    made = simple_model(task_of("multiclass", (of,), 3), Parts(parts.train, parts.valid, none), 1.0)
    assert made is not None and made.test.shape == (0, 3)

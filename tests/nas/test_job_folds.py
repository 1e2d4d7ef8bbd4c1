"""A candidate judged by folds: on the way through evaluate, job files and engines."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from safetensors.torch import load

from automl.data.folds import Folds
from automl.training.predictor import Predictor, predict
from automl.types import Budget, Candidate
from nas.engines.nni.jobfile import load_job, outcome_from_json, outcome_to_json, save_job
from nas.engines.sequential import SequentialEngine
from nas.evaluate import evaluate
from nas.family import build
from nas.job import Job, Order, Outcome
from nas.search import search
from nas.strategies.prior_band import PriorBand
from nas.testing.strategies import job, part, uniform
from tests.nas.faults import faulty_job

CANDIDATE = Candidate("toy", {"deep": "yes", "hidden": 8, "learning_rate": 0.1})


def with_folds(of: Job, rows: int = 48, k: int = 4) -> Job:
    place = np.random.default_rng(1).permutation(rows) % k
    pairs = tuple((np.flatnonzero(place != i), np.flatnonzero(place == i)) for i in range(k))
    return dataclasses.replace(of, folds=Folds(part(rows, 2), pairs))


def test_a_full_training_is_judged_by_the_folds() -> None:
    given = with_folds(job())
    found = evaluate(given, Order(CANDIDATE, 6, 0))
    assert found.status == "ok" and found.folded and found.resume is None and not found.cut
    assert found.predictions is not None and found.predictions.shape == (48, 2)
    assert given.folds is not None
    assert found.score == pytest.approx(np.mean(found.predictions.argmax(1) == given.folds.valid.y))
    assert found.score == max(found.curve) and found.epochs == len(found.curve) == 6
    # No network that predicted a row had seen it; the exported one has seen all, and says something else.
    assert found.weights is not None
    network = build(given.families["toy"], given.task, CANDIDATE, given.axes["toy"], seed=0)
    network.load_state_dict(load(found.weights))
    said = predict(Predictor(network, given.task), given.folds.valid.inputs)
    assert not np.allclose(said, found.predictions, atol=1e-3)
    assert np.mean(said.argmax(1) == given.folds.valid.y) > 0.7


def test_a_training_that_may_go_on_is_judged_by_the_validation_rows() -> None:
    short = evaluate(with_folds(job()), Order(CANDIDATE, 2, 0, keep=True))
    plain = evaluate(job(), Order(CANDIDATE, 2, 0, keep=True))
    assert not short.folded and short.curve == plain.curve and short.resume is not None
    longer = evaluate(with_folds(job()), Order(CANDIDATE, 6, 0, start=short.resume))
    assert longer.curve == evaluate(with_folds(job()), Order(CANDIDATE, 6, 0)).curve  # afresh


def test_the_same_order_gives_the_same_outcome() -> None:
    one, other = (evaluate(with_folds(job()), Order(CANDIDATE, 3, 5)) for _ in range(2))
    assert one.curve == other.curve and one.weights == other.weights


@pytest.mark.parametrize(("fault", "status"), [("raise", "failed"), ("nan", "diverged"), ("memory", "oom")])
def test_faults_keep_their_status(fault: str, status: str) -> None:
    found = evaluate(
        with_folds(faulty_job()), Order(Candidate("faulty", {"fault": fault, "learning_rate": 0.01}), 2, 0)
    )
    assert found.status == status and found.error and found.weights is None and found.predictions is None


def test_job_and_outcome_come_back_from_their_files(tmp_path) -> None:
    sent = with_folds(job(), k=5)
    save_job(sent, tmp_path)
    back = load_job(tmp_path)
    assert sent.folds is not None and back.folds is not None and len(back.folds) == 5
    for a, b in zip(sent.folds.pairs, back.folds.pairs, strict=True):
        assert np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1])
    assert np.array_equal(back.folds.rows.inputs[0], sent.folds.rows.inputs[0])
    here, there = (evaluate(of, Order(CANDIDATE, 2, 0)) for of in (sent, back))
    assert here.curve == there.curve
    again = outcome_from_json(outcome_to_json(there))
    assert again.folded and again.predictions is not None and there.predictions is not None
    assert np.array_equal(again.predictions, there.predictions)
    save_job(job(), tmp_path / "plain")
    assert load_job(tmp_path / "plain").folds is None


def test_a_search_in_rungs_uses_folds_where_trainings_are_full() -> None:
    engine = SequentialEngine(threads=1)
    seen: list[tuple[int, Outcome]] = []
    search(
        with_folds(job()),
        uniform(),
        PriorBand(seed=0),
        engine,
        Budget(trials=12, epochs=4),
        seed=0,
        finished=lambda trial, outcome: seen.append((trial.fidelity, outcome)) if outcome else None,
    )
    assert {folded for _, folded in {(f, o.folded) for f, o in seen if f == 4}} == {True}
    assert any(f < 4 for f, _ in seen) and not any(o.folded for f, o in seen if f < 4)

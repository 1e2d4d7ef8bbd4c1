"""Ray workers that crash, hang and come back."""

import dataclasses

import pytest
from nni.nas.strategy import GridSearch

from automl.errors import UserError
from automl.types import Budget, Prior, Trial
from nas.engines.ray import RayEngine
from nas.engines.sequential import SequentialEngine
from nas.search import search
from tests.nas.faults import faulty_job

STATUS = {"none": "ok", "raise": "failed", "nan": "diverged", "memory": "oom", "kill": "failed", "hang": "timeout"}


def run(engine, prior: Prior) -> list[Trial]:
    return search(faulty_job(), prior, GridSearch(shuffle=False), engine, Budget(epochs=2), seed=0)


def without(*faults: str) -> Prior:
    """Every candidate but those with these faults."""
    prior = Prior.uniform(faulty_job().axes)
    axes = tuple(
        dataclasses.replace(a, options=tuple(o for o in a.options if o not in faults)) for a in prior.axes["faulty"]
    )
    return Prior.uniform({"faulty": axes})


@pytest.mark.timeout(180)
def test_every_fault_is_a_trial_with_its_status_and_the_search_ends():
    engine = RayEngine(workers=1, trial_seconds=1.0, retries=0)
    try:
        trials = run(engine, without())
    finally:
        engine.shutdown()
    assert len(trials) == 6
    for trial in trials:
        assert trial.status == STATUS[trial.candidate.choices["fault"]], trial
        assert (trial.score is not None) == (trial.status == "ok")
        assert (trial.error == "") == (trial.status == "ok")


def test_a_cluster_that_does_not_answer_is_one_line():
    with pytest.raises(UserError, match=r"no Ray cluster answers at engine.address=127.0.0.1:1"):
        RayEngine(workers=1, address="127.0.0.1:1").warm_up()


def test_a_hanging_training_is_stopped_in_this_process_too():
    prior = without("none", "raise", "nan", "memory", "kill")
    prior = dataclasses.replace(prior, portfolio=())
    engine = SequentialEngine(trial_seconds=0.01)
    trials = search(faulty_job(), prior, GridSearch(shuffle=False), engine, Budget(trials=1, epochs=2), seed=0)
    assert [t.status for t in trials] == ["timeout"]

"""What every engine of ``conf/engine`` promises, on real trainings; a new yaml joins by itself."""

import operator

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from automl.types import Budget, Prior, Trial
from experiments import configuration
from nas.engines.base import Engine
from nas.engines.sequential import SequentialEngine
from nas.search import search
from nas.space import SearchSpace
from nas.strategies.listed import Listed
from tests.nas.faults import faulty_job

CONF = configuration.CONF / "engine"
MARKS = {"nni_service": [pytest.mark.slow], "ray": [pytest.mark.whole]}  # half a minute and ten seconds to start
NAMES = [pytest.param(file.stem, marks=MARKS.get(file.stem, [])) for file in sorted(CONF.glob("*.yaml"))]


@pytest.fixture(scope="class", params=NAMES)
def engine(request):
    if request.param == "ray":
        pytest.importorskip("ray", reason="ray is not installed")
    options = OmegaConf.load(CONF / f"{request.param}.yaml")
    if "workers" in options:
        options.workers = 1  # each takes seconds to start
    engine: Engine = instantiate(options)
    yield engine
    engine.shutdown()


def run(engine: Engine, faults: list[str], **budget) -> list[Trial]:
    job = faulty_job()
    prior = Prior.uniform(job.axes)
    wanted = [c for c in (m.candidate for m in SearchSpace(prior).grid()) if c.choices["fault"] in faults]
    return search(job, prior, Listed(wanted), engine, Budget(epochs=2, **budget), seed=0)


@pytest.mark.timeout(300)
class TestEngineContract:
    def test_a_good_candidate_comes_back_with_all_that_a_trial_holds(self, engine):
        (trial,) = run(engine, ["none"])
        assert (trial.status, trial.fidelity, trial.number, trial.error) == ("ok", 2, 0, "")
        assert trial.score == max(trial.curve) and len(trial.curve) == 2
        assert trial.seconds > 0 and trial.parameters == 10 and trial.task == "toy"

    def test_a_bad_candidate_is_a_trial_and_the_next_one_runs(self, engine):
        trials = run(engine, ["raise", "nan", "memory", "none"])
        assert {t.candidate.choices["fault"]: t.status for t in trials} == {
            "none": "ok", "raise": "failed", "nan": "diverged", "memory": "oom",
        }  # fmt: skip
        assert all(bool(t.error) == (t.status != "ok") for t in trials)

    def test_the_budget_of_trials_is_kept(self, engine):
        assert len(run(engine, ["none", "raise", "nan"], trials=2)) == 2

    def test_a_free_worker_makes_something_of_the_job(self, engine):
        run(engine, ["none"])
        name, none = (engine.beside(operator.attrgetter(of)) for of in ("task.name", "nothing"))
        assert name() == "toy"
        with pytest.raises(AttributeError, match="nothing"):
            none()

    def test_the_score_does_not_depend_on_the_engine(self, engine):
        (ours,), (reference,) = run(engine, ["none"]), run(SequentialEngine(threads=1), ["none"])
        assert (ours.score, ours.curve) == (reference.score, reference.curve)

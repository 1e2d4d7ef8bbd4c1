"""A multirun as Hydra's users know it: a value for sweepers, a summary, and no job twice."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf

from automl.errors import UserError
from experiments.compose import composed
from experiments.settings import keep_config
from experiments.sweep import finished_before, refuse_direction, to_minimise
from tests.experiments.runs.folders import result, write_run

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = ["+experiment=quickstart", "tracker=none"]


def test_lower_is_better_whatever_the_metric():
    assert to_minimise(result(val=0.9)) == -0.9
    assert to_minimise(result(val=3.5, metric="rmse")) == 3.5 and to_minimise(result(val=0.4, metric="r2")) == -0.4


@pytest.mark.parametrize("direction", ["maximize", ["minimize", "maximize"]])
def test_a_sweeper_that_would_look_for_the_worst_is_refused(direction):
    with pytest.raises(UserError, match=r"maximize looks for the worst: .* lower is better"):
        refuse_direction(OmegaConf.create({"sweeper": {"direction": direction}}))
    refuse_direction(OmegaConf.create({"sweeper": {"direction": "minimize"}}))
    refuse_direction(OmegaConf.create({"sweeper": {"max_batch_size": None}}))


def finished_job(folder: Path, seed: int, val: float) -> None:
    """As the sweep below leaves it."""
    write_run(folder, of=result(val=val, seed=seed, overrides=[*OPTIONS, f"seed={seed}"]))
    keep_config(composed([*OPTIONS, f"seed={seed}"]), folder)


def test_a_job_that_has_finished_is_known_by_its_options(tmp_path):
    finished_job(tmp_path / "0", 1, 0.9)
    same = composed([*OPTIONS, "seed=1", "resume=true", "progress=false"])
    assert finished_before(same, tmp_path / "0") == json.loads((tmp_path / "0/result.json").read_text())
    assert finished_before(same, tmp_path / "1") is None
    with pytest.raises(UserError, match=r"finished run of other options: .*seed \(1, now 2\).* Set hydra.sweep.dir"):
        finished_before(composed([*OPTIONS, "seed=2"]), tmp_path / "0")


SWEEPER = '''
import json
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore


@dataclass
class Conf:
    _target_: str = "hydra_plugins.keeper.Keeper"


class Keeper(BasicSweeper):
    """Goes through all jobs, and keeps what each returned."""

    def __init__(self):
        super().__init__(max_batch_size=None)

    def sweep(self, arguments):
        returned = super().sweep(arguments)
        Path("returned.json").write_text(json.dumps([job.return_value for job in returned[0]]))


ConfigStore.instance().store(group="hydra/sweeper", name="keeper", node=Conf, provider="keeper")
'''


@pytest.fixture
def sweep(tmp_path):
    """Calls the sweep over seeds, of which all jobs have finished."""
    for job, val in enumerate((0.9, 0.8, 0.7)):
        finished_job(tmp_path / f"sweep/{job}", job + 1, val)

    def call(*more: str) -> subprocess.CompletedProcess[str]:
        words = [*OPTIONS, "--multirun", "seed=1,2,3", "hydra.sweep.dir=sweep", *more]
        return subprocess.run(
            [sys.executable, str(ROOT / "run.py"), *words], capture_output=True, text=True, cwd=tmp_path, timeout=100,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
        )  # fmt: skip

    return call


@pytest.mark.whole
def test_a_sweeper_gets_the_values_and_finished_jobs_are_not_run_again(sweep, tmp_path):
    (tmp_path / "hydra_plugins").mkdir()
    (tmp_path / "hydra_plugins/keeper.py").write_text(SWEEPER)
    done = sweep("hydra/sweeper=keeper")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "returned.json").read_text()) == [-0.9, -0.8, -0.7]
    assert done.stdout.count("it is not run again") == 3 and "reading the data" not in done.stderr
    assert "0.8000 ± 0.1000" in done.stdout and "sweep     sweep/summary.csv, sweep/runs.html" in done.stdout
    assert pd.read_csv(tmp_path / "sweep/summary.csv").val_mean.tolist() == pytest.approx([0.8] * 3)


@pytest.mark.whole
def test_a_job_that_cannot_run_ends_the_sweep_with_what_there_is(sweep, tmp_path):
    (tmp_path / "sweep/2/result.json").unlink()
    done = sweep("task.metric=nonsense")
    assert done.returncode == 2 and "task.metric (None, now nonsense)" in done.stderr, done.stderr
    assert len(pd.read_csv(tmp_path / "sweep/summary.csv")) == 2
    assert "1 not finished: the same command with hydra.sweep.dir=sweep goes on" in done.stderr


@pytest.mark.slow
def test_optuna_finds_the_better_of_some_options(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="hydra-optuna-sweeper is not installed")
    words = ["data=sklearn", "data.name=iris", "engine=sequential", "tracker=none", "progress=false", "budget.trials=1",
             "metalearner=uniform", "strategy=random", "task.folds=0", "task.check=false", "--multirun",
             "hydra/sweeper=optuna", "hydra.sweeper.n_trials=3", "hydra.sweep.dir=sweep", "budget.epochs=1",
             "seed=choice(1,2,3)", "family=[linear]"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *words], capture_output=True, text=True, cwd=tmp_path, timeout=110
    )
    assert done.returncode == 0, done.stderr[-3000:]
    best = OmegaConf.load(tmp_path / "sweep/optimization_results.yaml")
    assert best.best_value == -pd.read_csv(tmp_path / "sweep/summary.csv").val.max()  # type: ignore[union-attr]

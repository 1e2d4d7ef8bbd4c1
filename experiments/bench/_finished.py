"""A finished run of level 3 or 4, opened again: its rows, its trials and its best networks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from torch import nn

from automl.data.prepare import Prepared, prepare
from automl.errors import UserError
from automl.store.store import Store
from automl.types import Axes, Family, Trial
from experiments.options import made, made_families, task_options
from experiments.solve.artifacts import Artifacts
from experiments.solve.networks import once_each
from nas.family import build, search_axes, wordpieces
from nas.recipe import training_axes


@dataclass(frozen=True)
class Finished:
    """``best``: the networks whose files are there, best first, each candidate once."""

    prepared: Prepared
    families: dict[str, Family]
    axes: Axes
    trials: list[Trial]
    artifacts: Artifacts
    best: list[Trial]

    @classmethod
    def of(cls, folder: Path) -> Finished:
        """Raises UserError where the run, its store or its files are gone."""
        if not (folder / "config.yaml").is_file():
            raise UserError(f"{folder} holds no config.yaml; give the folder of a finished run")
        cfg = OmegaConf.load(folder / "config.yaml")
        assert isinstance(cfg, DictConfig)
        families, asked = made_families(cfg), {**task_options(cfg), "seed": cfg.seed, "folds": 0}
        prepared = prepare(made(cfg, "data").load(), **asked, wordpieces=wordpieces(families))
        task = prepared.task
        axes = search_axes(families, task, training_axes(task))
        with Store(cfg.store.url) as store:
            trials = store.trials(search=store.searches(task=task.name)[-1].id)
        token = sorted(Path(cfg.artifacts).glob("*"), key=lambda f: f.stat().st_mtime)
        if not trials or not token:
            raise UserError(f"{folder}: its store or its artifacts are gone; run it again")
        artifacts = Artifacts(token[-1])
        return cls(prepared, families, axes, trials, artifacts, once_each(artifacts.best(trials)))

    def network(self, trial: Trial, trained: bool = True) -> nn.Module:
        """A trial's network, as it was judged or as it was before its training."""
        name = trial.candidate.family
        made = build(self.families[name], self.prepared.task, trial.candidate, self.axes[name], seed=trial.seed)
        if trained:
            made.load_state_dict(self.artifacts.weights(trial))
        return made

"""A finished run of level 3 or 4, opened again: its rows, its trials and its best networks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from torch import nn

from automl.data.prepare import Prepared
from automl.errors import UserError
from automl.store.search import folder_name
from automl.store.store import Store
from automl.types import Axes, Family, Trial
from experiments.optimise.rows import prepared_again
from experiments.options import made, made_families
from experiments.solve.artifacts import Artifacts
from experiments.solve.networks import once_each
from nas.family import build, search_axes
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
        for name in ("config.yaml", "result.json"):
            if not (folder / name).is_file():
                raise UserError(f"{folder} holds no {name}; give the folder of a finished run")
        cfg = OmegaConf.load(folder / "config.yaml")
        assert isinstance(cfg, DictConfig)
        families = made_families(cfg)
        prepared = prepared_again(cfg, made(cfg, "data").load())  # with the rows that it held out, too
        if prepared.folds is not None:
            raise UserError(f"{folder}: its networks were cross-validated; give a run of task.folds=0")
        task = prepared.task
        axes = search_axes(families, task, training_axes(task))
        spent = json.loads((folder / "result.json").read_text(encoding="utf-8"))["seconds"]
        with Store(cfg.store.url) as store:  # other runs, of the same data too, may be in it, and their files beside
            of = [s for s in store.searches(task=task.name) if s.result and s.result["seconds"] == spent]
            trials = store.trials(search=of[-1].id) if of else []
        kept = Path(of[-1].config["artifacts"]) / folder_name(of[-1].key, of[-1].id, of[-1].token) if of else None
        if not trials or kept is None or not kept.is_dir():
            raise UserError(f"{folder}: its store or its artifacts are gone; run it again")
        artifacts = Artifacts(kept)
        return cls(prepared, families, axes, trials, artifacts, once_each(artifacts.best(trials)))

    def network(self, trial: Trial, trained: bool = True) -> nn.Module:
        """A trial's network, as it was judged or as it was before its training."""
        name = trial.candidate.family
        made = build(self.families[name], self.prepared.task, trial.candidate, self.axes[name], seed=trial.seed)
        if trained:
            made.load_state_dict(self.artifacts.weights(trial))
        return made

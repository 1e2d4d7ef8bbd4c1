"""A multirun: what a job gives to a sweeper, which jobs need not run again, and that its end is told.

A sweep that was stopped goes on with the same command and ``hydra.sweep.dir`` of the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import yaml
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from automl.errors import UserError
from experiments.runs.differences import SELDOM
from experiments.runs.found import RESULT, Run
from experiments.settings import config_text


def to_minimise(result: Mapping[str, Any]) -> float:
    """The validation metric for a sweeper, lower is better: an error as it is, a score such as accuracy with a minus.

    Hydra's sweepers (optuna, nevergrad, ax) minimise unless told otherwise.
    """
    from automl.metrics import higher_is_better

    metric = result["task"]["metric"]
    value = float(result["val"][metric])
    return -value if higher_is_better(metric) else value


def refuse_direction(hydra: Any) -> None:
    """Raises UserError for a sweeper that is to maximise what is better the lower."""
    if "maximize" in str(OmegaConf.select(hydra, "sweeper.direction")):
        raise UserError(
            "hydra.sweeper.direction=maximize looks for the worst: a job returns its validation metric so that lower "
            "is better, accuracy with a minus. Leave it out, or set hydra.sweeper.direction=minimize"
        )


def finished_before(cfg: DictConfig, folder: Path) -> Mapping[str, Any] | None:
    """The result of the job in this folder, if it has finished with the same options; None: it is to run.

    Raises UserError when other options gave what is there: that would be lost.
    """
    if not (folder / RESULT).exists():
        return None
    from experiments.solve.resumed import differences

    found = Run.of(folder)
    now = yaml.load(config_text(cfg), yaml.CSafeLoader)
    before, asked = ({n: v for n, v in of.items() if n not in SELDOM} for of in (found.config, now))
    if apart := list(differences(before, asked)):
        raise UserError(
            f"{folder} holds a finished run of other options: {', '.join(apart[:4])}{', ...' if apart[4:] else ''}. "
            "Set hydra.sweep.dir to a new folder"
        )
    return found.result


class Sweep(Callback):
    """Hears of a multirun's begin, so that its end can be told, whatever ends it."""

    begun: ClassVar[Path | None] = None

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        Sweep.begun = Path(config.hydra.sweep.dir)


def tell_end() -> None:
    """Where this process began a multirun: what it gave."""
    folder, Sweep.begun = Sweep.begun, None
    if folder is not None:
        from experiments.runs.summary import tell

        tell(folder)

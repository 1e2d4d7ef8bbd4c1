"""TensorBoard: the search's scores, a curve and the choices of each trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from automl.errors import needs
from automl.types import Trial
from experiments.events import Listener
from experiments.report.words import as_metric
from experiments.trackers.optional import harmless, run_folder


class TensorBoard(Listener):
    """Writes to ``FOLDER/tensorboard``, where each trial is a run of its own, beside ``search``. folder: null takes the
    run's own. Raises UserError where the package is not installed.
    """

    def __init__(self, folder: str | None = None) -> None:
        needs("tracker=tensorboard", "tensorboard", "tensorboard")
        self.folder, self._metric, self._best = folder, "", float("-inf")
        self._at: Path | None = None

    @harmless
    def start(self, config: Mapping[str, Any], name: str, metric: str = "") -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._metric, self._at = metric, run_folder(self.folder) / "tensorboard"
        self._search = SummaryWriter(str(self._at / "search"))
        facts = "\n".join(f"    {name}: {value}" for name, value in config.get("facts", {}).items())
        self._search.add_text("facts", facts)

    @harmless
    def trial(self, trial: Trial, *, resumed: bool = False) -> None:
        from torch.utils.tensorboard import SummaryWriter

        if trial.score is None or self._at is None:
            return
        score = as_metric(self._metric, trial.score)
        self._best = max(self._best, trial.score)
        self._search.add_scalar("score", score, trial.number)
        self._search.add_scalar("best score", as_metric(self._metric, self._best), trial.number)
        self._search.add_scalar("seconds", trial.seconds, trial.number)
        with SummaryWriter(str(self._at / f"{trial.number} {trial.candidate.family}")) as own:
            for epoch, value in enumerate(trial.curve, 1):
                own.add_scalar("curve", as_metric(self._metric, value), epoch)
            choices = {"family": trial.candidate.family, **trial.candidate.choices}
            own.add_hparams(choices, {"hparam/score": score}, run_name=".")

    @harmless
    def finish(self, result: Mapping[str, Any], report_path: Path, trials: Sequence[Trial]) -> None:
        if self._at is None:
            return
        for part in ("val", "test"):
            for name, value in result[part].items():
                self._search.add_scalar(f"{part}/{name}", value)
        self._search.close()

    def seen(self) -> str:
        return "" if self._at is None else f"tensorboard --logdir {self._at}"

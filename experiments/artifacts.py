"""The best networks of a search on disk, so that a killed search can still make its ensemble.

``FOLDER/NUMBER.safetensors`` holds a trial's weights, ``FOLDER/NUMBER.npy`` its validation predictions. They are
written before the trial is committed to the store: what the store names exists.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from automl.files import write_atomically
from automl.types import Trial
from nas.evaluate import Outcome


class Artifacts:
    """Keeps the ``keep`` best; weights of the others are deleted as better ones come."""

    def __init__(self, folder: Path, keep: int = 20) -> None:
        self.folder, self.keep = folder, keep
        folder.mkdir(parents=True, exist_ok=True)
        self._scores: dict[int, float] = {}

    def remember(self, trials: Iterable[Trial]) -> None:
        """Scores of trials from before a crash whose files are there."""
        for trial in trials:
            if trial.score is not None and self._file(trial.number, "safetensors").exists():
                self._scores[trial.number] = trial.score

    def write(self, trial: Trial, outcome: Outcome) -> None:
        if trial.score is None or outcome.weights is None or outcome.predictions is None:
            return
        if len(self._scores) >= self.keep:
            worst = min(self._scores, key=lambda n: (self._scores[n], -n))
            if self._scores[worst] >= trial.score:
                return
            del self._scores[worst]
            for ending in ("safetensors", "npy"):
                self._file(worst, ending).unlink(missing_ok=True)
        write_atomically(self._file(trial.number, "safetensors"), outcome.weights)
        temporary = self._file(trial.number, "npy.part")
        with temporary.open("wb") as file:
            np.save(file, outcome.predictions, allow_pickle=False)
        temporary.replace(self._file(trial.number, "npy"))
        self._scores[trial.number] = trial.score

    def best(self, trials: Iterable[Trial]) -> list[Trial]:
        """Those whose files are there, best first; ties go to the smaller network."""
        there = [t for t in trials if t.status == "ok" and self._file(t.number, "npy").exists()]
        return sorted(there, key=lambda t: (-(t.score or 0.0), t.parameters or 0, t.number))

    def predictions(self, trial: Trial) -> np.ndarray:
        """Validation probabilities (rows, classes) or values (rows,)."""
        return np.load(self._file(trial.number, "npy"), allow_pickle=False)

    def weights(self, trial: Trial) -> dict[str, torch.Tensor]:
        return load_file(self._file(trial.number, "safetensors"))

    def _file(self, number: int, ending: str) -> Path:
        return self.folder / f"{number}.{ending}"

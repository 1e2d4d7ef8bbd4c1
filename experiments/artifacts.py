"""The best networks of a search on disk, so that a killed search can still make its ensemble.

``FOLDER/NUMBER.safetensors`` holds a trial's weights, ``FOLDER/NUMBER.npy`` its predictions for the validation rows or
``FOLDER/NUMBER.folds.npy`` those of its folds. They are written before the trial is committed to the store: what the
store names exists.
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

ENDINGS = {False: "npy", True: "folds.npy"}  # of predictions; True: of the folds


class Artifacts:
    """Keeps the ``keep`` best; weights of the others are deleted as better ones come.

    Cross-validated trials come before all others: those were judged on fewer rows, so the best of them were lucky.
    One candidate takes one place: of its trainings the best is kept, of equal ones the last.
    """

    def __init__(self, folder: Path, keep: int = 20) -> None:
        self.folder, self.keep = folder, keep
        folder.mkdir(parents=True, exist_ok=True)
        self._ranks: dict[int, tuple[bool, float]] = {}
        self._numbers: dict[str, int] = {}  # candidate -> its trial that is kept

    def remember(self, trials: Iterable[Trial]) -> None:
        """Scores of trials from before a crash whose files are there."""
        for trial in trials:
            if trial.score is not None and self._file(trial.number, "safetensors").exists():
                self._ranks[trial.number] = self.folded(trial), trial.score
                self._numbers[trial.candidate.id] = trial.number

    def write(self, trial: Trial, outcome: Outcome) -> None:
        if trial.score is None or outcome.weights is None or outcome.predictions is None:
            return
        rank = outcome.folded, trial.score
        worst = self._numbers.get(trial.candidate.id, -1)
        if worst in self._ranks and self._ranks[worst] > rank:
            return
        if worst not in self._ranks and len(self._ranks) >= self.keep:
            worst = min(self._ranks, key=lambda n: (self._ranks[n], -n))
            if self._ranks[worst] >= rank:
                return
        if worst in self._ranks:
            del self._ranks[worst]
            for ending in ("safetensors", *ENDINGS.values()):
                self._file(worst, ending).unlink(missing_ok=True)
        write_atomically(self._file(trial.number, "safetensors"), outcome.weights)
        temporary = self._file(trial.number, "npy.part")
        with temporary.open("wb") as file:
            np.save(file, outcome.predictions, allow_pickle=False)
        self._file(trial.number, ENDINGS[not outcome.folded]).unlink(missing_ok=True)  # left by a killed run
        temporary.replace(self._file(trial.number, ENDINGS[outcome.folded]))
        self._ranks[trial.number] = rank
        self._numbers[trial.candidate.id] = trial.number

    def best(self, trials: Iterable[Trial]) -> list[Trial]:
        """Those whose files are there, best first; ties go to the smaller network. All of one kind: see ``folded``."""
        ok = [t for t in trials if t.status == "ok"]
        there = [t for t in ok if self.folded(t)] or [t for t in ok if self._file(t.number, ENDINGS[False]).exists()]
        return sorted(there, key=lambda t: (-(t.score or 0.0), t.parameters or 0, t.number))

    def folded(self, trial: Trial) -> bool:
        """Whether the predictions are those of the folds, and the weights of all rows."""
        return self._file(trial.number, ENDINGS[True]).exists()

    def predictions(self, trial: Trial) -> np.ndarray:
        """Probabilities (rows, classes) or values (rows,), for the validation rows or for those of the folds."""
        return np.load(self._file(trial.number, ENDINGS[self.folded(trial)]), allow_pickle=False)

    def weights(self, trial: Trial) -> dict[str, torch.Tensor]:
        return load_file(self._file(trial.number, "safetensors"))

    def _file(self, number: int, ending: str) -> Path:
        return self.folder / f"{number}.{ending}"

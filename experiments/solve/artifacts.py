"""The best networks of a search on disk, so that a killed search can still make its ensemble.

``FOLDER/NUMBER.safetensors`` holds a trial's weights, ``FOLDER/NUMBER.npy`` its predictions for the validation rows or
``FOLDER/NUMBER.folds.npy`` those of its folds. They are written before the trial is committed to the store: what the
store names exists. The weights name their candidate: files that another search left under the number are not taken.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from automl.files import write_atomically
from automl.types import Trial
from nas.job import Outcome

KEPT = 20
"""Networks that an ensemble is chosen from. By judgement, four times its members: more take disk and time."""
ENDINGS = {False: "npy", True: "folds.npy"}  # of predictions; True: of the folds


class Artifacts:
    """Keeps the ``keep`` best; weights of the others are deleted as better ones come.

    Cross-validated trials come before all others: those were judged on fewer rows, so the best of them were lucky.
    One candidate takes one place: of its trainings the best is kept, of equal ones the last.
    """

    def __init__(self, folder: Path, keep: int = KEPT) -> None:
        self.folder, self.keep = folder, keep
        folder.mkdir(parents=True, exist_ok=True)
        self._ranks: dict[int, tuple[bool, float]] = {}
        self._numbers: dict[str, int] = {}  # candidate -> its trial that is kept

    def remember(self, trials: Iterable[Trial]) -> None:
        """Scores of trials from before a crash whose files are there."""
        for trial in trials:
            if trial.score is not None and self._is_there(trial):
                self._ranks[trial.number] = self.folded(trial), trial.score
                self._numbers[trial.candidate.id] = trial.number

    def __len__(self) -> int:
        return len(self._ranks)

    def write(self, trial: Trial, outcome: Outcome) -> None:
        """Keep what came of a trial if it is one of the best; the worst makes room once this is on the disk."""
        if trial.score is None or outcome.weights is None or outcome.predictions is None:
            return
        rank = outcome.folded, trial.score
        worst = self._numbers.get(trial.candidate.id, -1)  # its own shorter training, or else the worst of all
        if worst in self._ranks and self._ranks[worst] > rank:
            return
        if worst not in self._ranks and len(self._ranks) >= self.keep:
            worst = min(self._ranks, key=lambda n: (self._ranks[n], -n))
            if self._ranks[worst] >= rank:
                return
        # Predictions first: where the weights are, all is. What a killed run left under the number goes before.
        self._remove(trial.number)
        temporary = self._file(trial.number, "npy.part")
        with temporary.open("wb") as file:
            np.save(file, outcome.predictions, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._file(trial.number, ENDINGS[outcome.folded]))
        write_atomically(self._file(trial.number, "safetensors"), outcome.weights)
        self._ranks[trial.number] = rank
        self._numbers[trial.candidate.id] = trial.number
        if worst in self._ranks:
            del self._ranks[worst]
            self._remove(worst)

    def best(self, trials: Iterable[Trial]) -> list[Trial]:
        """Those whose files are there, best first; ties go to the smaller network. All of one kind: see ``folded``."""
        there = [t for t in trials if t.status == "ok" and self._is_there(t)]
        there = [t for t in there if self.folded(t)] or there
        return sorted(there, key=lambda t: (-(t.score or 0.0), t.parameters or 0, t.number))

    def folded(self, trial: Trial) -> bool:
        """Whether the predictions are those of the folds, and the weights of all rows."""
        return self._file(trial.number, ENDINGS[True]).exists()

    def predictions(self, trial: Trial) -> np.ndarray:
        """Probabilities (rows, classes) or values (rows,), for the validation rows or for those of the folds."""
        return np.load(self._file(trial.number, ENDINGS[self.folded(trial)]), allow_pickle=False)

    def weights(self, trial: Trial) -> dict[str, torch.Tensor]:
        return load_file(self._file(trial.number, "safetensors"))

    def packed(self, trial: Trial) -> bytes:
        """The same as ``Outcome.weights``."""
        return self._file(trial.number, "safetensors").read_bytes()

    def megabytes(self, trial: Trial) -> float:
        """What its network takes in a graph; where that was not written yet, four bytes a number."""
        size = self._said(trial, "bytes")
        return (4 * (trial.parameters or 0) if size is None else size) / 1e6

    def _is_there(self, trial: Trial) -> bool:
        file = self._file(trial.number, "safetensors")
        if not file.exists() or not any(self._file(trial.number, ending).exists() for ending in ENDINGS.values()):
            return False
        try:
            named = self._said(trial, "candidate")
        except SafetensorError:
            return False
        return named in (None, trial.candidate.id)  # None: written when weights did not name their candidate

    def _said(self, trial: Trial, what: str) -> Any:
        """By the metadata of its weights; earlier ones named the candidate alone, or nothing."""
        with safe_open(self._file(trial.number, "safetensors"), "pt") as weights:
            told = weights.metadata() or {}
        return json.loads(told["trial"]).get(what) if "trial" in told else told.get(what)

    def _remove(self, number: int) -> None:
        for ending in ("safetensors", *ENDINGS.values()):
            self._file(number, ending).unlink(missing_ok=True)

    def _file(self, number: int, ending: str) -> Path:
        return self.folder / f"{number}.{ending}"

"""Networks of a person's own earlier runs, from which later ones may start: the best of each family and task group.

A file each, beside the store: safetensors, whose metadata say what it was trained on.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from automl.files import write_atomically
from automl.serial import from_json, to_json
from automl.types import Candidate, Task


@dataclass(frozen=True)
class Kept:
    """``rows``: that it learned from. ``score``: as judged, higher is better. ``digest``: of its weights.

    ``made``: the day, UTC.
    """

    path: Path
    task: Task
    candidate: Candidate
    rows: int
    score: float
    digest: str
    made: str

    @property
    def name(self) -> str:
        """Tells it from all others, also from the one that was in its file before."""
        return f"{self.candidate.family}-{self.digest[:8]}"

    def weights(self) -> dict[str, np.ndarray]:
        return safetensors.numpy.load_file(self.path)


def keep(
    folder: Path, task: Task, candidate: Candidate, weights: Mapping[str, np.ndarray], *, rows: int, score: float
) -> bool:
    """Write it, unless the one of this family and group learned from more rows, or from as many with a better score."""
    group = hashlib.sha256(task.group.encode()).hexdigest()[:12]
    path = folder / f"{candidate.family}-{group}.safetensors"
    before = _read(path)
    if before is not None and (before.rows, before.score) >= (rows, score):
        return False
    digest = hashlib.sha256()
    for name, array in weights.items():
        digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
    told = {
        "task": to_json(task),
        "candidate": to_json(candidate),
        "rows": str(rows),
        "score": repr(float(score)),
        "digest": digest.hexdigest(),
        "made": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(path, safetensors.numpy.save(dict(weights), told))
    return True


def kept(folder: Path) -> list[Kept]:
    """All that can be read, those first that learned from most rows."""
    found = [one for path in folder.glob("[!.]*.safetensors") if (one := _read(path)) is not None]
    return sorted(found, key=lambda one: (-one.rows, one.name))


def _read(path: Path) -> Kept | None:
    try:
        with safetensors.safe_open(path, "np") as file:
            told = file.metadata() or {}
        task, candidate = from_json(Task, told["task"]), from_json(Candidate, told["candidate"])
        rows, score = int(told["rows"]), float(told["score"])
        return Kept(path, task, candidate, rows, score, told["digest"], told["made"])
    except (OSError, KeyError, ValueError, safetensors.SafetensorError):
        return None

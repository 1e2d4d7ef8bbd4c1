"""Networks of a person's own earlier runs, from which later ones may start: the best of each family and task group.

A file each, beside the store: safetensors, whose metadata say what it was trained on, and a sketch which rows it knows.
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

from automl.data.sketch import Sketch
from automl.files import write_atomically
from automl.serial import from_json, to_json
from automl.types import Candidate, Task

SKETCH = ".sketch"  # beside the weights; of a network no part begins with a dot


@dataclass(frozen=True)
class Kept:
    """``rows``: that it learned from. ``score``: as judged, higher is better. ``digest``: of its weights.

    ``made``: the day, UTC. ``sketched``: whether it is known which rows it has seen.
    """

    path: Path
    task: Task
    candidate: Candidate
    rows: int
    score: float
    digest: str
    made: str
    sketched: bool

    @property
    def name(self) -> str:
        """Tells it from all others, also from the one that was in its file before."""
        return f"{self.candidate.family}-{self.digest[:8]}"

    def weights(self) -> dict[str, np.ndarray]:
        """Raises KeyError where another network has taken its place meanwhile."""
        with safetensors.safe_open(self.path, "np") as file:
            if (file.metadata() or {})["digest"] != self.digest:
                raise KeyError(self.name)
            return {name: file.get_tensor(name) for name in file.keys() if name != SKETCH}  # noqa: SIM118

    def sketch(self) -> Sketch | None:
        """Of the rows that it learned from and those by which it was chosen; None where there is none to read."""
        try:
            with safetensors.safe_open(self.path, "np") as file:
                return Sketch.from_bytes(file.get_tensor(SKETCH).tobytes())
        except (OSError, ValueError, safetensors.SafetensorError):
            return None


def keep(
    folder: Path,
    task: Task,
    candidate: Candidate,
    weights: Mapping[str, np.ndarray],
    sketch: Sketch,
    *,
    rows: int,
    score: float,
) -> bool:
    """Write it, unless the one of this family and group learned from more rows, or from as many with a better score.

    ``sketch``: see ``Kept.sketch``; one without, of an earlier version, gives way.
    """
    group = hashlib.sha256(task.group.encode()).hexdigest()[:12]
    path = folder / f"{candidate.family}-{group}.safetensors"
    before = _read(path)
    if before is not None and before.sketched and (before.rows, before.score) >= (rows, score):
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
    known = np.frombuffer(sketch.to_bytes(), np.uint8)
    write_atomically(path, safetensors.numpy.save({**weights, SKETCH: known}, told))
    return True


def kept(folder: Path) -> list[Kept]:
    """All that can be read, those first that learned from most rows."""
    found = [one for path in folder.glob("[!.]*.safetensors") if (one := _read(path)) is not None]
    return sorted(found, key=lambda one: (-one.rows, one.name))


def _read(path: Path) -> Kept | None:
    try:
        with safetensors.safe_open(path, "np") as file:
            told, sketched = file.metadata() or {}, SKETCH in file.keys()  # noqa: SIM118
        task, candidate = from_json(Task, told["task"]), from_json(Candidate, told["candidate"])
        rows, score = int(told["rows"]), float(told["score"])
        return Kept(path, task, candidate, rows, score, told["digest"], told["made"], sketched)
    except (OSError, KeyError, ValueError, safetensors.SafetensorError):
        return None

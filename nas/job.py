"""What a worker is given, and what it gives back. Light to import: engines start before torch is there."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from automl.types import Axes, Candidate, Family, Status, Task

if TYPE_CHECKING:
    from automl.data.dataset import Part
    from automl.data.folds import Folds


@dataclass(frozen=True, eq=False)
class Job:
    """What every training of a search shares; sent to each worker once.

    ``latency``: measure every candidate's latency before it is trained; a limit on it does so too.
    ``folds``: trainings of full length are judged by these instead of by ``valid``, and learn from all their rows.
    ``barred``: rows of ``valid`` that judge, but that no last training learns from. ``answered``: how many rows what is
    deployed answers before the run ends.
    """

    task: Task
    train: Part
    valid: Part
    families: Mapping[str, Family]
    axes: Axes
    device: str = "auto"
    latency: bool = False
    folds: Folds | None = None
    barred: tuple[int, ...] = ()
    answered: int = 0

    @property
    def teaching(self) -> Part:
        """The rows of a last training."""
        from automl.data.dataset import teaching

        return teaching(self.train, self.valid, np.array(self.barred, np.int64))


@dataclass(frozen=True)
class Order:
    """One training: up to ``epochs``, within ``seconds`` of wall time (None: no limit).

    ``start``: the ``Outcome.resume`` of a shorter training of the same candidate, to go on from; None starts afresh.
    ``keep``: whether the training may be continued later, so that the outcome must hold its state.
    ``weights``: ``Outcome.weights`` of a training to so many epochs: a last one goes on, on validation rows too.
    """

    candidate: Candidate
    epochs: int
    seed: int
    seconds: float | None = None
    start: bytes | None = None
    keep: bool = False
    weights: bytes | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of an order.

    ``predictions``: probabilities (rows, classes) or values (rows,) for the rows of ``Job.valid``, or of
    ``Job.folds.valid`` when ``folded``. ``weights``: the trained network's state as safetensors bytes, with the
    candidate's id as ``candidate`` in their metadata, and what they take in a graph as ``bytes``. Both None unless ok.
    ``epochs``: really trained; ``cut``: they are fewer than asked because time was up, not because the curve was flat.
    ``latency_ms``: of one row, when it was asked for. ``row_ms``: of a row among many, once trained. ``resume``: what a
    longer training goes on from, when the order asked to keep it.
    """

    status: Status
    score: float | None = None
    curve: tuple[float, ...] = ()
    seconds: float = 0.0
    epochs: int = 0
    parameters: int | None = None
    error: str = ""
    predictions: np.ndarray | None = None
    weights: bytes | None = None
    latency_ms: float | None = None
    row_ms: float | None = None
    resume: bytes | None = None
    cut: bool = False
    folded: bool = False


def one_line(error: BaseException) -> str:
    """Type, message and the innermost place, short enough for a table."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno})" if frames else ""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}"[:400] + place

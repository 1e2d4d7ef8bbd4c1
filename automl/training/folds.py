"""Train one candidate on every fold and once on all rows: the score of the folds, the weights of all rows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from automl import metrics
from automl.data.folds import Folds
from automl.training.state import copied
from automl.training.train import Fit, train
from automl.types import Choices, Task

SPARE = 1.25  # the training on all rows keeps this many times its share of the time: the folds' epochs must fit in


@dataclass(frozen=True)
class CrossFit:
    """What cross-validation came to.

    ``fit``: ``score``, ``curve``, ``predictions`` and ``epochs`` are those of the folds together; ``state``, ``mean``
    and ``std`` those of the network trained on all rows. ``cut``: time was up before all epochs were done.
    """

    fit: Fit
    cut: bool = False


def cross_validate(
    network: nn.Module,
    task: Task,
    folds: Folds,
    choices: Choices,
    *,
    epochs: int,
    seed: int,
    seconds: float | None = None,
    device: str = "auto",
) -> CrossFit:
    """Train the network on each fold, then on all rows for as long as served the folds best.

    Each training starts from the weights that it came with (so what it remembers of rows it keeps); it is left with
    those of the last.

    The curve is the score of all folds' predictions taken together after each epoch. So the best epoch is one for all
    folds, chosen on all rows; if each fold chose its own on its few rows, the score would flatter the fickle
    candidates. A fold whose training stopped early stands for later epochs with its last predictions. The last
    training has the length of the best epoch and the schedule of the folds.

    ``seconds``: for everything; each training gets the share of its rows in what is left. A fold that was cut ends the
    curve of all there. The first training that is not ok decides the status.
    """
    began = time.monotonic()

    def left(rows: int, rest: float) -> float | None:
        if seconds is None:
            return None
        return max((began + seconds - time.monotonic()) * rows / (rows + rest), 0.1)

    def ended(fit: Fit, where: str, curve: tuple[float, ...] = ()) -> CrossFit:
        seconds, error = time.monotonic() - began, f"{where}: {fit.error}"
        return CrossFit(replace(fit, curve=curve, epochs=len(curve), seconds=seconds, error=error, resume=None))

    first = copied(network.state_dict())
    sizes = [len(rows) for rows, _ in folds.pairs]
    histories: list[list[np.ndarray]] = []
    cut = False
    for i, size in enumerate(sizes):
        rest = sum(sizes[i + 1 :]) + SPARE * len(folds.rows)
        history: list[np.ndarray] = []
        learned, judged = folds.parts(i)
        network.load_state_dict(first)
        fit = train(
            network,
            task,
            learned,
            judged,
            choices,
            epochs=epochs,
            seed=seed,
            seconds=left(size, rest),
            device=device,
            history=history,
        )
        if fit.status != "ok":
            return ended(fit, f"fold {i + 1} of {len(folds)}")
        if fit.resume is None:  # cut: what is still to come is planned for what there is time for
            cut, epochs = True, len(history)
        histories.append(history)
    curve, best = pooled_curve(folds, task, [history[:epochs] for history in histories])
    network.load_state_dict(first)
    last = train(
        network,
        task,
        folds.rows,
        None,
        choices,
        epochs=best,
        horizon=epochs,
        seed=seed,
        seconds=left(len(folds.rows), 0),
        device=device,
    )
    if last.status != "ok":
        return ended(last, "on all rows", curve)
    fit = replace(
        last,
        score=curve[best - 1],
        curve=curve,
        predictions=pooled_at(folds, histories, best),
        seconds=time.monotonic() - began,
        epochs=len(curve),
        best_epoch=best,
        resume=None,
    )
    return CrossFit(fit, cut)


def pooled_at(folds: Folds, histories: Sequence[Sequence[np.ndarray]], epoch: int) -> np.ndarray:
    """Predictions of all folds after an epoch (1 is the first), in the row order of ``folds.valid``."""
    return folds.pooled([history[min(epoch, len(history)) - 1] for history in histories])


def pooled_curve(folds: Folds, task: Task, histories: Sequence[Sequence[np.ndarray]]) -> tuple[tuple[float, ...], int]:
    """The score after each epoch, and the best epoch: among equals that of lowest log-loss or squared error."""
    y = folds.valid.y
    second = "rmse" if task.kind == "regression" else "log_loss"
    keys = []
    for epoch in range(1, max(map(len, histories)) + 1):
        predicted = pooled_at(folds, histories, epoch)
        keys.append(tuple(metrics.score(name, task.kind, y, predicted) for name in (task.metric, second)))
    return tuple(score for score, _ in keys), max(range(len(keys)), key=lambda e: keys[e]) + 1

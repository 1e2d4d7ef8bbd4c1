"""Train one candidate on every fold and once on all rows: the score of the folds, the weights of all rows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from automl import metrics
from automl.data.dataset import Part
from automl.data.folds import Folds
from automl.training.deadline import SPARE
from automl.training.state import copied
from automl.training.train import Fit, train
from automl.types import Choices, Task

TRIED = 2  # folds after which a network that learned nothing is given up: one may be bad luck


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

    A network that is no better than a constant after ``TRIED`` folds is not trained on the others: the constant stands
    for it there. So it keeps a score and weights, for half the time, should nothing else be found.

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
        even = 2 * sizes[0] > sizes[-1]  # along time the first folds have little to learn from
        if len(histories) == TRIED < len(folds) and even and hopeless(folds, task, histories):
            histories += [[constant(task, *folds.parts(j))] for j in range(TRIED, len(folds))]
            break
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
    return CrossFit(fit, cut or last.resume is None)


def pooled_at(folds: Folds, histories: Sequence[Sequence[np.ndarray]], epoch: int) -> np.ndarray:
    """Predictions of all folds after an epoch (1 is the first), in the row order of ``folds.valid``."""
    return folds.pooled([history[min(epoch, len(history)) - 1] for history in histories])


def pooled_curve(folds: Folds, task: Task, histories: Sequence[Sequence[np.ndarray]]) -> tuple[tuple[float, ...], int]:
    """The score after each epoch, and the best epoch: among equals that of lowest log-loss or squared error."""
    keys = pooled_keys(folds, task, histories)
    return tuple(score for score, _ in keys), keys.index(max(keys)) + 1


def pooled_keys(folds: Folds, task: Task, histories: Sequence[Sequence[np.ndarray]]) -> list[tuple[float, float]]:
    """What epochs are compared by: the task's score, then the negative log-loss or squared error."""
    y = folds.valid.y
    keys = []
    for epoch in range(1, max(map(len, histories)) + 1):
        predicted = pooled_at(folds, histories, epoch)
        score, second = (
            metrics.score(name, task.kind, y, predicted)
            for name in (task.metric, "rmse" if task.kind == "regression" else "log_loss")
        )
        keys.append((score, second))
    return keys


def hopeless(folds: Folds, task: Task, histories: Sequence[Sequence[np.ndarray]]) -> bool:
    """Whether the first folds' networks are no better at any epoch than the constant."""
    first = Folds(folds.rows, folds.pairs[: len(histories)])
    bar = pooled_keys(first, task, [[constant(task, *first.parts(i))] for i in range(len(first))])[0]
    return max(pooled_keys(first, task, histories)) <= bar


def constant(task: Task, train: Part, valid: Part) -> np.ndarray:
    """The training rows' shares of classes (rows, classes) or their mean (rows,), for each row of ``valid``."""
    if task.kind == "regression":
        return np.full(len(valid), train.y.mean(), np.float32)
    shares = np.bincount(train.y, minlength=task.num_outputs) / len(train)
    return np.tile(shares.astype(np.float32), (len(valid), 1))

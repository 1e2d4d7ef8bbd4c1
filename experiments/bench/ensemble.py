"""How networks of finished searches are best averaged, on rows that no choice has seen.

    level4 +experiment=bench/ensemble bench.runs=[outputs/DATE/TIME,...]

Each folder is that of a run of level 3 or 4 whose store and ``artifacts`` are still there. Its best networks are made
again, and several ways to choose an average by their predictions for the validation rows are scored on the test rows:

    best     the best single network
    level    those that the validation rows cannot tell from the best
    greedy   greedy selection that begins with the best alone (Caruana et al. 2004)
    begun N  greedy selection that begins with ``level``, counting as N rounds, whatever it gains
    select   what the program does: ``automl.training.ensemble.select``
    size N   the same with N members at most

Printed: a line per run and the means. A constant that was chosen on some runs is shown on others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
from omegaconf import DictConfig

from automl.training import ensemble
from automl.training.predictor import Predictor, predict, target_scale
from automl.types import Task
from experiments.bench import options_from
from experiments.bench._finished import Finished
from experiments.judged import judged_score

SIZE = 5
LARGER = (10, 20)
BEGUN = (5, 10, 30)
Pool = tuple[Task, list[np.ndarray], np.ndarray, list[np.ndarray], np.ndarray, list[str]]


@dataclass(frozen=True)
class Asked:
    """The options; see conf/experiment/bench/ensemble.yaml."""

    runs: list[Path]


def run(cfg: DictConfig) -> None:
    table = []
    for folder in options_from(cfg, Asked).runs:
        table.append(scores(pool_of(folder)))
        print(line(str(folder), table[-1]), flush=True)
    print(line("mean", {name: float(np.mean([row[name] for row in table])) for name in table[0]}))


def line(name: str, scores: Mapping[str, float]) -> str:
    return "  ".join([name, *(f"{way} {score:.4f}" for way, score in scores.items())])


def pool_of(folder: Path) -> Pool:
    """Task; predictions and targets of the validation rows, then of the test rows; families. Best network first."""
    finished = Finished.of(folder)
    task, parts = finished.prepared.task, finished.prepared.parts
    valid, test, names = [], [], []
    for trial in finished.best:
        predictor = Predictor(finished.network(trial), task, *target_scale(task, parts.train)).eval()
        valid.append(finished.artifacts.predictions(trial))
        test.append(predict(predictor, parts.test.inputs))
        names.append(trial.candidate.family)
    return task, valid, parts.valid.y, test, parts.test.y, names


def scores(pool: Pool) -> dict[str, float]:
    """Way to choose -> score of its average on the test rows, higher is better."""
    task, valid, y, test, test_y, names = pool
    order = list(range(len(valid)))
    alone = [1.0, *[0.0] * (len(valid) - 1)]

    def allowed(members: tuple[int, ...]) -> bool:
        return True

    def begun(base: Sequence[float], rounds: int) -> list[float]:
        with mock.patch.object(ensemble, "BEGUN", rounds):
            return ensemble.greedy(valid, y, task, order, base, size=SIZE, allowed=allowed)

    base = ensemble.level(valid, y, task, order[: ensemble.ASKED * SIZE], size=SIZE, allowed=allowed)
    ways: dict[str, Callable[[], Sequence[float]]] = {
        "best": lambda: alone,
        "level": lambda: base,
        "greedy": lambda: begun(alone, 1),
        **{f"begun {rounds}": lambda rounds=rounds: begun(base, rounds) for rounds in BEGUN},
        "select": lambda: ensemble.select(valid, y, task, families=names, size=SIZE),
        **{f"size {n}": lambda n=n: ensemble.select(valid, y, task, families=names, size=n) for n in LARGER},
    }
    weights = {name: choose() for name, choose in ways.items()}
    return {
        name: judged_score(task, test_y, ensemble.blend(test, of), y, ensemble.blend(valid, of))
        for name, of in weights.items()
    }

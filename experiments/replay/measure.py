"""What a replay found: means, intervals, and how soon the cold search is overtaken."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from experiments.bootstrap import drawn_groups

POINTS = (1, 5, 10, 25, 50, 100)
COLD = "evolution"
DRAWS = 5000


def summary(
    regrets: Mapping[str, np.ndarray], points: tuple[int, ...], seed: int = 0, group: np.ndarray | None = None
) -> dict[str, dict]:
    """Per method regret x100, 95 % interval and evaluations to the cold search's last mean.

    ``regrets``: per method (tasks, evaluations), a mean over seeds, in [0, 1]. ``group`` (tasks,): tasks of one group
    depend on each other and are drawn together; None: each for itself. The bootstrap draws the same for every method.
    A point beyond the last evaluation is the last.
    """
    draws = _draws(regrets, seed, group)
    target = regrets[COLD].mean(axis=0)[-1] if COLD in regrets else None
    found = {}
    for name, regret in regrets.items():
        at = np.array([min(p, regret.shape[1]) - 1 for p in points])
        means = np.array([regret[drawn][:, at].mean(axis=0) for drawn in draws]) * 100
        low, high = np.quantile(means, [0.025, 0.975], axis=0)
        reached = np.flatnonzero(regret.mean(axis=0) <= target) if target is not None else np.zeros(0, np.int64)
        found[name] = {
            "regret": {str(p): round(float(regret[:, i].mean() * 100), 4) for p, i in zip(points, at, strict=True)},
            "interval": {
                str(p): [round(float(a), 4), round(float(b), 4)] for p, a, b in zip(points, low, high, strict=True)
            },
            "evaluations_to_cold_100": int(reached[0]) + 1 if len(reached) else None,
        }
    return found


def paired(
    regrets: Mapping[str, np.ndarray],
    of: str,
    points: tuple[int, ...],
    seed: int = 0,
    group: np.ndarray | None = None,
) -> dict[str, dict]:
    """Regret x100 of ``of`` less that of every other method: mean and 95 % interval over the same groups drawn."""
    draws = _draws(regrets, seed, group)
    found: dict[str, dict] = {}
    for name, regret in regrets.items():
        if name == of:
            continue
        found[name] = {}
        for p in points:
            i = min(p, regret.shape[1]) - 1
            apart = (regrets[of][:, i] - regret[:, i]) * 100
            low, high = np.quantile([apart[drawn].mean() for drawn in draws], [0.025, 0.975])
            found[name][str(p)] = [round(float(x), 4) for x in (apart.mean(), low, high)]
    return found


def _draws(regrets: Mapping[str, np.ndarray], seed: int, group: np.ndarray | None) -> list[np.ndarray]:
    tasks = len(next(iter(regrets.values())))
    times = min(DRAWS, 2_000_000 // max(1, tasks))
    return list(drawn_groups(np.arange(tasks) if group is None else group, times, seed))

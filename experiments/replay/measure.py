"""What a replay found: means, intervals, and how soon the cold search is overtaken; by evaluations and by time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from experiments.bootstrap import DRAWS, drawn_groups
from experiments.replay.replay import COLD, Course

POINTS = (1, 5, 10, 25, 50, 100)
AREA = "area"


def measured(course: Course, points: tuple[int, ...]) -> dict[str, np.ndarray]:
    """What is told of each task, x100 and (tasks,): the regret after so many evaluations, and the area where seconds
    are known. A point beyond the last evaluation is the last.
    """
    last = course.regret.shape[1]
    found = {str(p): course.regret[:, min(p, last) - 1] * 100 for p in points}
    return found | ({AREA: course.area * 100} if np.isfinite(course.area).all() else {})


def summary(
    courses: Mapping[str, Course], points: tuple[int, ...], seed: int = 0, group: np.ndarray | None = None
) -> dict[str, dict]:
    """Per method the means of ``measured``, 95 % intervals and evaluations to the cold search's last mean.

    ``group`` (tasks,): tasks of one group depend on each other and are drawn together; None: each for itself. The
    bootstrap draws the same for every method.
    """
    draws = _draws(courses, seed, group)
    target = courses[COLD].regret.mean(axis=0)[-1] if COLD in courses else None
    found = {}
    for name, course in courses.items():
        of = measured(course, points)
        values = np.array(list(of.values()))
        means = np.array([values[:, drawn].mean(axis=1) for drawn in draws])
        low, high = np.quantile(means, [0.025, 0.975], axis=0)
        reached = np.flatnonzero(course.regret.mean(axis=0) <= target) if target is not None else np.zeros(0, np.int64)
        found[name] = {
            "regret": {what: round(float(value.mean()), 4) for what, value in of.items()},
            "interval": {
                what: [round(float(a), 4), round(float(b), 4)] for what, a, b in zip(of, low, high, strict=True)
            },
            "evaluations_to_cold_100": int(reached[0]) + 1 if len(reached) else None,
        }
    return found


def paired(
    courses: Mapping[str, Course],
    of: str,
    points: tuple[int, ...],
    seed: int = 0,
    group: np.ndarray | None = None,
) -> dict[str, dict]:
    """``measured`` of ``of`` less that of every other method: mean and 95 % interval over the same groups drawn."""
    draws = _draws(courses, seed, group)
    ours = measured(courses[of], points)
    found: dict[str, dict] = {}
    for name, course in courses.items():
        if name == of:
            continue
        found[name] = {}
        for what, value in measured(course, points).items():
            apart = ours[what] - value
            low, high = np.quantile([apart[drawn].mean() for drawn in draws], [0.025, 0.975])
            found[name][what] = [round(float(x), 4) for x in (apart.mean(), low, high)]
    return found


def _draws(courses: Mapping[str, Course], seed: int, group: np.ndarray | None) -> list[np.ndarray]:
    tasks = len(next(iter(courses.values())).regret)
    times = min(DRAWS, 2_000_000 // max(1, tasks))
    return list(drawn_groups(np.arange(tasks) if group is None else group, times, seed))

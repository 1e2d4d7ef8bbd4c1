"""Arms compared: area under the normalised test regret over log time, with paired bootstrap intervals over groups."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.bootstrap import DRAWS, drawn_groups
from experiments.transfer.trace import Record

AGAINST = ("practice", "habit")


def compare(records: Sequence[Record], points: Sequence[float], saturated: float, tie: float) -> dict[str, Any]:
    """Everything that is reported, as plain values.

    Regret of a task: (best - score) / (best - constant), where ``best`` is the best test score of any arm at any moment
    and ``constant`` that of an answer that looks at nothing, which is what there is before the first network. ``area``:
    its mean over log time between the first and the last of the ``points``; several seeds are brought to their mean.
    ``against``: of each arm against another: ``ratio`` of the mean areas, their ``difference``, wins, ties and losses
    by test score at each point, and ``time`` to the other's last score as a share of what the other needed (the median;
    None where half of the tasks never get there). Intervals hold 95 % of a bootstrap over groups.
    Left out are tasks on which nothing was learned that the test rows could tell (``noise``): regret is chance there.
    """
    arms = list(dict.fromkeys(r.arm for r in records))
    by_task: dict[str, list[Record]] = {}
    for record in records:
        by_task.setdefault(record.task, []).append(record)
    full = [name for name, of in by_task.items() if any(r.best >= saturated for r in of)]
    tasks = [name for name, of in by_task.items() if counts(of, saturated)]
    flat = [name for name in by_task if name not in full and name not in tasks]
    counted = {name: by_task[name] for name in tasks}
    result: dict[str, Any] = {
        "tasks": len(tasks), "arms": arms, "points": list(points), "saturated": full, "nothing_learned": flat,
    }  # fmt: skip
    if not tasks:
        return result
    groups = np.array([of[0].group for of in counted.values()])
    modality = np.array([of[0].modality for of in counted.values()])
    times = np.array([m.at for m in counted[tasks[0]][0].moments])
    curves = {arm: np.stack([curve(of, arm) for of in counted.values()]) for arm in arms}
    areas = {arm: area(times, of) for arm, of in curves.items()}
    draws = list(drawn_groups(groups, DRAWS))
    at = [int(np.argmin(np.abs(times - p))) for p in points]
    result["of"] = {
        arm: {
            "area": interval(lambda d, a=areas[arm]: a[d].mean(), draws, len(tasks)),
            "regret": {f"{p:g}": float(curves[arm][:, i].mean()) for p, i in zip(points, at, strict=True)},
            "first": float(np.median([r.first for of in counted.values() for r in of if r.arm == arm])),
            "waited": float(np.median([r.waited for of in counted.values() for r in of if r.arm == arm])),
        }
        for arm in arms
    }
    result["against"] = {
        other: {
            arm: {
                "ratio": ratio(areas[arm], areas[other], draws),
                "difference": interval(lambda d, a=areas[arm] - areas[other]: a[d].mean(), draws, len(tasks)),
                "modalities": {
                    str(m): float(areas[arm][modality == m].mean() / max(areas[other][modality == m].mean(), 1e-9))
                    for m in np.unique(modality)
                },
                "outcomes": {
                    f"{p:g}": outcomes(list(counted.values()), arm, other, i, tie)
                    for p, i in zip(points, at, strict=True)
                },
                "time": reached(curves[arm], curves[other], times, draws),
            }
            for arm in arms
            if arm != other
        }
        for other in AGAINST
        if other in arms
    }
    result["anytime"] = {
        "seconds": times.tolist(),
        "regret": {arm: curve.mean(axis=0).tolist() for arm, curve in curves.items()},
    }
    result["rows"] = [
        {
            "task": name,
            "group": of[0].group,
            "modality": of[0].modality,
            "metric": of[0].metric,
            "judging": of[0].judging,
            "constant": of[0].constant,
            "scores": {arm: [mean_of(of, arm, i) for i in at] for arm in arms},
            "areas": {arm: float(areas[arm][tasks.index(name)]) for arm in arms},
        }
        for name, of in counted.items()
    ]
    return result


def span(of: Sequence[Record]) -> tuple[float, float]:
    """Best test score of the task less that of a constant answer, and the best."""
    best = max(m.test for r in of for m in r.moments)
    return best - of[0].constant, best


def noise(of: Sequence[Record]) -> float:
    """What a share of so many judging rows is off by chance: two standard errors, at most."""
    return 1 / math.sqrt(of[0].judging)


def counts(of: Sequence[Record], saturated: float) -> bool:
    """Whether a task tells anything: it has headroom, and something was learned."""
    return max(r.best for r in of) < saturated and span(of)[0] > noise(of)


def curve(of: Sequence[Record], arm: str) -> np.ndarray:
    """Regret of an arm on one task at each moment, a mean over seeds, in [0, 1]."""
    wide, best = span(of)
    scores = np.array([[m.test for m in r.moments] for r in of if r.arm == arm])
    return np.clip((best - scores) / wide, 0, 1).mean(axis=0)


def area(times: np.ndarray, regret: np.ndarray) -> np.ndarray:
    """Mean over log time of ``regret`` (tasks, times), by trapezia: (tasks,)."""
    log = np.log(times)
    return np.trapezoid(regret, log, axis=1) / (log[-1] - log[0])


def mean_of(of: Sequence[Record], arm: str, moment: int) -> float:
    return float(np.mean([r.moments[moment].test for r in of if r.arm == arm]))


def outcomes(tasks: Sequence[Sequence[Record]], arm: str, other: str, moment: int, tie: float) -> dict[str, int]:
    """Wins, ties and losses by test score."""
    apart = np.array([mean_of(of, arm, moment) - mean_of(of, other, moment) for of in tasks])
    return {"win": int((apart > tie).sum()), "tie": int((abs(apart) <= tie).sum()), "loss": int((apart < -tie).sum())}


def reached(ours: np.ndarray, other: np.ndarray, times: np.ndarray, draws: Sequence[np.ndarray]) -> dict[str, Any]:
    """The first moment at which each is no worse than ``other`` at its end, as a share of the other's own: the median.

    What happens before the first moment counts as that.
    """
    first = [np.where((of <= other[:, -1:]).any(axis=1), times[(of <= other[:, -1:]).argmax(axis=1)], math.inf)
             for of in (ours, other)]  # fmt: skip
    share = first[0] / first[1]
    return {**interval(lambda d: np.median(share[d]), draws, len(share)), "reached": int(np.isfinite(first[0]).sum())}


def ratio(ours: np.ndarray, other: np.ndarray, draws: Sequence[np.ndarray]) -> dict[str, Any]:
    return interval(lambda d: ours[d].mean() / max(other[d].mean(), 1e-9), draws, len(ours))


def interval(of: Callable[[Any], Any], draws: Sequence[np.ndarray], count: int) -> dict[str, Any]:
    """``of`` all tasks (positions), and 95 % of what it is of those drawn; what is infinite comes back as None."""
    values = np.array([of(d) for d in draws])
    # Not interpolated: between a number and never there is nothing.
    low, high = np.quantile(np.where(np.isnan(values), math.inf, values), [0.025, 0.975], method="nearest").tolist()
    return {"value": finite(float(of(np.arange(count)))), "interval": [finite(low), finite(high)]}


def finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def spelled(of: Mapping[str, Any]) -> str:
    """A number with its interval."""

    def text(value: float | None) -> str:
        return "never" if value is None else f"{value:.2f}"

    return f"{text(of['value'])} [{text(of['interval'][0])}, {text(of['interval'][1])}]"

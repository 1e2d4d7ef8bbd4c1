"""Two searches of each task, compared: who ends higher, who gets there sooner, with bootstrap intervals over tasks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.bootstrap import drawn_groups

DRAWS = 5000
TENTH = 10


@dataclass(frozen=True)
class Event:
    """A training that ended ``at`` seconds after the search began; ``score`` None unless it went well.

    ``number``: its place in the order in which trainings began.
    """

    at: float
    family: str
    candidate: str
    fidelity: int
    score: float | None
    number: int = 0


@dataclass(frozen=True)
class Anytime:
    """What a search had at each moment; ``events`` in the order of time."""

    events: tuple[Event, ...]

    @property
    def final(self) -> float | None:
        """The best score of all."""
        return max((e.score for e in self.events if e.score is not None), default=None)

    def best(self, times: np.ndarray) -> np.ndarray:
        """The best score so far at each of the rising ``times`` in seconds, (n,); -inf before the first."""
        scores = np.array([-math.inf if e.score is None else e.score for e in self.events] or [-math.inf])
        at = np.array([e.at for e in self.events] or [math.inf])
        best = np.r_[-math.inf, np.maximum.accumulate(scores)]
        return best[np.searchsorted(at, times, side="right")]

    def reaches(self, score: float) -> float:
        """Seconds until the best so far is at least that; inf when it never is."""
        return min((e.at for e in self.events if e.score is not None and e.score >= score), default=math.inf)

    def candidates(self) -> list[float]:
        """The best score of each candidate, in the order in which they began; -inf where all failed.

        Not in the order in which they ended: of two workers the cheaper candidate is done first.
        """
        best: dict[str, float] = {}
        for e in sorted(self.events, key=lambda e: e.number):
            best[e.candidate] = max(best.get(e.candidate, -math.inf), -math.inf if e.score is None else e.score)
        return list(best.values())


@dataclass(frozen=True)
class Pair:
    """The cold search (level 3) and the warm one (level 4) of one task and seed."""

    task: str
    group: str
    seed: int
    cold: Anytime
    warm: Anytime

    def range(self) -> tuple[float, float]:
        """The 10 % quantile and the maximum of both searches' scores: the unit in which tasks are averaged."""
        scores = [e.score for search in (self.cold, self.warm) for e in search.events if e.score is not None]
        if not scores:
            return 0.0, 1.0
        low, high = float(np.quantile(scores, 0.1)), max(scores)
        return (low, high) if high > low else (high - 1.0, high)

    def scaled(self, score: float | np.ndarray | None) -> Any:
        """A score where 0 is poor and 1 the best that either search found; no score is 0."""
        low, high = self.range()
        value = np.asarray(-math.inf if score is None else score, float)
        return np.clip((value - low) / (high - low), 0.0, 1.0)


def compare(pairs: Sequence[Pair], seconds: float, tie: float) -> dict[str, Any]:
    """Everything that is reported, as plain values.

    ``final``: level 4 against level 3 at the end; ``gain`` is the mean difference in units of the task's range.
    ``time.of_level3``: level 4's time to level 3's final score, as a share of the time that level 3 itself needed;
    ``time.of_budget``: as a share of the whole time. Medians over tasks; None where half the tasks never get there.
    ``first``: level 4's first candidate against level 3's tenth, and against the best of level 3's first ten.
    Intervals hold 95 % of a bootstrap over groups of tasks: what is of one origin stays together.
    """
    grid = np.linspace(0, seconds, 61)[1:]
    tasks = sorted({p.task for p in pairs})
    of = np.array([tasks.index(p.task) for p in pairs])
    group = {tasks.index(p.task): p.group or p.task for p in pairs}
    gains = np.array([float(p.scaled(p.warm.final) - p.scaled(p.cold.final)) for p in pairs])
    outcome = [outcome_of(p, tie) for p in pairs]
    reached = [p for p in pairs if p.cold.final is not None]
    place = np.array([tasks.index(p.task) for p in reached], dtype=int)
    warm = np.array([p.warm.reaches(p.cold.final or 0.0) for p in reached])
    cold = np.array([p.cold.reaches(p.cold.final or 0.0) for p in reached])
    tenth = [(p.warm.candidates()[0], p.cold.candidates()[:TENTH]) for p in pairs if enough(p)]
    return {
        "tasks": len(tasks),
        "searches": 2 * len(pairs),
        "final": {
            **{name: outcome.count(name) for name in ("win", "tie", "loss")},
            "gain": interval(gains, of, np.mean, group=group),
            "win_share": interval(
                np.array([(o == "win") + 0.5 * (o == "tie") for o in outcome]), of, np.mean, group=group
            ),
        },
        "time": {
            "pairs": len(reached),
            "reached": int(np.isfinite(warm).sum()),
            "of_level3": interval(warm / np.maximum(cold, 1e-9), place, np.median, group=group),
            "of_budget": interval(warm / seconds, place, np.median, group=group),
        },
        "first": {
            "pairs": len(tenth),
            "beats_tenth": sum(one > ten[-1] for one, ten in tenth),
            "beats_best_of_ten": sum(one >= max(ten) for one, ten in tenth),
        },
        "anytime": {
            "seconds": grid.tolist(),
            "level3": np.mean([p.scaled(p.cold.best(grid)) for p in pairs], axis=0).tolist(),
            "level4": np.mean([p.scaled(p.warm.best(grid)) for p in pairs], axis=0).tolist(),
        },
        "pairs": [
            {
                "task": p.task,
                "group": p.group,
                "seed": p.seed,
                "level3": p.cold.final,
                "level4": p.warm.final,
                "outcome": o,
                "trials": [len(p.cold.events), len(p.warm.events)],
                "seconds_to_level3": [finite(p.cold.reaches(s)), finite(p.warm.reaches(s))]
                if (s := p.cold.final) is not None
                else [None, None],
            }
            for p, o in zip(pairs, outcome, strict=True)
        ],
    }


def enough(pair: Pair) -> bool:
    return len(pair.warm.candidates()) > 0 and len(pair.cold.candidates()) >= TENTH


def outcome_of(pair: Pair, tie: float) -> str:
    """Win, tie or loss of level 4, by the final scores in the metric's own unit."""
    warm = -math.inf if pair.warm.final is None else pair.warm.final
    cold = -math.inf if pair.cold.final is None else pair.cold.final
    if warm == cold or abs(warm - cold) <= tie:
        return "tie"
    return "win" if warm > cold else "loss"


def interval(
    values: np.ndarray,
    task: np.ndarray,
    middle: Callable[..., Any],
    seed: int = 0,
    group: Mapping[int, str] | None = None,
) -> dict[str, Any]:
    """``middle`` of the tasks' values and its 95 % bootstrap interval over groups of tasks.

    values (n,) belong to the tasks ``task`` (n,); several of one task are brought to their mean or median first.
    ``group``: task -> its group; None: each task is one. What is infinite comes back as None.
    """
    if not len(values):
        return {"value": None, "interval": [None, None]}
    there = np.unique(task)
    each = np.array([middle(values[task == t]) for t in there])
    groups = np.array([str(t) if group is None else group[t] for t in there.tolist()])
    with np.errstate(invalid="ignore"):
        samples = np.array([middle(each[drawn]) for drawn in drawn_groups(groups, DRAWS, seed)])
        value = float(middle(each))
    # Not interpolated: between a number and never there is nothing.
    low, high = np.quantile(np.where(np.isnan(samples), math.inf, samples), [0.025, 0.975], method="nearest").tolist()
    return {"value": finite(value), "interval": [finite(low), finite(high)]}


def finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None

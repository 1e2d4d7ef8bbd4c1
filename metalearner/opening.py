"""The shipped anytime portfolio: learned offline, a small file, read in milliseconds.

    level4 +experiment=knowledge knowledge.opening=metalearner/knowledge/opening.json      makes it anew

A shallow tree: modalities, then kind (classes or values, whose candidates name other losses), then at most one question
on size. Each leaf holds its list and, for each group of tasks that it was learned from, the list without that group: a
task must not be told what was found on its like (``metalearner.past.shipped``).
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from automl.errors import UserError
from automl.serial import from_json
from automl.types import Axes, Candidate, Profile, Runs, Task
from metalearner.anytime import area
from metalearner.past.file import read_tasks_and_runs
from metalearner.past.history import History
from metalearner.past.kinds import carried, carry
from metalearner.past.shipped import modalities, only
from metalearner.past.surfaces import expected_cost, regrets
from metalearner.portfolio import LIMIT, greedy
from metalearner.prior import fits

FILE = Path(str(resources.files("metalearner"))) / "knowledge" / "opening.json"
LENGTH = 24  # of each list: some of it falls outside a smaller search space; by judgement, six times ``OPENING``
# By judgement, so that a leaf is parted seldom: one that was for nothing learns from half of the tasks.
SIZES = ("log10_train_rows", "log10_values_per_row")
CUTS = (1 / 3, 1 / 2, 2 / 3)  # quantiles of a size at which a leaf may be parted
LEAST = 6  # groups of each side
SURE = 2.0  # standard errors by which a question must lower the area on groups left out: six are asked


@dataclass(frozen=True)
class Leaf:
    """``modalities``, ``values``: of its tasks. ``size``: the feature asked for, "" for none; its values lie in
    [``low``, ``high``). ``tasks``: how many it was learned from. ``order``: places in ``candidates``, best first;
    ``without``: the same learned without a group.
    """

    modalities: tuple[str, ...]
    values: bool
    size: str
    low: float
    high: float
    tasks: int
    candidates: tuple[Candidate, ...]
    order: tuple[int, ...]
    without: dict[str, tuple[int, ...]]

    def holds(self, task: Task, profile: Profile) -> bool:
        if tuple(sorted(modalities(task))) != self.modalities or (task.kind == "regression") != self.values:
            return False
        return not self.size or self.low <= profile.as_dict().get(self.size, math.nan) < self.high


@dataclass(frozen=True)
class Opening:
    """``knowledge``: digest of the file that it was learned from."""

    knowledge: str
    leaves: tuple[Leaf, ...]

    def portfolio(
        self, task: Task, profile: Profile, axes: Axes, without_groups: Collection[str]
    ) -> tuple[list[Candidate], str]:
        """Candidates inside ``axes``, best first, and a line for the report. None where the task has no leaf, or where
        more than one of the leaf's groups is not to be learned from.
        """
        leaf = next((leaf for leaf in self.leaves if leaf.holds(task, profile)), None)
        out = [] if leaf is None else [group for group in leaf.without if group in without_groups]
        if leaf is None or len(out) > 1:
            return [], ""
        order = leaf.without[out[0]] if out else leaf.order
        kind = "values" if leaf.values else "classes"
        why = (
            f"the first candidates gained most for their time on past tasks of {' and '.join(leaf.modalities)}, {kind}"
        )
        return [c for c in (leaf.candidates[i] for i in order) if fits(c, axes)], why


@functools.lru_cache(maxsize=2)
def read_opening(file: Path = FILE) -> Opening:
    """Raises UserError for a file that holds none; no file is an empty one."""
    if not file.is_file():
        return Opening("", ())
    try:
        return from_json(Opening, file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is no opening: {error}. Write one with knowledge.opening=FILE") from None


# --- learning it


def learn_opening(knowledge: Path) -> Opening:
    """From a knowledge file; takes some seconds."""
    tasks, runs = read_tasks_and_runs(knowledge)
    digest = hashlib.sha256(knowledge.read_bytes()).hexdigest()[:16]
    kinds = dict.fromkeys((tuple(sorted(modalities(t))), values) for t in tasks for values in (False, True))
    leaves = [leaf for of, values in kinds for leaf in _leaves(tasks, runs, of, values)]
    return Opening(digest, tuple(leaves))


@dataclass(frozen=True)
class Past:
    """What a leaf is learned from. ``groups``: per task. ``ran``: bool (tasks, candidates). ``cost``: (candidates,),
    in usual trainings. ``size``: (tasks, SIZES).
    """

    candidates: tuple[Candidate, ...]
    groups: np.ndarray
    regret: np.ndarray
    ran: np.ndarray
    cost: np.ndarray
    size: np.ndarray

    def order(self, some: np.ndarray) -> np.ndarray:
        """The list learned from these tasks."""
        seen = np.flatnonzero(self.ran[some].any(axis=0))
        return seen[greedy(self.regret[np.ix_(some, seen)], LENGTH, self.cost[seen])]

    def areas(self, some: np.ndarray) -> np.ndarray:
        """Of each of these tasks, by the list that was learned from the other groups among them, (tasks,)."""
        found = np.ones(len(some))
        for group in np.unique(self.groups[some]):
            mine = self.groups[some] == group
            if mine.all():
                continue
            order = self.order(some[~mine])
            for i in np.flatnonzero(mine):
                there = order[self.ran[some[i], order]]
                best = np.minimum.accumulate(self.regret[some[i], there])
                found[i] = area(np.cumsum(self.cost[there]), best) if len(there) else 1.0
        return found


def _past(tasks: Sequence[Task], runs: Runs, of: tuple[str, ...], values: bool) -> Past:
    some = [i for i, task in enumerate(tasks) if tuple(sorted(modalities(task))) == of]
    told = carried(only(runs, some), "regression" if values else "multiclass")
    history = History.of(told)
    usable = [i for i, c in enumerate(history.candidates) if carry(c, values) is c]
    count = np.bincount(history.candidate, minlength=len(history.candidates))[usable]
    kept = np.sort(np.array(usable, dtype=np.int64)[np.argsort(-count, kind="stable")[:LIMIT]])
    ran = ~np.isnan(history.dense(kept, history.rank))
    there = np.flatnonzero(ran.any(axis=1))
    sizes = [[p.as_dict().get(n, math.nan) if p else math.nan for n in SIZES] for p in history.profiles]
    groups = np.array([g or t for g, t in zip(history.groups, history.tasks, strict=True)])
    return Past(
        candidates=tuple(history.candidates[i] for i in kept.tolist()),
        groups=groups[there],
        regret=regrets(history, kept)[there],
        ran=ran[there],
        cost=expected_cost(history, kept),
        size=np.array(sizes).reshape(-1, len(SIZES))[there],
    )


def _leaves(tasks: Sequence[Task], runs: Runs, of: tuple[str, ...], values: bool) -> Iterator[Leaf]:
    """One leaf, or two where a question on size lowers the area on groups that are left out."""
    past = _past(tasks, runs, of, values)
    every = np.arange(len(past.groups))
    if len(np.unique(past.groups)) < 2:
        return
    plain = past.areas(every)
    found: tuple[int, float] | None = None
    least = 0.0
    for feature in range(len(SIZES)):
        size = past.size[:, feature]
        for cut in np.unique(np.nanquantile(size, CUTS)) if np.isfinite(size).all() else ():
            sides = [every[size < cut], every[size >= cut]]
            if min(len(np.unique(past.groups[side])) for side in sides) < LEAST:
                continue
            parted = np.empty(len(every))
            for side in sides:
                parted[side] = past.areas(side)
            gain = parted - plain
            bound = gain.mean() + SURE * gain.std() / np.sqrt(len(gain))
            if bound < least:
                found, least = (feature, float(cut)), bound
    if found is None:
        yield _leaf(past, every, of, values, "", -math.inf, math.inf)
        return
    feature, cut = found
    size = past.size[:, feature]
    yield _leaf(past, every[size < cut], of, values, SIZES[feature], -math.inf, cut)
    yield _leaf(past, every[size >= cut], of, values, SIZES[feature], cut, math.inf)


def _leaf(past: Past, some: np.ndarray, of: tuple[str, ...], values: bool, size: str, low: float, high: float) -> Leaf:
    groups = past.groups[some]
    lists = {str(g): past.order(some[groups != g]) for g in np.unique(groups) if (groups != g).any()}
    every = past.order(some)
    used = np.unique(np.concatenate([every, *lists.values()]))
    place = {int(j): i for i, j in enumerate(used)}

    def placed(order: np.ndarray) -> tuple[int, ...]:
        return tuple(place[int(j)] for j in order)

    return Leaf(
        *(of, values, size, low, high, len(some)),
        candidates=tuple(past.candidates[int(j)] for j in used),
        order=placed(every),
        without={g: placed(order) for g, order in lists.items()},
    )

"""One table, every method, one group left out at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import joblib
import numpy as np

from automl.types import MetaLearner, Profile
from experiments.replay.search import adaptive, evolution, incumbent, listed
from experiments.replay.table import Table
from metalearner.anytime import WINDOW, area
from metalearner.transfer.transfer import Transfer

OURS = "transfer"
RANDOM, COLD, SHUFFLED, WRONG = "random", "evolution", "transfer, profiles shuffled", "transfer, wrong prior"
POPULATION, SAMPLE = 20, 5  # of cold evolution: a fifth of Real et al. 2019, for some hundred evaluations
Make = Callable[[], MetaLearner]


@dataclass(frozen=True)
class Course:
    """How a method fared: ``regret`` (tasks, evaluations) of the best so far, in [0, 1]; ``area`` (tasks,), its mean
    over log time, NaN where the table knows no seconds. Both are means over seeds.
    """

    regret: np.ndarray
    area: np.ndarray

    @classmethod
    def of(cls, tasks: Sequence[Course]) -> Course:
        """Tasks after one another."""
        return cls(np.vstack([t.regret for t in tasks]), np.concatenate([t.area for t in tasks]))


@dataclass(frozen=True)
class Asked:
    """``steps``: evaluations of each search. ``window``: of ``Course.area``, in usual trainings of the task."""

    seeds: int
    steps: int
    window: tuple[float, float]


def replay(
    table: Table,
    methods: Mapping[str, Make],
    *,
    seeds: int,
    evaluations: int,
    window: tuple[float, float] = WINDOW,
    workers: int = 1,
    only: Sequence[str] | None = None,
    done: Callable[[str], None] = lambda group: None,
) -> tuple[list[str], dict[str, Course]]:
    """Scored tasks, and how each method fared on them.

    ``methods``: how to make each meta-learner. Random search, cold evolution and, where one is called ``transfer``, its
    two controls come on top. ``only``: groups to score; all take part in the past of the others.
    """
    groups = [g for g in dict.fromkeys(table.groups.tolist()) if only is None or g in only]
    asked = Asked(seeds, min(evaluations, int(table.there.sum(axis=1).max())), window)
    shuffled = table.shuffled(0)
    jobs = (joblib.delayed(_one_group)(table, shuffled, g, methods, asked) for g in groups)
    found: list[dict[str, Course]] = []
    for group, one in zip(groups, joblib.Parallel(n_jobs=workers, return_as="generator")(jobs), strict=True):
        assert one is not None
        found.append(one)
        done(str(group))
    names = [table.tasks[i] for g in groups for i in np.flatnonzero(table.groups == g)]
    return names, {name: Course.of([one[name] for one in found]) for name in found[0]}


def _one_group(
    table: Table, shuffled: Table, group: str, methods: Mapping[str, Make], asked: Asked
) -> dict[str, Course]:
    """Per method how it fares on the tasks of one group. Those of one cohort and kind are told the same past."""
    tasks = np.flatnonzero(table.groups == group).tolist()
    found: dict[str, dict[int, Course]] = {RANDOM: {}, COLD: {}}
    for t in tasks:
        found[RANDOM][t], found[COLD][t] = _random(table, t, asked), _evolved(table, t, asked)
    alike: dict[tuple, list[int]] = {}
    for t in tasks:
        alike.setdefault((table.cohorts[t], table.kinds[t]), []).append(t)
    profiled = any(p is not None for p in table.profiles)
    for name, make in methods.items():
        for of in alike.values():
            learner = make().fit(table.without(group, of[0]))
            found.setdefault(name, {}).update({t: _followed(learner, table, t, table.profiles[t], asked) for t in of})
            if name != OURS:
                continue
            other = make().fit(shuffled.without(group, of[0])) if profiled else None
            wrong = make().fit(table.without(group, of[0], negated=True))
            for t in of:
                told = found[name][t] if other is None else _followed(other, table, t, shuffled.profiles[t], asked)
                found.setdefault(SHUFFLED, {})[t] = told  # no profile to shuffle: the same again
                found.setdefault(WRONG, {})[t] = _followed(wrong, table, t, table.profiles[t], asked)
    return {name: Course.of([course[t] for t in tasks]) for name, course in found.items()}


def _course(table: Table, task: int, orders: Sequence[np.ndarray], seen: np.ndarray, asked: Asked) -> Course:
    """Mean over searches: each an order of candidates, and what it is told of them: ``seen`` (searches, candidates)."""
    regrets, areas = [], []
    for order, told in zip(orders, seen, strict=True):
        regret = incumbent(order[None], told[None], table.regret[task])[0]
        areas.append(area(np.cumsum(table.costs[task][order]), regret, asked.window) if table.timed else np.nan)
        regrets.append(np.pad(regret, (0, asked.steps - len(regret)), mode="edge"))  # a task with fewer candidates
    return Course(np.mean(regrets, axis=0)[None], np.array([np.mean(areas)]))


def _followed(learner: MetaLearner, table: Table, task: int, profile: Profile | None, asked: Asked) -> Course:
    """Over the seeds that the search may see; the learners here are deterministic."""
    about, axes = profile or Profile((), ()), table.spaces[task]
    there = np.flatnonzero(table.there[task])
    candidates, steps = [table.candidates[i] for i in there], min(asked.steps, len(there))
    orders = []
    if isinstance(learner, Transfer):
        place = {c.id: i for i, c in enumerate(candidates)}
        first = [place[c.id] for c in learner.first(about, axes) if c.id in place]
        for seen in table.seen[:, task, there]:
            session, _ = learner.session(about, candidates, axes)
            orders.append(there[adaptive(session, seen, table.seconds[task, there], steps, first)])
    else:
        prior, known = learner.predict(about, axes), {c.id for c in table.candidates}
        order = there[listed(prior, candidates, steps, np.random.default_rng(task), known)]
        orders = [order] * len(table.seen)
    return _course(table, task, orders, table.seen[:, task], asked)


def _random(table: Table, task: int, asked: Asked) -> Course:
    rng, there = np.random.default_rng([0, task]), np.flatnonzero(table.there[task])
    orders = [rng.permutation(there)[: asked.steps] for _ in range(asked.seeds)]
    return _course(table, task, orders, table.seen[np.arange(asked.seeds) % len(table.seen), task], asked)


def _evolved(table: Table, task: int, asked: Asked) -> Course:
    there = np.flatnonzero(table.there[task])
    candidates = [table.candidates[i] for i in there]
    names = sorted({a.name for of in table.spaces[task].values() for a in of})
    rows = [[c.family, *(c.choices.get(n) for n in names)] for c in candidates]
    codes = np.array([np.unique([repr(r[k]) for r in rows], return_inverse=True)[1] for k in range(len(names) + 1)]).T
    codes = codes[:, codes.max(axis=0) > 0]
    seen = table.seen[np.arange(asked.seeds) % len(table.seen), task]
    orders = [
        there[evolution(codes, told[there], asked.steps, np.random.default_rng([seed, task]), POPULATION, SAMPLE)]
        for seed, told in enumerate(seen)
    ]
    return _course(table, task, orders, seen, asked)

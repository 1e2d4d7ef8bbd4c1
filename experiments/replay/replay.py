"""One table, every method, one group left out at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import joblib
import numpy as np

from automl.types import MetaLearner, Profile
from experiments.replay.search import adaptive, evolution, incumbent, listed
from experiments.replay.table import Table
from metalearner.transfer.transfer import Transfer

RANDOM, COLD, SHUFFLED, WRONG = "random", "evolution", "transfer, profiles shuffled", "transfer, wrong prior"
POPULATION, SAMPLE = 20, 5
Make = Callable[[], MetaLearner]


def replay(
    table: Table,
    methods: Mapping[str, Make],
    *,
    seeds: int,
    evaluations: int,
    workers: int = 1,
    only: Sequence[str] | None = None,
    done: Callable[[str], None] = lambda group: None,
) -> tuple[list[str], dict[str, np.ndarray]]:
    """Scored tasks, and per method their regret (tasks, evaluations), a mean over seeds.

    ``methods``: how to make each meta-learner. Random search, cold evolution and, where there is a ``transfer``, the
    two controls come on top. ``only``: groups to score; all take part in the past of the others.
    """
    groups = [g for g in dict.fromkeys(table.groups.tolist()) if only is None or g in only]
    steps = min(evaluations, len(table.candidates))
    shuffled = table.shuffled(0)
    jobs = (joblib.delayed(_one_group)(table, shuffled, g, methods, seeds, steps) for g in groups)
    found: list[dict] = []
    for group, one in zip(groups, joblib.Parallel(n_jobs=workers, return_as="generator")(jobs), strict=True):
        assert one is not None
        found.append(one)
        done(str(group))
    names = [table.tasks[i] for g in groups for i in np.flatnonzero(table.groups == g)]
    return names, {name: np.vstack([one[name] for one in found]) for name in found[0]}


def _one_group(
    table: Table, shuffled: Table, group: str, methods: Mapping[str, Make], seeds: int, steps: int
) -> dict[str, np.ndarray]:
    """Per method the regret of the tasks of one group, (tasks of the group, steps)."""
    tasks = np.flatnonzero(table.groups == group)
    out = {RANDOM: _random(table, tasks, seeds, steps), COLD: _evolved(table, tasks, seeds, steps)}
    runs = table.without(group)
    for name, make in methods.items():
        learner = make().fit(runs)
        out[name] = np.stack([_followed(learner, table, t, table.profiles[t], steps) for t in map(int, tasks)])
        if not isinstance(learner, Transfer):
            continue
        if any(p is not None for p in table.profiles):
            other = make().fit(shuffled.without(group))
            out[SHUFFLED] = np.stack([_followed(other, table, t, shuffled.profiles[t], steps) for t in map(int, tasks)])
        else:
            out[SHUFFLED] = out[name]  # no profile to shuffle
        wrong = make().fit(table.without(group, negated=True))
        out[WRONG] = np.stack([_followed(wrong, table, t, table.profiles[t], steps) for t in map(int, tasks)])
    return out


def _followed(learner: MetaLearner, table: Table, task: int, profile: Profile | None, steps: int) -> np.ndarray:
    """Mean regret (steps,) over the seeds that the search may see; the learners here are deterministic."""
    about = profile or Profile((), ())
    regret, curves = table.regret[task], []
    if isinstance(learner, Transfer):
        for seen in table.seen[:, task]:
            session, _ = learner.session(about, table.candidates, table.axes)
            order = adaptive(session, seen, table.seconds[task], steps)
            curves.append(incumbent(order[None], seen[None], regret)[0])
    else:
        ranked = learner.predict(about, table.axes).portfolio
        order = listed(ranked, table.candidates, steps, np.random.default_rng(task))
        curves = [incumbent(order[None], seen[None], regret)[0] for seen in table.seen[:, task]]
    return np.mean(curves, axis=0)


def _random(table: Table, tasks: np.ndarray, seeds: int, steps: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    count = len(table.candidates)
    orders = np.array([rng.permutation(count)[:steps] for _ in range(seeds)])
    told = np.arange(seeds) % len(table.seen)
    return np.stack([incumbent(orders, table.seen[told, t], table.regret[t]).mean(axis=0) for t in map(int, tasks)])


def _evolved(table: Table, tasks: np.ndarray, seeds: int, steps: int) -> np.ndarray:
    names = sorted({a.name for of in table.axes.values() for a in of})
    rows = [[c.family, *(c.choices.get(n) for n in names)] for c in table.candidates]
    codes = np.array([np.unique([repr(r[k]) for r in rows], return_inverse=True)[1] for k in range(len(names) + 1)]).T
    codes = codes[:, codes.max(axis=0) > 0]
    out = []
    for t in tasks:
        curves = []
        for seed in range(seeds):
            seen = table.seen[seed % len(table.seen), t]
            order = evolution(codes, seen, steps, np.random.default_rng([seed, t]), POPULATION, SAMPLE)
            curves.append(incumbent(order[None], seen[None], table.regret[t])[0])
        out.append(np.mean(curves, axis=0))
    return np.stack(out)

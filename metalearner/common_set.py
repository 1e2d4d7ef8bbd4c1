"""The common set: the same space-filling candidates of each family on every task, so that tasks can be compared.

The axes of a family differ a little between tasks (a small picture leaves fewer stages, a regression smooths no
labels). So the set is laid out once over the union of all tasks' axes, and each task gets the nearest candidate that
it has: where the axes agree, the identifier is the same on every task.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from scipy.stats import qmc

from automl.types import Axes, Axis, Candidate, Option, Prior


def union(of: Iterable[Axes]) -> dict[str, tuple[Axis, ...]]:
    """Per family every axis that a task has, with every option that a task has, in the order of the longest."""
    found: dict[str, dict[str, Axis]] = {}
    for axes in of:
        for family, own in axes.items():
            known = found.setdefault(family, {})
            for axis in own:
                known[axis.name] = merged(known[axis.name], axis) if axis.name in known else axis
    # Sorted: the set must not depend on which task came first. Parents stay before their children.
    return {family: in_order(known.values()) for family, known in sorted(found.items())}


def merged(a: Axis, b: Axis) -> Axis:
    """The axis with the options of both; numbers rise, others keep the order of the longer list."""
    if a.options == b.options:
        return a
    long, short = (a, b) if (len(a.options), repr(a.options)) >= (len(b.options), repr(b.options)) else (b, a)
    options = [*long.options, *(o for o in short.options if o not in long.options)]
    if all(isinstance(o, int | float) and not isinstance(o, bool) for o in options):
        options.sort(key=float)
    return Axis(long.name, tuple(options), long.parent, long.when)


def in_order(axes: Iterable[Axis]) -> tuple[Axis, ...]:
    """By name, each after its parent."""
    waiting = sorted(axes, key=lambda axis: axis.name)
    placed: list[Axis] = []
    while waiting:
        names = {axis.name for axis in placed}
        ready = next((a for a in waiting if not a.parent or a.parent in names), waiting[0])
        waiting.remove(ready)
        placed.append(ready)
    return tuple(placed)


def common_set(prior: Prior, count: int, seed: int) -> dict[str, list[dict[str, Option]]]:
    """Per family ``count`` points, each a full choice (inactive axes too); any first few are spread evenly as well.

    A scrambled Sobol sequence (Owen 1998), one dimension an axis, through the inverse of the prior's distribution of
    that axis: likely options are met more often. The first point is the prior's own candidate of the family, if it
    lists one. The same prior and seed give the same points.
    """
    listed = {candidate.family: candidate for candidate in reversed(prior.portfolio)}
    made = {}
    for family, axes in prior.axes.items():
        drawn = points(family, axes, prior.weights[family], count, seed)
        if count and family in listed:
            drawn = [{a.name: listed[family].choices.get(a.name, a.options[0]) for a in axes}, *drawn][:count]
        made[family] = drawn
    return made


def points(
    family: str, axes: Sequence[Axis], weights: Mapping[str, Sequence[float]], count: int, seed: int
) -> list[dict[str, Option]]:
    if not axes:
        return [{}] * min(count, 1)
    digest = hashlib.sha256(f"{seed}/{family}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    power = int(np.ceil(np.log2(max(count, 2))))  # Sobol's evenness holds for powers of two
    unit = qmc.Sobol(len(axes), scramble=True, rng=rng).random_base2(power)[:count]
    edges = [np.cumsum(weights[axis.name])[:-1] for axis in axes]
    place = np.stack([np.searchsorted(e, u, side="right") for e, u in zip(edges, unit.T, strict=True)], axis=1)
    return [{a.name: a.options[i] for a, i in zip(axes, row, strict=True)} for row in place.tolist()]


def fitted(family: str, point: dict[str, Option], whole: Sequence[Axis], axes: Sequence[Axis]) -> Candidate:
    """The point as a candidate of one task: per active axis its option, or the nearest that the task has.

    whole: the union's axes of the family, axes: the task's. Nearest is meant by position in the union.
    """
    order = {axis.name: axis.options for axis in whole}
    choices: dict[str, Option] = {}
    for axis in axes:
        if axis.is_active(choices):
            wanted, options = point[axis.name], order[axis.name]
            distances = [abs(options.index(o) - options.index(wanted)) for o in axis.options]
            choices[axis.name] = axis.options[int(np.argmin(distances))]
    return Candidate(family, choices)

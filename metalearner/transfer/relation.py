"""Which past tasks the profile says are like the new one, and whether profiles say anything at all.

The surface of a task with profile p is a Gaussian process over profiles around a common mean, so its
expectation is a weighted mean of past surfaces: weights k(p)' (K + noise I)^-1, with a large constant in K
for the common mean. Which features make K, and the noise, are chosen by the decision they serve: how good
the first candidate is on past tasks whose group is left out (in closed form). A kernel that does not beat
the plain mean by more than the uncertainty of that difference is not used, so profiles that mean nothing
get no weight.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from automl.types import Profile
from metalearner.nearest import similar
from metalearner.past.features import ProfileScaler

# By judgement: the grid of NOISE is chosen from by what is lost on groups left out, and the others keep profiles that
# say little from being believed (SURE, WORST) or bound the time (MOST_TASKS, MOST_CANDIDATES).
NOISE = (2.0, 5.0, 12.0, 30.0)  # relative to the kernel
COMMON = 100.0  # variance of the common mean, relative to the noise
WIDTH = 0.3  # of a feature's range, at which likeness falls to exp(-1/2)
SURE = 1.0  # standard errors by which a kernel must beat the plain mean
MOST_TASKS, MOST_CANDIDATES = 400, 200  # looked at in the choice
WORST = 1.5  # a loss counts at most this many normal scores


class Relation:
    """What the profiles of past tasks say about their surfaces ``z``, (tasks, candidates); learned once.

    ``profiles``, ``groups`` and ``names`` are those of the past tasks, in the order of ``z``.
    """

    def __init__(
        self, profiles: Sequence[Profile | None], groups: Sequence[str], names: Sequence[str], z: np.ndarray
    ) -> None:
        self._names, self._count = tuple(names), len(z)
        self._scaler = ProfileScaler(profiles)
        self._told = sum(p is not None for p in profiles) >= 5 and bool(self._scaler.names)
        if self._told:
            self._past = self._scaler(profiles)
            self._chosen = _chosen(self._past, self._scaler.names, np.array(groups), z)

    def share(self, profile: Profile) -> tuple[np.ndarray, tuple[str, ...]]:
        """Share of each past task in the expectation, (tasks,), not negative, a sum of 1; and lines for the report."""
        count = self._count
        even = np.full(count, 1 / count)
        if not profile.names or not self._told:
            return even, (f"{count} past tasks count alike: no profiles to tell them apart",)
        if self._chosen is None:
            return even, (f"{count} past tasks count alike: their profiles did not predict what works",)
        label, columns, noise = self._chosen
        names = self._scaler.names
        kernel = _kernel(self._past, self._past, names, columns) / noise + COMMON + np.eye(count)
        new = _kernel(self._scaler([profile]), self._past, names, columns)[0] / noise + COMMON
        share = np.maximum(np.linalg.solve(kernel, new), 0) + 1e-6 / count
        share /= share.sum()
        return share, (f"past tasks weighed by {label}", *similar(self._names, share))


def _chosen(past: np.ndarray, names: Sequence[str], groups: np.ndarray, z: np.ndarray):
    """(label, feature groups, noise) of the kernel that decides best, or None when none beats the plain mean."""
    some = np.arange(len(z))[:MOST_TASKS]
    top = np.argsort(-z.mean(axis=0), kind="stable")[:MOST_CANDIDATES]
    surfaces, of = z[np.ix_(some, top)], groups[some]
    best = surfaces.max(axis=1)

    def loss(predicted: np.ndarray) -> np.ndarray:
        return np.minimum(best - surfaces[np.arange(len(some)), predicted.argmax(axis=1)], WORST)

    plain = loss(_left_out(np.zeros((len(some), len(some))), of, surfaces))
    found, least = None, 0.0
    for label, columns in _feature_sets(names):
        kernel = _kernel(past[some], past[some], names, columns)
        for noise in NOISE:
            gain = loss(_left_out(kernel / noise, of, surfaces)) - plain
            bound = gain.mean() + SURE * gain.std() / np.sqrt(len(gain))
            if bound < least:
                found, least = (label, columns, noise), bound
    return found


def _left_out(kernel: np.ndarray, groups: np.ndarray, surfaces: np.ndarray) -> np.ndarray:
    """Predictions of each task's surface from the tasks of other groups (Rasmussen and Williams, eq. 5.12)."""
    inverse = np.linalg.inv(kernel + COMMON + np.eye(len(kernel)))
    solved = inverse @ surfaces
    out = np.empty_like(surfaces)
    for group in np.unique(groups):
        i = np.flatnonzero(groups == group)
        out[i] = surfaces[i] - np.linalg.solve(inverse[np.ix_(i, i)], solved[i])
    return out


def _feature_sets(names: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Labels and sets of feature groups to try: each category, all numbers, everything, and few numbers singly."""
    categories = sorted({n.split("=")[0] for n in names if "=" in n})
    numbers = [n for n in names if "=" not in n]
    yield from ((f"the profile's {c}", (c,)) for c in categories)
    if numbers:
        yield "the profile's numbers", ("",)
    if numbers and categories:
        yield "the whole profile", ("", *categories)


def _kernel(a: np.ndarray, b: np.ndarray, names: Sequence[str], columns: tuple[str, ...]) -> np.ndarray:
    """Sum over feature groups, (len(a), len(b)): a category is alike or not, numbers ("") are by distance."""
    total = np.zeros((len(a), len(b)))
    for column in columns:
        if column:
            of = [i for i, n in enumerate(names) if n.split("=")[0] == column and "=" in n]
            apart = np.zeros_like(total)
            for i in of:
                apart += np.abs(a[:, i, None] - b[:, i])
            total += apart < 1e-9
        else:
            of = [i for i, n in enumerate(names) if "=" not in n]
            x, y = a[:, of], b[:, of]
            gap = ((x * x).mean(axis=1)[:, None] + (y * y).mean(axis=1)) - 2 * x @ y.T / len(of)
            total += np.exp(-np.maximum(gap, 0) / (2 * WIDTH**2))
    return total

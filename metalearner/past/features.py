"""Profiles of tasks and choices of candidates as matrices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from automl.types import Candidate, Profile
from metalearner.learner import as_option


class ProfileScaler:
    """Profiles as numbers between 0 and 1: each feature's share of past tasks that lie below.

    Ranks make the unit and the tail of a feature irrelevant. A feature that is unknown counts as the
    middle; one that is the same on all past tasks is dropped.
    """

    def __init__(self, profiles: Sequence[Profile | None]) -> None:
        known = [p.as_dict() for p in profiles if p is not None]
        names = sorted({n for p in known for n in p})
        sorted_values = {n: np.sort([p[n] for p in known if n in p and np.isfinite(p[n])]) for n in names}
        self.names = tuple(n for n in names if len(np.unique(sorted_values[n])) > 1)
        self._sorted = sorted_values

    def __call__(self, profiles: Sequence[Profile | None]) -> np.ndarray:
        """Float (profiles, features) in [0, 1]."""
        out = np.full((len(profiles), len(self.names)), 0.5)
        for row, profile in enumerate(profiles):
            values = profile.as_dict() if profile is not None else {}
            for column, name in enumerate(self.names):
                value = values.get(name, np.nan)
                if np.isfinite(value):
                    past = self._sorted[name]
                    below, upto = np.searchsorted(past, value, "left"), np.searchsorted(past, value, "right")
                    out[row, column] = (below + upto) / (2 * len(past))
        return out


def choice_matrix(candidates: Sequence[Candidate], like: Sequence[Candidate]) -> np.ndarray:
    """Candidates as numbers for trees, float (candidates, columns); columns are those that ``like`` needs.

    A number is itself, a word is one column per option, an inactive axis is NaN and 0.
    """
    every = [{"family": c.family, **c.choices} for c in like]
    names = sorted({n for c in every for n in c})
    rows = [{"family": c.family, **c.choices} for c in candidates]
    columns = []
    for name in names:
        options = sorted({repr(c[name]): c[name] for c in every if name in c}.items())
        numbers = [as_option(v) for _, v in options]
        if not np.isnan(numbers).all():
            columns.append([as_option(r.get(name)) for r in rows])
        if np.isnan(numbers).any():
            columns += [[float(repr(r.get(name)) == word) for r in rows] for word, _ in options]
    return np.array(columns, dtype=float).reshape(len(columns), len(rows)).T

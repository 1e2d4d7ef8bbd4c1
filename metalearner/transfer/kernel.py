"""How alike two candidates are by their choices: a positive semi-definite kernel over conditional axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from automl.types import Candidate, Option
from metalearner.learner import as_option


@dataclass(frozen=True)
class AxisShape:
    """``ordered``: options that are numbers lie on a line, by rank; else all options are equally far apart.

    ``length``: the distance at which likeness falls to 1/e; the full range of an axis is 1.
    """

    ordered: bool
    length: float


class Coded:
    """Candidates as numbers, worked out once for kernels of several shapes.

    ``options``: per axis that varies its values. ``codes``: int (axes, candidates), positions in them. ``family``: int
    (candidates,). ``held``, ``absent``: per family how many axes vary in it, and how many it has not. ``shared``: bool
    (axes,), whether more than one family has it.
    """

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        rows = [{"family": c.family, **c.choices} for c in candidates]
        families, self.family = np.unique([c.family for c in candidates], return_inverse=True)
        of_family: dict[str, set[str]] = {str(f): set() for f in families}
        for c in candidates:
            of_family[c.family].update(c.choices)
        names: list[str] = []
        self.options: list[list[Option | None]] = []
        codes: list[list[int]] = []
        for name in dict.fromkeys(n for row in rows for n in row):
            words = [repr(row.get(name)) for row in rows]
            options = sorted(dict(zip(words, (row.get(name) for row in rows), strict=True)).items())
            if len(options) > 1:
                place = {word: i for i, (word, _) in enumerate(options)}
                names.append(name)
                codes.append([place[word] for word in words])
                self.options.append([value for _, value in options])
        self.codes = np.array(codes, np.int64).reshape(len(names), len(rows))
        has = np.array([[n in of_family[str(f)] for n in names] for f in families]).reshape(len(families), -1)
        self.held = has.sum(axis=1)
        self.absent = len(names) - self.held  # alike by nature within the family
        self.shared = has.sum(axis=0) > 1


class AxisKernel:
    """k = (product + sum) / 2 over the axes of exp(-distance / length).

    The product lets axes interact; the sum (Duvenaud et al., Additive Gaussian Processes, 2011) lets what
    was learned of one axis reach every candidate. The sum is over the axes of a family, for candidates of
    one family, and over axes that families share (the training axes), for all. k(c, c) = 1.
    """

    def __init__(self, candidates: Sequence[Candidate] | Coded, shape: AxisShape) -> None:
        of = candidates if isinstance(candidates, Coded) else Coded(candidates)
        self._family, self._codes, self._shared = of.family, of.codes, of.shared
        self._held, self._absent = of.held, of.absent
        # So that the product does not vanish where a family has many axes: more than six, by judgement.
        self._length = shape.length * max(1.0, len(of.options) / max(1, len(of.held)) / 6)
        self._far = [_distances(options, shape.ordered) for options in of.options]
        self._alike = [np.exp(-far / shape.length) for far in self._far]

    def block(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Kernel between candidates, float (len(rows), len(columns))."""
        shape = (len(rows), len(columns))
        far, own, shared = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        for codes, distance, alike, is_shared in zip(self._codes, self._far, self._alike, self._shared, strict=True):
            a, b = codes[rows], codes[columns]
            far += distance[:, b][a]
            likeness = alike[:, b][a]
            own += likeness
            if is_shared:
                shared += likeness
        family = self._family[rows]
        held = self._held[family][:, None]
        within = np.where(held > 0, (own - self._absent[family][:, None]) / np.maximum(held, 1), 1.0)
        total = np.where(family[:, None] == self._family[columns], within, 0.0)
        if len(self._held) > 1:
            total = 0.5 * (total + (shared / self._shared.sum() if self._shared.any() else total))
        return 0.5 * (np.exp(-far / self._length) + total)


def _distances(options: list, ordered: bool) -> np.ndarray:
    """Between the options of an axis, in [0, 1]: by rank for numbers when ``ordered``, else 0 or 1."""
    distance = 1.0 - np.eye(len(options))
    numbers = np.array([as_option(o) for o in options])
    known = np.flatnonzero(~np.isnan(numbers))
    if ordered and len(known) > 2:
        rank = np.argsort(np.argsort(numbers[known])) / (len(known) - 1)
        distance[np.ix_(known, known)] = np.abs(rank[:, None] - rank)
    return distance

"""The candidates that ``transfer`` chooses from: past ones, and new ones of the space."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from automl.types import Axes, Axis, Candidate, Option, Prior


def new_candidates(
    axes: Axes, good: Sequence[Candidate], prior: Prior, base: Prior, count: int, rng: np.random.Generator
) -> list[Candidate]:
    """About ``count`` distinct candidates: a third near the ``good`` ones, a third from ``prior``, a third from
    ``base``, the prior before any run.

    Near means one or two axes drawn again. Fewer come back where the space is small.
    """
    found: dict[str, Candidate] = {}
    for i in range(count):
        if i % 3 == 0 and good:
            made = mutated(good[int(rng.integers(len(good)))], axes, 1 + int(rng.integers(2)), rng)
        else:
            made = (prior if i % 3 == 1 else base).sample(rng)
        found.setdefault(made.id, made)
    return list(found.values())


def mutated(candidate: Candidate, axes: Axes, changes: int, rng: np.random.Generator) -> Candidate:
    """The candidate with ``changes`` of its axes drawn again; axes that become active are drawn too."""
    of = axes[candidate.family]
    active = [a.name for a in of if a.name in candidate.choices]
    again = set(rng.permutation(active)[:changes].tolist()) if active else set()
    choices: dict[str, Option] = {}
    for axis in of:
        if axis.is_active(choices):
            kept = candidate.choices.get(axis.name) if axis.name not in again else None
            choices[axis.name] = kept if kept is not None and kept in axis.options else _drawn(axis, rng)
    return Candidate(candidate.family, choices)


def _drawn(axis: Axis, rng: np.random.Generator) -> Option:
    return axis.options[int(rng.integers(len(axis.options)))]

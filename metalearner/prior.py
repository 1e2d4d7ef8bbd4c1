"""From a ranked list of candidates to a Prior."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from automl.types import Axes, Candidate, Prior

SMOOTHING = 0.25
"""Share of the uniform distribution in every vector: no option is ever ruled out. By judgement: with less a wrong past
costs more, with more a right one says less."""


def fits(candidate: Candidate, axes: Axes) -> bool:
    """Whether the candidate is in the space: known family, exactly the active axes, each on a known option."""
    if candidate.family not in axes:
        return False
    seen = {}
    for axis in axes[candidate.family]:
        if axis.is_active(seen):
            choice = candidate.choices.get(axis.name)
            if choice is None or choice not in axis.options:
                return False
            seen[axis.name] = choice
    return len(seen) == len(candidate.choices)


def prior_from_list(
    axes: Axes,
    ranked: Sequence[Candidate],
    weights: np.ndarray,
    why: tuple[str, ...] = (),
    portfolio: int = 200,
) -> Prior:
    """Prior whose marginals are those of the ranked candidates, smoothed towards uniform.

    ``ranked``: best first, all inside ``axes``. ``weights``: float (len(ranked),), not negative: how much
    each counts in the marginals (the chance that it is among the best, say). The first ``portfolio`` become
    the Prior's list. An axis that no weighted candidate holds (inactive in all of them) stays uniform.
    """
    uniform = Prior.uniform(axes, why)
    if not len(ranked):
        return uniform
    share = np.asarray(weights, float) / np.sum(weights)
    counted = [(c, w) for c, w in zip(ranked, share, strict=True) if w > 1e-9]
    families = {f: sum(w for c, w in counted if c.family == f) for f in axes}
    marginals = {}
    for family, of in axes.items():
        inside = [(c, w) for c, w in counted if c.family == family]
        marginals[family] = {}
        for axis in of:
            mass = np.zeros(len(axis.options))
            for c, w in inside:
                if axis.name in c.choices:
                    mass[axis.options.index(c.choices[axis.name])] += w
            marginals[family][axis.name] = _smooth(mass)
    return Prior(
        families=dict(zip(axes, _smooth(np.array([families[f] for f in axes])), strict=True)),
        axes=axes,
        weights=marginals,
        portfolio=tuple(ranked[:portfolio]),
        why=why,
    )


def top_weights(count: int, sharpness: float = 10.0) -> np.ndarray:
    """Weights (count,) of a list whose order alone is known: halved every ``sharpness * ln 2`` places (seven, by
    judgement: the marginals are those of some dozen candidates).
    """
    return np.exp(-np.arange(count) / sharpness)


def _smooth(mass: np.ndarray) -> tuple[float, ...]:
    total = mass.sum()
    p = mass / total if total > 0 else np.full(len(mass), 1 / len(mass))
    p = (1 - SMOOTHING) * p + SMOOTHING / len(mass)
    return tuple((p / p.sum()).tolist())

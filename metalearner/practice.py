"""What the field does by habit, without any past run: AdamW, a rate near 0.001, small networks first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from automl.errors import UserError
from automl.types import Axes, Axis, Candidate, Option, Prior, Profile, Runs, Trial

Favours = Mapping[str, Mapping[str, float]]


@dataclass
class Practice:
    """A person's prior, written down in the configuration (the expert prior of PriorBand, Mallik et al. 2023).

    ``families``: how many times as likely as others a family is. ``axes[axis][option]``: the same for the options of
    an axis; ``own[family]`` holds axes of one family, which go before. Options are named as they are printed. What is
    not named counts 1. The likeliest choices of each family are its first candidate, the likeliest family first; of
    options that count alike the first is taken, the smallest or most cautious of a grid.
    Raises UserError for a factor that is not a positive number.
    """

    families: Mapping[str, float] = field(default_factory=dict)
    axes: Favours = field(default_factory=dict)
    own: Mapping[str, Favours] = field(default_factory=dict)

    level = 3  # no past run is looked at

    def __post_init__(self) -> None:
        self.families = dict(self.families)
        self.axes = {name: dict(of) for name, of in self.axes.items()}
        self.own = {family: {name: dict(of) for name, of in axes.items()} for family, axes in self.own.items()}
        tables = [("families", self.families), *((f"axes.{name}", of) for name, of in self.axes.items())]
        tables += [(f"own.{family}.{name}", of) for family, axes in self.own.items() for name, of in axes.items()]
        for place, table in tables:
            for option, factor in table.items():
                if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < float("inf"):
                    raise UserError(f"metalearner.{place}.{option}={factor} must be a number above 0")

    def fit(self, runs: Runs) -> Practice:
        """Past runs are not looked at."""
        return self

    def predict(self, profile: Profile, axes: Axes) -> Prior:
        counted = np.array([float(self.families.get(family, 1.0)) for family in axes])
        weights = {family: {axis.name: self._weights(family, axis) for axis in of} for family, of in axes.items()}
        first = sorted(axes, key=lambda family: -self.families.get(family, 1.0))
        return Prior(
            families=dict(zip(axes, (counted / counted.sum()).tolist(), strict=True)),
            axes=axes,
            weights=weights,
            portfolio=tuple(likeliest(family, axes[family], weights[family]) for family in first),
            why=("no past runs were used: common practice says where to start",),
        )

    def update(self, trials: Sequence[Trial], running: Sequence[Candidate] = ()) -> None:
        """Habits do not change."""

    def _weights(self, family: str, axis: Axis) -> tuple[float, ...]:
        favoured = self.own.get(family, {}).get(axis.name, self.axes.get(axis.name, {}))
        counted = np.array([float(favoured.get(str(option).lower(), 1.0)) for option in axis.options])
        return tuple((counted / counted.sum()).tolist())


def likeliest(family: str, axes: Sequence[Axis], weights: Mapping[str, Sequence[float]]) -> Candidate:
    """The candidate of the likeliest choices, each given those before it."""
    choices: dict[str, Option] = {}
    for axis in axes:
        if axis.is_active(choices):
            choices[axis.name] = axis.options[int(np.argmax(weights[axis.name]))]
    return Candidate(family, choices)

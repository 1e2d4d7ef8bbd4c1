"""No knowledge: every family and option equally likely. Level 3, and the fallback of all the others."""

from __future__ import annotations

from collections.abc import Sequence

from automl.types import Axes, Candidate, Prior, Profile, Runs, Trial


class Uniform:
    """Learns nothing, so that a search that uses it is a cold search."""

    level = 3  # no past run is looked at

    def fit(self, runs: Runs) -> Uniform:
        return self

    def predict(self, profile: Profile, axes: Axes) -> Prior:
        return Prior.uniform(axes, why=("no past runs were used",))

    def update(self, trials: Sequence[Trial], running: Sequence[Candidate] = ()) -> None:
        pass

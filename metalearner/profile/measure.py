"""Puts the groups of meta-features together."""

from __future__ import annotations

import math

from automl.data.dataset import Dataset, Part
from automl.types import Profile, Task
from metalearner.profile import audio, geometry, image, landmarks, missing, series, size, table, target, text
from metalearner.profile.sample import Sample, Unmeasurable

GROUPS = tuple(m.GROUP for m in (size, target, missing, table, geometry, landmarks, image, audio, series, text))

DESCRIPTIONS: dict[str, str] = {name: words for group in GROUPS for name, words in group.features.items()}
"""Every meta-feature -> what it is, with its unit."""

NAMES: tuple[str, ...] = tuple(DESCRIPTIONS)
"""The names of every profile, in order."""


def profile(task: Task, train: Part, dataset: Dataset | None = None, *, seed: int = 0, max_rows: int = 2000) -> Profile:
    """Measure a task.

    Parameters
    ----------
    task, train
        The task and its encoded training part; no other part is looked at. Raises ValueError when it has no
        row.
    dataset
        The raw rows that ``train.rows`` points into, for what the encoding hides (missing values).
    seed
        For the random features and convolutions of two landmarks.
    max_rows
        Rows that all but plain counts are measured on: those with the smallest content hashes, so that the
        order of the rows does not matter. This and the bounds in the modules beside this one are by judgement: they
        keep the time (``+experiment=bench/profile``), and to change one makes other profiles than those that ship.
    """
    sample = Sample.draw(task, train, dataset, seed=seed, max_rows=max_rows)
    values = dict.fromkeys(NAMES, math.nan)
    reasons: dict[str, str] = {}
    for group in GROUPS:
        try:
            measured = group.measure(sample)
        except Unmeasurable as why:
            measured = dict.fromkeys(group.features, str(why))
        for name in group.features:
            value = measured[name]
            if isinstance(value, str):
                reasons[name] = value
            elif math.isfinite(value):
                values[name] = float(value)
            else:
                reasons[name] = "the values give no number (constant or overflowing inputs)"
    return Profile(NAMES, tuple(values.values()), reasons)

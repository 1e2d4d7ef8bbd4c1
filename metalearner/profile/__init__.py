"""Meta-features: a data set as one row of numbers with units in their names.

    profile(task, parts.train, dataset).as_dict()["landmark_1nn_error"]

The same names for every task, so that the profiles of many tasks form a matrix; NaN with a reason where a
number does not apply. Everything is measured on the encoded training part; no other split is looked at. One
file per group of features: a Group and its ``measure``.
"""

from metalearner.profile.measure import DESCRIPTIONS, NAMES, profile

__all__ = ["DESCRIPTIONS", "NAMES", "profile"]

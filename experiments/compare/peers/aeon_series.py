"""aeon's convolution-based methods with their defaults. ``options.model``: MiniRocket or MultiRocketHydra.

They take no missing values: what is missing is drawn from the value before it to the one behind, and behind a series
that ended early stands its last value.
"""

from typing import Any

import numpy as np
import pandas as pd
from aeon.classification import convolution_based as classifiers
from aeon.regression import convolution_based as regressors
from exchange import Predict, Task, answer


def fit(task: Task, rows: Any, truth: np.ndarray) -> Predict:
    module, kind = (classifiers, "Classifier") if task.classes else (regressors, "Regressor")
    model = getattr(module, task.options["model"] + kind)(random_state=task.seed, n_jobs=-1)
    model.fit(filled(rows), truth)
    return lambda test: model.predict(filled(test))


def filled(series: np.ndarray) -> np.ndarray:
    """(rows, channels, length) as float32 without gaps; a channel without any value is 0."""
    if not np.isnan(series).any():
        return series.astype(np.float32)
    flat = pd.DataFrame(series.reshape(-1, series.shape[-1]))
    whole = flat.interpolate(axis=1, limit_direction="both").fillna(0.0)
    return whole.to_numpy(np.float32).reshape(series.shape)


if __name__ == "__main__":
    answer(fit)

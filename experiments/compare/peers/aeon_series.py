"""aeon's convolution-based methods with their defaults. ``options.model``: MiniRocket or MultiRocketHydra."""

from typing import Any

import numpy as np
from aeon.classification import convolution_based as classifiers
from aeon.regression import convolution_based as regressors
from exchange import Predict, Task, answer


def fit(task: Task, rows: Any, truth: np.ndarray) -> Predict:
    module, kind = (classifiers, "Classifier") if task.classes else (regressors, "Regressor")
    model = getattr(module, task.options["model"] + kind)(random_state=task.seed, n_jobs=-1)
    series = rows.astype(np.float32)
    model.fit(series, truth)
    return lambda test: model.predict(test.astype(np.float32))


if __name__ == "__main__":
    answer(fit)

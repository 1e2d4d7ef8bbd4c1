"""AutoGluon on tables and texts. ``options``: its ``presets``, and ``hyperparameters`` for some models only."""

from typing import Any

import numpy as np
from autogluon.tabular import TabularPredictor
from exchange import Predict, Task, answer

TARGET = "target of the task"


def fit(task: Task, rows: Any, truth: np.ndarray) -> Predict:
    predictor = TabularPredictor(
        label=TARGET,
        path=str(task.folder / "autogluon"),
        eval_metric=task.metric,
        problem_type=("binary" if len(set(truth)) == 2 else "multiclass") if task.classes else "regression",
        learner_kwargs={"random_state": task.seed},
        verbosity=0,
    )
    predictor.fit(rows.assign(**{TARGET: truth}), time_limit=task.seconds, **task.options)
    predictor.persist()
    return lambda test: predictor.predict(test).to_numpy()


if __name__ == "__main__":
    answer(fit)

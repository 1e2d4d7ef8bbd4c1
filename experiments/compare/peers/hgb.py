"""scikit-learn's histogram gradient boosting with its defaults."""

from typing import Any

import numpy as np
from exchange import Predict, Task, answer, columns_of
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

MOST = 255  # categories of a column that it takes


def fit(task: Task, rows: Any, truth: np.ndarray) -> Predict:
    table = columns_of(rows)
    types = {n: table[n].dtype for n in table.columns if table[n].dtype == "category"}
    wide = [n for n, t in types.items() if len(t.categories) > MOST]

    def as_read(rows: Any) -> Any:
        return rows.astype(types).drop(columns=wide)

    of = HistGradientBoostingClassifier if task.classes else HistGradientBoostingRegressor
    model = of(random_state=task.seed, categorical_features="from_dtype").fit(as_read(rows), truth)
    return lambda test: model.predict(as_read(test))


if __name__ == "__main__":
    answer(fit)

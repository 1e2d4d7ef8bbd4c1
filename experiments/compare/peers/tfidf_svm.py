"""TF-IDF of words and pairs of words, and a linear support vector machine: the habit for texts."""

from typing import Any

import numpy as np
import pandas as pd
from exchange import Predict, Task, answer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC


def joined(rows: pd.DataFrame) -> list[str]:
    """All columns of a row as one text."""
    return rows.fillna("").astype(str).agg(" ".join, axis=1).tolist()


def fit(task: Task, rows: Any, truth: np.ndarray) -> Predict:
    last = LinearSVC(random_state=task.seed) if task.classes else Ridge()
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), last).fit(joined(rows), truth)
    return lambda test: model.predict(joined(test))


if __name__ == "__main__":
    answer(fit)

"""Encodings of small tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from automl.data.dataset import Dataset
from automl.data.encode import Encoding


def fit_table(**columns: Any) -> tuple[Encoding, Dataset]:
    table = pd.DataFrame(columns)
    dataset = Dataset("t", table, pd.Series(np.arange(len(table)) % 2, name="target"))
    return Encoding.fit(dataset, np.arange(len(table)), kind="binary"), dataset

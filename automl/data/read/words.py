"""Names that mean something: of the column to predict, and of the split a row, a file or an array belongs to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from automl.data.dataset import TEST, TRAIN, VALID
from automl.data.read.files import short
from automl.errors import UserError

TARGET_NAMES = ("target", "label", "class", "y")
"""Columns that are taken for the target when none is named: the first that is there."""

SPLITS = {
    **dict.fromkeys(("train", "training", "tr"), TRAIN),
    **dict.fromkeys(("valid", "validation", "val", "dev"), VALID),
    **dict.fromkeys(("test", "testing", "te"), TEST),
}
"""Word, lower case, to split."""


def splits_of(values: Iterable[Any], place: str) -> np.ndarray:
    """Words in any case as train / valid / test, shape (rows,).

    ``place``: where they stand, for people. Raises UserError that names the first other word and its row.
    """
    given = list(values)
    words = pd.Series([SPLITS.get(str(v).strip().lower()) for v in given], dtype=object)
    unknown = np.flatnonzero(words.isna().to_numpy())
    if len(unknown):
        row = int(unknown[0])
        raise UserError(f"{place} holds {short(str(given[row]))!r} in row {row + 1}; use train, valid or test")
    return words.to_numpy(dtype="<U5")

"""Classes by name: one spelling at loading, training and serving."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from automl.data.cells.numbers import number_of
from automl.data.cells.words import text_of


def class_names(target: pd.Series) -> tuple[str, ...]:
    """The distinct labels as text: numbers in their order, words in the alphabet's; whole floats lose their point."""
    values = pd.unique(target.dropna())
    if pd.api.types.is_bool_dtype(target):
        return tuple(label(v) for v in sorted(values))
    numbers = {label(v): number_of(v) for v in values}
    if not any(np.isnan(n) for n in numbers.values()):
        return tuple(sorted(numbers, key=lambda t: (numbers[t], t)))
    return tuple(sorted(numbers, key=lambda t: (_natural(t), t)))


def label(value: object) -> str:
    """One label as text: ``3.0`` is "3", so that integers which became floats keep their names."""
    return text_of(value)


def _natural(text: str) -> list[tuple[int, float, str]]:
    """Sort key in which "class 10" comes after "class 2"."""
    parts = re.split(r"(\d+)", text)
    return [(0, float(p), "") if p.isdecimal() else (1, 0.0, p) for p in parts]

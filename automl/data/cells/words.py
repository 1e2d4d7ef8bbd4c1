"""Cells one distinct value at a time; the words that mean "no value", and those that mean yes and no."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

MISSING = frozenset(
    {
        *("", "?", "na", "n/a", "nan", "-nan", "null", "nil", "missing", "<na>", "nat"),
        *("#n/a", "#value!", "#ref!", "#div/0!", "#name?", "#num!", "#null!"),  # of spreadsheets
        *("\\n", "(null)", "[null]", "<null>"),  # of databases
    }
)
"""Texts (stripped, lower case) that mean "no value". "none", "-" and "unknown" are often a real answer: left."""

_LONGEST = 100
"""Characters of such a word at most: megabytes need not be put in small letters to be none."""

_UNSEEN = " \t\u200b\u2060\ufeff"  # spaces without width, and the mark that stands before a file

BOOLS = {"true": 1.0, "false": 0.0}


def is_missing_word(value: object) -> bool:
    """Whether a cell is a text that means "no value"."""
    return isinstance(value, str) and len(word := value.strip()) <= _LONGEST and word.lower() in MISSING


def distinct(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Codes, shape (rows,), -1 where missing, and the distinct values as objects. Not as for pandas, true is not 1."""
    truths = np.full(len(column), -1)
    if column.dtype == object and pd.api.types.infer_dtype(column).startswith("mixed"):
        truths = np.array([int(v) if isinstance(v, (bool, np.bool_)) else -1 for v in column])
    codes, found = pd.factorize(column.mask(truths >= 0) if (truths >= 0).any() else column)
    values = np.asarray(found, dtype=object)
    for truth in (False, True):
        if (own := truths == truth).any():
            codes[own], values = len(values), np.append(values, truth)
    return codes, values


def spread(column: pd.Series, codes: np.ndarray, values: Iterable[Any], missing: Any, dtype: Any) -> pd.Series:
    """One value per row from one per distinct value."""
    all_values = np.array([*values, missing], dtype=dtype)
    return pd.Series(all_values[codes], index=column.index, name=column.name)


def text_of(value: object) -> str:
    """A cell as a stripped string that utf-8 can hold; a whole number has no ".0": 3, 3.0 and "3" are one category.

    So are words that look the same: accents are one sign, which some systems write as two, and signs that nobody sees
    do not stand at the ends.
    """
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    text = plain_text(value)
    return text if text.isascii() else unicodedata.normalize("NFC", text).strip(_UNSEEN)


def plain_text(value: object) -> str:
    """A stripped string that utf-8 can hold."""
    text = (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip()
    # Half of a pair of code units stands for no sign and cannot be written to any file.
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def bool_of(value: object) -> float:
    """1.0 or 0.0 for true and false in any case, as a word, a bool or a number; NaN when it is neither."""
    if isinstance(value, str):
        word = text.lower() if len(text := value.strip()) <= _LONGEST else ""
        return BOOLS.get(word, {"1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0}.get(word, float("nan")))
    return float(value) if value in (0, 1) else float("nan")  # type: ignore[arg-type]

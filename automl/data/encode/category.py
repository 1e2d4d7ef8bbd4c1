"""A column of categories as codes."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from automl.data.cells.words import text_of
from automl.data.columns import as_words
from automl.data.encode.number import soft_clip
from automl.data.encode.scale import LIMIT

MAX_CATEGORIES = 512  # the most frequent; all others are one, as what was never seen: by judgement, as each has weights
FEW_ROWS = 64  # that are encoded without pandas
SPREAD = 0.1  # nats: categories whose frequencies differ by less are equally frequent, by judgement
MISSING = "\0missing"  # no cell can hold a zero byte


@dataclass(frozen=True)
class CategoryColumn:
    """Codes 1.. in order of frequency; 0 for what training did not see, or saw once.

    A missing value is a category of its own when training has one. A column with more than 8 categories also gets the
    log frequency of its category, which lets rare ones share what they have in common (``frequency``: standardised, by
    code).
    """

    name: str
    categories: list[str]
    frequency: list[float]

    @classmethod
    def fit(cls, name: str, column: pd.Series) -> CategoryColumn | None:
        """None when the training rows hold one category only."""
        counts = as_words(column).fillna(MISSING).value_counts()
        if len(counts) < 2:
            return None
        counts = counts.sort_index().sort_values(ascending=False, kind="stable")
        # Rare ones become "unknown", which trains the code that new categories get; where there are few, all are kept
        # (20 here and 8 below by judgement).
        kept = counts[counts > 1] if len(counts) > 20 else counts
        kept = cast(pd.Series, kept).iloc[:MAX_CATEGORIES]
        if len(kept) == 0:
            return None
        logs = np.log1p(kept.to_numpy(dtype=np.float64))
        frequency = soft_clip((_with_unknown(logs) - logs.mean()) / max(float(logs.std()), SPREAD))
        return cls(name, [str(c) for c in kept.index], frequency.tolist() if len(kept) > 8 else [])

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> CategoryColumn:
        """What ``to_json`` gave, also before frequencies had an end: those stay as their network knows them."""
        if "frequency" in state:
            return cls(**state)
        logs = np.asarray(state["log_counts"])
        scaled = (_with_unknown(logs) - logs.mean()) / max(float(logs.std()), 1e-6) if len(logs) else logs
        return cls(state["name"], state["categories"], scaled.clip(-LIMIT, LIMIT).tolist())

    @functools.cached_property
    def _index(self) -> dict[str, int]:
        return {text_of(c): i + 1 for i, c in enumerate(self.categories)}  # earlier ones may hold accents as two signs

    @property
    def cardinalities(self) -> tuple[int, ...]:
        return ((0,) if self.frequency else ()) + (len(self.categories) + 1,)

    @property
    def names(self) -> tuple[str, ...]:
        return ((f"{self.name} frequency",) if self.frequency else ()) + (self.name,)

    @property
    def field(self) -> dict[str, Any]:
        shown = [c for c in self.categories if c != MISSING]
        return {
            "name": self.name,
            "kind": "categorical",
            "categories": shown,
            "missing": len(shown) < len(self.categories),
        }

    def transform(self, column: pd.Series) -> np.ndarray:
        """float32 (rows, 1 or 2)."""
        if len(column) <= FEW_ROWS:
            # A served row: pandas' fixed cost per column would be most of the time.
            words = [MISSING if pd.isna(v) else text_of(v) for v in column.tolist()]
            encoded = np.array([self._index.get(w, 0) for w in words], dtype=np.int64)
        else:
            codes, distinct = pd.factorize(as_words(column).fillna(MISSING))
            encoded = np.array([self._index.get(str(d), 0) for d in distinct], dtype=np.int64)[codes]
        if not self.frequency:
            return encoded[:, None].astype(np.float32)
        return np.stack([np.asarray(self.frequency)[encoded], encoded], axis=1).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def _with_unknown(logs: np.ndarray) -> np.ndarray:
    """Logarithms of 1 + count by code; what training did not see counts as seen once."""
    return np.concatenate([[np.log(2.0)], logs])

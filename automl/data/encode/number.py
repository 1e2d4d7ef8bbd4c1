"""A numeric column: robust scale, smooth clip, a flag where it is missing, and codes when its values are few."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

from automl.data.columns import as_number

# More than this many distinct whole numbers are a quantity; up to it they may be codes, so they get codes too. By
# judgement: months and grades are below it, ages above.
FEW = 20
KNOTS = 257  # places of the quantiles: by judgement, a 256th of the rows between two
# (q99 - median) / (q75 - median) is 3.4 for a normal and 5.6 for an exponential column.
HEAVY_TAIL = 8.0
SAMPLE = 200_000  # rows that quantiles are taken of: they are met to a thousandth
TINY, HUGE = np.finfo(np.float64).tiny, np.finfo(np.float64).max / 4


@dataclass(frozen=True)
class NumberColumn:
    """One numeric column as one to three encoded ones.

    Scaled by median and quartiles, then z / sqrt(1 + (z/3)^2), which is linear near 0 and never passes 3: RealMLP's
    "robust scaling and smooth clipping" (Holzmüller et al., NeurIPS 2024, arXiv:2407.04491, section 3). A column with a
    heavy tail, or mostly one value, goes through its quantiles to a normal distribution instead (``knots``).
    ``flag``: a second column is 1 where the value is missing. ``codes``: distinct values, when few and whole: a last
    column holds 1 + their position, 0 when unknown or missing.
    """

    name: str
    center: float
    scale: float
    flag: bool
    low: float
    high: float
    knots: list[float] = field(default_factory=list)
    heights: list[float] = field(default_factory=list)
    codes: list[float] = field(default_factory=list)

    @classmethod
    def fit(cls, name: str, column: pd.Series) -> NumberColumn | None:
        """None when the training rows hold fewer than two distinct values and no missing one."""
        values = as_number(column)
        known = values[~np.isnan(values)]
        flag = len(known) < len(values)
        if len(known) == 0:
            return None
        low, high = float(known.min()), float(known.max())
        if low == high:
            # A constant with gaps still says where the gaps are.
            return cls(name, low, 1.0, True, low, high) if flag else None
        known = known.clip(-HUGE, HUGE)  # so that no difference of two of them overflows
        if len(known) > SAMPLE:
            known = known[np.linspace(0, len(known) - 1, SAMPLE).astype(np.int64)]
        q01, q25, center, q75, q99 = (float(q) for q in np.quantile(known, (0.01, 0.25, 0.5, 0.75, 0.99)))
        # For a normal column the quartiles stand 1.349 deviations apart, so this is a robust deviation.
        scale = max((q75 - q25) / 1.349 if q75 > q25 else (known.max() - known.min()) / 2, TINY)
        distinct = np.unique(known)
        whole = bool((distinct == np.round(distinct)).all())
        codes = distinct.tolist() if whole and 2 < len(distinct) <= min(FEW, len(known) / 10) else []
        tail = max((q99 - center) / max(q75 - center, 1e-300), (center - q01) / max(center - q25, 1e-300))
        knots: list[float] = []
        heights: list[float] = []
        if len(distinct) > FEW and (q75 == q25 or tail > HEAVY_TAIL):
            knots, heights = _quantiles(known)
        return cls(name, center, float(scale), flag, low, high, knots, heights, codes)

    @property
    def cardinalities(self) -> tuple[int, ...]:
        return (0,) + ((0,) if self.flag else ()) + ((len(self.codes) + 1,) if self.codes else ())

    @property
    def names(self) -> tuple[str, ...]:
        flags = (f"{self.name} is missing",) if self.flag else ()
        return (self.name, *flags, *((f"{self.name} as category",) if self.codes else ()))

    @property
    def field(self) -> dict[str, Any]:
        return {"name": self.name, "kind": "numeric", "low": self.low, "high": self.high, "missing": self.flag}

    def transform(self, column: pd.Series) -> np.ndarray:
        """float32 (rows, 1 to 3)."""
        values = as_number(column)
        missing = np.isnan(values)
        filled = np.where(missing, self.center, values)
        if self.knots:
            scaled = np.interp(filled, self.knots, self.heights)
        else:
            with np.errstate(over="ignore"):  # 1e300 in a column of small numbers: clipped below
                scaled = soft_clip((filled - self.center) / self.scale)
        out = np.empty((len(values), len(self.cardinalities)), dtype=np.float32)
        out[:, 0] = scaled
        if self.flag:
            out[:, 1] = missing
        if self.codes:
            codes = np.asarray(self.codes)
            at = np.searchsorted(codes, values).clip(0, len(codes) - 1)
            out[:, -1] = np.where(codes[at] == values, at + 1, 0)
        return out

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> NumberColumn:
        return cls(**state)


def soft_clip(z: np.ndarray) -> np.ndarray:
    """Give z / sqrt(1 + (z/3)^2), without overflow: near 0 as it is, never past 3."""
    z = np.clip(z, -1e12, 1e12)
    return z / np.hypot(1, z / 3)


def _quantiles(known: np.ndarray) -> tuple[list[float], list[float]]:
    """Distinct values at even probabilities and the normal quantile of each; a repeated value gets its mean rank."""
    probabilities = np.linspace(0, 1, KNOTS)
    values = np.quantile(known, probabilities)
    knots, first, counts = np.unique(values, return_index=True, return_counts=True)
    middle = probabilities[first] + (counts - 1) / (KNOTS - 1) / 2
    return knots.tolist(), [NormalDist().inv_cdf(p) for p in middle.clip(0.002, 0.998).tolist()]

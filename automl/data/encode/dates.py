"""A column of dates as numbers: the trend, and each cycle as a point on a circle."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from automl.data.columns import as_date
from automl.data.encode.number import soft_clip

DAY = 86_400.0  # seconds
# Beyond 1700 and 2200 most dates mean "never" or "for ever" (9999-12-31): they would flatten all others.
FIRST, LAST = (365.25 * DAY * (year - 1970) for year in (1700, 2200))


@dataclass(frozen=True)
class DateColumn:
    """``center`` and ``scale`` of the trend in seconds since 1970 (UTC); ``parts``: the cycles that vary in training.

    A cycle (year, month, week, day) is two columns, sine and cosine, so that December stands beside January.
    """

    name: str
    center: float
    scale: float
    flag: bool
    parts: list[str]

    @classmethod
    def fit(cls, name: str, column: pd.Series) -> DateColumn | None:
        """None when the training rows hold fewer than two distinct dates."""
        dates = as_date(column)
        known = dates[~np.isnat(dates)]
        if len(np.unique(known)) < 2:
            return None
        seconds = known.astype(np.float64)
        meant = (seconds > FIRST) & (seconds < LAST)
        within = seconds[meant] if len(np.unique(seconds[meant])) > 1 else seconds
        span = float(within.max() - within.min())
        phases = _phases(known)
        # A cycle that the data does not go through (nearly) once is the trend over again.
        length = {"year": 365 * DAY, "month": 28 * DAY, "week": 7 * DAY, "day": DAY}
        parts = [p for p in phases if span > length[p] and len(np.unique(phases[p])) > 1]
        return cls(name, float(np.median(within)), max(span / 4, 1.0), len(known) < len(dates), parts)

    @property
    def cardinalities(self) -> tuple[int, ...]:
        return (0,) * len(self.names)

    @property
    def names(self) -> tuple[str, ...]:
        cycles = [f"{self.name} {f} of {p}" for p in self.parts for f in ("sine", "cosine")]
        return (self.name, *((f"{self.name} is missing",) if self.flag else ()), *cycles)

    @property
    def field(self) -> dict[str, Any]:
        return {"name": self.name, "kind": "datetime", "missing": self.flag}

    def transform(self, column: pd.Series) -> np.ndarray:
        """float32 (rows, names)."""
        dates = as_date(column)
        missing = np.isnat(dates)
        filled = np.where(missing, np.datetime64(int(self.center), "s"), dates)
        z = (filled.astype(np.float64) - self.center) / self.scale
        columns = [soft_clip(z)]
        if self.flag:
            columns.append(missing.astype(np.float64))
        phases = _phases(filled)
        for part in self.parts:
            angle = 2 * np.pi * phases[part]
            columns += [np.where(missing, 0.0, np.sin(angle)), np.where(missing, 0.0, np.cos(angle))]
        return np.stack(columns, axis=1).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> DateColumn:
        return cls(**state)


def _phases(dates: np.ndarray) -> dict[str, np.ndarray]:
    """Position in each cycle, 0 to 1."""
    dates = dates.astype("datetime64[s]")
    seconds = dates.astype(np.int64)
    months = dates.astype("datetime64[M]")
    in_year = (dates - dates.astype("datetime64[Y]").astype("datetime64[s]")).astype(np.float64) / (365.25 * DAY)
    in_month = (dates - months.astype("datetime64[s]")).astype(np.float64) / (31 * DAY)
    in_week = ((seconds / DAY + 3) % 7) / 7  # 1970-01-01 was a Thursday
    in_day = (seconds % int(DAY)) / DAY
    return {"year": in_year, "month": in_month, "week": in_week, "day": in_day}

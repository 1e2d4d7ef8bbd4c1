"""The target: class names to indices, numbers to float32 around a center."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from automl.data.columns import as_number
from automl.errors import UserError
from automl.task.labels import class_names, label
from automl.types import Kind


@dataclass(frozen=True)
class TargetEncoder:
    """``classes`` in index order, empty for regression.

    ``center``: taken off the values of a regression before they become float32, and added again by ``decode``; 0
    unless float32 would round away what tells the values apart, as with seconds since 1970.
    """

    name: str
    kind: Kind
    classes: tuple[str, ...] = ()
    center: float = 0.0

    @classmethod
    def fit(
        cls, target: pd.Series, kind: Kind, classes: Sequence[str] | None = None, rows: np.ndarray | None = None
    ) -> TargetEncoder:
        """``rows``: positions of the training rows, None for all; class names come from every row."""
        if kind == "regression":
            return cls(str(target.name), kind, center=_center(target if rows is None else target.iloc[rows]))
        return cls(str(target.name), kind, tuple(classes) if classes else class_names(target))

    def encode(self, target: pd.Series) -> np.ndarray:
        """int64 class indices or float32 values, shape (rows,). Raises UserError for what training never saw."""
        if self.kind == "regression":
            values = as_number(target)
            if np.isnan(values).any():
                row = int(np.flatnonzero(np.isnan(values))[0])
                raise UserError(
                    f"target {self.name!r} holds {str(target.iloc[row])!r} in row {row + 1}, no number; drop the row"
                )
            return (values - self.center).astype(np.float32)
        index = {label(name): i for i, name in enumerate(self.classes)}
        codes, distinct = pd.factorize(target)
        known = np.array([index.get(label(v), -1) for v in distinct] + [-1], dtype=np.int64)
        encoded = known[codes]
        if (encoded < 0).any():
            row = int(np.flatnonzero(encoded < 0)[0])
            raise UserError(
                f"target {self.name!r} holds {str(target.iloc[row])!r} in row {row + 1}, not one of the classes "
                f"({', '.join(self.classes[:5])}); mend the row or train again"
            )
        return encoded

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """Class indices to names; regression values in the target's own unit, float64 where they have a center."""
        if self.kind == "regression":
            return np.asarray(outputs, dtype=np.float64) + self.center if self.center else np.asarray(outputs)
        return np.asarray(self.classes, dtype=object)[np.asarray(outputs, dtype=np.int64)]

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "kind": self.kind, "classes": list(self.classes), "center": self.center}

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> TargetEncoder:
        return cls(state["name"], state["kind"], tuple(state["classes"]), state.get("center", 0.0))


def _center(target: pd.Series) -> float:
    """A whole number amid the values, where rounding to float32 is more than a thousandth of their spread; else 0."""
    values = as_number(target)
    values = values[~np.isnan(values)]
    if not len(values) or float(np.abs(values).max()) * 2**-24 <= 1e-3 * float(np.std(values)):
        return 0.0
    return float(np.round(np.median(values)))

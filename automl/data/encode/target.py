"""The target: class names to indices, numbers to float32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from automl.data.columns import as_number
from automl.errors import UserError
from automl.task import class_names, label
from automl.types import Kind


@dataclass(frozen=True)
class TargetEncoder:
    """``classes`` in index order, empty for regression."""

    name: str
    kind: Kind
    classes: tuple[str, ...] = ()

    @classmethod
    def fit(cls, target: pd.Series, kind: Kind, classes: Sequence[str] | None = None) -> TargetEncoder:
        if kind == "regression":
            return cls(str(target.name), kind)
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
            return values.astype(np.float32)
        index = {name: i for i, name in enumerate(self.classes)}
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
        """Class indices to names; regression values unchanged."""
        if self.kind == "regression":
            return np.asarray(outputs)
        return np.asarray(self.classes, dtype=object)[np.asarray(outputs, dtype=np.int64)]

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "kind": self.kind, "classes": list(self.classes)}

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> TargetEncoder:
        return cls(state["name"], state["kind"], tuple(state["classes"]))

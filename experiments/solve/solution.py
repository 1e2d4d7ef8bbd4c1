"""What a run gives to a Python program."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from automl.deploy.bundle import Bundle


@dataclass(frozen=True)
class Solution:
    """What a run leaves: ``result`` is result.json, ``bundle`` and ``folder`` are paths."""

    result: dict[str, Any]
    folder: Path
    bundle: Path
    _loaded: dict[str, Bundle] = field(default_factory=dict, repr=False)

    def predict(self, rows: Any) -> np.ndarray:
        """Predictions for raw rows as they came in (DataFrame or array): class labels (rows,) or values (rows,)."""
        return self._open().predict(rows)

    def predict_proba(self, rows: Any) -> np.ndarray:
        """Class probabilities (rows, classes), in the order of ``result["task"]["classes"]``."""
        return self._open().predict_proba(rows)

    def _open(self) -> Bundle:
        if "bundle" not in self._loaded:
            from automl.deploy.bundle import Bundle

            self._loaded["bundle"] = Bundle.load(self.bundle)
        return self._loaded["bundle"]

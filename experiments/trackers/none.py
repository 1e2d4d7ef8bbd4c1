"""No tracking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from automl.types import Trial


class NoTracker:
    """Does nothing: the store, result.json and the report still hold everything."""

    def start(self, config: Mapping[str, Any], name: str, metric: str = "") -> None:
        pass

    def trial(self, trial: Trial) -> None:
        pass

    def finish(self, result: Mapping[str, Any], report_path: Path, trials: Sequence[Trial]) -> None:
        pass

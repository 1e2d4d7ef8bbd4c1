"""Where a run can be watched. A tracker has the three methods of ``Tracker``; it writes, and decides
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from automl.types import Trial


class Tracker(Protocol):
    """One run's tracker. No method raises, waits for a network, or asks a question."""

    def start(self, config: Mapping[str, Any], name: str, metric: str = "") -> None:
        """The search begins. ``config``: the composed configuration as plain data; ``name``: for people; ``metric``:
        in whose own value and sign scores are written.
        """
        ...

    def trial(self, trial: Trial) -> None:
        """A trial finished."""
        ...

    def finish(self, result: Mapping[str, Any], report_path: Path, trials: Sequence[Trial]) -> None:
        """The run is done. ``result``: result.json; ``trials``: all of the search, those before a kill
        too.
        """
        ...

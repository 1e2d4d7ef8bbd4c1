"""What a run needs after its search, whatever that finds: made ready while this process waits for trainings."""

from __future__ import annotations

import contextlib
import importlib

from automl.deploy.onnx import load_exporter
from automl.deploy.runtime import wheel
from experiments.report.page import packed_plotly

LATE = ("pyarrow.parquet", "scipy.stats", "sklearn.isotonic")
"""Modules that are imported where they are asked for, as most programs never do."""


def make_ready() -> None:
    """Seconds in all, of which the search takes none where trainings run elsewhere and wait for nothing here."""
    load_exporter()
    with contextlib.suppress(Exception):  # told by what asks for it, if anything does
        for name in LATE:
            importlib.import_module(name)
        wheel()
        packed_plotly()

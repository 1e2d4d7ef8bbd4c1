"""What a run gives to a Python program."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from automl.deploy.bundle import Bundle


LEADERS = 10  # trials that a notebook shows


@dataclass(frozen=True)
class Solution:
    """What a run leaves: ``result`` is result.json, ``bundle`` and ``folder`` are paths. ``tracked``: where its
    trackers show it.
    """

    result: dict[str, Any]
    folder: Path
    bundle: Path
    tracked: tuple[str, ...] = ()
    _loaded: dict[str, Bundle] = field(default_factory=dict, repr=False)

    def predict(self, rows: Any) -> np.ndarray:
        """Predictions for raw rows as they came in (DataFrame or array): class labels (rows,) or values (rows,)."""
        return self._open().predict(rows)

    def predict_proba(self, rows: Any) -> np.ndarray:
        """Class probabilities (rows, classes), in the order of ``result["task"]["classes"]``."""
        return self._open().predict_proba(rows)

    def leaderboard(self) -> pd.DataFrame:
        """The deployed model, then the trials, best first: see ``experiments.solve.tables.leaderboard``."""
        from experiments.solve.tables import leaderboard

        return leaderboard(self.result)

    def _repr_html_(self) -> str:
        """For notebooks: what came out, and the first of the leaderboard."""
        from experiments.report.page import Html, join, tag
        from experiments.report.words import NO_TEST, metric_name, number

        task, chosen = self.result["task"], self.result["chosen"]["family"]
        value, known = self.result["test"].get(task["metric"]), number(self.result["val"][task["metric"]])
        told = (
            f"{known} validation, {NO_TEST}"
            if value is None
            else f"{number(value)} on the test rows, {known} validation"
        )
        text = f"{metric_name(task['metric'])} {told}; {chosen}"
        where = tag("p", "Report: ", tag("code", str(self.folder / "report.html")))
        # pandas escapes what the cells hold.
        leaders = Html(self.leaderboard().head(LEADERS + 1).to_html(index=False, na_rep="", float_format="%.4g"))
        return join([tag("p", tag("b", task["name"]), f": {text}"), leaders, where])

    def _open(self) -> Bundle:
        if "bundle" not in self._loaded:
            from automl.deploy.bundle import Bundle

            self._loaded["bundle"] = Bundle.load(self.bundle)
        return self._loaded["bundle"]

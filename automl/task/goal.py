"""What a model may be asked for: metrics, and a goal in words."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from automl.errors import UserError

METRICS: dict[str, tuple[str, ...]] = {
    "binary": ("accuracy", "balanced_accuracy", "roc_auc", "f1_macro", "log_loss", "brier", "ece"),
    "multiclass": ("accuracy", "balanced_accuracy", "roc_auc", "f1_macro", "log_loss", "brier", "ece"),
    "regression": ("r2", "rmse", "mae"),
}


DEPLOYED = ("latency_ms", "parameters", "megabytes")  # what is measured on the deployed model


_GOAL = re.compile(r"\s*([a-z][a-z0-9_]*)\s*(>=|<=|>|<)\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(%?)\s*")


# What a goal may be about, and the lowest and highest value there is.
_RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("accuracy", "balanced_accuracy", "roc_auc", "f1_macro", "ece"), (0.0, 1.0)),
    "brier": (0.0, 2.0),
    "r2": (-math.inf, 1.0),
    **dict.fromkeys(("log_loss", "rmse", "mae"), (0.0, math.inf)),
    **dict.fromkeys(DEPLOYED, (1e-9, math.inf)),
}


@dataclass(frozen=True)
class Goal:
    """A success criterion: ``metric`` compared with ``value`` in the metric's own unit.

    ``latency_ms``, ``parameters`` and ``megabytes`` are those of the deployed model.
    """

    metric: str
    sign: str
    value: float

    def met(self, scores: Mapping[str, float | None]) -> bool | None:
        """Whether the scores (metric name -> value) meet it; None when the metric was not measured."""
        got = scores.get(self.metric)
        if got is None or np.isnan(got):
            return None
        return {">=": got >= self.value, ">": got > self.value, "<=": got <= self.value, "<": got < self.value}[
            self.sign
        ]


def parse_goal(text: str) -> Goal | None:
    """``accuracy >= 0.95`` or ``rmse < 3`` (``95%`` is 0.95); None for an empty text.

    Raises UserError for anything else, and for a goal that no model can meet.
    """
    if not text or not text.strip():
        return None
    found = _GOAL.fullmatch(text)
    if not found:
        raise UserError(f"goal {text!r} is not understood; write METRIC >= NUMBER, such as 'accuracy >= 0.95'")
    metric, sign, number, percent = found.groups()
    if metric not in _RANGES:
        raise UserError(f"goal {text!r} names no known metric; use one of: {', '.join(sorted(_RANGES))}")
    low, high = _RANGES[metric]
    if percent and math.isinf(high):
        raise UserError(f"goal {text!r}: {metric} is no share of 100; leave the % out")
    value = float(number) / (100 if percent else 1)
    best = high if sign in (">", ">=") else low
    if not Goal(metric, sign, value).met({metric: best}):
        meant = f". Did you mean {value:g}%, which is {value / 100:g}?" if high == 1 < value <= 100 else ""
        span = (
            f"at most {high:g}"
            if math.isinf(low)
            else f"from {low:g} to {high:g}"
            if high < math.inf
            else "never below 0"
        )
        raise UserError(f"goal {text!r} can be met by no model: {metric} is {span}{meant}")
    return Goal(metric, sign, value)

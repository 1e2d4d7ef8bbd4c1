"""The trials of a run as tables for other programs: trials.parquet, leaderboard.csv, ``Solution.leaderboard()``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from automl.metrics import higher_is_better
from experiments.report.words import NAMES

PLAIN = ("number", "family", "status", "score", "seconds", "epochs", "parameters", "latency_ms", "error")
MODEL = "model"
"""What the leaderboard calls the ensemble that was deployed."""


def trials_frame(result: Mapping[str, Any]) -> pd.DataFrame:
    """One row a trial, in the order in which they ended, of ``tried`` in result.json.

    ``score``: in the metric's own unit and sign. Each choice is a column ``choices.NAME``, empty for a trial that had
    no such choice; numbers where all of them are, else texts.
    """
    tried = result["tried"]
    frame = pd.DataFrame({name: [t.get(name) for t in tried] for name in PLAIN})
    for name in ("parameters", "latency_ms", "score", "seconds"):
        frame[name] = pd.to_numeric(frame[name])
    frame["parameters"] = frame["parameters"].astype("Int64")
    for name in dict.fromkeys(name for t in tried for name in t["choices"]):
        frame[f"choices.{name}"] = _column([t["choices"].get(name) for t in tried])
    return frame


def _column(values: list[Any]) -> pd.Series:
    """One type a column: parquet takes no mixture."""
    kinds = {type(v) for v in values if v is not None}
    if kinds == {bool}:
        return pd.Series(values, dtype="boolean")
    if kinds == {int}:
        return pd.Series(values, dtype="Int64")
    if kinds <= {int, float}:
        return pd.Series(values, dtype="Float64")
    return pd.Series([None if v is None else str(v) for v in values], dtype="string")


def leaderboard(result: Mapping[str, Any]) -> pd.DataFrame:
    """The deployed model, then the trials with a score, best first, in the metric's own unit and sign.

    ``score``: on the validation rows. ``test``: of the model alone, as nothing else ever sees the test rows; missing
    where none were held out.
    ``ms_per_row``: of the model that of one raw row, reading it included; of a trial that of its network, where that
    was measured. ``seconds``: of the training, for the model of the whole run. ``weight``: in the model.
    """
    metric, deployed = result["task"]["metric"], result.get("deployed") or {}
    weights = {member["number"]: member["weight"] for member in result["ensemble"]}
    chosen = result["chosen"]["family"] if len(weights) == 1 else f"ensemble of {len(weights)}"
    rows = [
        {
            "trial": MODEL,
            "family": chosen,
            "score": result["val"][metric],
            "test": result["test"].get(metric),
            "ms_per_row": deployed.get("latency_ms"),
            "seconds": result["seconds"]["total"],
            "parameters": deployed.get("parameters"),
        }
    ]
    scored = [t for t in result["tried"] if t["score"] is not None]
    falling = metric not in NAMES or higher_is_better(metric)
    for t in sorted(scored, key=lambda t: -t["score"] if falling else t["score"]):
        rows.append(
            {
                **{
                    "trial": str(t["number"]),
                    "family": t["family"],
                    "score": t["score"],
                    "ms_per_row": t["latency_ms"],
                },
                **{name: t[name] for name in ("seconds", "epochs", "parameters")},
                "weight": weights.get(t["number"]),
            }
        )
    columns = ["trial", "family", "score", "test", "ms_per_row", "seconds", "epochs", "parameters", "weight"]
    frame = pd.DataFrame(rows, columns=columns)
    numbers = [name for name in columns if name not in ("trial", "family")]
    frame[numbers] = frame[numbers].apply(pd.to_numeric)
    return frame.astype({"epochs": "Int64", "parameters": "Int64"})

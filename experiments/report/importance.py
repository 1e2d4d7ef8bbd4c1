"""The report's part on what the model looks at: how far the score falls when a field says nothing any more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automl.metrics import higher_is_better
from automl.types import Task
from experiments.report import plots
from experiments.report.page import Html, columns, details, figure, join, table, tag
from experiments.report.words import count, metric_name, number

SHOWN = 10
LEARNED = (
    "The networks have learned from these rows too, in their last training: the numbers are somewhat too large, their "
    "order is mostly right."
)


def importance_part(result: Mapping[str, Any], task: Task) -> Html:
    """Plot and table of ``importance`` in result.json. Nothing where there are not two fields to compare."""
    found, how = result.get("importance") or [], result.get("importance_from") or {}
    if len(found) < 2:
        return Html("")
    plain = all(i.modality in ("tabular", "text") for i in task.inputs)
    thing, things = ("column", "columns") if plain else ("part of the input", "parts of the input")
    change = f"{metric_name(task.metric)} {'falls' if higher_is_better(task.metric) else 'rises'}"
    unit = " It is in the target's own unit." if task.metric in ("rmse", "mae") else ""
    seen = "held-out" if (result.get("calibration") or {}).get("source") == "holdout" else "validation"
    said = [
        f"The bar says how far the score falls when this {thing} is shuffled among the rows, so that it tells "
        f"nothing of a row any more.{unit}",
        f"Measured on {count(how.get('rows', 0), f'{seen} row')}. {LEARNED if how.get('learned') else ''}",
    ]
    notes = [
        f"Two {things} that say the same hide each other: one is shuffled, and the model still reads the other. A "
        "short bar is no proof that nothing is in it."
    ]
    shown, rest = found[:SHOWN], found[SHOWN:]
    if rest:
        most = max(abs(f["mean"]) for f in rest)
        notes.append(f"{len(rest):,} more are not shown; each of them makes a difference of {number(most)} at most.")
    if (fields := how.get("fields", len(found))) > len(found):
        notes.append(f"There was time for {len(found):,} of {fields:,} {things}.")
    rows = [(f["field"], number(f["mean"]), number(f["error"])) for f in shown]
    caption = "The lines are two standard errors: where one reaches zero, the bar may be chance."
    return join(
        [
            tag("p", said[0]),
            columns(
                figure(plots.importance(shown, change), caption),
                join(
                    [
                        *(tag("p", note, class_="note") for note in (said[1], *notes)),
                        details(
                            "The same as numbers",
                            table([thing, change, "standard error"], rows, numbers=[1, 2], narrow=True),
                        ),
                    ]
                ),
            ),
        ]
    )

"""The report's part on how sure the model is: cover of its sets and intervals, temperature, and how it decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automl.types import Task
from automl.uncertainty.calibrate import ROWS_OF
from experiments.report.page import Html, details, join, table, tag
from experiments.report.words import NO_TEST, amount, metric_name, number


def sureness_part(result: Mapping[str, Any], task: Task) -> Html:
    told = result.get("calibration")
    if not told:
        return Html("")
    promise = (
        "New rows like these are covered as often as is said; that is guaranteed."
        if told["guaranteed"]
        else "There is no guarantee: see what was covered on the test rows."
        if result.get("test")
        else f"There is no guarantee, and {NO_TEST} to see how often they are."
    )
    parts = [tag("p", f"Calibrated on {told['rows']:,} rows: {ROWS_OF[told['source']]}. {promise}")]
    if told["temperature"] != 1:
        way = "surer" if told["temperature"] < 1 else "less sure"
        parts.append(
            tag("p", f"Its probabilities are {way} than the networks said (temperature {told['temperature']:.2f}).")
        )
    values = task.kind == "regression"
    if task.num_outputs != 2 and told["coverage"]:
        size = "mean width" if values else "mean size of a set"
        rows = [
            (
                f"{float(level):.0%}",
                f"{at['covered']:.1%}",
                f"{at['band'][0]:.1%} to {at['band'][1]:.1%}",
                amount(at["mean_width"] if values else at["mean_size"]),
            )
            for level, at in told["coverage"].items()
        ]
        what = "intervals hold the true value" if values else "sets hold the true class"
        parts.append(
            details(
                f"How often the {what}",
                table(["asked", "covered", "by chance", size], rows, numbers=[0, 1, 2, 3], narrow=True),
                tag("p", "“By chance” is where 95 % of such tests lie when all is well.", class_="note"),
            )
        )
    likeliest = result.get("test_likeliest")
    if likeliest:
        test, names = result["test"], dict.fromkeys(("accuracy", task.metric))
        rows = [(metric_name(name), number(test[name]), number(likeliest[name])) for name in names]
        parts += [
            tag(
                "p",
                "It decides for the class whose probability is largest for its share of the rows, as the metric counts "
                "rare classes fully. The probabilities stay what they are.",
            ),
            table(["on the test rows", "as it decides", "for the likeliest class"], rows, numbers=[1, 2], narrow=True),
        ]
    return join(parts)

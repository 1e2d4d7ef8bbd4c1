"""The report's part on the test rows: every metric in words, where the model errs, and how far to trust it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from automl.types import Task
from experiments.progress import one_line
from experiments.report import plots
from experiments.report.page import Html, columns, figure, join, meter, table, tag
from experiments.report.words import NO_TEST, amount, explain, metric_name, number, without_a_model

log = logging.getLogger(__name__)

MISTAKES = 10


class Tested:
    """The test rows in the form that ``automl.metrics`` takes.

    y: class index or value (rows,); prediction: probabilities (rows, classes) or values (rows,); row: (rows,); guess:
    class index that was decided for (rows,), the likeliest unless given.
    """

    def __init__(self, y: np.ndarray, prediction: np.ndarray, row: np.ndarray, guess: np.ndarray | None = None) -> None:
        self.y, self.prediction, self.row = y, prediction, row
        self.guess = prediction.argmax(-1) if guess is None else guess

    @classmethod
    def of(cls, task: Task, frame: pd.DataFrame | None) -> Tested | None:
        if frame is None or not len(frame):
            return None
        try:
            row = frame["row"].to_numpy() if "row" in frame else np.arange(len(frame))
            if task.kind == "regression":
                return cls(frame["y"].to_numpy(float), frame["prediction"].to_numpy(float), row)
            index = {name: i for i, name in enumerate(task.classes)}
            y = np.array([index[str(name)] for name in frame["y"]])
            guess = np.array([index[str(name)] for name in frame["prediction"]]) if "prediction" in frame else None
            return cls(y, frame[[f"p_{name}" for name in task.classes]].to_numpy(float), row, guess)
        except (KeyError, ValueError, TypeError) as error:
            log.warning("report: the predictions cannot be read: %s", one_line(repr(error)))
            return None


def test_rows_part(result: Mapping[str, Any], task: Task, tested: Tested | None) -> Html:
    test, val = result.get("test") or {}, result.get("val") or {}
    if not test:
        rows = [(metric_name(name), number(val[name]), explain(name, val[name], task.num_outputs)) for name in val]
        said = (
            f"{NO_TEST.capitalize()}: all taught or chose the model. Its validation scores are of rows that chose it."
        )
        return join([tag("p", said), table(["", "validation", "in words"], rows, numbers=[1])])
    shown = [name for name in test if "[" not in name]
    shown.sort(key=lambda name: name != task.metric)
    constant = without_a_model(task.kind, tested.y, task.num_outputs) if tested else {}
    rows = [
        (
            tag("b", metric_name(name)) if name == task.metric else metric_name(name),
            number(test[name]),
            number(val.get(name)),
            number(constant.get(name)) if name != "ece" else "–",
            tag("span", "" if test[name] is None else explain(name, test[name], task.num_outputs), class_="wide"),
        )
        for name in shown
    ]
    head = ["", "test", "validation", "no model", "in words"]
    parts: list[Html] = [table(head, rows, numbers=[1, 2, 3])]
    if constant:
        always = "the mean" if task.kind == "regression" else "the shares of the classes"
        parts.append(tag("p", f"“No model” is what always answering {always} would give.", class_="note"))
    if tested is not None:
        parts.append(_errors_of_values(tested, task) if task.kind == "regression" else _errors_of_classes(tested, task))
    return join(parts)


def mistakes(tested: Tested, task: Task) -> list[dict[str, Any]]:
    """The largest errors, or the surest mistakes, worst first: ``row``, ``true``, ``predicted``, and ``error`` or
    ``confidence``.
    """
    y, p, guess = tested.y, tested.prediction, tested.guess
    if task.kind == "regression":
        worst = np.argsort(-np.abs(p - y), kind="stable")[:MISTAKES].tolist()
        told = [{"true": float(y[i]), "predicted": float(p[i]), "error": float(p[i] - y[i])} for i in worst]
    else:
        wrong = np.flatnonzero(y != guess)
        worst = wrong[np.argsort(-p[wrong, guess[wrong]], kind="stable")][:MISTAKES].tolist()
        named = task.classes
        told = [{"true": named[y[i]], "predicted": named[guess[i]], "confidence": float(p[i, guess[i]])} for i in worst]
    return [{"row": int(tested.row[i]), **of} for i, of in zip(worst, told, strict=True)]


def each_class(tested: Tested, task: Task) -> list[dict[str, Any]]:
    """Of each class its ``rows``, the share of them that was found (``recall``) and the share of answers naming it that
    was right (``precision``); None for a share of nothing.
    """
    y, guess, k = tested.y, tested.guess, len(task.classes)
    hits, truly, said = (np.bincount(of, minlength=k).tolist() for of in (y[y == guess], y, guess))
    return [
        {"class": name, "rows": n, "recall": h / n if n else None, "precision": h / s if s else None}
        for name, n, s, h in zip(task.classes, truly, said, hits, strict=True)
    ]


def _errors_of_values(tested: Tested, task: Task) -> Html:
    y, value = tested.y, tested.prediction
    rows = [
        (of["row"], amount(of["true"]), amount(of["predicted"]), f"{of['error']:+.4g}") for of in mistakes(tested, task)
    ]
    return join(
        [
            columns(
                figure(plots.predicted_true(y, value), "On the dotted line the prediction is right."),
                figure(plots.residuals(y, value), "The errors should gather around zero and lean to neither side."),
            ),
            tag("h3", "The largest errors"),
            table(["row", "true", "predicted", "error"], rows, numbers=[0, 1, 2, 3], narrow=True),
        ]
    )


def _errors_of_classes(tested: Tested, task: Task) -> Html:
    y, p, guess, names = tested.y, tested.prediction, tested.guess, task.classes
    few = "" if len(names) <= plots.MOST_CLASSES else f" The {plots.MOST_CLASSES} classes with most mistakes."
    parts: list[object] = [
        columns(
            figure(plots.confusion(y, guess, names), f"Right answers are on the diagonal.{few}"),
            figure(
                plots.reliability(y, p),
                "Near the dotted line the stated confidence can be taken at its word; below it the model is too "
                "sure. Larger points stand for more rows; the bars are 95 % intervals.",
            ),
        )
    ]
    told = each_class(tested, task)
    if len(names) > 30:
        told = sorted(told, key=lambda of: of["recall"] or 0.0)[:30]
    rows = [
        (
            of["class"],
            of["rows"],
            "no test row" if of["recall"] is None else meter(of["recall"], f"{100 * of['recall']:.1f} %"),
            "never said" if of["precision"] is None else meter(of["precision"], f"{100 * of['precision']:.1f} %"),
        )
        for of in told
    ]
    title = "Each class" if len(told) == len(names) else "The 30 hardest classes"
    parts += [
        tag("h3", title),
        table(["class", "rows", "found, of its rows", "right, when named"], rows, numbers=[1], narrow=True),
    ]
    rows = [
        (of["row"], of["true"], of["predicted"], f"{100 * of['confidence']:.1f} %") for of in mistakes(tested, task)
    ]
    if rows:
        parts += [
            tag("h3", "The surest mistakes"),
            tag("p", "Worth a look: a wrong label hides here more often than elsewhere.", class_="note"),
            table(["row", "true", "predicted", "confidence"], rows, numbers=[0, 3], narrow=True),
        ]
    else:
        parts.append(tag("p", "There is no mistake among the test rows."))
    return join(parts)

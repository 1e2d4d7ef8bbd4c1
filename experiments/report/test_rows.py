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
from experiments.report.page import Html, columns, details, facts, figure, join, meter, table, tag
from experiments.report.sureness import sureness_part
from experiments.report.words import NO_TEST, amount, count, explain, metric_name, number, without_a_model

log = logging.getLogger(__name__)

MISTAKES = 10
CLASSES = 30  # that are told


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
    simple = result.get("simple") or {}
    others = [(simple["name"], simple["test"])] if simple else []
    others += [("no model", constant)] if constant else []
    rows = [
        (
            tag("b", metric_name(name)) if name == task.metric else metric_name(name),
            *(number(of.get(name)) for of in (test, val, *(of for _, of in others))),
        )
        for name in shown
    ]
    head = ["", "test", "validation", *(name for name, _ in others)]
    told = table(head, rows, numbers=range(1, len(head)), narrow=True)
    words = [
        (metric_name(name), said)
        for name in shown
        if test[name] is not None and (said := explain(name, test[name], task.num_outputs))
    ]
    sure = sureness_part(result, task)
    cells = [
        join([told, details("In words", facts(words), *_others(simple, task, bool(constant)))]),
        *(_plots(tested, task) if tested is not None else []),
        join([tag("h3", "How sure it is"), sure]) if sure else Html(""),
    ]
    folded = (
        [] if tested is None else _of_values(tested, task) if task.kind == "regression" else _of_classes(tested, task)
    )
    return join([columns(*cells), *folded])


def _plots(tested: Tested, task: Task) -> list[Html]:
    y, p = tested.y, tested.prediction
    if task.kind == "regression":
        return [
            figure(plots.predicted_true(y, p), "On the dotted line the prediction is right."),
            figure(plots.residuals(y, p), "The errors should gather around zero and lean to neither side."),
        ]
    few = "" if task.num_outputs <= plots.MOST_CLASSES else f" The {plots.MOST_CLASSES} classes with most mistakes."
    return [
        figure(
            plots.reliability(y, p),
            "Near the dotted line the stated confidence can be taken at its word; below it the model is too "
            "sure. Larger points stand for more rows; the bars are 95 % intervals.",
        ),
        figure(plots.confusion(y, tested.guess, task.classes), f"Right answers are on the diagonal.{few}"),
    ]


def _others(simple: Mapping[str, Any], task: Task, constant: bool) -> list[Html]:
    """What stands beside the model."""
    said = []
    if simple:
        said.append(
            f"The {simple['name']} learned from {count(simple['rows'], 'training row')} alone, in which it saw "
            f"{count(simple['features'], 'number')} each: the networks' inputs side by side."
            + (f" It had {simple['seconds']:.3g} s." if simple.get("seconds") else "")
        )
    if constant:
        always = "the mean" if task.kind == "regression" else "the shares of the classes"
        said.append(f"“No model” is what always answering {always} would give.")
    return [tag("p", text, class_="note") for text in said]


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


def _of_values(tested: Tested, task: Task) -> list[Html]:
    rows = [
        (of["row"], amount(of["true"]), amount(of["predicted"]), f"{of['error']:+.4g}") for of in mistakes(tested, task)
    ]
    shown = table(["row", "true", "predicted", "error"], rows, numbers=[0, 1, 2, 3], narrow=True)
    return [details("The largest errors", shown)]


def _of_classes(tested: Tested, task: Task) -> list[Html]:
    told = each_class(tested, task)
    if len(told) > CLASSES:
        told = sorted(told, key=lambda of: of["recall"] or 0.0)[:CLASSES]
    rows = [
        (
            of["class"],
            of["rows"],
            "no test row" if of["recall"] is None else meter(of["recall"], f"{100 * of['recall']:.1f} %"),
            "never said" if of["precision"] is None else meter(of["precision"], f"{100 * of['precision']:.1f} %"),
        )
        for of in told
    ]
    title = "Each class" if len(told) == task.num_outputs else f"The {CLASSES} hardest classes"
    of_each = table(["class", "rows", "found, of its rows", "right, when named"], rows, numbers=[1], narrow=True)
    parts = [details(title, of_each)]
    rows = [
        (of["row"], of["true"], of["predicted"], f"{100 * of['confidence']:.1f} %") for of in mistakes(tested, task)
    ]
    if rows:
        note = tag("p", "Worth a look: a wrong label hides here more often than elsewhere.", class_="note")
        shown = table(["row", "true", "predicted", "confidence"], rows, numbers=[0, 3], narrow=True)
        parts.append(details("The surest mistakes", note, shown))
    else:
        parts.append(tag("p", "There is no mistake among the test rows."))
    return parts

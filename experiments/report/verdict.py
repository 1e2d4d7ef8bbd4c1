"""The report's first part: is the model good, beside no model and a simple one, and how far to trust that."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from automl.metrics import higher_is_better
from automl.types import Task, Trial
from experiments.progress import clock_text
from experiments.report.model import parameters
from experiments.report.page import Html, columns, join, lines, table, tag, tile
from experiments.report.words import MOST_DRAWN, NAMES, NO_TEST, count, explain, met, metric_name, number

FEW = 100
"""Test rows below which the numbers are told to be rough."""
SURE = 0.05
"""Mean distance of stated confidence and share of right answers up to which confidence is taken at its word."""
HARD = 0.1
"""By how much less of its rows a class is found than of all, so that it is named."""


def verdict_part(result: Mapping[str, Any], task: Task, trials: Sequence[Trial], rows: int) -> Html:
    """``rows``: of the test split, 0 when unknown."""
    test, metric = result.get("test") or {}, task.metric
    value = (test or result.get("val") or {}).get(metric)
    said = explain(metric, value, task.num_outputs) if value is not None else ""
    text, kind, why = verdict(result, task)
    measured = f"Measured once, on {count(rows, 'row')} that no decision used." if rows else ""
    if not test:
        measured = f"{NO_TEST.capitalize()}: this is on validation rows."
    return join(
        [
            tag("div", tag("h1", task.name), tag("span", text, class_=f"badge {kind}") if text else "", class_="head"),
            tag("p", f"{said} ", tag("span", measured, class_="note"), class_="lead"),
            _goal(result, task),
            columns(beside(result, task), lines([*([why] if why else []), *trust(result, task, rows)])),
            _tiles(result, trials),
        ]
    )


def verdict(result: Mapping[str, Any], task: Task) -> tuple[str, str, str]:
    """In a few words, whether that is good news (a CSS class), and the reason in a sentence. Empty when unknown.

    A difference counts where 95 % of it, over redrawn test rows, lie on one side.
    """
    value, none = _of(result, "test", task), (result.get("baseline") or {}).get(task.metric)
    if value is None or none is None:
        return "", "", ""
    sign = 1 if _rising(task.metric) else -1
    ends = result.get("interval") or [value, value]
    always = f"Always answering {'the mean' if task.kind == 'regression' else 'the shares of the classes'}"
    if sign * value <= sign * none:
        return "No better than no model", "bad", f"{always} gives {number(none)}: do not use it."
    if _one_group(result):
        said = f"{always} gives {number(none)}. All test rows are of one group, which tells nothing of others."
        return "Perhaps better than no model", "", said
    if min(sign * end for end in ends) <= sign * none:
        ranks = (result.get("test") or {}).get("roc_auc")
        more = f" Its order of the rows says more (area under the ROC curve {ranks:.2f})." if ranks else ""
        return "Perhaps better than no model", "", f"{always} gives {number(none)}, which may be as good.{more}"
    simple = result.get("simple")
    its = ((simple or {}).get("test") or {}).get(task.metric)
    if simple is None or its is None:
        return "Better than no model", "good", ""
    if not simple.get("difference"):  # too many rows to draw, or one group: nothing tells what is chance
        return "Better than no model", "good", f"A {simple['name']} has {number(its)}."
    ahead = [sign * end for end in simple["difference"]]
    name, chance = f"A {simple['name']}", f"95 %: {number(min(ahead))} to {number(max(ahead))}"
    by = number(sign * (value - its))
    if min(ahead) > 0:
        return "Better than a simple model", "good", f"{name} is behind by {by} ({chance})."
    if max(ahead) < 0:
        return "Worse than a simple model", "bad", f"{name} is ahead by {number(sign * (its - value))}: use that."
    return (
        "As good as a simple model",
        "",
        f"{name} may be as good: these rows cannot tell them apart (this model is ahead by {by}; {chance}). It is"
        " easier to explain.",
    )


def beside(result: Mapping[str, Any], task: Task) -> Html:
    """The model, a simple one and none, on the test and the validation rows."""
    simple, metric = result.get("simple"), task.metric
    if _of(result, "test", task) is None:
        return Html("")
    ends = result.get("interval")
    around = f"{number(ends[0])} to {number(ends[1])}" if ends else "–"
    rows: list[tuple[object, ...]] = [
        (
            tag("b", "this model"),
            tag("b", number(_of(result, "test", task))),
            around,
            number(_of(result, "val", task)),
        )
    ]
    if simple:
        rows.append((simple["name"], number(simple["test"].get(metric)), "–", number(simple["val"].get(metric))))
    if none := result.get("baseline"):
        rows.append(("no model", number(none.get(metric)), "–", "–"))
    return table([metric_name(metric), "test", "95 %", "validation"], rows, numbers=[1, 2, 3], narrow=True)


def trust(result: Mapping[str, Any], task: Task, rows: int) -> list[object]:
    """How far to trust the numbers, one sentence a reason."""
    said: list[object] = []
    value, known, ends = _of(result, "test", task), _of(result, "val", task), result.get("interval")
    if 0 < rows < FEW:
        said.append(f"Only {count(rows, 'test row')}: the numbers are rough.")
    if ends:
        text = f"Other rows like these would give {number(ends[0])} to {number(ends[1])} (95 %)."
        if known is not None and value is not None:
            text += f" {_flattered(known, ends, task.metric)}"
        said.append(text)
    told = (result.get("test") or {}).get("ece")
    if told is not None:
        word = "can be taken at its word" if told <= SURE else "is not to be taken at its word"
        said.append(f"The confidence it states {word}: it is off by {100 * told:.1f} points on average.")
    covered = ((result.get("calibration") or {}).get("coverage") or {}).get("0.9")
    if covered and task.kind == "regression":
        said.append(f"Its 90 % intervals held the true value for {covered['covered']:.0%} of the test rows.")
    hard = min(
        (of for of in result.get("classes_on_test") or [] if of["recall"] is not None),
        key=lambda of: of["recall"],
        default=None,
    )
    found = (result.get("test") or {}).get("accuracy")
    if hard is not None and found is not None and hard["recall"] < found - HARD:
        said.append(
            f"The hardest class is “{hard['class']}”: {hard['recall']:.0%} of its {hard['rows']:,} rows are found."
        )
    if grave := sum(f["severity"] == "error" for f in result.get("findings") or []):
        text = f"{count(grave, 'finding')} in the data would make any model doubtful"
        said.append(join([tag("a", text, href="#data"), "."]))
    return said


def _flattered(known: float, ends: Sequence[float], metric: str) -> str:
    if ends[0] <= known <= ends[1]:
        return f"Validation said {number(known)}, which is among them: choosing by those rows did not flatter it."
    better = (known > ends[1]) is _rising(metric)
    why = "choosing by those rows flattered it" if better else "the test rows are easier, or more was learned since"
    return f"Validation said {number(known)}: {why}."


def _goal(result: Mapping[str, Any], task: Task) -> Html:
    if not task.goal:
        return Html("")
    judged = (result.get("task") or {}).get("goal_met")
    kind = "badge" if judged is None else "badge good" if judged else "badge bad"
    return tag("p", "Goal ", tag("code", task.goal), " ", tag("span", met(judged), class_=kind))


def _tiles(result: Mapping[str, Any], trials: Sequence[Trial]) -> Html:
    counts, seconds = result.get("trials") or {}, result.get("seconds") or {}
    worked, total = counts.get("ok", len(trials)), float(seconds.get("total", 0.0))
    failed = sum(n for status, n in counts.items() if status != "ok")
    ensemble, size, cost = result.get("ensemble") or [], parameters(result, trials), result.get("deployed") or {}
    costs = [f"{size:,} parameters"] if size else []
    if cost.get("latency_ms") is not None:
        costs.append(f"{cost['latency_ms']:.2f} ms a row")
    return tag(
        "div",
        tile(
            (result.get("chosen") or {}).get("family", "–"),
            f"ensemble of {len(ensemble)}" if len(ensemble) > 1 else "one network",
            ", ".join(costs),
        ),
        tile(worked, "trial" if worked == 1 else "trials", f"{failed} more without a score" if failed else ""),
        tile(
            clock_text(total),
            "minutes in all" if total < 3600 else "hours in all",
            f"search {clock_text(float(seconds.get('search', 0.0)))}",
        ),
        class_="tiles",
    )


def _one_group(result: Mapping[str, Any]) -> bool:
    """Whether the rows were no more than can be drawn again, and yet were not: see ``experiments.report.words``."""
    rows = (result.get("data") or {}).get("test") or 0
    return not result.get("interval") and 0 < rows <= MOST_DRAWN


def _of(result: Mapping[str, Any], split: str, task: Task) -> float | None:
    value = (result.get(split) or {}).get(task.metric)
    return value if value is not None and math.isfinite(value) else None


def _rising(metric: str) -> bool:
    return metric not in NAMES or higher_is_better(metric)

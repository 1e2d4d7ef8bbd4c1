"""report.html: what was asked, what was tried, what came out, and how far to trust it."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from automl.files import write_atomically
from automl.types import Prior, Profile, Task, Trial
from automl.version import code_version
from experiments.progress import clock_text, one_line
from experiments.report.front import front_part
from experiments.report.importance import importance_part
from experiments.report.page import (
    Html,
    details,
    facts,
    join,
    lines,
    meter,
    page,
    plain,
    section,
    table,
    tag,
    tile,
)
from experiments.report.search import choices_text, leaderboard_part, prior_part, search_part
from experiments.report.sureness import sureness_part
from experiments.report.test_rows import Tested, test_rows_part
from experiments.report.words import KINDS, NO_TEST, explain, met, metric_name, number

log = logging.getLogger(__name__)


def write_report(
    path: str | Path,
    result: Mapping[str, Any],
    *,
    task: Task,
    trials: Sequence[Trial],
    dataset_facts: Mapping[str, Any],
    quality: Any = None,
    prior: Prior | None = None,
    profile: Profile | None = None,
    predictions: pd.DataFrame | None = None,
) -> None:
    """Write the report to ``path``, whole or not at all.

    ``result``: as in result.json. ``trials``: all of the search, as they finished. ``dataset_facts``:
    what to tell of the data, name -> text, number, list or mapping. ``quality``: an
    ``automl.data.quality.Quality``. ``predictions``: as in predictions.parquet. What is not given is left
    out; a part that cannot be made says so, and the others stand.
    """
    tested = Tested.of(task, predictions)
    parts: list[tuple[str, Callable[[], Html]]] = [
        ("Summary", lambda: _summary(result, task, trials, tested)),
        ("What was asked, and what was decided", lambda: _asked(result, task)),
        ("The data", lambda: _data(dataset_facts, quality, profile)),
        ("The search", lambda: search_part(trials, task)),
        ("Best trials", lambda: leaderboard_part(trials, task)),
        ("Speed against score", lambda: front_part(trials, task)),
        ("The model", lambda: _model(result, trials)),
        ("On the test rows", lambda: test_rows_part(result, task, tested)),
        ("How sure it is", lambda: sureness_part(result, task)),
        ("What the model looks at", lambda: importance_part(result, task)),
        ("Where the search started, and what it found", lambda: prior_part(prior, trials, task)),
        ("How to use the model", lambda: _use(result, task)),
    ]
    made = [_made(title, make) for title, make in parts]
    write_atomically(path, page(f"{task.name}: Level 4 report", [*made, _footer(result)]))


def _made(title: str, make: Callable[[], Html]) -> Html:
    """A part in its section, or nothing when it is empty. A fault in one part never costs the report."""
    try:
        inside = make()
    except Exception as error:
        log.warning("report: the part %r could not be made: %s", title, one_line(str(error)))
        inside = tag("p", f"This part could not be made: {one_line(repr(error))}", class_="note")
    if not inside:
        return Html("")
    return inside if title == "Summary" else section(title, inside)


def _summary(result: Mapping[str, Any], task: Task, trials: Sequence[Trial], tested: Tested | None) -> Html:
    test, val = result.get("test", {}), result.get("val", {})
    value = (test or val).get(task.metric)
    measured = (
        "Measured once, on rows that no decision used."
        if test
        else f"{NO_TEST.capitalize()}: this is on validation rows."
    )
    said = explain(task.metric, value, task.num_outputs) if value is not None else ""
    goal = ""
    if task.goal:
        judged = result.get("task", {}).get("goal_met")
        kind = {True: "badge good", False: "badge bad"}.get(judged, "badge")
        goal = join([tag("p", "Goal ", tag("code", task.goal), " ", tag("span", met(judged), class_=kind))])
    counts, seconds = result.get("trials", {}), result.get("seconds", {})
    worked = counts.get("ok", len(trials))
    failed = sum(v for k, v in counts.items() if k != "ok")
    chosen, ensemble = result.get("chosen", {}), result.get("ensemble") or []
    around = result.get("interval")
    rows = f" on {len(tested.y):,} rows" if tested else ""
    note = f"95 %: {number(around[0])} to {number(around[1])}" if around else ""
    size = _parameters(result, trials)
    return join(
        [
            tag("h1", task.name),
            tag(
                "p",
                f"{said} ",
                tag("span", measured, class_="note"),
                class_="lead",
            ),
            goal,
            tag(
                "div",
                *([tile(number(value), f"{metric_name(task.metric)}, test{rows}", note)] if test else []),
                tile(number(val.get(task.metric)), f"{metric_name(task.metric)}, validation", "used to choose"),
                tile(
                    chosen.get("family", "–"),
                    f"ensemble of {len(ensemble)}" if len(ensemble) > 1 else "one network",
                    f"{size:,} parameters" if size else "",
                ),
                tile(worked, "trial" if worked == 1 else "trials", f"{failed} more without a score" if failed else ""),
                tile(
                    clock_text(float(seconds.get("total", 0.0))),
                    "minutes in all" if float(seconds.get("total", 0.0)) < 3600 else "hours in all",
                    f"search {clock_text(float(seconds.get('search', 0.0)))}",
                ),
                class_="tiles",
            ),
        ]
    )


def _parameters(result: Mapping[str, Any], trials: Sequence[Trial]) -> int | None:
    """Of the whole ensemble, or of the chosen network; None when unknown."""
    sizes = [m.get("parameters") for m in result.get("ensemble") or [] if isinstance(m, Mapping)]
    if sizes and all(isinstance(s, int) for s in sizes):
        return sum(s for s in sizes if isinstance(s, int))
    chosen = result.get("chosen", {})
    same = (t for t in trials if t.candidate.family == chosen.get("family"))
    return next((t.parameters for t in same if dict(t.candidate.choices) == chosen.get("choices")), None)


def _asked(result: Mapping[str, Any], task: Task) -> Html:
    limits = {
        "latency": task.limits.latency_ms and f"{task.limits.latency_ms:g} ms for one row, once it is read and encoded",
        "parameters": task.limits.parameters and f"{task.limits.parameters:,}",
        "size": task.limits.megabytes and f"{task.limits.megabytes:g} MB",
    }
    kept = {name: text for name, text in limits.items() if text}
    known: list[tuple[object, object]] = [
        ("Task", f"{task.kind}: {KINDS.get(task.kind, '')}"),
        ("Judged by", f"{metric_name(task.metric)} ({task.metric})"),
    ]
    if task.classes:
        shown = ", ".join(task.classes[:20])
        known.append((f"{len(task.classes)} classes", shown + (", …" if len(task.classes) > 20 else "")))
    known.append(("Goal", tag("code", task.goal) if task.goal else "none given"))
    known.append(("Limits", plain(kept) if kept else "none given"))
    known.append(("Level, seed", f"{result.get('level', '–')}, {result.get('seed', '–')}"))
    return join([facts(known), tag("h3", "Why") if task.why else "", lines(task.why)])


_FACTS = {
    "origin": "From",
    "hash": "Mark of the data",
    "rows": "Rows",
    "train": "To train on",
    "valid": "To choose by",
    "test": "To judge at the end",
    "inputs": "The networks see",
    "notes": "Notes",
}


def _data(known: Mapping[str, Any], quality: Any, profile: Profile | None) -> Html:
    given = [(_FACTS.get(k, k), plain(v)) for k, v in known.items() if v not in ("", None, [], {}, ())]
    parts = [facts(given)]
    findings = list(getattr(quality, "findings", ()) or ())
    if findings:
        rows = [
            (
                tag("span", f.severity, class_="badge bad" if f.severity == "error" else "badge"),
                tag("code", f.where),
                f"{f.count:,}",
                f.text,
                f"{f.repair} (done)" if f.repaired else f"{f.repair} (proposed)" if f.repair else "",
            )
            for f in findings[:40]
        ]
        parts += [tag("h3", "What looked wrong"), table(["", "where", "count", "finding", "repair"], rows, numbers=[2])]
        if len(findings) > 40:
            parts.append(tag("p", f"and {len(findings) - 40} more", class_="note"))
    elif quality is not None:
        parts.append(tag("p", "The quality checks found nothing wrong."))
    if profile is not None and profile.names:
        reasons = profile.reasons
        rows = [(tag("code", n), number(v), reasons.get(n, "")) for n, v in profile.as_dict().items()]
        shown = table(["feature", "value", "why not measured" if reasons else ""], rows, numbers=[1])
        parts.append(details(f"Profile: the {len(rows)} numbers by which similar data sets are found", shown))
    return join(parts)


def _model(result: Mapping[str, Any], trials: Sequence[Trial]) -> Html:
    chosen, ensemble = result.get("chosen") or {}, result.get("ensemble") or []
    if not chosen:
        return Html("")
    size = _parameters(result, trials)
    known: list[tuple[object, object]] = [
        ("Family", chosen.get("family", "–")),
        ("Choices", choices_text(chosen["choices"])),
    ]
    if size:
        known.append(("Parameters", f"{size:,}" + (" in all networks together" if len(ensemble) > 1 else "")))
    cost = result.get("deployed") or {}
    if cost.get("megabytes") is not None:
        known.append(("Size of the bundle", f"{cost['megabytes']:.2f} MB"))
    if cost.get("latency_ms") is not None:
        known.append(("One raw row", f"{cost['latency_ms']:.2f} ms on one CPU thread, reading it included"))
    if cost.get("batch_ms") is not None:
        known.append(("Each of many rows", f"{cost['batch_ms']:.2f} ms on one CPU thread, 32 asked at once"))
    members = [m for m in ensemble if isinstance(m, Mapping)]
    if again := sum(bool(m.get("refit")) for m in members):
        which = "" if again == len(members) else f"{again} of the {len(members)} networks: "
        known.append(
            ("Trained again", f"{which}on training and validation rows together; the validation score is from before")
        )
    parts = [facts(known), lines(result.get("notes") or [])]
    if len(members) > 1:
        rows = [
            (
                meter(float(m.get("weight") or 0.0), f"{100 * float(m.get('weight') or 0.0):.0f} %"),
                m.get("number", "–"),
                m.get("family", "–"),
                choices_text(m.get("choices") or {}),
            )
            for m in members
        ]
        parts += [
            tag("h3", f"An ensemble of {len(members)} networks"),
            tag("p", "Its answer is the weighted mean of theirs. The weights were chosen on the validation rows."),
            table(["weight", "trial", "family", "choices"], rows, numbers=[1]),
        ]
    return join(parts)


def _use(result: Mapping[str, Any], task: Task) -> Html:
    bundle = result.get("bundle")
    if not bundle:
        return Html("")
    tabular = any(i.modality in ("tabular", "text") for i in task.inputs)
    load = (
        'rows = pd.read_csv("new_rows.csv")  # the columns of the training data, raw'
        if tabular
        else ('rows = np.load("new_rows.npy")  # in the form of the training data, raw, first axis the row')
    )
    probabilities = "" if task.kind == "regression" else "\nbundle.predict_proba(rows)  # one column per class"
    what = "values" if task.kind == "regression" else "class names"
    answers = "Test predictions", tag("code", "predictions.parquet")
    code = f"""import {"pandas as pd" if tabular else "numpy as np"}
from automl.deploy.bundle import Bundle

bundle = Bundle.load({str(bundle)!r})
{load}
bundle.predict(rows)  # {what}{probabilities}"""
    return join(
        [
            tag("p", "The bundle holds the network as ONNX and everything that turns raw rows into its inputs."),
            tag("pre", tag("code", code)),
            facts([("Bundle", tag("code", bundle)), *([answers] if result.get("test") else [])]),
        ]
    )


def _footer(result: Mapping[str, Any]) -> Html:
    now = datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="minutes")
    return tag("footer", f"Level 4 {code_version()}, {now}. Trials are kept in {result.get('store', '–')}.")


__all__ = ["write_report"]

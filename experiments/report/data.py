"""The report's part on the task and its data: what was asked, what was decided and why, what looked wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from automl.types import Profile, Task
from experiments.report.page import Html, details, facts, join, lines, plain, table, tag
from experiments.report.words import KINDS, metric_name, number

SHOWN, MOST = 5, 40  # findings: that stand there, and that are told at all
CLASSES = 20  # that are named

_FACTS = {
    "origin": "From",
    "hash": "Fingerprint",
    "rows": "Rows",
    "train": "To train on",
    "valid": "To choose by",
    "test": "To judge by",
    "inputs": "Inputs",
    "notes": "Notes",
}


def data_part(
    result: Mapping[str, Any], task: Task, known: Mapping[str, Any], quality: Any, profile: Profile | None
) -> Html:
    given = [(_FACTS.get(k, k), plain(v)) for k, v in known.items() if v not in ("", None, [], {}, ())]
    parts = [facts([*_asked(result, task), *given])]
    findings = list(getattr(quality, "findings", ()) or ())
    if findings:
        parts += [tag("h3", "What looked wrong"), _findings(findings[:SHOWN])]
        if rest := findings[SHOWN:MOST]:
            parts.append(details(f"{len(findings) - SHOWN} more findings", _findings(rest)))
        if len(findings) > MOST:
            parts.append(tag("p", f"{len(findings) - MOST} of them are not shown", class_="note"))
    elif quality is not None:
        parts.append(tag("p", "The quality checks found nothing wrong."))
    if task.why:
        parts.append(details(f"Why: the {len(task.why)} decisions on the task and its rows", lines(task.why)))
    if profile is not None and profile.names:
        reasons = profile.reasons
        rows = [(tag("code", n), number(v), reasons.get(n, "")) for n, v in profile.as_dict().items()]
        shown = table(["feature", "value", "why not measured" if reasons else ""], rows, numbers=[1])
        parts.append(details(f"Profile: the {len(rows)} numbers by which similar data sets are found", shown))
    return join(parts)


def _asked(result: Mapping[str, Any], task: Task) -> list[tuple[object, object]]:
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
        shown = ", ".join(task.classes[:CLASSES])
        known.append((f"{len(task.classes)} classes", shown + (", …" if len(task.classes) > CLASSES else "")))
    if kept:
        known.append(("Limits", plain(kept)))
    known.append(("Level, seed", f"{result.get('level', '–')}, {result.get('seed', '–')}"))
    return known


def _findings(findings: Sequence[Any]) -> Html:
    rows = [
        (
            tag("span", f.severity, class_="badge bad" if f.severity == "error" else "badge"),
            tag("code", f.where),
            f"{f.count:,}",
            f.text,
            f"{f.repair} (done)" if f.repaired else f"{f.repair} (proposed)" if f.repair else "",
        )
        for f in findings
    ]
    return table(["", "where", "count", "finding", "repair"], rows, numbers=[2])

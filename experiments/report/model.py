"""The report's part on the model: what it is made of, what it costs, and how to use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from automl.types import Candidate, Task, Trial
from experiments.report.page import Html, columns, details, facts, join, lines, meter, table, tag
from experiments.report.search import choices_text, differences


def model_part(result: Mapping[str, Any], task: Task, trials: Sequence[Trial]) -> Html:
    chosen, ensemble = result.get("chosen") or {}, result.get("ensemble") or []
    if not chosen:
        return Html("")
    size = parameters(result, trials)
    members = [m for m in ensemble if isinstance(m, Mapping)]
    kinds = list(dict.fromkeys(m.get("family", "–") for m in members))
    known: list[tuple[object, object]] = [
        ("Made of", f"{len(members)} networks: {', '.join(kinds)}" if len(members) > 1 else chosen.get("family", "–"))
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
    if again := sum(bool(m.get("refit")) for m in members):
        which = "" if again == len(members) else f"{again} of the {len(members)} networks: "
        known.append(
            ("Trained again", f"{which}on training and validation rows together; the validation score is from before")
        )
    made = join([facts(known), lines(result.get("notes") or [])])
    parts = [columns(_use(result, task), made)]
    if len(members) > 1:
        parts.append(details(f"An ensemble of {len(members)} networks", *_ensemble(members)))
    else:
        parts.append(details("Its choices", choices_text(chosen.get("choices") or {})))
    return join(parts)


def parameters(result: Mapping[str, Any], trials: Sequence[Trial]) -> int | None:
    """Of the whole ensemble, or of the chosen network; None when unknown."""
    sizes = [m.get("parameters") for m in result.get("ensemble") or [] if isinstance(m, Mapping)]
    if sizes and all(isinstance(s, int) for s in sizes):
        return sum(s for s in sizes if isinstance(s, int))
    chosen = result.get("chosen") or {}
    same = (t for t in trials if t.candidate.family == chosen.get("family"))
    return next((t.parameters for t in same if dict(t.candidate.choices) == chosen.get("choices")), None)


def _ensemble(members: Sequence[Mapping[str, Any]]) -> list[Html]:
    differ = differences([Candidate(m.get("family", "–"), m.get("choices") or {}) for m in members])
    rows = [
        (
            meter(float(m.get("weight") or 0.0), f"{100 * float(m.get('weight') or 0.0):.0f} %"),
            m.get("number", "–"),
            m.get("family", "–"),
            choices,
        )
        for m, choices in zip(members, differ, strict=True)
    ]
    return [
        tag("p", "Its answer is the weighted mean of theirs. The weights were chosen on the validation rows."),
        table(["weight", "trial", "family", "choices"], rows, numbers=[1]),
    ]


def _use(result: Mapping[str, Any], task: Task) -> Html:
    bundle = result.get("bundle")
    if not bundle:
        return Html("")
    tabular = any(i.modality in ("tabular", "text") for i in task.inputs)
    load = (
        'rows = pd.read_csv("new_rows.csv")  # as they come'
        if tabular
        else ('rows = np.load("new_rows.npy")  # as they come')
    )
    probabilities = "" if task.kind == "regression" else "\nbundle.predict_proba(rows)  # one column per class"
    what = "values" if task.kind == "regression" else "class names"
    code = f"""import {"pandas as pd" if tabular else "numpy as np"}
from level4 import Bundle

bundle = Bundle.load({str(bundle)!r})
{load}
bundle.predict(rows)  # {what}{probabilities}"""
    file = "csv" if tabular else "npy"
    command = f"level4 +experiment=predict bundle={bundle} data.path=new_rows.{file} out=answers.parquet"
    return join(
        [
            tag("p", "The bundle holds the network as ONNX and everything that turns raw rows into its inputs."),
            tag("pre", tag("code", code)),
            tag("p", "Or for a whole file: ", tag("code", command)),
        ]
    )

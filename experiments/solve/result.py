"""What a run leaves: result.json, predictions.parquet, the report, and the last lines on the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from automl.data.columns import as_number
from automl.data.prepare import Prepared
from automl.data.quality import Finding
from automl.data.split import group_codes
from automl.deploy.importance import to_json
from automl.files import write_atomically
from automl.metrics import scores
from automl.passwords import masked
from automl.serial import dumps
from automl.task.goal import parse_goal
from automl.types import Prior, Profile, Trial
from automl.uncertainty.sets import decide
from automl.version import code_version
from experiments.events import STAGES
from experiments.explain import printable
from experiments.progress import one_line
from experiments.report.prior import worth
from experiments.report.report import write_report
from experiments.report.test_rows import Tested, each_class, mistakes
from experiments.report.words import NO_TEST, as_metric, difference, interval, met, number, without_a_model
from experiments.solve.finish import Finished
from experiments.solve.simple import Simple
from experiments.solve.solution import Solution
from experiments.solve.tables import leaderboard, trials_frame
from experiments.stores import shortened
from nas.pareto import pareto_front

FORMAT = 1
"""Of result.json."""


def compose_result(
    level: int,
    seed: int,
    prepared: Prepared,
    trials: Sequence[Trial],
    finished: Finished,
    prior: Prior | None,
    seconds: Mapping[str, float],
    store: str,
    notes: Sequence[str] = (),
    weights: Sequence[Mapping[str, Any]] = (),
    profile: Profile | None = None,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """result.json, a contract that other parts and people read. Scores are in the metric's own unit and sign.

    ``format``: of this file; it grows where a name goes or changes its meaning. ``overrides``: the options that were
    typed. ``hash``: see ``automl.data.identity``. ``profile``: the numbers by which similar data are found; null where
    one could not be measured. ``expected``: what the prior said of each axis of the best trial's family.
    ``classes_on_test``, ``mistakes``: see ``experiments.report.test_rows``.
    ``test``, ``baseline``, ``interval``: empty and null where no test rows were held out, as is what else is of them.
    ``baseline``: the metrics of always answering the class shares, or the mean, on the test rows. ``interval``: 95 % of
    the task's metric over redrawn test rows. ``simple``: see ``told_simple``. ``deployed``: see
    ``automl.deploy.measure``. ``calibration``: see ``automl.uncertainty.calibrate.told``. ``test_likeliest``: test
    metrics, were the likeliest class decided for; null where it is. ``importance``: how far the score (higher is
    better) falls where a field is shuffled, see ``automl.deploy.importance``; ``importance_from``: among which
    ``rows``, whether the networks had ``learned`` from them, and how many ``fields`` there are. ``weights``: those
    from elsewhere, see ``experiments.solve.weights``.
    """
    task, test = prepared.task, prepared.parts.test
    statuses = ("ok", "failed", "timeout", "oom", "diverged", "skipped")
    goal = parse_goal(task.goal)
    own = partial(as_metric, task.metric)
    quality = prepared.quality
    tested = Tested.of(task, predictions_frame(prepared, finished))
    return {
        "format": FORMAT,
        "version": code_version(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "task": {
            "name": task.name,
            "group": task.group,
            "kind": task.kind,
            "metric": task.metric,
            "classes": list(task.classes),
            "goal": task.goal,
            "limits": asdict(task.limits),
            "goal_met": None if goal is None else goal.met({**finished.test, **finished.cost}),
            "why": list(task.why),
        },
        "data": facts(prepared),
        "findings": [] if quality is None else [told(finding) for finding in quality.findings],
        "level": level,
        "seed": seed,
        "overrides": masked(list(overrides)),
        "profile": None if profile is None else {n: finite(v) for n, v in profile.as_dict().items()},
        "prior": None if prior is None else told_prior(prior, trials, task.metric),
        "trials": {status: sum(t.status == status for t in trials) for status in statuses},
        "seconds": {name: round(seconds.get(name, 0.0), 3) for name in ("total", *STAGES)},
        "judged_by": finished.judged_by,
        "val": finished.val,
        "test": finished.test,
        "interval": interval(
            *(task.metric, task.kind, test.y, finished.test_predictions, drawn_together(prepared), finished.weights),
        ),
        "baseline": without_a_model(task.kind, test.y, task.num_outputs) if len(test) else {},
        "simple": None if finished.simple is None else told_simple(finished.simple, prepared, finished),
        "chosen": {"family": finished.chosen.candidate.family, "choices": dict(finished.chosen.candidate.choices)},
        "ensemble": [{**member, "score": own(member["score"])} for member in finished.members],
        "pareto": [
            {"number": t.number, "family": t.candidate.family, "score": own(t.score), "latency_ms": t.latency_ms}
            for t in pareto_front(trials)
        ],
        "notes": [*notes, *finished.notes],
        "weights": list(weights),
        "classes_on_test": [] if tested is None or task.kind == "regression" else each_class(tested, task),
        "mistakes": [] if tested is None else mistakes(tested, task),
        "calibration": finished.calibration,
        "test_likeliest": finished.plain,
        "deployed": dict(finished.cost),
        "within_limits": finished.within_limits,
        "importance": to_json(finished.importance),
        "importance_from": {
            "rows": finished.importance.rows,
            "learned": finished.learned,
            "fields": finished.importance.fields,
        },
        "tried": [
            {
                "number": t.number,
                "family": t.candidate.family,
                "choices": dict(t.candidate.choices),
                "epochs": t.fidelity,
                "status": t.status,
                "score": own(t.score),
                "seconds": t.seconds,
                "parameters": t.parameters,
                "latency_ms": t.latency_ms,
                "error": one_line(t.error),
                "curve": [finite(own(value)) for value in t.curve],
            }
            for t in trials
        ],
        "bundle": str(finished.bundle.folder),
        "store": store,
    }


def told_simple(simple: Simple, prepared: Prepared, finished: Finished) -> dict[str, Any]:
    """The linear model beside the deployed one: its ``name``, the training ``rows`` and ``features`` that it learned
    from and the ``seconds`` that it had, its metrics on validation and test rows, and ``difference``: 95 % of the
    deployed model's metric less its own, over redrawn test rows.
    """
    task, valid, test = prepared.task, prepared.parts.valid, prepared.parts.test
    ours, its = (finished.test_predictions, finished.weights), (simple.test, simple.weights)
    return {
        "name": simple.name,
        "rows": simple.rows,
        "features": simple.features,
        "seconds": simple.seconds,
        "val": scores(task.kind, valid.y, simple.valid, weights=simple.weights),
        "test": scores(task.kind, test.y, simple.test, weights=simple.weights) if len(test) else {},
        "difference": difference(task.metric, task.kind, test.y, ours, its, drawn_together(prepared)),
    }


def finite(value: float | None) -> float | None:
    """JSON has no NaN."""
    return value if value is not None and math.isfinite(value) else None


def told_prior(prior: Prior, trials: Sequence[Trial], metric: str) -> dict[str, Any]:
    """Where the search started, as far as the report shows it."""
    best = max((t for t in trials if t.score is not None), key=lambda t: t.score or 0.0, default=None)
    family = best.candidate.family if best is not None else ""
    axes, weights = prior.axes.get(family, ()), prior.weights.get(family, {})
    return {
        "why": list(prior.why),
        "families": dict(prior.families),
        "worth": worth(prior, trials, metric),
        "expected": [{"axis": a.name, "options": list(a.options), "weights": list(weights[a.name])} for a in axes],
        "portfolio": [{"family": c.family, "choices": dict(c.choices)} for c in prior.portfolio],
    }


def told(finding: Finding) -> dict[str, Any]:
    """A finding of the quality checks without its rows, which inspect's quality.json lists."""
    names = ("name", "severity", "where", "count", "text", "repair", "repaired")
    return {name: getattr(finding, name) for name in names}


def drawn_together(prepared: Prepared) -> np.ndarray | None:
    """Of the test rows, which depend on each other: int (rows,), or None where each stands for itself.

    Rows of one group do. Where rows have an order, neighbours do: blocks as long as the root of their number.
    """
    rows, dataset = prepared.parts.test.rows, prepared.dataset
    if dataset.group is not None:
        return group_codes(dataset.group[rows])
    if dataset.time is not None:
        return np.argsort(np.argsort(dataset.time[rows], kind="stable")) // math.isqrt(max(len(rows), 1))
    return None


def write_outputs(
    folder: Path,
    prepared: Prepared,
    finished: Finished,
    result: dict[str, Any],
    trials: Sequence[Trial],
    prior: Prior | None,
    profile: Profile,
) -> None:
    frame = predictions_frame(prepared, finished)
    if len(frame):
        write_parquet(folder / "predictions.parquet", frame)
    write_parquet(folder / "trials.parquet", trials_frame(result))
    write_atomically(folder / "leaderboard.csv", leaderboard(result).to_csv(index=False))
    write_report(
        folder / "report.html",
        result,
        task=prepared.task,
        trials=trials,
        dataset_facts=facts(prepared),
        quality=prepared.quality,
        prior=prior,
        profile=profile,
        predictions=frame,
    )
    write_atomically(folder / "result.json", dumps(result, indent=2) + "\n")


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    temporary = path.with_name(f"{path.name}.part")
    frame.to_parquet(temporary, index=False)
    temporary.replace(path)


def predictions_frame(prepared: Prepared, finished: Finished) -> pd.DataFrame:
    """One line per test row: row, y, prediction and, for classification, one probability column per class.

    ``row`` is the position in the data as the user gave them, from 0: also where repairs dropped rows before it.
    """
    task, test, predicted = prepared.task, prepared.parts.test, finished.test_predictions
    rows = prepared.given[test.rows]
    if task.kind == "regression":
        own = as_number(prepared.dataset.target)[test.rows]
        return pd.DataFrame({"row": rows, "y": own, "prediction": prepared.encoding.decode(predicted)})
    names = np.asarray(task.classes, dtype=object)
    columns = {f"p_{name}": predicted[:, i] for i, name in enumerate(task.classes)}
    return pd.DataFrame(
        {"row": rows, "y": names[test.y], "prediction": names[decide(predicted, finished.weights)], **columns}
    )


def facts(prepared: Prepared) -> dict[str, Any]:
    dataset, parts = prepared.dataset, prepared.parts
    return {
        "origin": dataset.origin,
        "hash": prepared.task.data,
        "rows": len(dataset),
        "train": prepared.learned.distinct,
        "valid": prepared.judging,
        "test": len(parts.test),
        "inputs": {i.name: f"{i.modality} {' x '.join(map(str, i.shape))}" for i in prepared.task.inputs},
        "notes": list(dataset.notes),
    }


def tested(result: Mapping[str, Any]) -> str:
    """What the test rows said, in a few words."""
    metric = result["task"]["metric"]
    return f"{number(result['test'][metric])} test" if result["test"] else NO_TEST


def summary(solution: Solution) -> str:
    """The last lines on the terminal."""
    result = solution.result
    tries, seconds = result["trials"], result["seconds"]
    failed = sum(tries.values()) - tries["ok"]
    metric = result["task"]["metric"]
    lines = [
        f"{tries['ok']} trials{f' ({failed} more failed)' if failed else ''} in {seconds['search']:.0f} s,"
        f" {seconds['total']:.0f} s in all",
        f"chosen    {result['chosen']['family']}, an ensemble of {len(result['ensemble'])}"
        if len(result["ensemble"]) > 1
        else f"chosen    {result['chosen']['family']}",
        f"{metric:<9} {number(result['val'][metric])} validation ({result['judged_by']}), {tested(result)}",
    ]
    if result["task"]["goal"]:
        lines.append(f"goal      {result['task']['goal']}: {met(result['task']['goal_met'])}")
    lines += [f"note      {printable(note)}" for note in result["notes"]]
    lines += [f"model     {solution.bundle}", f"report    {solution.folder / 'report.html'}"]
    lines += [f"tracked   {printable(where)}" for where in solution.tracked]
    lines.append(f"past runs {shortened(result['store'])}")
    return "\n".join(lines)

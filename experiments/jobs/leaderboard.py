"""Everything that was tried on one data set, best first: jobs, searches of the person's store, each family's best."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from automl.metrics import higher_is_better
from automl.store.rows import task_digest
from automl.store.store import Store
from automl.types import Task, Trial
from experiments.report.words import as_metric
from experiments.solve.resumed import is_of_solve

FIELDS = ("val", "test", "interval", "seconds", "parameters", "latency_ms", "family", "metric", "seed", "trials")


def leaderboard(data: str, task: Task, jobs: Sequence[Mapping[str, Any]], store: str | None) -> dict[str, Any]:
    """``jobs``: that are done, with their results in brief. ``store``: a URL, None for none.

    Rows of another metric come last: their scores cannot be compared. A validation score is of a network, the test
    score of what was deployed; those of another seed are of other test rows.
    """
    # A name may stand for other data by now, or for another target. Labels of one's own make them others, too.
    jobs = [
        j for j in jobs if j["result"] and (j["asked"].get("labels") or j["result"].get("data", task.data) == task.data)
    ]
    rows = [_of_job(job) for job in jobs]
    baseline = next(
        (r["result"]["baseline"] for r in jobs if r["result"] and r["result"]["metric"] == task.metric), None
    )
    if (known := _opened(store)) is not None:
        with known:
            rows += [*_searches(known, task), *_families(known, task)]
    rows.sort(key=lambda row: _order(row, task.metric))
    return {"data": data, "metric": task.metric, "kind": task.kind, "baseline": baseline, "rows": rows}


def _of_job(job: Mapping[str, Any]) -> dict[str, Any]:
    asked, result = job["asked"], job["result"]
    what = asked.get("name") or asked.get("model") or "layers"
    return {"kind": "job", "name": what, "id": job["id"], **{n: result.get(n) for n in FIELDS}}


def _opened(store: str | None) -> Store | None:
    """None where there is none yet: a look makes no file."""
    if store is None or (store.startswith("sqlite:///") and not Path(store.removeprefix("sqlite:///")).is_file()):
        return None
    return Store(store)


def _searches(store: Store, task: Task) -> Iterator[dict[str, Any]]:
    """The finished searches on the same data, under whatever name."""
    names = {known.name for known, _ in store.tasks() if known.data == task.data}
    for name in sorted(names):
        for search in store.searches(task=name):
            result = search.result
            if not is_of_solve(search.config) or not result or (result.get("data") or {}).get("hash") != task.data:
                continue
            metric, deployed = result["task"]["metric"], result.get("deployed") or {}
            yield {
                "kind": "search",
                "name": f"search {search.id}",
                "id": str(search.id),
                "val": result["val"].get(metric),
                "test": result["test"].get(metric),
                "interval": result.get("interval"),
                "seconds": (result.get("seconds") or {}).get("total"),
                "parameters": deployed.get("parameters"),
                "latency_ms": deployed.get("latency_ms"),
                "family": result["chosen"]["family"],
                "metric": metric,
                "seed": result.get("seed"),
                "trials": search.trials,
            }


def _families(store: Store, task: Task) -> Iterator[dict[str, Any]]:
    """The best network of each family that searches tried on the same data; it has a validation score only."""
    best: dict[tuple[str, str], Trial] = {}
    for known, _ in store.tasks():
        if known.data != task.data or known.kind != task.kind:
            continue
        for trial in store.trials(digest=task_digest(known), status="ok"):
            key, score = (trial.candidate.family, known.metric), trial.score
            before = best.get(key)
            if score is not None and (before is None or score > (before.score or -math.inf)):
                best[key] = trial
    for (family, metric), trial in best.items():
        yield {
            "kind": "model",
            "name": family,
            "id": None,
            "val": as_metric(metric, trial.score),
            "test": None,
            "interval": None,
            "seconds": trial.seconds,
            "parameters": trial.parameters,
            "latency_ms": trial.latency_ms,
            "family": family,
            "metric": metric,
            "seed": trial.seed,
            "trials": 1,
        }


def _order(row: Mapping[str, Any], metric: str) -> tuple[Any, ...]:
    """By the test score where there is one; a row that has none stands by its validation score."""
    value = row["test"] if row["test"] is not None else row["val"]
    if row["metric"] != metric or value is None:
        return 1, 0.0
    return 0, -value if higher_is_better(metric) else value

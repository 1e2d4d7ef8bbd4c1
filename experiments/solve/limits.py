"""The hard limits: what networks together, and what is deployed, keep of them, and what may help where it does not."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from automl.data.dataset import Dataset
from automl.deploy.bundle import MODEL, Bundle
from automl.deploy.examples import raw_row
from automl.deploy.judge import Ensemble, Judge, Rows
from automl.deploy.measure import measured
from automl.deploy.optimise import Variant, make, time_them
from automl.deploy.quantise import DYNAMIC, STATIC
from automl.deploy.variants import Kept, write
from automl.types import Limits, Task, Trial
from automl.uncertainty.sets import Calibration

Cost = Mapping[str, float | None]
WORSE = 2.0
"""Standard errors of the score on the rows that judged it: 8 bits that lose more are no answer to a limit. The usual
95 %: what is over a limit is worth less than what may be as good."""


def beyond(limits: Limits, cost: Cost) -> str:
    """Which hard limits a deployed model of this cost is over, or an empty string."""
    names = ("latency_ms", "parameters", "megabytes")
    over = [
        f"{name} {cost[name]:g}, the limit is {limit:g}"
        for name in names
        if (limit := getattr(limits, name)) is not None and (cost[name] or 0.0) > limit
    ]
    return "; ".join(over)


def smaller_would_help(limits: Limits, cost: Cost) -> bool:
    """Whether the model is over a limit on what its graph costs: reading a row takes as long with a smaller one."""
    reading = (cost["latency_ms"] or 0.0) - (cost["graph_ms"] or 0.0)
    hopeless = limits.latency_ms is not None and reading >= limits.latency_ms
    return bool(beyond(limits, {**cost, "latency_ms": None} if hopeless else cost))


@dataclass(frozen=True)
class Eight:
    """A bundle's model in 8 bits that keeps the limits. ``note``: a line on what that did to the score."""

    cost: Cost
    calibration: Calibration | None
    note: str


def eight_bits(folder: Path, rows: Rows, dataset: Dataset, limits: Limits, notes: list[str]) -> Eight | None:
    """Let a variant in 8 bits answer in the bundle, the one whose score is best of those that keep the limits.

    Layers with weights alone are made smaller, so parameters stay as many. ``rows``: that judged the networks. None:
    where no variant keeps the limits, or one only with a score that is ``WORSE``, which a line of ``notes`` tells; the
    bundle is as it was then.
    """
    of, found = Ensemble.of(Bundle.load(folder, threads=1, variant=MODEL)), []
    with tempfile.TemporaryDirectory() as drafts:
        judge = Judge.of(of, rows.some())
        for precision in (DYNAMIC, STATIC):
            variant = Variant(of.size, precision)
            try:
                make(variant, of, rows, Path(drafts))
                assert variant.path is not None
                variant.verdict = judge.verdict(of.size, variant.path)
            except Exception:  # onnxruntime raises whatever it meets; then there is no such variant
                continue
            found.append((variant.verdict, variant))
        if found:
            time_them(
                of.bundle, [v for _, v in found], lambda n: [raw_row(dataset, i % len(dataset)) for i in range(n)], 0
            )
        for verdict, variant in sorted(found, key=lambda pair: -pair[0].score):
            kept = Kept.of(of, rows, variant)
            write(of.bundle, [kept], variant.name)
            cost = measured(folder, dataset)
            if beyond(limits, cost):
                continue
            told = f"{of.bundle.task.metric} {judge.full:.4g} -> {verdict.score:.4g} on the rows that judged it"
            if verdict.behind <= WORSE:
                note = f"the model answers in 8 bits ({variant.precision}) to keep a limit: {told}"
                return Eight(cost, kept.calibration, note)
            notes.append(f"8 bits would keep the limit, and answer too badly: {told}")
            break
    write(of.bundle, [], None)
    return None


def within_limits(
    task: Task, trials: Sequence[Trial], megabytes: Callable[[Trial], float]
) -> Callable[[tuple[int, ...]], bool]:
    """Whether the trials with these indices keep the hard limits together, deployed as one graph.

    ``megabytes``: of a trial's network in it.
    """
    limits = task.limits
    sizes = [] if limits.megabytes is None else [megabytes(trial) for trial in trials]

    def allowed(members: tuple[int, ...]) -> bool:
        parameters = sum(trials[i].parameters or 0 for i in members)
        latency = sum(trials[i].latency_ms or 0.0 for i in members)
        return (
            (limits.parameters is None or parameters <= limits.parameters)
            and (limits.megabytes is None or sum(sizes[i] for i in members) <= limits.megabytes)
            and (limits.latency_ms is None or latency <= limits.latency_ms)
        )

    return allowed

"""Which trials are worth a look when both the score and the latency count."""

from __future__ import annotations

from collections.abc import Iterable

from automl.types import Trial


def pareto_front(trials: Iterable[Trial]) -> list[Trial]:
    """The trials that no other beats in both score and latency, from the fastest to the best.

    Only those that are ok and have a latency (``Job.latency``, or a limit on it) take part. Of equals the first stays.
    """
    measured = [t for t in trials if t.status == "ok" and t.score is not None and t.latency_ms is not None]
    front: list[Trial] = []
    for trial in sorted(measured, key=lambda t: (t.latency_ms or 0.0, -(t.score or 0.0), t.number)):
        if not front or (trial.score or 0.0) > (front[-1].score or 0.0):
            front.append(trial)
    return front

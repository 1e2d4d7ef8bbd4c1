"""The process of one job: ``python -m experiments.jobs.work [OPTIONS] FOLDER ID LEASE``, as the keeper starts it.

A thread gives signs of life and tells how far it is; by its answers the job hears that it is to stop, or that another
process has taken it over. What is killed goes on by ``resume``: trials that had finished are not run again.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sqlite3
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from automl.errors import UserError
from automl.training.live import heard
from automl.types import Trial
from experiments.events import Listener
from experiments.explain import flat, printable
from experiments.jobs.data import Data
from experiments.jobs.dictionary import SECONDS, read
from experiments.jobs.settings import RUN
from experiments.jobs.table import HANGS, Job, Lease, Table
from experiments.jobs.train import of_found, run_in
from experiments.report.words import as_metric

BEAT = 1.0  # seconds between signs of life
LATE, GRACE = 2.0, 120.0  # a job that takes so many times its seconds, and so many more, hangs
POINTS = 200  # of a curve
NICE = 10  # requests to the server go before training
T = TypeVar("T")


def main(words: Sequence[str] | None = None) -> None:
    given = options().parse_args(words)
    with contextlib.suppress(OSError):
        os.nice(NICE)
    folder: Path = given.folder
    lease = Lease(surely(Table, folder / "jobs.db"), given.id, given.lease)
    if not surely(lease.begin) or (job := surely(lease.table.get, given.id)) is None:
        return
    told = Told()
    seconds = min(float(job.asked.get("seconds") or SECONDS), given.seconds)
    watch = threading.Thread(target=signs_of_life, args=(lease, told, seconds), daemon=True)
    watch.start()
    try:
        with heard(told.epoch):
            result = done(job, folder / job.id, Data(given.uploads, given.datasets), given.seconds, told)
        state, error = "done", ""
    except UserError as wrong:
        state, result, error = "failed", None, flat(str(wrong))[:500]
    except Exception:
        with contextlib.suppress(OSError):  # a full disk
            traceback.print_exc()
        state, result, error = "failed", None, "this program failed; the job's log.txt knows why"
    told.ended = True
    watch.join()
    surely(lease.beat, told.document)
    surely(lease.end, state, result, printable(error))


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m experiments.jobs.work")
    parser.add_argument("--uploads", type=Path, required=True)
    parser.add_argument("--datasets", type=Path)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("folder", type=Path)
    parser.add_argument("id")
    parser.add_argument("lease")
    return parser


def done(job: Job, folder: Path, data: Data, most: float, told: Told) -> dict[str, Any]:
    """Do the job, or what is left of it; the result in brief."""
    from experiments.runs.found import RESULT, Run

    out = folder / RUN
    if (out / RESULT).is_file():  # it is written last: nothing was left but to say so
        return in_brief(Run.of(out).result)
    wanted = read(job.asked, most_seconds=most)
    cfg, source = of_found(wanted, data.find(wanted.data))
    return in_brief(run_in(cfg, source, folder, [told]).result)


def in_brief(result: Mapping[str, Any]) -> dict[str, Any]:
    """Of result.json what a list and the leaderboard show."""
    metric = result["task"]["metric"]
    members = {m["number"] for m in result["ensemble"] if "number" in m}
    sizes = [t["parameters"] or 0 for t in result["tried"] if t["number"] in members]
    return {
        "metric": metric,
        "val": result["val"].get(metric),
        "test": result["test"].get(metric),
        "interval": result["interval"],
        "baseline": (result.get("baseline") or {}).get(metric),
        "family": result["chosen"]["family"],
        "parameters": result["deployed"].get("parameters") or sum(sizes) or None,
        "latency_ms": result["deployed"].get("latency_ms"),
        "megabytes": result["deployed"].get("megabytes"),
        "seconds": result["seconds"]["total"],
        "trials": sum(result["trials"].values()),
        "data": result["data"]["hash"],
        "seed": result["seed"],
    }


class Told(Listener):
    """How far the job is, as one document. Scores are in the metric's own unit and sign."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = {"stage": "start", "metric": None, "trials": [], "now": [], "best": None}
        self.ended = False
        self._lock = threading.Lock()

    def stage(self, name: str) -> None:
        self._set(stage=name)

    def start(self, config: Mapping[str, Any], name: str, metric: str = "") -> None:
        self._set(metric=metric)

    def trial(self, trial: Trial, *, resumed: bool = False) -> None:
        metric = self.document["metric"] or ""
        score = as_metric(metric, trial.score)
        said = {
            "number": trial.number,
            "family": trial.candidate.family,
            "status": trial.status,
            "score": score,
            "seconds": round(trial.seconds, 3),
            "epochs": trial.fidelity,
            "parameters": trial.parameters,
            "error": printable(trial.error)[:200],
            "curve": self._curve(trial.curve),
        }
        best = self.document["best"]
        if score is not None and (best is None or (trial.score or 0.0) > (as_metric(metric, best) or 0.0)):
            best = score
        self._set(trials=[*self.document["trials"], said], now=[], best=best)

    def epoch(self, curve: Sequence[float]) -> None:
        """The training at work has one more epoch behind it."""
        if self.document["stage"] == "search":
            self._set(now=self._curve(curve))

    def _curve(self, curve: Sequence[float]) -> list[float | None]:
        """At most ``POINTS`` of it, the last among them."""
        step = -(-len(curve) // POINTS) or 1
        kept = [*curve[::-1][::step]][::-1]
        return [as_metric(self.document["metric"] or "", value) for value in kept]

    def _set(self, **more: Any) -> None:
        with self._lock:  # a new one: the other thread may be reading the old one
            self.document = {**self.document, **more}


def signs_of_life(lease: Lease, told: Told, seconds: float) -> None:
    """Until the job has ended: say that it lives, and stop the process where it is to."""
    until, seen = time.monotonic() + LATE * seconds + GRACE, None
    while not told.ended:
        document = told.document
        with contextlib.suppress(sqlite3.Error):  # a full disk: the next one may go
            word = lease.beat(None if document is seen else document)
            seen = document
            if word == "lost":
                try:
                    print("another process has this job: this one ends", file=sys.stderr, flush=True)
                finally:
                    os._exit(3)
            if word == "stop":
                lease.end("cancelled")
                os._exit(0)
            if time.monotonic() > until:
                lease.end("failed", error=f"it took longer than {LATE:g} times the {seconds:g} s of a job")
                os._exit(4)
        time.sleep(BEAT)


def surely(say: Callable[..., T], *what: Any) -> T:
    """Say it until it is written. Raises sqlite3.Error when it is not for so long that this process counts as lost."""
    until = time.monotonic() + HANGS
    while True:
        try:
            return say(*what)
        except sqlite3.Error:  # a full disk, which may be emptied
            if time.monotonic() > until:
                raise
        time.sleep(BEAT)


if __name__ == "__main__":
    main()

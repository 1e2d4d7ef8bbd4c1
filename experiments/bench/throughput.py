"""Trials per minute: ``processes`` with 2 workers and with 1, ``ray`` and NNI's stock local service with 2 at once.

``level4 +experiment=bench/throughput``: the same small candidates of the same space for the same few epochs, the
same code within a trial, one torch thread each, in one run. "up" is the time until the first training can start: the
start of the workers and their import of torch, for NNI the start of its manager; once per search. Rates are given
without it and with it. Our rows are the median of ``bench.repeats``; NNI's takes minutes and is measured once. Two
workers are compared with one on more candidates, so that the wait for the last one does not matter.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from omegaconf import DictConfig

from automl.types import Budget, Candidate, Prior
from experiments.bench import options_from
from experiments.bench.overhead import candidates, small_job
from nas.engines.base import Engine
from nas.engines.nni_service import NniServiceEngine
from nas.engines.processes import ProcessesEngine
from nas.job import Job
from nas.search import search
from nas.strategies.listed import Listed


@dataclass(frozen=True)
class Asked:
    """The options; see conf/experiment/bench/throughput.yaml."""

    candidates: int
    more: int
    epochs: int
    repeats: int


@dataclass(frozen=True)
class Row:
    """``up``: seconds until the engine could train; ``work``: seconds from then to the last result."""

    trials: int
    up: float
    work: float

    @property
    def rate(self) -> float:
        """Trials per minute, without the start."""
        return 60 * self.trials / self.work

    @property
    def rate_with_start(self) -> float:
        return 60 * self.trials / (self.up + self.work)


def row_of(job: Job, wanted: Sequence[Candidate], epochs: int, engine: Engine) -> Row:
    """Train all candidates once; ``up`` is the time in ``engine.take``."""
    began = time.perf_counter()
    engine.take(job)
    up = time.perf_counter()
    trials = search(job, Prior.uniform(job.axes), Listed(wanted), engine, Budget(epochs=epochs), seed=0)
    ended = time.perf_counter()
    bad = [t for t in trials if t.status != "ok" or len(t.curve) != epochs]
    if len(trials) != len(wanted) or bad:
        raise RuntimeError(f"not the same work: {len(trials)} trials, {bad[:1]}")
    return Row(len(trials), up - began, ended - up)


def on(engine: Engine, job: Job, lists: Sequence[Sequence[Candidate]], epochs: int, repeats: int) -> list[Row]:
    """A row for each list of candidates, all on the same workers."""
    rows: list[Row] = []
    try:
        began = time.perf_counter()
        row_of(job, lists[0][: 2 * engine.workers], 1, engine)
        up = time.perf_counter() - began
        for wanted in lists:
            work = [row.up + row.work for row in (row_of(job, wanted, epochs, engine) for _ in range(repeats))]
            rows.append(Row(len(wanted), up, statistics.median(work)))
    finally:
        engine.shutdown()
    return rows


def on_nni(job: Job, wanted: Sequence[Candidate], epochs: int, workers: int) -> Row:
    engine = NniServiceEngine(workers=workers)
    try:
        return row_of(job, wanted, epochs, engine)
    finally:
        engine.shutdown()


def run(cfg: DictConfig) -> None:
    from nas.engines.ray import RayEngine  # an extra, whose lack is told before anything is measured

    options = options_from(cfg, Asked)
    torch.set_num_threads(1)
    job = small_job()
    more = candidates(job, max(options.more, options.candidates))
    same = more[: options.candidates]
    two, two_more = on(ProcessesEngine(workers=2), job, [same, more], options.epochs, options.repeats)
    (one_more,) = on(ProcessesEngine(workers=1), job, [more], options.epochs, options.repeats)
    (ray,) = on(RayEngine(workers=2), job, [same], options.epochs, options.repeats)
    nni = on_nni(job, same, options.epochs, 2)
    rows = {
        "processes, 2 workers": two,
        "ray, 2 workers": ray,
        "NNI local service, 2 at once": nni,
        "processes, 2 workers, more of them": two_more,
        "processes, 1 worker, more of them": one_more,
    }
    print(f"candidates x {options.epochs} epochs, {len(job.train)} rows; trials per minute")
    print(f"{'':<36}{'trials':>8}{'up, s':>8}{'work, s':>9}{'per minute':>12}{'with start':>12}")
    for name, row in rows.items():
        numbers = f"{row.trials:>8}{row.up:>8.1f}{row.work:>9.1f}{row.rate:>12.1f}{row.rate_with_start:>12.1f}"
        print(f"{name:<36}{numbers}")
    print(f"{'ratio':<48}{'per minute':>12}{'with start':>12}{'target':>9}")
    met = True
    for name, ours, other, target in (
        ("to NNI's local service", two, nni, 8.0),
        ("to 1 worker", two_more, one_more, 1.8),
    ):
        ratio, with_start = ours.rate / other.rate, ours.rate_with_start / other.rate_with_start
        met &= ratio >= target
        print(f"{'processes with 2 workers ' + name:<48}{ratio:>12.2f}{with_start:>12.2f}{f'>= {target:g}':>9}")
    if not met:
        raise SystemExit(1)

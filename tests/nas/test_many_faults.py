"""Searches in which much goes wrong at once. Slow: workers are killed and must import torch again."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pytest

from automl.types import Budget, Prior, Trial
from nas.engines.pool import Pool
from nas.engines.processes import ProcessesEngine
from nas.job import Job
from nas.search import search
from nas.strategies.listed import Listed
from tests.nas.engines import ray_engine
from tests.nas.planted import candidates, planted_job

STATUS = {"": "ok", "raise": "failed", "nan": "diverged", "memory": "oom", "kill": "failed", "hang": "timeout"}
FAULTS = ["raise"] * 10 + ["nan"] * 8 + ["memory"] * 8 + ["kill"] * 2 + ["hang"] * 2
COUNT = 60


def run(job: Job, engine: Pool, count: int, finished=lambda trial, outcome: None) -> list[Trial]:
    strategy = Listed(candidates(count))
    return search(job, Prior.uniform(job.axes), strategy, engine, Budget(epochs=3), seed=0, finished=finished)


def best(trials: list[Trial]) -> Trial:
    return max((t for t in trials if t.score is not None), key=lambda t: (t.score, -t.number))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("make", [ProcessesEngine, ray_engine])
def test_thirty_faults_and_the_same_best_candidate(make):
    assert len(FAULTS) == 30
    with contextlib.closing(Shutdown(make(workers=2, trial_seconds=5.0))) as engine:
        clean = run(planted_job(COUNT), engine.engine, COUNT)
    assert all(t.status == "ok" for t in clean) and len({t.score for t in clean}) > 5
    winner = best(clean).candidate

    rng = np.random.default_rng(0)
    others = [i for i in range(COUNT) if i != winner.choices["index"]]
    planted = dict(zip(map(int, rng.choice(others, 30, replace=False)), FAULTS, strict=True))
    written: list[Trial] = []
    with contextlib.closing(Shutdown(make(workers=2, trial_seconds=5.0))) as engine:
        trials = run(planted_job(COUNT, planted), engine.engine, COUNT, lambda trial, outcome: written.append(trial))

    assert best(trials).candidate == winner
    assert len(trials) == len(written) == COUNT
    statuses = Counter()
    for trial, reference in zip(trials, clean, strict=True):
        fault = planted.get(int(trial.candidate.choices["index"]), "")
        assert trial.status == STATUS[fault], trial
        assert trial.error if fault else (trial.score, trial.curve) == (reference.score, reference.curve)
        statuses[trial.status] += 1
    assert statuses == {"ok": 30, "failed": 12, "diverged": 8, "oom": 8, "timeout": 2}


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_losing_a_node_loses_no_trial():
    """Two Ray nodes on this machine; one is killed while both train."""
    ray = pytest.importorskip("ray", reason="ray is not installed")
    from ray.cluster_utils import Cluster

    count = 24
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        second = cluster.add_node(num_cpus=1)
        raylet = second.all_processes["raylet"][0].process.pid
        engine = ray_engine(workers=2, address=cluster.address)
        killed: list[int] = []
        finished: list[Trial] = []

        def write(trial: Trial, outcome) -> None:
            finished.append(trial)
            trains_there = any(s.number is not None and psutil.Process(s.pid).ppid() == raylet for s in engine._seats)
            if not killed and trains_there:
                killed.append(len(finished))
                cluster.remove_node(second, allow_graceful=False)

        with contextlib.closing(Shutdown(engine)):
            trials = run(planted_job(count, seconds=1.0), engine, count, write)
            assert killed, "the node was training when it died"
            assert len(engine._tries) == 1, "one training was lost and started again"
            deadline = time.monotonic() + 60
            while sum(n["Alive"] for n in ray.nodes()) > 1 and time.monotonic() < deadline:
                time.sleep(0.5)
            assert sum(n["Alive"] for n in ray.nodes()) == 1
        assert [t.number for t in trials] == list(range(count))
        assert {t.status for t in trials} == {"ok"} and len(finished) == count
    finally:
        cluster.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_cluster_is_asked_for_its_cores_and_gets_the_code():
    """Nodes of two cores and of one, both on this machine; a worker of two cores fits once."""
    ray = pytest.importorskip("ray", reason="ray is not installed")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        for threads, expected in ((1, 3), (2, 1)):
            engine = ray_engine(threads=threads, address=cluster.address)
            with contextlib.closing(Shutdown(engine)):
                engine.warm_up(wait=True)
                assert (engine.workers, engine.gpus) == (expected, 0.0)
                # This machine's own folder stands before it in the path; another machine has none.
                sent = ray.get(ray.remote(num_cpus=0)(packages_sent).remote())
                assert sent == {"automl", "nas"}
                trials = run(planted_job(3), engine, 3)
                assert [t.status for t in trials] == ["ok"] * 3
    finally:
        cluster.shutdown()


def packages_sent() -> set[str]:
    """In a worker: the packages that Ray took here."""
    folders = [Path(p) for p in sys.path if "py_modules_files" in p]
    return {child.name for folder in folders for child in folder.iterdir() if (child / "__init__.py").exists()}


class Shutdown:
    def __init__(self, engine: Pool) -> None:
        self.engine = engine

    def close(self) -> None:
        self.engine.shutdown()

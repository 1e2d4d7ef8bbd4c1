"""Fits ``transfer`` on a million past trials and predicts, and measures seconds and peak memory.

    level4 +experiment=bench/metalearner_scale

The runs are made (a low-rank surface per task plus noise). The work is done in a process of its own, so that its peak
memory is its own. Exit status 1 when it takes 60 seconds or 2 GiB, the process's imports included.
"""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass

import numpy as np
from omegaconf import DictConfig

from automl.types import Axes, Axis, Candidate, Profile, Runs, Trial
from experiments.bench import alone, options_from
from metalearner.transfer.transfer import Transfer


@dataclass(frozen=True)
class Asked:
    """The options; see conf/experiment/bench/metalearner_scale.yaml."""

    tasks: int
    candidates: int
    features: int
    limit_seconds: float
    limit_gib: float


def run(cfg: DictConfig) -> None:
    options = options_from(cfg, Asked)
    found = alone(measure, options.tasks, options.candidates, options.features)
    print(f"{found['trials']:,} trials: fit {found['fit_s']:.1f} s, predict {found['predict_s']:.1f} s, "
          f"after 20 results {found['again_s']:.1f} s, peak {found['peak_gib']:.2f} GiB")  # fmt: skip
    spent = found["fit_s"] + found["predict_s"]
    if spent >= options.limit_seconds or found["peak_gib"] >= options.limit_gib:
        raise SystemExit(1)


def measure(tasks: int, candidates: int, features: int) -> dict[str, float]:
    """Seconds of fit, of the first prediction, of one after 20 results; peak memory of the process in GiB."""
    runs, axes = made(tasks, candidates, features)
    start = time.perf_counter()
    learner = Transfer().fit(runs)
    fitted = time.perf_counter()
    profile = Profile(tuple(f"f{i}" for i in range(features)), (0.5,) * features)
    prior = learner.predict(profile, axes)
    predicted = time.perf_counter()
    learner.update([Trial("new", c, 1, 0, "ok", float(i % 7)) for i, c in enumerate(prior.portfolio[:20])])
    learner.predict(profile, axes)
    return {
        "trials": len(runs.task),
        "fit_s": fitted - start,
        "predict_s": predicted - fitted,
        "again_s": time.perf_counter() - predicted,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def made(tasks: int, candidates: int, features: int) -> tuple[Runs, Axes]:
    """Every candidate on every task: scores of rank 5 plus noise, profiles that say a little."""
    rng = np.random.default_rng(0)
    axes = {"f": tuple(Axis(f"a{i}", tuple(range(8))) for i in range(8))}
    codes = np.unique(rng.integers(0, 8, (2 * candidates, 8)), axis=0)[:candidates]
    all_of = tuple(Candidate("f", {f"a{i}": int(v) for i, v in enumerate(row)}) for row in codes)
    latent = rng.normal(size=(tasks, 5))
    score = latent @ rng.normal(size=(5, len(all_of))) + rng.normal(size=(tasks, len(all_of)))
    names = tuple(f"f{i}" for i in range(features))
    about = rng.normal(size=(tasks, features)) + latent[:, :1]
    task, candidate = np.divmod(np.arange(score.size), len(all_of))
    runs = Runs(
        tasks=tuple(f"t{i}" for i in range(tasks)),
        groups=tuple(f"g{i}" for i in range(tasks)),
        profiles=tuple(Profile(names, tuple(row)) for row in about.tolist()),
        candidates=all_of,
        task=task,
        candidate=candidate,
        fidelity=np.ones(score.size, np.int64),
        seed=np.zeros(score.size, np.int64),
        score=score.ravel(),
        seconds=np.ones(score.size),
    )
    return runs, axes

"""Fits ``transfer`` on a million past trials and predicts, and measures seconds and peak memory.

    python -m experiments.bench metalearner_scale [--tasks 1000] [--candidates 1000] [--features 100]

The runs are made (a low-rank surface per task plus noise). The work is done in a process of its own, so that its peak
memory is its own. Exit status 1 when it takes 60 seconds or 2 GiB, the process's imports included.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np

from automl.types import Axes, Axis, Candidate, Profile, Runs, Trial
from metalearner.transfer.transfer import Transfer


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.bench metalearner_scale", description=__doc__)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--candidates", type=int, default=1000)
    parser.add_argument("--features", type=int, default=100)
    parser.add_argument("--limit-seconds", type=float, default=60.0)
    parser.add_argument("--limit-gib", type=float, default=2.0)
    parser.add_argument("--here", action="store_true", help="measure in this process (used by the benchmark itself)")
    options = parser.parse_args(argv)
    if options.here:
        print(json.dumps(measure(options.tasks, options.candidates, options.features)))
        return 0
    command = [sys.executable, "-m", "experiments.bench", "metalearner_scale", "--here"]
    command += [f"--tasks={options.tasks}", f"--candidates={options.candidates}", f"--features={options.features}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return 1
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"{found['trials']:,} trials: fit {found['fit_s']:.1f} s, predict {found['predict_s']:.1f} s, "
          f"after 20 results {found['again_s']:.1f} s, peak {found['peak_gib']:.2f} GiB")  # fmt: skip
    spent = found["fit_s"] + found["predict_s"]
    return int(spent >= options.limit_seconds or found["peak_gib"] >= options.limit_gib)


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

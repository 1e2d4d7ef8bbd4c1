"""How the chosen networks of finished searches are best trained once more, on rows that no training has seen.

    python -m experiments.bench refit outputs/DATE/TIME ...

Each folder is that of a run of level 3 or 4 whose store and ``artifacts`` are still there. Its best ``--members``
networks are trained again on training and validation rows together, in several ways, and their average is scored on the
test rows:

    judged     the networks as they were judged: no training
    afresh     as long as the first training, from the same first weights
    go on      from the judged weights, for a share of the first training at a share of its rate (Goodfellow et al.
               2016, Deep Learning, section 7.8: the second way to use the validation rows). What a network fits before
               its first step is fitted afresh.

Printed: score and seconds of each way, per run and on average. A constant that was chosen on some runs is shown on
others.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import nn

from automl import metrics
from automl.training.ensemble import blend
from automl.training.module import Begins
from automl.training.predictor import Predictor, predict, target_scale
from automl.training.refit import refit
from automl.types import Trial
from experiments.bench._finished import Finished

SHARES = ((0.25, 0.3), (0.25, 0.1), (0.1, 0.1))  # of epochs and of the rate


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.bench refit", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of finished runs")
    parser.add_argument("--members", type=int, default=5)
    options = parser.parse_args(argv)
    ways = ["judged", "afresh", *(f"go on {e:g} {r:g}" for e, r in SHARES)]
    found = []
    for folder in options.runs:
        found.append(scores(Finished.of(folder), options.members))
        print(line(str(folder), ways, found[-1]), flush=True)
    print(line("mean", ways, np.mean(found, axis=0).tolist()))
    return 0


def line(name: str, ways: Sequence[str], scores: Sequence[tuple[float, float]]) -> str:
    told = (f"{way} {score:.4f} {seconds:.0f} s" for way, (score, seconds) in zip(ways, scores, strict=True))
    return "  ".join([name, *told])


def scores(run: Finished, members: int) -> list[tuple[float, float]]:
    """Score on the test rows, higher is better, and seconds of training, of each way."""
    chosen = run.best[:members]
    ways = [(None, None), (1.0, 1.0), *SHARES]
    return [way(run, chosen, *shares) for shares in ways]


def way(run: Finished, chosen: Sequence[Trial], epochs: float | None, rate: float | None) -> tuple[float, float]:
    task, parts = run.prepared.task, run.prepared.parts
    began = time.monotonic()
    predictors = [again(run, trial, epochs, rate) for trial in chosen]
    seconds = time.monotonic() - began
    answers = blend([predict(p, parts.test.inputs) for p in predictors], [1 / len(chosen)] * len(chosen))
    return metrics.score(task.metric, task.kind, parts.test.y, answers), seconds


def again(run: Finished, trial: Trial, epochs: float | None, rate: float | None) -> nn.Module:
    task, parts = run.prepared.task, run.prepared.parts
    fresh = run.network(trial, trained=False)
    judged = Predictor(run.network(trial), task, *target_scale(task, parts.train)).eval()
    if epochs is None or rate is None:
        return judged
    whole = epochs == 1.0 or isinstance(fresh, Begins)
    choices = dict(trial.candidate.choices)
    if not whole:
        choices["learning_rate"] = float(choices.get("learning_rate", 1e-3)) * rate
    length = len(trial.curve) if whole else max(math.ceil(epochs * len(trial.curve)), 1)
    network = fresh if whole else run.network(trial)
    horizon = trial.fidelity if whole else length
    fit = refit(network, task, parts.teaching, choices, epochs=length, horizon=horizon, seed=trial.seed)
    return Predictor(network, task, fit.mean, fit.std).eval() if fit.status == "ok" else judged

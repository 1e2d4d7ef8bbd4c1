"""How the chosen networks of finished searches are best trained once more, on rows that no training has seen.

    level4 +experiment=bench/refit bench.runs=[outputs/DATE/TIME,...]

Each folder is that of a run of level 3 or 4 whose store and ``artifacts`` are still there. Its best ``bench.members``
networks are trained again on training and validation rows together, in several ways, and their average is scored on the
test rows:

    judged     the networks as they were judged: no training
    afresh     as long as the first training, from the same first weights
    half       the same in half of its seconds: the rates come down sooner
    go on      from the judged weights, for a share of the first training at a share of its rate (Goodfellow et al.
               2016, Deep Learning, section 7.8: the second way to use the validation rows). What a network fits before
               its first step is fitted afresh, and trained from there.

Printed: score and seconds of each way, per run and on average. A constant that was chosen on some runs is shown on
others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from omegaconf import DictConfig
from torch import nn

from automl.training.ensemble import blend
from automl.training.module import Begins
from automl.training.predictor import Predictor, predict, target_scale
from automl.training.train import train
from automl.types import Trial
from experiments.bench import options_from
from experiments.bench._finished import Finished
from experiments.judged import judged_score

SHARES = ((0.25, 0.3), (0.25, 0.1), (0.1, 0.1))  # of epochs and of the rate
WAYS = ("judged", "afresh", "half", *(f"go on {epochs:g} {rate:g}" for epochs, rate in SHARES))


@dataclass(frozen=True)
class Asked:
    """The options; see conf/experiment/bench/refit.yaml."""

    runs: list[Path]
    members: int


def run(cfg: DictConfig) -> None:
    options = options_from(cfg, Asked)
    found = []
    for folder in options.runs:
        found.append(scores(Finished.of(folder), options.members))
        print(line(str(folder), found[-1]), flush=True)
    print(line("mean", np.mean(found, axis=0).tolist()))


def line(name: str, scores: Sequence[tuple[float, float]]) -> str:
    told = (f"{way} {score:.4f} {seconds:.0f} s" for way, (score, seconds) in zip(WAYS, scores, strict=True))
    return "  ".join([name, *told])


def scores(finished: Finished, members: int) -> list[tuple[float, float]]:
    """Score on the test rows, higher is better, and seconds of training, of each way."""
    task, parts = finished.prepared.task, finished.prepared.parts
    answers: dict[str, list[np.ndarray]] = {way: [] for way in WAYS}
    valid: list[np.ndarray] = []
    seconds = dict.fromkeys(WAYS, 0.0)
    for trial in finished.best[:members]:
        for way, predictor, took in each(finished, trial):
            answers[way].append(predict(predictor, parts.test.inputs))
            if way == "judged":
                valid.append(predict(predictor, parts.valid.inputs))
            seconds[way] += took

    def mean(of: list[np.ndarray]) -> np.ndarray:
        return blend(of, [1 / len(of)] * len(of))

    def judge(way: str) -> float:
        learned = parts.teaching.y
        return judged_score(task, parts.test.y, mean(answers[way]), parts.valid.y, mean(valid), learned)

    return [(judge(way), seconds[way]) for way in WAYS]


def each(finished: Finished, trial: Trial) -> Iterator[tuple[str, nn.Module, float]]:
    """The network of a trial in each way, and the seconds of its training."""
    task, parts, epochs = finished.prepared.task, finished.prepared.parts, len(trial.curve)
    judged = Predictor(finished.network(trial), task, *target_scale(task, parts.train)).eval()
    begins = isinstance(finished.network(trial, trained=False), Begins)

    def again(trained: bool, epochs: int, horizon: int, rate: float = 1.0, limit: float | None = None):
        network, choices = finished.network(trial, trained), dict(trial.candidate.choices)
        if rate != 1:
            choices["learning_rate"] = float(choices.get("learning_rate", 1e-3)) * rate
        fit = train(
            *(network, task, parts.teaching, None, choices),
            epochs=epochs,
            horizon=horizon,
            seed=trial.seed,
            seconds=limit,
        )
        return (Predictor(network, task, fit.mean, fit.std).eval() if fit.status == "ok" else judged), fit.seconds

    yield "judged", judged, 0.0
    afresh, took = again(False, epochs, trial.fidelity)
    yield "afresh", afresh, took
    yield "half", *again(False, epochs, trial.fidelity, limit=took / 2)
    for way, (share, rate) in zip(WAYS[3:], SHARES, strict=True):
        shorter = max(math.ceil(share * epochs), 1)
        yield way, *again(not begins, shorter, shorter, rate)

"""Do shared weights rank candidates as training them alone does? NNI's RandomOneShot on the weight-sharing convnet.

``level4 +experiment=bench/oneshot``: trains the supernet on digits, scores ``bench.candidates`` random architectures
with the shared weights, trains each alone, and prints both scores and Spearman's rank correlation.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from scipy.stats import spearmanr

from automl.data.prepare import prepare
from automl.data.sources.sklearn import SklearnSource
from automl.types import Candidate, Prior
from experiments.bench import options_from
from nas.evaluate import evaluate
from nas.families.convnet_shared import ConvNetShared
from nas.family import search_axes
from nas.job import Job, Order
from nas.recipe import training_axes
from nas.space import SearchSpace
from nas.strategies.parts.supernet import SeededRandomOneShot, Supernet, shared_axes

RECIPE = {
    "learning_rate": 0.003,
    "weight_decay": 0.01,
    "batch_size": 64,
    "optimizer": "adamw",
    "schedule": "cosine",
    "dropout": 0.0,
    "augment": "none",
}


def digits_job(width: int, depth: int) -> Job:
    prepared = prepare(SklearnSource("digits").load(), seed=0)
    families: dict[str, Any] = {"convnet_shared": ConvNetShared(width=width, depth=depth)}
    axes = search_axes(families, prepared.task, training_axes(prepared.task))
    return Job(prepared.task, prepared.parts.train, prepared.parts.valid, families, axes, device="cpu")


def architectures(job: Job, count: int, seed: int) -> list[Candidate]:
    """Different random architectures, all trained by the same recipe."""
    space, state = SearchSpace(Prior.uniform(job.axes)), np.random.RandomState(seed)
    found: dict[str, Candidate] = {}
    while len(found) < count:
        candidate = space.draw(state, "convnet_shared", RECIPE)
        fixed = {k: v for k, v in candidate.choices.items() if k.startswith("op") or k in RECIPE}
        first = {a.name: a.options[0] for a in job.axes["convnet_shared"]}
        candidate = Candidate(candidate.family, {name: fixed.get(name, first[name]) for name in candidate.choices})
        found[candidate.id] = candidate
    return list(found.values())


@dataclass(frozen=True)
class Asked:
    """The options; see conf/experiment/bench/oneshot.yaml."""

    candidates: int
    epochs: int
    supernet_epochs: int
    width: int
    depth: int
    seeds: int


def run(cfg: DictConfig) -> None:
    options = options_from(cfg, Asked)
    torch.set_num_threads(1)
    job = digits_job(options.width, options.depth)
    labels = shared_axes(job.families["convnet_shared"], job.task)
    began = time.perf_counter()
    algorithm = SeededRandomOneShot(seed=0)
    net = Supernet(job, "convnet_shared", algorithm, epochs=options.supernet_epochs, batch_size=64, seed=0)
    net.train()
    seconds = time.perf_counter() - began
    rows = []
    for candidate in architectures(job, options.candidates, seed=0):
        shared = net.score({label: candidate.choices[label] for label in labels})
        outcomes = [evaluate(job, Order(candidate, options.epochs, seed)) for seed in range(options.seeds)]
        alone = float(np.mean([o.score or 0.0 for o in outcomes]))
        rows.append((shared, alone, [str(candidate.choices[label]) for label in labels]))
    rows.sort(reverse=True)
    print(f"supernet: {options.supernet_epochs} epochs in {seconds:.0f} s; digits, {len(job.train)} rows")
    print(f"{'shared':>8}{'alone':>8}  operations")
    for shared, alone, names in rows:
        print(f"{shared:>8.3f}{alone:>8.3f}  {' '.join(names)}")
    correlation: Any = spearmanr([r[0] for r in rows], [r[1] for r in rows])
    print(f"Spearman's rank correlation over {len(rows)} candidates: {correlation.statistic:.2f}")

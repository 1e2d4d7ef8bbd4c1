"""What the machinery costs: the same small candidates in a bare PyTorch loop, and on the engines of one machine.

``level4 +experiment=bench/overhead``: ratios of wall time within one run; each row is the best of ``bench.repeats``.
All train the same networks on the same batches' sizes for the same number of epochs and measure the validation
accuracy after every epoch, one torch thread each.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from omegaconf import DictConfig
from torch import nn

from automl.data.prepare import prepare
from automl.data.sources.sklearn import SklearnSource
from automl.types import Budget, Candidate, Prior
from experiments.bench import options_from
from nas.engines.base import Engine
from nas.engines.processes import ProcessesEngine
from nas.engines.sequential import SequentialEngine
from nas.families.convnet import ConvNet
from nas.families.mlp import MLP
from nas.family import build, search_axes
from nas.job import Job
from nas.recipe import training_axes
from nas.search import search
from nas.space import SearchSpace
from nas.strategies.listed import Listed


def small_job() -> Job:
    """Digits; mlp and convnet with few channels."""
    prepared = prepare(SklearnSource("digits").load(), seed=0)
    families = {"mlp": MLP(max_width=128), "convnet": ConvNet(widths=(8, 16))}
    axes = search_axes(families, prepared.task, training_axes(prepared.task))
    return Job(prepared.task, prepared.parts.train, prepared.parts.valid, families, axes, device="cpu")


def candidates(job: Job, count: int, seed: int = 0) -> list[Candidate]:
    """Different small candidates that train the same number of steps: no augmentation, batches of 64."""
    space, state = SearchSpace(Prior.uniform(job.axes)), np.random.RandomState(seed)
    fixed = {"batch_size": 64, "augment": "none", "optimizer": "adamw", "loss": "cross_entropy"}
    fixed |= {"ema": False, "mixup": 0.0, "depth": 1, "kernel": 3}
    found: dict[str, Candidate] = {}
    while len(found) < count:
        family = ("mlp", "convnet")[len(found) % 2]
        candidate = space.draw(state, family, fixed)
        found[candidate.id] = candidate
    return list(found.values())


def bare_loop(job: Job, wanted: Sequence[Candidate], epochs: int) -> None:
    """What a person would write: AdamW, cross-entropy, shuffled batches, accuracy after each epoch."""
    task = job.task
    one = task.inputs[0]
    mean, std = torch.tensor(one.mean).view(1, -1, 1, 1), torch.tensor(one.std).view(1, -1, 1, 1)

    def tensors(part):
        return (torch.from_numpy(part.inputs[0]).float() / 255 - mean) / std, torch.from_numpy(part.y)

    x, y = tensors(job.train)
    vx, vy = tensors(job.valid)
    for candidate in wanted:
        network = build(job.families[candidate.family], task, candidate, job.axes[candidate.family], seed=0)
        choices = candidate.choices
        batch = int(choices["batch_size"])
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=float(choices["learning_rate"]), weight_decay=float(choices["weight_decay"])
        )
        loss = nn.CrossEntropyLoss(label_smoothing=float(choices["label_smoothing"]))
        steps = epochs * -(-len(x) // batch)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(epochs):
            network.train()
            order = torch.randperm(len(x))
            for start in range(0, len(x), batch):
                rows = order[start : start + batch]
                optimizer.zero_grad()
                loss(network(x[rows]), y[rows]).backward()
                optimizer.step()
                schedule.step()
            network.eval()
            with torch.inference_mode():
                (network(vx).argmax(1) == vy).float().mean().item()


def ours(job: Job, wanted: Sequence[Candidate], epochs: int, engine: Engine) -> None:
    trials = search(job, Prior.uniform(job.axes), Listed(wanted), engine, Budget(epochs=epochs), seed=0)
    bad = [t for t in trials if t.status != "ok" or len(t.curve) != epochs]
    if len(trials) != len(wanted) or bad:
        raise RuntimeError(f"not the same work: {len(trials)} trials, {bad[:1]}")


def best_of(repeats: int, work: Callable[[], None]) -> float:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


@dataclass(frozen=True)
class Asked:
    """The options; see conf/experiment/bench/overhead.yaml."""

    candidates: int
    epochs: int
    repeats: int


def run(cfg: DictConfig) -> None:
    from nas.engines.ray import RayEngine  # an extra, whose lack is told before anything is measured

    options = options_from(cfg, Asked)
    torch.set_num_threads(1)
    job = small_job()
    wanted = candidates(job, options.candidates)
    sequential = SequentialEngine(threads=1)
    ours(job, wanted[:2], 1, sequential)  # first-use costs of Lightning and torch are not the machinery's
    bare_loop(job, wanted[:2], 1)
    rows = {
        "bare PyTorch loop": best_of(options.repeats, lambda: bare_loop(job, wanted, options.epochs)),
        "sequential": best_of(options.repeats, lambda: ours(job, wanted, options.epochs, sequential)),
    }
    up: dict[str, float] = {}
    for name, make in (("processes", ProcessesEngine), ("ray", RayEngine)):
        engine = make(workers=2)
        try:
            up[name] = best_of(1, lambda engine=engine: ours(job, wanted[:4], 1, engine))
            work = best_of(options.repeats, lambda engine=engine: ours(job, wanted, options.epochs, engine))
        finally:
            engine.shutdown()
        rows[f"{name}, 2 workers"] = work
    print(
        f"{options.candidates} candidates x {options.epochs} epochs, {len(job.train)} rows, best of {options.repeats}"
    )
    print(f"{'':<24}{'seconds':>9}{'ratio':>8}{'target':>9}")
    targets = {"sequential": 1.25, "processes, 2 workers": 0.75, "ray, 2 workers": 0.75}
    met = True
    for name, seconds in rows.items():
        ratio = seconds / rows["bare PyTorch loop"]
        target = targets.get(name)
        met &= target is None or ratio <= target
        print(f"{name:<24}{seconds:>9.2f}{ratio:>8.2f}{f'<= {target}' if target else '':>9}")
    started = " and ".join(f"{seconds:.1f} s with {name}" for name, seconds in up.items())
    print(f"workers were up and had imported torch after {started}, once per search; not in the rows")
    if not met:
        raise SystemExit(1)

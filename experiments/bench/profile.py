"""How long a profile takes, on one core.

    level4 +experiment=bench/profile

A table of 10,000 rows and 20 columns must take less than 2 seconds; one of 1,000,000 rows shows that the cost and the
memory stay bounded. Exit status 1 when the limit is broken.
"""

from __future__ import annotations

import time
import tracemalloc
from dataclasses import dataclass

import numpy as np
from omegaconf import DictConfig
from threadpoolctl import threadpool_limits

from automl.data.dataset import Part
from automl.types import Input, Task
from experiments.bench import options_from
from metalearner.profile import NAMES, profile

LIMIT_SECONDS = 2.0
LIMITED = "table, 10,000 x 20"


@dataclass(frozen=True)
class Asked:
    """The options; see conf/experiment/bench/profile.yaml."""

    repeats: int


def run(cfg: DictConfig) -> None:
    options = options_from(cfg, Asked)
    slow = False
    print(f"{len(NAMES)} meta-features, one core\n\n{'task':<26}{'seconds':>9}{'extra MiB':>11}")
    for name, task, part in tasks(np.random.default_rng(0)):
        repeats = options.repeats if len(part) <= 100_000 else 1
        seconds, megabytes = cost(task, part, repeats)
        print(f"{name:<26}{seconds:>9.2f}{megabytes:>11.0f}", flush=True)
        slow |= name == LIMITED and seconds > LIMIT_SECONDS
    print(f"\nlimit for the {LIMITED}: {LIMIT_SECONDS:g} s: {'broken' if slow else 'kept'}")
    if slow:
        raise SystemExit(1)


def tasks(rng: np.random.Generator) -> list[tuple[str, Task, Part]]:
    """Made-up tasks of every modality."""
    sizes = {"10,000 x 20": (10_000, 20), "1,000,000 x 50": (1_000_000, 50)}
    made = []
    for name, (rows, width) in sizes.items():
        spec = Input("table", "tabular", (width,), cardinalities=(0,) * (width - 5) + (8,) * 5)
        x = rng.normal(size=(rows, width)).astype(np.float32)
        x[:, -5:] = rng.integers(0, 8, (rows, 5))
        made.append((f"table, {name}", spec, x))
    spec = Input("image", "image", (3, 32, 32))
    made.append(("images, 5,000 x 3x32x32", spec, rng.integers(0, 256, (5000, 3, 32, 32), dtype=np.uint8)))
    spec = Input("audio", "audio", (1, 40, 64))
    made.append(("sounds, 2,000 x 40x64", spec, rng.normal(size=(2000, 1, 40, 64)).astype(np.float32)))
    spec = Input("series", "series", (3, 500))
    made.append(("series, 2,000 x 3x500", spec, rng.normal(size=(2000, 3, 500)).astype(np.float32)))
    spec = Input("text", "text", (60,), vocabulary=20_000)
    made.append(("texts, 10,000 x 60", spec, (rng.pareto(1, (10_000, 60)) * 20).astype(np.int64).clip(0, 19_999)))

    def part(x: np.ndarray) -> Part:
        return Part((x,), rng.integers(0, 5, len(x)), np.arange(len(x)))

    return [(name, Task(name, "multiclass", (spec,), 5, "accuracy"), part(x)) for name, spec, x in made]


def cost(task: Task, part: Part, repeats: int) -> tuple[float, float]:
    """Seconds of processor time, the least of some repeats, and the most memory held beside the data, in MiB."""
    seconds = []
    with threadpool_limits(1):
        for _ in range(repeats):
            began = time.process_time()
            profile(task, part)
            seconds.append(time.process_time() - began)
    tracemalloc.start()
    profile(task, part)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return min(seconds), peak / 2**20

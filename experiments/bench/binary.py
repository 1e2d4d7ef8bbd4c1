"""Networks of +1 and -1 beside the same in float: score, size and speed; and their operator beside plain torch.

    level4 +experiment=bench/binary bench.root=FOLDER bench.sets=[NAME,NAME]

First the operator (``automl.models.binary.operator``): equal to plain torch on random shapes, and how long a product
takes beside that of floats, on one thread. Then each set is solved twice with ``family=binary``: as it is, and with
``family.binary.twin=true``, the same space of networks in float, the same seeds and number of trials. FOLDER is that of
the benchmark ``level3``.

Exit status 1 when operator and plain torch differ, or a layer of bits is less than eight times smaller than in float.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from torch.nn import functional as F

from automl.models.binary.operator import build, matmul, pack, plain, unpack
from experiments.bench import options_from
from experiments.bench.level3 import chosen, kind_of
from experiments.explain import quoted

SHAPES = 200
PRODUCTS = ((1, 1024, 1024), (64, 1024, 1024), (4096, 64, 576))  # rows, outputs, size; the last is a convolution's
SMALLER = 8.0
DIGITS = {"name": "digits", "data": ["data=sklearn", "data.name=digits"]}


@dataclass(frozen=True)
class Asked:
    """The options; see conf/experiment/bench/binary.yaml."""

    root: Path
    sets: list[str]
    trials: int
    seed: list[int]


def run(cfg: DictConfig) -> None:
    options = options_from(cfg, Asked)
    found = chosen(options.root, options.sets, None)
    if not options.sets:
        found = [s for s in found if kind_of(s) == "image"][:2]
    library = build()
    print(f"operator: {library.name if library else 'not built, plain torch'}")
    same = agrees()
    print(f"{SHAPES} random shapes: {'all equal to plain torch' if same else 'NOT EQUAL to plain torch'}")
    for rows, outputs, size in PRODUCTS:
        print(speeds(rows, outputs, size))
    small = ratio(1024, 1024) >= SMALLER
    print(f"weights of a layer of 1024 x 1024: {ratio(1024, 1024):.0f} times smaller than in float")
    print(f"\n{'set':<24}{'network':<10}{'test':>8}{'KB':>9}{'graph, ms':>11}")
    for said in [DIGITS, *found]:
        data = said.get("data") or ["data=file", f"data.path={quoted(str(options.root.resolve() / said['file']))}"]
        for twin in (False, True):
            rows = [solved(data, twin, seed, options.trials) for seed in options.seed]
            score, kilobytes, ms = (statistics.mean(r[i] for r in rows) for i in range(3))
            network = "float" if twin else "binary"
            print(f"{said['name']:<24}{network:<10}{score:>8.4f}{kilobytes:>9.0f}{ms:>11.3f}", flush=True)
    if not (same and small):
        raise SystemExit(1)


def agrees() -> bool:
    """Whether operator and plain torch say the same, to the last digit, for random shapes."""
    rng = np.random.default_rng(0)
    for _ in range(SHAPES):
        n, m, size = (int(rng.integers(low, high)) for low, high in ((1, 40), (1, 40), (1, 700)))
        x, w = (torch.from_numpy(rng.normal(size=(k, size)).astype(np.float32)) for k in (n, m))
        packed = pack(x), pack(w)
        if not (
            torch.equal(matmul(*packed, size), plain(*packed, size)) and torch.equal(sign(x), unpack(packed[0], size))
        ):
            return False
    return True


def sign(x: torch.Tensor) -> torch.Tensor:
    return torch.where(x >= 0, 1.0, -1.0)


def speeds(rows: int, outputs: int, size: int) -> str:
    """Milliseconds of a product by each way, the rows as bits already and packed first."""
    x, w = torch.randn(rows, size), torch.randn(outputs, size)
    packed = pack(x), pack(w)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        bits = best_ms(lambda: matmul(*packed, size))
        packing = best_ms(lambda: matmul(pack(x), packed[1], size))
        floats = best_ms(lambda: F.linear(x, w))
    finally:
        torch.set_num_threads(threads)
    return (
        f"({rows} x {size}) @ ({size} x {outputs}): bits {bits:.3f} ms, packed first {packing:.3f}, float {floats:.3f}"
    )


def best_ms(work: Callable[[], Any], calls: int = 20, rounds: int = 5) -> float:
    """Median of a round's calls, of the best round: on a busy machine the others tell of its neighbours."""
    found = []
    for _ in range(rounds):
        times = []
        for _ in range(calls):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        found.append(statistics.median(times))
    return 1000 * min(found)


def ratio(outputs: int, size: int) -> float:
    """How many times smaller packed weights are."""
    w = torch.randn(outputs, size)
    return w.nbytes / pack(w).nbytes


def solved(data: list[str], twin: bool, seed: int, trials: int) -> tuple[float, float, float]:
    """Test score, kilobytes of the deployed graph, and milliseconds of it for a row."""
    from experiments.solve.python import solve

    with tempfile.TemporaryDirectory(prefix="binary-") as folder:
        overrides = [
            *data,
            "family=[binary]",
            f"family.binary.twin={str(twin).lower()}",
            "metalearner=practice",
            "objective.ensemble=1",
            "engine.workers=2",
            "progress=false",
            f"seed={seed}",
            f"artifacts={folder}/searches",
            f"store.url=sqlite:///{folder}/store.db",
        ]
        solution = solve(None, seconds=None, trials=trials, folder=f"{folder}/run", overrides=overrides)
        metric = solution.result["task"]["metric"]
        size = (solution.folder / "bundle" / "model.onnx").stat().st_size / 1e3
        return solution.result["test"][metric], size, solution.result["deployed"]["graph_ms"]

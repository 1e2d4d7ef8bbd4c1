"""How many workers find a place: cores and GPUs. Light to import: an engine is made before torch is there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

GPU_FILES = ("nvidia[0-9]*", "dxg", "kfd")  # in /dev: NVIDIA's driver, Windows' of its Linux, AMD's


def gpu_count() -> int:
    """GPUs that torch can use here. It takes seconds to import, so a machine without a driver is not asked."""
    if not any(file for name in GPU_FILES for file in Path("/dev").glob(name)):
        return 0
    import torch

    return torch.cuda.device_count()


def places(nodes: Sequence[Mapping[str, float]], threads: int, gpus: float) -> int:
    """How many workers of so many cores and GPUs fit on nodes of these resources; each lives on one node."""
    return sum(
        min(math.floor(node.get("CPU", 0) / threads), on_gpus(node.get("GPU", 0), gpus) if gpus else 2**31)
        for node in nodes
    )


def on_gpus(there: float, each: float) -> int:
    """How many workers of so many GPUs each fit on those that are there: a fraction is one of a single GPU."""
    return int(there) * int(1 / each) if each < 1 else int(there / each)

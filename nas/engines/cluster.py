"""Ray itself: starting or joining it, what its workers are sent, and how many of them find a place."""

from __future__ import annotations

import math
import re
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ray

import automl
import nas
from automl.errors import UserError
from nas.job import one_line

GPU_FILES = ("nvidia[0-9]*", "dxg", "kfd")  # in /dev: NVIDIA's driver, Windows' of its Linux, AMD's


def environment(address: str | None) -> dict[str, Any]:
    """What Ray's workers need to import this program: a cluster is sent the code, here they find it as this process."""
    return {} if address is None else {"py_modules": [automl, nas], "excludes": ["__pycache__"]}


def gpu_count() -> int:
    """GPUs that torch can use here. It takes seconds to import, so a machine without a driver is not asked."""
    if not any(file for name in GPU_FILES for file in Path("/dev").glob(name)):
        return 0
    import torch

    return torch.cuda.device_count()


def places(nodes: Sequence[Mapping[str, float]], threads: int, gpus: float) -> int:
    """How many workers of so many cores and GPUs fit on nodes of these resources; each lives on one node."""
    return sum(
        min(math.floor(node.get("CPU", 0) / threads), math.floor(node.get("GPU", 0) / gpus) if gpus else 2**31)
        for node in nodes
    )


def begin(address: str | None, runtime_env: dict[str, Any], options: dict[str, Any]) -> None:
    """Start a private Ray, or join the cluster at ``address``; once more when a busy machine was too slow.

    Raises UserError when there is none to be had.
    """
    if address is not None and (found := re.fullmatch(r"(?:ray://)?([^:/]+):(\d+)", address)):
        try:  # Ray itself would try for minutes
            socket.create_connection((found[1], int(found[2])), timeout=5).close()
        except OSError as error:
            raise UserError(f"no Ray cluster answers at engine.address={address}: {one_line(error)}") from error
    for last in (False, True):
        try:
            ray.init(address or "local", runtime_env=runtime_env, **options)
            return
        except Exception as error:  # Ray raises plain Exceptions, ConnectionErrors and RuntimeErrors here
            ray.shutdown()
            if last or address is not None:
                where = f"at engine.address={address}" if address else "on this machine"
                raise UserError(f"Ray does not start {where}: {one_line(error)}. Try engine=sequential") from error

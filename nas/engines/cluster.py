"""Ray itself: starting or joining it, and what its workers are sent."""

from __future__ import annotations

import re
import socket
from typing import Any

import automl
import nas
from automl.errors import UserError, needs
from nas.job import one_line


def needs_ray() -> None:
    """Raises UserError where Ray is not installed: an extra, for it is large and a single machine does without."""
    needs("engine=ray", "ray", "'level4[ray]'")


def environment(address: str | None) -> dict[str, Any]:
    """What Ray's workers need to import this program: a cluster is sent the code, here they find it as this process."""
    return {} if address is None else {"py_modules": [automl, nas], "excludes": ["__pycache__"]}


def begin(address: str | None, runtime_env: dict[str, Any], options: dict[str, Any]) -> None:
    """Start a private Ray, or join the cluster at ``address``; once more when a busy machine was too slow.

    Raises UserError when there is none to be had.
    """
    import ray

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
                raise UserError(f"Ray does not start {where}: {one_line(error)}. Use engine=processes") from error

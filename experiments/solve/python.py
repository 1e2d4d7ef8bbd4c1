"""The main job from Python.

from level4 import solve
s = solve(data=frame, target="price", seconds=60)
s.predict(new_rows); s.result; s.bundle
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from automl.errors import UserError
from automl.types import Source
from experiments.compose import composed
from experiments.options import made, said
from experiments.settings import check, keep_config
from experiments.solve.run import start
from experiments.solve.solution import Solution


def solve(
    data: Any,
    target: Any = None,
    *,
    weight: Any = None,
    seconds: float | None = 60,
    trials: int | None = None,
    folder: str | Path | None = None,
    overrides: Sequence[str] = (),
) -> Solution:
    """Solve a task from Python.

    data: a DataFrame (of polars too), an array (rows, ...), or a path that ``data=file`` reads. target: the column's
    name, or an array (rows,) of values. weight: above 0 per row, how much it counts in training and in choosing.
    seconds: of the whole run. trials: of the search. folder: for the outputs; None makes ``outputs/DATE/TIME``.
    overrides: further options as on the command line, ``["engine=sequential", "seed=1"]``. Raises UserError for data or
    options that cannot be used.
    """
    cfg = composed(
        [*_named(data, overrides), f"budget.seconds={said(seconds)}", f"budget.trials={said(trials)}", *overrides]
    )
    if (wanted := OmegaConf.select(cfg, "run._target_")) != "experiments.solve.run.run":
        raise UserError(f"solve() makes one model, the overrides ask for {wanted}: start that with run.py")
    out = Path(folder) if folder else Path("outputs") / datetime.now().strftime("%Y-%m-%d/%H-%M-%S-%f")
    source = source_of(cfg, data, target, weight)
    check(cfg)
    keep_config(cfg, out, "folder")
    return start(cfg, out, source, overrides)


def _named(data: Any, overrides: Sequence[str]) -> list[str]:
    """Where the data comes from, unless the overrides say it."""
    kind = "file" if isinstance(data, str | Path) else "frame"
    given = [] if any(o.startswith("data=") for o in overrides) else [f"data={kind}"]
    return [*given, "tracker=none"]


def source_of(cfg: DictConfig, data: Any, target: Any, weight: Any = None) -> Source:
    """The configured source with data and target of Python put in; ``cfg`` learns of those that it can hold."""
    more = {}
    for given, name, plain in (
        (data, "path" if isinstance(data, str | Path) else "data", isinstance(data, str | Path)),
        (target, "target" if _is_column(data, target) else "y", _is_column(data, target)),
        (weight, "weight", False),
    ):
        if given is None:
            continue
        if name not in list(cfg.data):
            raise UserError(f"{cfg.data._target_} takes no {name}, a {type(given).__name__} was given for it")
        if plain:
            cfg.data[name] = str(given).replace("${", "\\${")  # else it were an interpolation
        else:
            more[name] = given
    return made(cfg, "data", **more)


def _is_column(data: Any, target: Any) -> bool:
    """Whether a target names a column, and is no array of values. Raises UserError where it names several."""
    names = isinstance(target, list | tuple) and all(isinstance(name, str) for name in target)
    if names and (isinstance(data, str | Path) or len(target) < len(data)):
        raise UserError(f"target={target}: one column is learned at a time; give one name")
    return target is not None and np.ndim(target) == 0

"""A job without a server: ``level4.train({...})``, and ``level4 +experiment=train 'train={...}'``.

The same dictionary as for POST /train; data may also be a file, and in Python a DataFrame or an array.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from automl.errors import UserError
from automl.types import Source
from experiments.events import Listener
from experiments.jobs.data import TOYS, Found
from experiments.jobs.dictionary import Wanted, config, read, source_node
from experiments.jobs.labels import Labelled
from experiments.jobs.settings import RUN, SEARCHES
from experiments.options import made
from experiments.settings import check, keep_config
from experiments.solve.python import source_of
from experiments.solve.run import start
from experiments.solve.solution import Solution
from experiments.sweep import to_minimise

TAKEN = ("store", "artifacts", "tracker", "progress", "resume")
"""Of the configuration around a dictionary: where and how it runs, not what."""


def train(asked: Mapping[str, Any], *, folder: str | Path | None = None, overrides: Sequence[str] = ()) -> Solution:
    """Do what a dictionary says, see docs/jobs.md.

    ``asked``: ``data`` is one of scikit-learn's by name, a path, a DataFrame or an array. ``folder``: for the outputs;
    None makes ``outputs/DATE/TIME``. ``overrides``: of the configuration around it, as ``["store.url=..."]``.
    Raises UserError with the place of the fault.
    """
    wanted = read(asked)
    out = Path(folder) if folder else Path("outputs") / datetime.now().strftime("%Y-%m-%d/%H-%M-%S-%f")
    cfg, source = composed_of(wanted, overrides)
    keep_config(cfg, out, "folder")
    return start(cfg, out, source, overrides)


def run(cfg: DictConfig) -> float:
    """The command line's way in. Returns what a sweeper minimises."""
    of = HydraConfig.get()
    asked = OmegaConf.to_container(cfg.train, resolve=True) if OmegaConf.is_config(cfg.train) else cfg.train
    inner, source = composed_of(read(asked))
    with open_dict(inner):
        for name in TAKEN:
            inner[name] = cfg[name]
    check(inner)
    solution = start(inner, Path(of.runtime.output_dir), source, list(of.overrides.task))
    from experiments.solve.result import summary

    print(summary(solution))
    return to_minimise(solution.result)


def composed_of(wanted: Wanted, overrides: Sequence[str] = ()) -> tuple[DictConfig, Source]:
    """Configuration and source of a dictionary whose data this process may read by whatever name."""
    if not isinstance(wanted.data, str | Path):
        cfg = config(wanted, None, ["data=frame", *overrides])
        return cfg, named(source_of(cfg, wanted.data, wanted.target), wanted)
    name = str(wanted.data)
    found = Found(name, "toy") if name in TOYS else Found(Path(name).name.partition(".")[0], "file", Path(name))
    if found.path is not None and found.path.is_dir():
        found = Found(found.name, "folder", found.path)
    elif found.path is not None and not found.path.is_file():
        raise UserError(f"/data: {name[:200]!r} is no file. Write a path, or one of {', '.join(TOYS)}")
    return of_found(wanted, found, overrides)


def of_found(wanted: Wanted, found: Found, overrides: Sequence[str] = ()) -> tuple[DictConfig, Source]:
    """Configuration and source of a dictionary whose data were found."""
    cfg = config(wanted, source_node(found, wanted.target), overrides)
    check(cfg)
    return cfg, named(made(cfg, "data"), wanted)


def named(source: Source, wanted: Wanted) -> Source:
    return source if wanted.labels is None else Labelled(source, wanted.labels)


def run_in(cfg: DictConfig, source: Source, folder: Path, listeners: Sequence[Listener] = ()) -> Solution:
    """One run whose store and networks lie beside it, and that goes on where one in this folder was stopped."""
    with open_dict(cfg):
        cfg.store = {"_target_": "automl.store.store.Store", "url": f"sqlite:///{folder / 'store.db'}"}
        cfg.artifacts, cfg.resume, cfg.progress = str(folder / SEARCHES), True, False
    out = folder / RUN
    keep_config(cfg, out, "folder")
    return start(cfg, out, source, listeners=listeners)

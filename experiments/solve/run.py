"""Starting the main job: the data are read first, so that what is wrong with them is told at once.

What the search needs takes seconds to import, and comes after.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from automl.types import Source
from experiments.events import Events, Listener
from experiments.notebook import progress
from experiments.options import made, task_options
from experiments.settings import settings
from experiments.solve.solution import Solution
from experiments.sweep import to_minimise
from nas.engines.base import Engine


def run(cfg: DictConfig) -> float:
    """The command line's way in. Returns what a sweeper minimises."""
    of = HydraConfig.get()
    solution = start(cfg, Path(of.runtime.output_dir), overrides=list(of.overrides.task))
    from experiments.solve.result import summary

    print(summary(solution))
    return to_minimise(solution.result)


def start(
    cfg: DictConfig,
    folder: Path,
    source: Source | None = None,
    overrides: Sequence[str] = (),
    listeners: Sequence[Listener] = (),
) -> Solution:
    """Read the data, then do everything else. ``source``: in place of the configured one. ``overrides``: that were
    typed, for the result. ``listeners``: that hear of it too.
    """
    task_options(cfg)  # what is wrong with them is told before a large file is read
    with contextlib.ExitStack() as stack:
        shown = stack.enter_context(progress(settings(cfg).budget, quiet=not cfg.progress))
        events = Events(shown, *listeners)
        shown.spent = lambda: events.spent()
        with events.during("read"):
            dataset = (source or made(cfg, "data")).load()
        with events.during("import"):
            engine: Engine = made(cfg, "engine")
            stack.callback(engine.shutdown)
            engine.warm_up()  # its workers import what this process imports meanwhile
            from experiments.solve.pipeline import pipeline

        return pipeline(cfg, folder, dataset, engine, events, overrides)

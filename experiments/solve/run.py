"""Starting the main job: the data are read first, so that what is wrong with them is told at once.

What the search needs takes seconds to import, and comes after.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from automl.types import Source
from experiments.events import Events
from experiments.options import made, task_options
from experiments.progress import Progress
from experiments.settings import settings
from experiments.solve.solution import Solution
from nas.engines.base import Engine


def run(cfg: DictConfig) -> None:
    """The command line's way in."""
    solution = start(cfg, Path(HydraConfig.get().runtime.output_dir))
    from experiments.solve.result import summary

    print(summary(solution))


def start(cfg: DictConfig, folder: Path, source: Source | None = None) -> Solution:
    """Read the data, then do everything else. ``source``: in place of the configured one."""
    task_options(cfg)  # what is wrong with them is told before a large file is read
    with contextlib.ExitStack() as stack:
        shown = stack.enter_context(Progress(settings(cfg).budget, quiet=not cfg.progress))
        events = Events(shown)
        shown.spent = lambda: events.spent()
        with events.during("read"):
            dataset = (source or made(cfg, "data")).load()
        with events.during("import"):
            engine: Engine = made(cfg, "engine")
            stack.callback(engine.shutdown)
            engine.warm_up()  # its workers import what this process imports meanwhile
            from experiments.solve.pipeline import pipeline

        return pipeline(cfg, folder, dataset, engine, events)

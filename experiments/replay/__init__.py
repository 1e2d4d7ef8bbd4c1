"""Meta-learners and searches replayed on a table of past runs, leaving one group of tasks out at a time."""

from __future__ import annotations

from omegaconf import DictConfig


def run(cfg: DictConfig) -> None:
    """The entry of ``+experiment=replay``."""
    from experiments.replay.entry import run as start  # heavy imports only when it runs

    start(cfg)

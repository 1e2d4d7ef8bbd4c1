"""Level 4 beside other systems: equal seconds, one machine, one split, each in an environment of its own."""

from __future__ import annotations

from omegaconf import DictConfig


def run(cfg: DictConfig) -> None:
    """The entry of ``+experiment=compare``."""
    from experiments.compare.entry import run as start  # heavy imports only when it runs

    start(cfg)

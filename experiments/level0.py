"""Level 0: a network whose operator is our own: ``level4 +experiment=level0 data.path=...``."""

from __future__ import annotations

from omegaconf import DictConfig

from experiments.solve.run import run as solve


def run(cfg: DictConfig) -> None:
    """Build the operator where it was not, then everything as usual."""
    from automl.models.binary.operator import build

    library = build()
    print(f"operator  {library or 'plain torch, as there is no compiler'}")
    solve(cfg)

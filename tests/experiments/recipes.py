"""A benchmark's recipe by itself: to compose the whole configuration takes a moment each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from experiments.configuration import CONF


def recipe(name: str, **options: Any) -> DictConfig:
    """conf/experiment/bench/NAME.yaml with these options under ``bench``. Raises for one that is not there."""
    cfg = OmegaConf.load(CONF / f"experiment/bench/{name}.yaml")
    for of in set(cfg.reads) - {"bench"}:  # of the configuration around it
        cfg[of] = {"_target_": "made.elsewhere"}
    OmegaConf.set_struct(cfg, True)
    for option, value in options.items():
        cfg.bench[option] = str(value) if isinstance(value, Path) else value
    assert isinstance(cfg, DictConfig)
    return cfg

"""The scalars of the configuration, checked: a wrong value is one line that names it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from automl.errors import UserError
from automl.types import Budget, MetaLearner

REFIT_SHARE = 0.25  # of the search's seconds


@dataclass(frozen=True)
class Settings:
    """``ensemble``: members at most. ``portfolio``: candidates of the meta-learner that go first.

    ``refit``: seconds for training the chosen networks once more; infinity is as long as it takes.
    """

    seed: int
    level: int
    resume: bool
    progress: bool
    portfolio: int
    ensemble: int
    refit: float
    latency: bool
    budget: Budget


def settings(cfg: DictConfig) -> Settings:
    """Raises UserError for a value that is missing, of the wrong type or out of range."""
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        raise UserError(f"{missing[0]} is missing. Set {missing[0]}=..., or begin with +experiment=quickstart")
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    asked = plain["budget"]
    budget = Budget(
        trials=whole(asked, "trials", 1, prefix="budget.", free=True),
        seconds=number(asked, "seconds", 0, prefix="budget.", free=True),
        epochs=whole(asked, "epochs", 1, prefix="budget.") or 1,
    )
    if budget.trials is None and budget.seconds is None:
        raise UserError("budget.seconds=null budget.trials=null is a search without an end. Set one of them")
    return Settings(
        seed=whole(plain, "seed", 0, 2**32 - 1),
        level=whole(plain, "level", 0, 4),
        resume=truth(plain, "resume"),
        progress=truth(plain, "progress"),
        portfolio=whole(plain, "portfolio", 0),
        ensemble=whole(plain["objective"], "ensemble", 1, prefix="objective."),
        refit=refit_seconds(plain["objective"]["refit"], budget),
        latency=truth(plain["objective"], "latency", prefix="objective."),
        budget=budget,
    )


def refit_seconds(asked: Any, budget: Budget) -> float:
    if isinstance(asked, bool):
        return math.inf if asked else 0.0
    if asked != "auto":
        raise UserError(f"objective.refit={asked} must be auto, true or false")
    return math.inf if budget.seconds is None else REFIT_SHARE * budget.seconds


def whole(
    of: Mapping[str, Any], key: str, low: int, high: int | None = None, *, prefix: str = "", free: bool = False
) -> Any:
    value = of[key]
    if value is None and free:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < low or (high is not None and value > high):
        span = f"a whole number of at least {low}" if high is None else f"a whole number from {low} to {high}"
        raise UserError(f"{prefix}{key}={value} must be {span}{', or null' if free else ''}")
    return value


def number(of: Mapping[str, Any], key: str, above: float, *, prefix: str = "", free: bool = False) -> float | None:
    value = of[key]
    if value is None and free:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > above:
        raise UserError(f"{prefix}{key}={value} must be a number above {above:g}{', or null' if free else ''}")
    return float(value)


def truth(of: Mapping[str, Any], key: str, *, prefix: str = "") -> bool:
    if not isinstance(of[key], bool):
        raise UserError(f"{prefix}{key}={of[key]} must be true or false")
    return of[key]


def learner_of(cfg: DictConfig, budget: Budget) -> MetaLearner:
    """The configured meta-learner; where ``per_second`` is null, the budget decides it."""
    options = {"per_second": budget.seconds is not None} if cfg.metalearner.get("per_second", 0) is None else {}
    return instantiate(cfg.metalearner, _convert_="all", **options)

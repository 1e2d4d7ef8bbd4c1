"""The scalars of the configuration, checked: a wrong value is one line that names it."""

from __future__ import annotations

import difflib
import json
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf._utils import get_omega_conf_dumper, get_yaml_loader

from automl.data.read.files import existing
from automl.errors import UserError
from automl.files import write_atomically
from automl.passwords import masked
from automl.types import Budget, MetaLearner
from experiments.options import check_hints, made
from experiments.signatures import takes
from nas.engines.cluster import needs_ray

NEEDED = (  # ~NAME takes these away
    *("data", "task", "budget", "strategy", "metalearner", "engine", "store", "tracker", "objective"),
    *("seed", "resume", "progress", "portfolio", "artifacts", "budget.trials", "budget.seconds"),
    *("budget.epochs", "objective.ensemble", "objective.refit", "objective.latency", "objective.calibrate"),
)
CALIBRATE = ("auto", "holdout", "folds", "valid", "none")


@dataclass(frozen=True)
class Settings:
    """``epochs``: of a training of full length; None: by the kind of data (``nas.time.full_length``), and what
    ``budget`` says is not meant. ``ensemble``: members at most. ``portfolio``: candidates of the meta-learner that go
    first.

    ``refit``: whether the chosen networks are trained once more; None: as far as the time goes. ``calibrate``: on which
    rows, one of ``CALIBRATE``. ``stop_at_goal``: whether
    the search ends once a training meets the goal.
    """

    seed: int
    resume: bool
    progress: bool
    epochs: int | None
    portfolio: int
    ensemble: int
    refit: bool | None
    latency: bool
    calibrate: str
    budget: Budget
    stop_at_goal: bool


def settings(cfg: DictConfig) -> Settings:
    """Those of a search. Raises UserError for a value of the wrong type or out of range."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    for check in CHECKS.values():
        check(plain)
    budget = budget_of(plain)
    return Settings(
        seed=seed_of(plain),
        resume=truth(plain, "resume"),
        progress=truth(plain, "progress"),
        epochs=epochs_of(plain),
        portfolio=portfolio_of(plain),
        ensemble=whole(plain["objective"], "ensemble", 1, prefix="objective."),
        refit=_refit_beside_folds(plain),
        latency=truth(plain["objective"], "latency", prefix="objective."),
        calibrate=calibrate_of(plain),
        budget=budget,
        stop_at_goal=stop_at_goal_of(plain),
    )


def check(cfg: DictConfig) -> None:
    """Raises UserError for a value that is missing, of the wrong type or out of range, of those that the recipe reads.

    Nothing heavy is imported for it.
    """
    reads = [*NEEDED, "family"] if cfg.reads is None else list(cfg.reads)
    missing = sorted(name for name in OmegaConf.missing_keys(cfg) if name.partition(".")[0] in reads)
    if missing:
        begin = ", or begin with +experiment=quickstart" if cfg.reads is None else ""
        raise UserError(f"{missing[0]} is missing. Set {missing[0]}=...{begin}")
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    refuse_gaps(plain, reads)
    check_made(plain, reads)
    if cfg.reads is None:
        settings(cfg)
        return
    for name, look in CHECKS.items():
        if name in reads:
            look(plain)


def refuse_gaps(plain: Mapping[str, Any], reads: Sequence[str]) -> None:
    """Raises UserError for an option that was taken away."""
    for name in (n for n in NEEDED if n.partition(".")[0] in reads):
        at: Any = plain
        for part in name.split("."):
            if not isinstance(at, Mapping) or part not in at:
                raise UserError(f"{name} is not there, and nothing runs without it. Leave out ~{name}")
            at = at[part]


def check_made(plain: Mapping[str, Any], reads: Sequence[str]) -> None:
    """Raises UserError for an option that nothing reads, or of a wrong type, of what is made behind the data."""
    nodes = {group: plain.get(group) for group in reads if group not in ("data", "family")}
    if "family" in reads and isinstance(plain.get("family"), Mapping):
        nodes |= {f"family.{name}": node for name, node in plain["family"].items()}
    for place, node in nodes.items():
        if not isinstance(node, Mapping) or not isinstance(target := node.get("_target_"), str):
            continue
        known, options = takes(target), {k: v for k, v in node.items() if not k.startswith("_")}
        if place.startswith("family."):
            options.pop("training", None)  # every family's, see ``made_families``
        if plain.get("reads") is not None:  # a recipe that does without has null there
            options = {k: v for k, v in options.items() if v is not None}
        unread = sorted(options.keys() - known.hints.keys())
        if known.all and unread:
            near = difflib.get_close_matches(unread[0], known.hints, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            choices = ", ".join(known.hints)
            raise UserError(f"no option {f'{place}.{unread[0]}'!r}.{hint} Choices here: {choices}")
        check_hints(known.hints, options, f"{place}.")


def budget_of(plain: Mapping[str, Any]) -> Budget:
    asked = plain["budget"]
    if asked["seconds"] is None and asked["trials"] is None:
        raise UserError("budget.seconds=null and budget.trials=null: a search without an end. Set one of them")
    return Budget(
        trials=whole(asked, "trials", 1, prefix="budget.", free=True),
        seconds=number(asked, "seconds", 0, prefix="budget.", free=True),
        epochs=epochs_of(plain) or 1,
    )


def epochs_of(plain: Mapping[str, Any]) -> int | None:
    return whole(plain["budget"], "epochs", 1, prefix="budget.", free=True)


def seed_of(plain: Mapping[str, Any]) -> int:
    return whole(plain, "seed", 0, 2**32 - 1)


def portfolio_of(plain: Mapping[str, Any]) -> int:
    return whole(plain, "portfolio", 0)


def check_family(plain: Mapping[str, Any]) -> None:
    if not plain.get("family"):
        raise UserError("family is empty: nothing to search. Name at least one, such as family=[mlp]")


def check_artifacts(plain: Mapping[str, Any]) -> None:
    if not isinstance(plain["artifacts"], str):
        raise UserError(f"artifacts={plain['artifacts']} must be the path of a folder")


def check_engine(plain: Mapping[str, Any]) -> None:
    if not isinstance(engine := plain["engine"], dict):
        return
    if engine.get("_target_") == "nas.engines.ray.RayEngine":
        needs_ray()
    if "trial_seconds" in engine:
        number(engine, "trial_seconds", 0, prefix="engine.", free=True)


def check_path(plain: Mapping[str, Any]) -> None:
    if isinstance(plain["data"], dict) and isinstance(path := plain["data"].get("path"), str) and path != "???":
        existing(path)


def check_bench(plain: Mapping[str, Any]) -> None:
    """What a benchmark reads must be there."""
    options = plain.get("bench", {})
    if not isinstance(options, Mapping):
        raise UserError(f"bench={options} must be options. Write bench.OPTION=VALUE")
    for name in ("root", "data", "runs"):
        given = options.get(name)
        for path in given if isinstance(given, list) else [given]:
            if isinstance(path, str):
                existing(path, option=f"bench.{name}")


# What a value must be, by the part of the configuration where it stands.
CHECKS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "data": check_path,
    "budget": budget_of,
    "family": check_family,
    "artifacts": check_artifacts,
    "engine": check_engine,
    "seed": seed_of,
    "portfolio": portfolio_of,
    "bench": check_bench,
}


def refit_of(asked: Any) -> bool | None:
    """None: as far as the time goes."""
    if isinstance(asked, bool):
        return asked
    if asked != "auto":
        raise UserError(f"objective.refit={asked} must be auto, true or false")
    return None


def _refit_beside_folds(plain: Mapping[str, Any]) -> bool | None:
    asked = refit_of(plain["objective"]["refit"])
    if asked is False and (plain["task"]["folds"] or plain["objective"]["calibrate"] == "folds"):
        raise UserError(
            "objective.refit=false and folds: what folds judge is trained on all rows once more. Leave out one of them"
        )
    return asked


def calibrate_of(plain: Mapping[str, Any]) -> str:
    asked = plain["objective"]["calibrate"]
    if asked not in CALIBRATE:
        raise UserError(f"objective.calibrate={asked} must be one of: {', '.join(CALIBRATE)}")
    if asked == "folds" and plain["task"]["folds"] == 0:
        raise UserError("objective.calibrate=folds and task.folds=0: no folds to calibrate on. Leave out one of them")
    return asked


def stop_at_goal_of(plain: Mapping[str, Any]) -> bool:
    asked = "stop_at_goal" in plain["budget"] and truth(plain["budget"], "stop_at_goal", prefix="budget.")
    if asked and not plain["task"]["goal"]:
        raise UserError("budget.stop_at_goal=true needs a goal. Set task.goal='accuracy >= 0.95', or leave it out")
    return asked


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
    if isinstance(value, bool) or not isinstance(value, int | float) or not above < value < math.inf:
        raise UserError(f"{prefix}{key}={value} must be a number above {above:g}{', or null' if free else ''}")
    return float(value)


def truth(of: Mapping[str, Any], key: str, *, prefix: str = "") -> bool:
    if not isinstance(of[key], bool):
        raise UserError(f"{prefix}{key}={of[key]} must be true or false")
    return of[key]


def refuse_unread(cfg: DictConfig, typed: Sequence[str]) -> None:
    """Raises UserError for an option of the command line that this recipe never looks at (``reads`` in its yaml)."""
    if cfg.reads is None:
        return
    reads = list(cfg.reads)
    for word in typed:
        group = word.lstrip("+~").partition("=")[0].rpartition("@")[2].partition(".")[0].partition("/")[0]
        if group not in (*reads, "experiment", "hydra", "run"):
            raise UserError(f"{word} does nothing here: the recipe reads {', '.join(reads)}")


def same(cfg: DictConfig, name: str, value: float | None, by: str) -> None:
    """Raises UserError for an option that the recipe ties to another, when it was set to something else."""
    if (given := OmegaConf.select(cfg, name)) != value:
        raise UserError(f"{name}={given} does nothing here: {by} decides it. Set {by}=...")


def learner_of(cfg: DictConfig, budget: Budget, place: str = "metalearner", seed: int | None = None) -> MetaLearner:
    """The meta-learner configured at ``place``; where ``per_second`` is null, the budget decides it.

    ``seed``: of one that has any; None: the configured one.
    """
    free = OmegaConf.select(cfg, f"{place}.per_second", default=0) is None
    more: dict[str, Any] = {"per_second": budget.seconds is not None} if free else {}
    if seed is not None and OmegaConf.select(cfg, f"{place}.seed") is not None:
        more["seed"] = seed
    return made(cfg, place, **more)


def keep_config(cfg: DictConfig, folder: Path, option: str = "hydra.run.dir") -> None:
    """config.yaml in the run's folder, resolved, without passwords. Raises UserError when nothing can be written."""
    writable(folder, option)
    write_atomically(folder / "config.yaml", config_text(cfg))


def config_text(cfg: DictConfig) -> str:
    """The configuration as config.yaml has it."""
    return _yaml(masked(OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)))


def hide_passwords(file: Path) -> None:
    """Take the passwords out of what Hydra wrote."""
    if file.is_file() and masked(text := file.read_text(encoding="utf-8")) != text:
        write_atomically(file, _yaml(masked(yaml.load(text, get_yaml_loader()))))


def _yaml(plain: Any) -> str:
    """As ``OmegaConf.to_yaml`` writes it, which would take a file called ${x}.csv for a reference."""
    return yaml.dump(
        plain, Dumper=get_omega_conf_dumper(), default_flow_style=False, allow_unicode=True, sort_keys=False
    )


def writable(folder: Path, option: str) -> None:
    """Make a folder, and a file in it, before anything takes long. Raises UserError when that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{option}={folder} cannot be written: {error.strerror}. Set {option}=FOLDER") from error


def plain_config(cfg: DictConfig) -> dict[str, Any]:
    """The configuration as plain data, for the store and for trackers: without passwords."""
    return json.loads(json.dumps(masked(OmegaConf.to_container(cfg, resolve=True))))

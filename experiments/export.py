"""``+experiment=export``: the trials of a finished run in the form of another tool."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from automl.errors import UserError, needs
from automl.metrics import higher_is_better
from experiments.report.words import NAMES, count
from experiments.runs.found import Run

LEAST = 3  # of Optuna: the databases of earlier ones cannot be written with SQLAlchemy 2.1


def run(cfg: DictConfig) -> None:
    """The command line's way in."""
    if cfg.to not in TOOLS:
        raise UserError(f"to={cfg.to} must be one of: {', '.join(TOOLS)}")
    name, write = TOOLS[cfg.to]
    of = Run.of(Path(str(cfg.folder)).expanduser())
    out = Path(str(cfg.out)).expanduser() if cfg.out is not None else of.folder / name
    if out.exists():
        raise UserError(f"{out} is there already. Set out=FILE, or delete it")
    if not out.parent.is_dir():
        raise UserError(f"out={out}: there is no folder {out.parent}")
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        trials = write(of, Path(folder) / out.name)
        (Path(folder) / out.name).replace(out)
    print(f"{count(trials, 'trial')} of {of.folder} written to {out}")


def optuna(of: Run, path: Path) -> int:
    """A study whose parameters are the family and the choices of each trial, its values the metric's own; how many
    trials it holds.

    Every axis is finite, so it is categorical, in order where its options are numbers. A curve becomes the intermediate
    values, one an epoch. A trial that failed is FAIL, one that was not trained (a limit) PRUNED.
    """
    needs("to=optuna", "optuna", "optuna")
    import optuna as library  # pyright: ignore[reportMissingImports]

    if int(library.__version__.partition(".")[0]) < LEAST:
        raise UserError(
            f"to=optuna needs optuna {LEAST} or later, {library.__version__} is installed. Run: pip install -U optuna"
        )
    library.logging.set_verbosity(library.logging.WARNING)
    tried, metric = of.result.get("tried") or [], of.metric
    if not tried:
        raise UserError(f"{of.folder} tells no trials: it was made by an older version. Give a newer run")
    falling = metric in NAMES and not higher_is_better(metric)
    states = {"ok": library.trial.TrialState.COMPLETE, "skipped": library.trial.TrialState.PRUNED}
    params = [{"family": t["family"], **t["choices"]} for t in tried]
    options = {name: in_order({p[name] for p in params if name in p}) for p in params for name in p}
    spaces = {name: library.distributions.CategoricalDistribution(values) for name, values in options.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own deprecations and experiments
        direction = "minimize" if falling else "maximize"
        study = library.create_study(storage=f"sqlite:///{path}", study_name=of.name, direction=direction)
        about = {
            "metric": metric,
            "folder": str(of.folder),
            "hash": of.of_data("hash"),
            "level": of.result.get("level"),
        }
        for name, value in about.items():
            study.set_user_attr(name, value)
        for t, chosen in zip(tried, params, strict=True):
            told = ("number", "status", "seconds", "epochs", "parameters", "latency_ms", "error")
            state = states.get(t["status"], library.trial.TrialState.FAIL)
            study.add_trial(
                library.trial.create_trial(
                    state=state,
                    value=t["score"] if t["status"] == "ok" else None,
                    params=chosen,
                    distributions={name: spaces[name] for name in chosen},
                    user_attrs={name: t[name] for name in told if t.get(name) not in (None, "")},
                    intermediate_values={i: v for i, v in enumerate(t.get("curve") or [], 1) if v is not None},
                )
            )
    return len(tried)


def in_order(values: set[Any]) -> list[Any]:
    """Numbers by size, else by their text."""
    plain = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    return sorted(values) if plain else sorted(values, key=str)


TOOLS: Mapping[str, tuple[str, Callable[[Run, Path], int]]] = {"optuna": ("optuna.db", optuna)}
"""By name: the file that is written unless another is asked for, and who writes it."""

"""``+experiment=runs``: list finished runs, lay them side by side, give disk space back."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from automl.errors import UserError
from automl.files import write_atomically
from experiments.options import check_types
from experiments.report.words import count, number
from experiments.runs.found import CONFIG, Run, find, megabytes
from experiments.runs.text import aligned

BESIDE = (2, 5)  # runs beside one another: more do not fit on a screen
HEAD = ("date", "data", "rows", "metric", "val", "test", "seconds", "family", "MB", "folder")
NUMBERS = ("rows", "val", "test", "seconds", "MB")


@dataclass(frozen=True)
class Asked:
    """The options under ``runs``; see conf/experiment/runs.yaml."""

    root: list[str]
    data: str | None
    last: int | None
    show: list[str] | None
    free: str | None
    yes: bool


def asked(cfg: DictConfig) -> Asked:
    """Raises UserError for a value of the wrong type or out of range."""
    plain: Any = OmegaConf.to_container(cfg.runs, resolve=True)
    check_types(Asked, plain, "runs.")
    of = Asked(**plain)
    if of.last is not None and of.last < 1:
        raise UserError(f"runs.last={of.last} must be a whole number of at least 1, or null")
    if of.free not in (None, "rest", "all"):
        raise UserError(f"runs.free={of.free} must be rest (all weights but those of the models) or all")
    if of.show is not None and not BESIDE[0] <= len(of.show) <= BESIDE[1]:
        raise UserError(f"runs.show takes {BESIDE[0]} to {BESIDE[1]} folders, as runs.show=[FOLDER,FOLDER]")
    return of


def run(cfg: DictConfig) -> None:
    """The command line's way in."""
    try:
        answer(cfg, asked(cfg), Path(HydraConfig.get().runtime.output_dir))
        sys.stdout.flush()
    except BrokenPipeError:  # "| head" has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def answer(cfg: DictConfig, of: Asked, folder: Path) -> None:
    if of.show is not None:
        from experiments.runs.compare import page_of, said

        shown = [Run.of(Path(name)) for name in of.show]
        write_atomically(folder / "compare.html", page_of(shown))
        print(said(shown))
        print(f"\ncurves    {folder / 'compare.html'}")
        return
    leave_nothing(folder)
    if of.free is not None:
        from experiments.runs.free import free

        free(cfg, everything=of.free == "all", yes=of.yes)
        return
    show_list(of, Path(cfg.artifacts))


def show_list(of: Asked, artifacts: Path) -> None:
    runs, odd = find([Path(root).expanduser() for root in of.root])
    runs = [run for run in runs if of.data is None or of.data.lower() in run.name.lower()]
    where = " and ".join(of.root)
    if not runs:
        print(f"no finished run{f' on {of.data}' if of.data else ''} in {where}; runs.root=[FOLDER] looks elsewhere")
    else:
        print(table(runs[: of.last]))
        if of.last is not None and len(runs) > of.last:
            print(f"and {len(runs) - of.last:,} older; runs.last=null shows all")
    for line in odd:
        print(f"left out  {line}", file=sys.stderr)
    if weights := megabytes(artifacts):
        print(f"{artifacts} holds {weights:,.1f} MB of networks, for resume; runs.free=rest keeps the models' own")


def table(runs: Sequence[Run]) -> str:
    """One line a run."""
    rows = [
        (
            run.ended.strftime("%Y-%m-%d %H:%M"),
            run.name,
            "–" if run.of_data("rows") is None else f"{run.of_data('rows'):,}",
            run.metric,
            number(run.result["val"].get(run.metric)),
            number(run.result["test"].get(run.metric)),
            "–" if run.seconds is None else f"{run.seconds:,.0f}",
            run.family,
            f"{megabytes(run.folder):,.1f}",
            run.folder,
        )
        for run in runs
    ]
    return f"{aligned(HEAD, rows, NUMBERS)}\n{count(len(runs), 'run')}"


def leave_nothing(folder: Path) -> None:
    """A look leaves no folder behind."""
    if [file.name for file in folder.iterdir()] == [CONFIG]:
        (folder / CONFIG).unlink()
    for place in (folder, *folder.parents[:2]):
        try:
            place.rmdir()
        except OSError:  # not empty
            return

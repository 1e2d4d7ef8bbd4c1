"""``+experiment=ladder``: every level of automation on the same data and split, each as the command that it is.

Each level is a process of its own, so that none has what another has imported, and one that is killed takes no other
with it. A level that has finished with the same options, by the same program, is not run again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from automl.data.columns import modality_of
from automl.errors import UserError
from automl.files import write_atomically
from experiments.bench._commit import commit
from experiments.configuration import CONF
from experiments.explain import flat
from experiments.ladder.levels import ROOT, Level, level
from experiments.options import check_types, made, task_options
from experiments.report import page, plots
from experiments.report.words import metric_name, number
from experiments.runs.found import CONFIG, RESULT, Run
from experiments.runs.text import aligned

HEAD = ("level", "val", "test", "95 %", "seconds", "parameters", "ms a row", "lines", "model")
NUMBERS = ("val", "test", "seconds", "parameters", "ms a row", "lines")
WRONG = 2  # exit status of a command that does not fit
PROGRAM = "program.txt"
"""Of a level's folder: which program ran it."""


@dataclass(frozen=True)
class Options:
    """See conf/experiment/ladder.yaml."""

    levels: list[str]
    layers: dict[str, list[Any]]
    code: dict[str, list[str]]


def run(cfg: DictConfig) -> None:
    """The command line's way in."""
    of = HydraConfig.get()
    folder = Path(of.runtime.output_dir)
    plain: Any = OmegaConf.to_container(cfg.ladder, resolve=True)
    check_types(Options, plain, "ladder.")
    task_options(cfg)
    modality = modality_of(made(cfg, "data").load())  # what is wrong with the data is told once
    if (folder / CONFIG).is_file():  # else the folder would be taken for one run, and nothing be looked for in it
        (folder / CONFIG).replace(folder / "ladder.yaml")
    budget: Any = OmegaConf.to_container(cfg.budget, resolve=True)
    climbed, out = climb(Options(**plain), list(of.overrides.task), budget, modality, folder)
    if not climbed:
        raise UserError(f"no level fits these data: {'; '.join(f'{name}: {why}' for name, why in out.items())}")
    tell(climbed, out, folder)


def climb(
    options: Options, typed: Sequence[str], budget: Mapping[str, Any], modality: str, folder: Path
) -> tuple[list[tuple[Level, Run]], dict[str, str]]:
    """What each level came to, and why others are left out. Raises UserError where another ladder is in the folder."""
    climbed: list[tuple[Level, Run]] = []
    out: dict[str, str] = {}
    program = commit()
    for name in options.levels:
        layers = options.layers.get(modality, [])
        if not (CONF / f"experiment/{name}.yaml").is_file():
            out[name] = "there is no such recipe"
        elif name == "level1" and not layers:
            out[name] = f"ladder.layers has no list for {modality} input"
        else:
            one = level(name, typed, budget, layers, options.code.get(name, ()))
            print(f"{name}: {one.command}", file=sys.stderr, flush=True)
            if why := done(one, folder / name, program):
                out[name] = why
            else:
                climbed.append((one, Run.of(folder / name)))
        if name in out:
            print(f"{name} is left out: {out[name]}", file=sys.stderr, flush=True)
    return climbed, out


def done(one: Level, folder: Path, program: str) -> str:
    """Run a level, unless it has finished with the same options. Why it does not fit, else an empty text.

    ``program``: see ``experiments.bench._commit``. Levels of two of them are no ladder.
    """
    finished, begun, by = (folder / RESULT).is_file(), (folder / CONFIG).is_file(), folder / PROGRAM
    if finished:
        before = [word for word in Run.of(folder).result.get("overrides") or [] if word != "resume=true"]
        if before != [*one.words]:
            raise UserError(f"{folder} holds a finished run of other options. Set hydra.run.dir to a new folder")
    if (finished or begun) and (not by.is_file() or by.read_text(encoding="utf-8") != program):
        raise UserError(f"{folder} holds a run of another version of the program. Set hydra.run.dir to a new folder")
    if finished:
        print(f"{one.name} has finished before, with the same options: it is not run again", file=sys.stderr)
        return ""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(by, program)
    again = ["resume=true"] if begun else []
    command = [sys.executable, str(ROOT / "level4.py"), *one.words, *again, f"hydra.run.dir={folder}"]
    # Set by who reads our own errors: a level is to tell its in one line.
    environ = {name: value for name, value in os.environ.items() if name != "HYDRA_FULL_ERROR"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace", env=environ) as process:
        assert process.stderr is not None
        last = ""
        for line in process.stderr:
            sys.stderr.write(line)
            last = line if line.startswith("Error: ") else last
    if process.returncode == WRONG:
        return flat(last.removeprefix("Error: ")) or "it ended with status 2"
    if process.returncode < 0 or process.returncode >= 128:
        raise KeyboardInterrupt
    return "" if process.returncode == 0 else f"it ended with status {process.returncode}"


def tell(climbed: Sequence[tuple[Level, Run]], out: Mapping[str, str], folder: Path) -> None:
    """Print the table; ladder.csv and ladder.html."""
    found = [facts(one, run) for one, run in climbed]
    rows = [shown(row) for row in found]
    metric = climbed[0][1].metric
    print(f"\n{metric_name(metric)} on the same rows\n{aligned(HEAD, rows, NUMBERS)}")
    for name, why in out.items():
        print(f"left out  {name}: {why}")
    write_atomically(folder / "ladder.csv", pd.DataFrame(found).to_csv(index=False))
    write_atomically(folder / "ladder.html", page_of(climbed, rows, found, out))
    print(f"picture   {folder / 'ladder.html'}")


def facts(one: Level, run: Run) -> dict[str, Any]:
    """Numbers of a level; ``seconds`` without imports, which are not the run's time."""
    result, metric = run.result, run.metric
    deployed = result.get("deployed") or {}
    low, high = result.get("interval") or (None, None)
    spent = result.get("seconds") or {}
    return {
        "level": one.name,
        "metric": metric,
        "val": result["val"].get(metric),
        "test": result["test"].get(metric),
        "low": low,
        "high": high,
        "seconds": (spent.get("total") or 0.0) - (spent.get("import") or 0.0),
        "parameters": deployed.get("parameters"),
        "latency_ms": deployed.get("latency_ms"),
        "lines": one.lines,
        "model": run.family,
        "test_rows": run.of_data("test"),
        "folder": str(run.folder),
    }


def shown(row: Mapping[str, Any]) -> tuple[object, ...]:
    band = "–" if row["low"] is None else f"{number(row['low'])} to {number(row['high'])}"
    return (
        *(row["level"], number(row["val"]), number(row["test"]), band, f"{row['seconds']:,.0f}"),
        *("–" if row[n] is None else f"{row[n]:{form}}" for n, form in (("parameters", ",.0f"), ("latency_ms", ".2f"))),
        *(row["lines"], row["model"]),
    )


def page_of(
    climbed: Sequence[tuple[Level, Run]],
    rows: Sequence[Sequence[object]],
    found: Sequence[Mapping[str, Any]],
    out: Mapping[str, str],
) -> str:
    tag, run = page.tag, climbed[0][1]
    bands = [None if row["low"] is None else (row["low"], row["high"]) for row in found]
    names, values = [row["level"] for row in found], [row["test"] for row in found]
    drawn = plots.beside(names, values, bands, f"{metric_name(run.metric)} (test)")
    commands = [(one.name, tag("code", one.command)) for one, _ in climbed]
    body = [
        tag("h1", f"The ladder on {run.name}"),
        page.section("What each level gives", page.figure(drawn, "On the test rows, with 95 % of redrawn rows.")),
        page.section("And costs", page.table(HEAD, rows, numbers=[i for i, n in enumerate(HEAD) if n in NUMBERS])),
        page.section("The commands", page.table(["", "command"], commands, narrow=True)),
    ]
    if out:
        body.append(page.section("Left out", page.table(["", "why"], [*out.items()], narrow=True)))
    return page.page("The ladder", body)

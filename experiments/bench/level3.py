"""The cold search on real data sets, beside the best simple baseline of each.

    level4 +experiment=bench/level3 bench.root=FOLDER

FOLDER holds NAME.json beside NAME.csv.gz or NAME.npz. The json's ``baseline_best`` (metric ``accuracy`` or ``r2``) is
the opponent, on the same test split. Each set is one ``run.py +experiment=level3`` of its own, as a user starts it, for
``bench.seconds`` of search; for classes it is told to aim at the baseline's metric. A finished set is kept in
``bench.out`` and not run again by the same commit.

The overhead is the share of the searches' wall time in which the workers were in no training: starts, proposals,
checks before a training, waiting for the last. Exit status 1 when a run crashes, or when fewer sets than the targets
reach their baseline: 80 % of images, series, texts and sounds, 60 % of tables.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from automl.errors import UserError
from automl.machine import cores
from automl.store.store import Store
from experiments.bench import kept_rows, options_from
from experiments.bench._commit import commit
from experiments.explain import quoted

TARGETS = {"tabular": 0.6}
TARGET = 0.8
OVERHEAD = 0.15
RUN = Path(__file__).resolve().parents[2] / "run.py"


@dataclass(frozen=True)
class Asked:
    """The options; see conf/experiment/bench/level3.yaml."""

    root: Path
    seconds: float
    experiment: Literal["level3", "level4"]
    each: int | None
    sets: list[str]
    out: Path
    override: list[str]


def run(cfg: DictConfig) -> None:
    options = options_from(cfg, Asked)
    wanted = chosen(options.root, options.sets, options.each)
    setting = [options.experiment, options.seconds, sorted(options.override), commit()]
    rows = kept_rows(options.out)
    rows = {row["set"]: row for row in rows if row["setting"] == setting}
    for said in wanted:
        if said["name"] in rows:
            continue
        row = {"set": said["name"], "setting": setting, "modality": kind_of(said), **one(said, options)}
        rows[said["name"]] = row
        with options.out.open("a") as out:
            out.write(json.dumps(row) + "\n")
        print(line(row), flush=True)
    if not show([rows[said["name"]] for said in wanted]):
        raise SystemExit(1)


def chosen(root: Path, names: Sequence[str], each: int | None) -> list[dict[str, Any]]:
    """What the json files say of the sets to run: all of ``names``, else ``each`` of a modality, evenly spread.

    Modalities take turns, so that a part of them says something.
    """
    said = [json.loads(f.read_text()) for f in sorted(root.glob("*.json"))]
    said = [s for s in said if "baseline_best" in s and (not names or s["name"] in names)]
    if not said:
        named = " of these names" if names else ""
        raise UserError(f"{root} holds no NAME.json with a baseline_best{named}. Set bench.root=FOLDER")
    if unknown := sorted(set(names) - {s["name"] for s in said}):
        raise UserError(f"bench.sets: {root} holds no {unknown[0]}.json with a baseline_best. Leave it out")
    of = defaultdict(list)
    for s in said:
        of[kind_of(s)].append(s)
    if each is not None and not names:
        of = {m: [sets[int(i)] for i in np.linspace(0, len(sets) - 1, min(each, len(sets)))] for m, sets in of.items()}
    most = max(len(sets) for sets in of.values())
    return [sets[i] for i in range(most) for sets in of.values() if i < len(sets)]


def kind_of(said: dict[str, Any]) -> str:
    return "series" if said["modality"].startswith("ts_") else said["modality"]


def group_of(said: Mapping[str, Any]) -> str:
    """Sets of one group share an origin: they are left out of the past, and drawn, together."""
    return said.get("group", said["name"])


def one(said: dict[str, Any], options: Asked) -> dict[str, Any]:
    """One run of the program and what came of it."""
    best = said["baseline_best"]
    folder = Path(tempfile.mkdtemp(prefix="level3-"))
    store = f"sqlite:///{folder / 'store.db'}"
    command = [
        sys.executable,
        str(RUN),
        f"+experiment={options.experiment}",
        "data=file",
        f"data.path={quoted(str(options.root.resolve() / said['file']))}",
        f"task.metric={best['metric']}",
        f"task.group={quoted(group_of(said))}",  # level 4 must not have seen this set
        f"budget.seconds={options.seconds}",
        "budget.trials=null",
        "tracker=none",
        "progress=false",
        f"artifacts={folder / 'searches'}",
        f"store.url={store}",
        f"hydra.run.dir={folder / 'run'}",
        *options.override,
    ]
    row: dict[str, Any] = {"metric": best["metric"], "baseline": best["value"], "model": best["model"]}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10 * options.seconds + 600)
        if done.returncode:
            return row | {"error": (done.stderr.strip() or done.stdout.strip()).splitlines()[-1][:300]}
        result = json.loads((folder / "run" / "result.json").read_text())
        engine = OmegaConf.load(folder / "run" / "config.yaml").engine
        with Store(store) as opened:
            trials = opened.trials(search=opened.searches()[-1].id)
    except subprocess.TimeoutExpired:
        return row | {"error": "did not end"}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return row | {
        "score": result["test"][best["metric"]],
        "valid": result["val"][best["metric"]],
        "family": result["chosen"]["family"],
        "trials": len(trials),
        "failed": sum(t.status != "ok" for t in trials),
        "trained": sum(t.seconds for t in trials),
        "workers": engine.workers or cores() if "workers" in engine else 1,
        "seconds": result["seconds"],
    }


def line(row: dict[str, Any]) -> str:
    if "error" in row:
        return f"{row['set']}: {row['error']}"
    sign = ">=" if reached(row) else "< "
    return (
        f"{row['set']} {row['metric']}: {row['score']:.4f} {sign} {row['baseline']:.4f} {row['model']}"
        f" ({row['family']}, {row['trials']} trials, {row['seconds']['total']:.0f} s)"
    )


def reached(row: dict[str, Any]) -> bool:
    """Whether the score is at or above the baseline, which the json gives with four digits."""
    return round(row.get("score", -np.inf), 4) >= row["baseline"]


def show(rows: Sequence[dict[str, Any]]) -> bool:
    """Print the table and the shares; whether all targets are met and nothing crashed."""
    table = Table(title="level 3 beside the best simple baseline, on the test split")
    for name in ("set", "metric", "baseline", "level 3", "by", "trials", "reached"):
        table.add_column(name, justify="left" if name in ("set", "metric", "by", "reached") else "right")
    for row in sorted(rows, key=lambda r: (r["modality"], r["set"])):
        if "error" in row:
            table.add_row(row["set"], row["metric"], f"{row['baseline']:.3f}", "-", row["error"], "", "crash")
            continue
        cells = [f"{row['baseline']:.3f} {row['model']}", f"{row['score']:.3f}", row["family"], str(row["trials"])]
        table.add_row(row["set"], row["metric"], *cells, "yes" if reached(row) else "no")
    Console(width=120).print(table)
    fine = True
    for modality in sorted({row["modality"] for row in rows}):
        of = [row for row in rows if row["modality"] == modality]
        count = sum(reached(row) for row in of)
        crashed = sum("error" in row for row in of)
        target = TARGETS.get(modality, TARGET)
        fine &= count >= target * len(of) and not crashed
        shares = f"{count / len(of):.0%}, target {target:.0%}"
        print(f"{modality}: {count} of {len(of)} reach it ({shares}), {crashed} crash")
    if lost := [overhead(row) for row in rows if "error" not in row]:
        print(
            f"search overhead: {np.mean(lost):.1%} of wall time on average, target {OVERHEAD:.0%}; most {max(lost):.1%}"
        )
    return fine


def overhead(row: dict[str, Any]) -> float:
    """The share of a search's wall time in which its workers were in no training."""
    return 1 - row["trained"] / row["workers"] / row["seconds"]["search"]

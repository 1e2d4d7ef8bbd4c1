"""Do weights from elsewhere help, at equal time?

    level4 +experiment=bench/pretrained bench.root=FOLDER

FOLDER is that of the benchmark ``level3``. Each set is solved by this checkout's ``run.py +experiment=level3`` in
``bench.seconds``, with each seed, in each of the arms: ``scratch`` is all families but those of known networks,
``both`` all families, ``known`` those of known networks alone. Features are computed anew in every run. A finished run
is kept in ``bench.out`` and not run again by the same commit.

Printed: the test score of each arm, and how far the other arms are from the first, with a 95 % interval: of a set over
redrawn test rows, the same for both arms (paired bootstrap); of all sets together over redrawn groups of sets.
Whether test rows were among the data of the weights is not known. Exit status 1 when a run crashed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from automl.errors import UserError
from automl.models.known.origins import PACKAGES
from experiments.bench import kept_rows, options_from
from experiments.bench._commit import commit
from experiments.bench.level3 import RUN, chosen, group_of, kind_of
from experiments.bootstrap import mean_interval
from experiments.configuration import EARLIER, by_default
from experiments.explain import quoted
from experiments.report.words import count

KNOWN = ("pretrained", "sentence")
DRAWS = 2_000
Arm = Literal["scratch", "both", "known"]


@dataclass(frozen=True)
class Asked:
    """The options; see conf/experiment/bench/pretrained.yaml."""

    root: Path
    sets: list[str]
    arms: list[Arm]
    seconds: float
    seed: list[int]
    out: Path
    override: list[str]


def run(cfg: DictConfig) -> None:
    options = options_from(cfg, Asked)
    wanted = chosen(options.root, options.sets, None)
    if missing := [p.install for p in PACKAGES if p.folder is None]:
        raise UserError(f"the weights of known networks are not installed. {'; '.join(missing)}")
    if table := next((s["name"] for s in wanted if kind_of(s) in ("tabular", "series")), None):
        raise UserError(f"bench.sets: no known network reads {table}. Leave it out")
    setting = [options.seconds, sorted(options.override), commit()]
    kept = [row for row in kept_rows(options.out) if row["setting"] == setting]
    rows = {(row["set"], row["seed"], row["arm"]): row for row in kept}
    for seed in options.seed:
        for said in wanted:
            for arm in options.arms:
                key = said["name"], seed, arm
                if key in rows:
                    continue
                row = {"set": said["name"], "seed": seed, "arm": arm, "setting": setting, "modality": kind_of(said)}
                row |= {"group": group_of(said)}
                rows[key] = row = row | one(said, arm, seed, options)
                with options.out.open("a") as out:
                    out.write(json.dumps(row) + "\n")
                print(*key, row.get("error") or f"{row['score']:.4f} {row['family']} {row['wall']:.0f} s", flush=True)
    asked = [rows[s["name"], seed, arm] for s in wanted for seed in options.seed for arm in options.arms]
    if not show(asked, options.arms):
        raise SystemExit(1)


def families(arm: Arm) -> list[str]:
    # Every run has a store of its own, and so no earlier one.
    return [f for f in by_default("family") if f != EARLIER and (arm == "both" or (f in KNOWN) == (arm == "known"))]


def one(said: dict[str, Any], arm: Arm, seed: int, options: Asked) -> dict[str, Any]:
    """A run from the command's start to its end, and what came of it."""
    with tempfile.TemporaryDirectory(prefix="pretrained-") as scratch:
        folder = Path(scratch)
        command = [
            sys.executable,
            str(RUN),
            "+experiment=level3",
            "data=file",
            f"data.path={quoted(str(options.root.resolve() / said['file']))}",
            f"task.metric={said['baseline_best']['metric']}",
            f"family=[{','.join(families(arm))}]",
            f"seed={seed}",
            f"budget.seconds={options.seconds}",
            "budget.trials=null",
            "tracker=none",
            "progress=false",
            f"artifacts={folder / 'searches'}",
            f"store.url=sqlite:///{folder / 'store.db'}",
            f"hydra.run.dir={folder / 'run'}",
            *options.override,
        ]
        began = time.monotonic()
        try:
            environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}  # no arm gets another's features
            limit = 10 * options.seconds + 600
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit, env=environment)
        except subprocess.TimeoutExpired:
            return {"error": "did not end"}
        wall = time.monotonic() - began
        if done.returncode:
            said_last = (done.stderr.strip() or done.stdout.strip() or "no word").splitlines()
            words = [
                line for line in said_last if line.strip() and not line.startswith("full_key")
            ]  # Hydra's postscript
            return {"error": words[-1][:300]}
        result = json.loads((folder / "run" / "result.json").read_text())
        frame = pd.read_parquet(folder / "run" / "predictions.parquet")
    metric = said["baseline_best"]["metric"]
    right = (frame["prediction"].astype(str) == frame["y"].astype(str)).to_numpy()
    return {
        "metric": metric,
        "score": result["test"][metric],
        "right": "".join("1" if r else "0" for r in right) if result["task"]["kind"] != "regression" else "",
        "family": result["chosen"]["family"],
        "members": [member["family"] for member in result["ensemble"]],
        "trials": result["trials"]["ok"],
        "megabytes": result["deployed"]["megabytes"],
        "latency_ms": result["deployed"]["latency_ms"],
        "wall": wall,
    }


def show(rows: Sequence[dict[str, Any]], arms: Sequence[Arm]) -> bool:
    """Print the tables; whether nothing crashed."""
    table = Table(title=f"known networks and training from scratch: {rows[0]['setting'][-1]}")
    for name in ("set", "arm", "score", f"less {arms[0]}", "95 %", "by", "MB", "ms a row"):
        table.add_column(name, justify="left" if name in ("set", "arm", "by", "95 %") else "right")
    gains: dict[str, list[tuple[float, str]]] = {arm: [] for arm in arms[1:]}
    for of in dict.fromkeys(row["set"] for row in rows):
        for arm in arms:
            mine = [r for r in rows if (r["set"], r["arm"]) == (of, arm)]
            ended = [r for r in mine if "error" not in r]
            if not ended:
                table.add_row(of, arm, "-", "", "", escape(mine[0]["error"]), "", "")
                continue
            by = ", ".join(sorted({r["family"] for r in ended}))
            size, time_ = (f"{np.mean([r[n] for r in ended]):.3g}" for n in ("megabytes", "latency_ms"))
            pairs = list(paired(rows, of, arms[0], arm)) if arm != arms[0] else []
            gain, between = "", ""
            if pairs:
                mean = float(np.mean([b["score"] - a["score"] for a, b in pairs]))
                gains[arm].append((mean, pairs[0][0].get("group", of)))
                gain, between = f"{mean:+.4f}", span(*over_rows(pairs))
            score = f"{np.mean([r['score'] for r in ended]):.4f}"
            table.add_row(of, arm, score, gain, between, by, size, time_)
    Console(width=130).print(table)
    for arm, of in gains.items():
        if of:
            values, group = map(np.array, zip(*of, strict=True))
            low, high = mean_interval(values, group)
            better = f"{(values > 0).sum()} of {count(len(of), 'set')} better"
            print(f"{arm} less {arms[0]}: {values.mean():+.4f} {span(low, high)}, {better}")
    if crashed := sum("error" in row for row in rows):
        print(f"{count(crashed, 'run')} of {len(rows)} crashed: their sets are told by the others")
    return all("error" not in row for row in rows)


def paired(
    rows: Sequence[dict[str, Any]], of: str, first: Arm, second: Arm
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Runs of a set with the same seed in two arms, both ended."""
    found = {(r["seed"], r["arm"]): r for r in rows if r["set"] == of and "error" not in r}
    for seed in sorted({seed for seed, _ in found}):
        if (seed, first) in found and (seed, second) in found:
            yield found[seed, first], found[seed, second]


def over_rows(pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> tuple[float, float]:
    """95 % of the mean difference in accuracy over redrawn test rows; NaN for values."""
    differences = [_bits(b["right"]) - _bits(a["right"]) for a, b in pairs if a["right"]]
    if not differences or len({len(d) for d in differences}) > 1:
        return float("nan"), float("nan")
    each = np.mean(differences, axis=0)  # of a row, over the seeds: these share their test rows
    rng = np.random.default_rng(0)
    drawn = [each[rng.integers(0, len(each), len(each))].mean() for _ in range(DRAWS)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def _bits(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8).astype(float) - ord("0")


def span(low: float, high: float) -> str:
    return "" if np.isnan(low) else f"[{low:+.4f}, {high:+.4f}]"

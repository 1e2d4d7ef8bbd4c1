"""Is ``budget.seconds`` the whole of a run, as a watch sees it, and how much of it is searched?

    level4 +experiment=bench/kept bench.root=FOLDER

FOLDER is that of the benchmark ``level3``. Each set is solved by this checkout's ``run.py`` with two workers, in each
of ``bench.seconds``; a finished one is kept in ``bench.out`` and not run again by the same commit. Nothing else may run
meanwhile. ``wall`` is the time of the whole command less its imports, ``start`` its imports and what comes before them,
``searched`` the share of ``wall`` that the search had.

Exit status 1 unless ``wall`` is within 1.05 of what was asked and 2 s on 19 of 20 runs and within 1.15 on each, and
0.8 of all time was searched.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from experiments.bench import kept_rows, options_from
from experiments.bench.level3 import RUN, chosen, kind_of
from experiments.bench.versions import commit, one

CLOSE, MOST = (1.05, 2.0), 1.15  # factor and seconds; factor
NEARLY_ALL, SEARCHED = 0.95, 0.8


@dataclass(frozen=True)
class Asked:
    """The options; see conf/experiment/bench/kept.yaml."""

    root: Path
    seconds: list[float]
    seed: int
    each: int | None
    sets: list[str]
    out: Path


def run(cfg: DictConfig) -> None:
    options = options_from(cfg, Asked)
    wanted = chosen(options.root, options.sets, options.each)
    now = commit(RUN.parent)
    rows = kept_rows(options.out)
    of = {(r["set"], r["asked"]): r for r in rows if (r["commit"], r["seed"]) == (now, options.seed)}
    for said in wanted:
        for seconds in options.seconds:
            if (said["name"], seconds) in of:
                continue
            row = {"set": said["name"], "asked": seconds, "seed": options.seed, "commit": now}
            made = one(said, RUN.parent, options.root, seconds, options.seed)
            of[said["name"], seconds] = row = {**row, "modality": kind_of(said), **made}
            with options.out.open("a") as out:
                out.write(json.dumps(row) + "\n")
            print(said["name"], seconds, row.get("error") or f"{row['wall']:.0f} s", flush=True)
    if not show([of[s["name"], t] for t in options.seconds for s in wanted]):
        raise SystemExit(1)


def show(rows: Sequence[dict[str, Any]]) -> bool:
    """Print all; whether the promises were kept."""
    table = Table(title=f"time kept, by {rows[0]['commit']}")
    stages = ("read", "prepare", "search", "refit", "export")
    for name in ("set", "asked", "start", "wall", "over", *stages, "searched"):
        table.add_column(name, justify="left" if name == "set" else "right")
    late, ended = [], []
    for row in rows:
        if "error" in row:
            table.add_row(row["set"], f"{row['asked']:g}", "", "", row["error"])
            continue
        spent = row["stages"]
        wall = row["wall"] - spent["import"]
        ended.append((wall, spent["search"], row["asked"]))
        over = wall - CLOSE[0] * row["asked"] - CLOSE[1]
        late.append(over)
        table.add_row(
            row["set"],
            f"{row['asked']:g}",
            f"{spent['import']:.1f}",
            f"{wall:.1f}",
            f"{over:+.1f}" if over > 0 else "",
            *(f"{spent[name]:.1f}" for name in stages),
            f"{spent['search'] / wall:.0%}",
        )
    Console(width=120).print(table)
    share = sum(search for _, search, _ in ended) / max(sum(wall for wall, _, _ in ended), 1e-9)
    near = sum(over <= 0 for over in late) / max(len(rows), 1)
    most = max((wall / asked for wall, _, asked in ended), default=float("inf"))
    print(f"{near:.0%} of {len(rows)} runs in time, at most {most:.2f} of what was asked, {share:.0%} searched")
    return near >= NEARLY_ALL and most <= MOST and share >= SEARCHED

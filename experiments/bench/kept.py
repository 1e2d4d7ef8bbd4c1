"""Is ``budget.seconds`` the whole of a run, as a watch sees it, and how much of it is searched?

    python -m experiments.bench kept --root FOLDER

FOLDER is that of the benchmark ``level3``. Each set is solved by this checkout's ``run.py`` with two workers, in each
of ``--seconds``; a finished one is kept in ``--out`` and not run again by the same commit. Nothing else may run
meanwhile. ``wall`` is the time of the whole command less its imports, ``start`` its imports and what comes before them,
``searched`` the share of ``wall`` that the search had.

Exit status 1 unless ``wall`` is within 1.05 of what was asked and 2 s on 19 of 20 runs and within 1.15 on each, and
0.8 of all time was searched.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments.bench.level3 import chosen, kind_of
from experiments.bench.versions import commit, one

CLOSE, MOST = (1.05, 2.0), 1.15  # factor and seconds; factor
NEARLY_ALL, SEARCHED = 0.95, 0.8


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.bench kept", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder of the sets")
    parser.add_argument("--seconds", type=float, nargs="+", default=[60.0, 120.0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--each", type=int, default=4, help="so many sets of each modality, evenly spread")
    parser.add_argument("--sets", nargs="*", default=[], help="these only")
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "level4-kept.jsonl")
    options = parser.parse_args(argv)
    wanted = chosen(options.root, options.sets, options.each)
    now = commit(Path())
    rows = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    of = {(r["set"], r["asked"]): r for r in rows if (r["commit"], r["seed"]) == (now, options.seed)}
    for said in wanted:
        for seconds in options.seconds:
            if (said["name"], seconds) in of:
                continue
            asked = argparse.Namespace(root=options.root, seconds=seconds, seed=options.seed)
            row = {"set": said["name"], "asked": seconds, "seed": options.seed, "commit": now}
            of[said["name"], seconds] = row = {**row, "modality": kind_of(said), **one(said, Path(), asked)}
            with options.out.open("a") as out:
                out.write(json.dumps(row) + "\n")
            print(said["name"], seconds, row.get("error") or f"{row['wall']:.0f} s", flush=True)
    return 0 if show([of[s["name"], t] for t in options.seconds for s in wanted]) else 1


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

"""Two versions of the program on the same data sets: is the newer one better, and no slower?

    git worktree add ../before COMMIT
    level4 +experiment=bench/versions bench.root=FOLDER 'bench.code={before:../before,after:.}'

FOLDER is that of the benchmark ``level3``. Each set is solved by each checkout's own ``run.py +experiment=level4``
with two workers, the same seed and the same seconds, its group left out of the past runs. A finished one is kept in
``bench.out`` and not run again by the same commit, so that the versions can be measured apart: one in ``bench.code``,
then the other. ``bench.seconds_of`` gives a version other seconds, where they are of the search in one and of the run
in the other; or a label: as long as that version's command took on the same set, less its own imports. Nothing else
may run meanwhile. Score is accuracy or r2 on the test split, ``own`` the share of the
workers' time that went to trainings of families that are in the deployed ensemble, ``wall`` the time of the command.

Printed: each set, then by modality and in all the mean difference of scores with a 95 % bootstrap interval over groups
of sets. ``bench.options`` gives a label options of its own, as ``{long:['budget.epochs=45']}``: two settings of one
checkout are compared so, under two labels of its folder.
Exit status 1 when a modality is worse on average, a command took longer by more than 5 % + 2 s, or one crashed.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from automl.errors import UserError
from experiments.bench import kept_rows, options_from
from experiments.bench._commit import commit
from experiments.bench.level3 import chosen, group_of, kind_of
from experiments.bootstrap import mean_interval
from experiments.explain import quoted

IMPORTS = 7.0  # seconds of the command before its budget begins (measured: 5.0 to 6.2) and after it ends
SLOWER = (1.05, 2.0)  # factor and seconds: what two runs of one version differ by on a machine with two noisy cores


@dataclass(frozen=True)
class Asked:
    """The options; see conf/experiment/bench/versions.yaml."""

    root: Path
    code: dict[str, str] | None
    compare: list[str]
    seconds: float
    seconds_of: dict[str, float | str] | None
    options: dict[str, list[str]] | None
    seed: int
    each: int | None
    sets: list[str]
    out: Path


def run(cfg: DictConfig) -> None:
    options = options_from(cfg, Asked)
    if len(options.compare) != 2:
        raise UserError(f"bench.compare={options.compare} must be two labels, as [before,after]")
    before, after = options.compare
    versions = options.code or {}
    for label, folder in versions.items():
        if not (Path(folder) / "run.py").is_file():
            raise UserError(f"bench.code.{label}={folder} holds no run.py. Give the folder of a checkout")
    wanted = chosen(options.root, options.sets, options.each)
    commits = {label: commit(Path(folder)) for label, folder in versions.items()}
    seconds = {label: (options.seconds_of or {}).get(label, options.seconds) for label in {*versions, before, after}}
    more = options.options or {}
    rows = [
        r
        for r in kept_rows(options.out)
        if (r["seconds"], r["seed"]) == (seconds.get(r["label"], options.seconds), options.seed)
        and r.get("options", []) == more.get(r["label"], [])
    ]
    # A label stands for one program: that of its checkout, else the last that was measured under it.
    stands = {r["label"]: r["commit"] for r in rows} | commits
    of = {(r["label"], r["set"]): r for r in rows if r["commit"] == stands[r["label"]]}
    for said in wanted:
        for label, folder in versions.items():
            if (label, said["name"]) in of:
                continue
            asked = seconds[label]
            if isinstance(asked, str):  # as long as that one took
                if "wall" not in of.get((asked, said["name"]), {}):
                    continue
                asked = round(of[asked, said["name"]]["wall"] - IMPORTS)
            made = one(said, Path(folder), options.root, asked, options.seed, more.get(label, []))
            row = {"label": label, "set": said["name"], "seconds": seconds[label], "seed": options.seed, "asked": asked}
            row |= {"options": more[label]} if label in more else {}
            row |= {"modality": kind_of(said), "commit": commits[label], **made}
            of[label, said["name"]] = row
            with options.out.open("a") as out:
                out.write(json.dumps(row) + "\n")
            print(said["name"], label, row.get("error") or f"{row['score']:.4f} {row['wall']:.0f} s", flush=True)
    both = [
        ({**of[before, s["name"]], "group": group_of(s)}, of[after, s["name"]])
        for s in wanted
        if {(before, s["name"]), (after, s["name"])} <= of.keys()
    ]
    if both and not show(both, before, after):
        raise SystemExit(1)


def one(
    said: dict[str, Any], code: Path, root: Path, seconds: float, seed: int, more: Sequence[str] = ()
) -> dict[str, Any]:
    """One run of one version, from the command's start to its end, and what came of it."""
    metric = said["baseline_best"]["metric"]
    with tempfile.TemporaryDirectory(prefix="versions-") as scratch:
        folder = Path(scratch)
        command = [
            sys.executable,
            "run.py",
            "+experiment=level4",
            "data=file",
            f"data.path={quoted(str(root.resolve() / said['file']))}",
            f"task.metric={metric}",
            f"task.group={quoted(group_of(said))}",
            f"seed={seed}",
            f"budget.seconds={seconds}",
            "budget.trials=null",
            "engine.workers=2",
            "tracker=none",
            "progress=false",
            f"artifacts={folder / 'searches'}",
            f"store.url=sqlite:///{folder / 'store.db'}",
            f"hydra.run.dir={folder / 'run'}",
            *more,
        ]
        began = time.monotonic()
        try:
            done = subprocess.run(command, cwd=code, capture_output=True, text=True, timeout=10 * seconds + 600)
        except subprocess.TimeoutExpired:
            return {"error": "did not end"}
        wall = time.monotonic() - began
        if done.returncode:
            said_last = (done.stderr.strip() or done.stdout.strip() or "no word").splitlines()[-1]
            return {"error": said_last[:300], "wall": wall}
        result = json.loads((folder / "run" / "result.json").read_text())
        trained = by_family(folder / "store.db")
    families = {member["family"] for member in result["ensemble"]}
    return {
        "metric": metric,
        "score": result["test"][metric],
        "family": result["chosen"]["family"],
        "own": sum(s for f, s in trained.items() if f in families) / max(sum(trained.values()), 1e-9),
        "trials": sum(result["trials"].values()),
        "stages": result["seconds"],
        "wall": wall,
    }


def by_family(store: Path) -> dict[str, float]:
    """Family -> seconds of training; by SQL, as the versions may differ in all but these columns."""
    asked = "select family, sum(seconds) from trials join candidates on candidates.id = candidate_id group by family"
    with sqlite3.connect(store) as connection:
        return dict(connection.execute(asked))


def show(both: Sequence[tuple[dict[str, Any], dict[str, Any]]], before: str, after: str) -> bool:
    table = Table(title=f"{before} and {after}: {both[0][0]['commit']} and {both[0][1]['commit']}")
    for name in ("set", before, after, "family", "own, %", "wall, s"):
        table.add_column(name, justify="left" if name in ("set", "family") else "right")
    gains: dict[str, list[tuple[float, str]]] = defaultdict(list)
    fine = True
    for old, new in sorted(both, key=lambda pair: (pair[0]["modality"], pair[0]["set"])):
        if "error" in new:
            fine = False
            table.add_row(old["set"], f"{old.get('score', np.nan):.4f}", "crash", escape(new["error"]), "", "")
            continue
        if "error" in old:
            table.add_row(old["set"], "crash", f"{new['score']:.4f}", escape(old["error"]), "", "")
            continue
        slower = new["wall"] > SLOWER[0] * old["wall"] + SLOWER[1]
        fine &= not slower
        gains[old["modality"]].append((new["score"] - old["score"], old.get("group", old["set"])))
        table.add_row(
            old["set"],
            f"{old['score']:.4f}",
            f"{new['score']:.4f}",
            f"{old['family']} -> {new['family']}" if old["family"] != new["family"] else new["family"],
            f"{100 * old['own']:.0f} {100 * new['own']:.0f}",
            f"{old['wall']:.0f} {new['wall']:.0f}{' slower' if slower else ''}",
        )
    Console(width=120).print(table)
    ended = [(old, new) for old, new in both if "error" not in old and "error" not in new]
    summed = [*sorted(gains.items()), ("all", [d for g in gains.values() for d in g])]
    for modality, pairs in summed if gains else []:
        differences, group = map(np.array, zip(*pairs, strict=True))
        low, high = mean_interval(differences, group)
        better, worse = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
        fine &= np.mean(differences) >= 0
        print(
            f"{modality}: {np.mean(differences):+.4f} [{low:+.4f}, {high:+.4f}] over {len(differences)} sets,"
            f" {better} better, {worse} worse"
        )
    if ended:
        for name in ("own", "wall"):
            old, new = (np.mean([pair[i][name] for pair in ended]) for i in (0, 1))
            print(f"{name}: {old:.3g} -> {new:.3g} on average")
    return bool(fine)

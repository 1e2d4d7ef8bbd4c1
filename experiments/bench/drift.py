"""How often does the monitor alarm when nothing has changed, and how soon when something has?

    level4 +experiment=bench/drift bench.root=FOLDER

FOLDER is that of the benchmark ``level3``. Of each set a part of the rows, as the encoding has them, with the answers
of a simple model that has not learned from them, is taken for the world: references and requests are drawn from it with
replacement, so that a stream of any length is stable by construction. References have 100, 300, 1,000 and 3,000 rows in
turn. A stream is 100 windows; a shift begins behind the ``ONSET``-th and lasts.

    false alarms    stable streams in which there was any alarm; "trained again": the reference's answers are those of
                    the model before it was trained once more on more rows, as in the bundles of the program
    power, delay    streams with an alarm from the shift on; windows until then (median, of those that have one)

On the same streams (``bench.peers`` of each): Kolmogorov-Smirnov and chi-squared with Bonferroni over the fields, and
over fields and windows; the default rule of Evidently, made anew from its documentation; MAPIE's martingale on how sure
the model is (``MAPIE_ROWS`` rows, of each window alike many); and a detector that always alarms. ``bench.evidently`` of
each are also shown to Evidently itself, in an environment that is made once: it takes a minute for a stream. Then how
well the accuracy that is estimated without labels follows the true one.

Exit status 1 when more than 5 % of the stable streams of any size alarm, when fewer than ``POWER`` of the streams with
a shift are found at 1,000 rows, or when another detector that keeps to 5 % finds more.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from automl.deploy.reference import binned, counts_of
from automl.errors import UserError
from automl.monitor.tests import Watch
from experiments.bench import _drift_peers as peers
from experiments.bench import options_from
from experiments.bench._commit import commit
from experiments.bench._drift_rows import AGAIN, STABLE, World, worlds
from experiments.bench.level3 import chosen, kind_of
from experiments.environments import environment
from experiments.settings import writable

WINDOWS, ONSET = 100, 20
SIZES = (50, 200, 1000)
REFERENCES = (100, 300, 1000, 3000)
MAPIE_ROWS = 20_000
BAR, POWER = 0.05, 0.9
OURS = "this"
NOTHING = (STABLE, AGAIN)
MEASURED = (":/automl", *(f":/experiments/bench/{name}.py" for name in ("drift", "_drift_rows", "_drift_peers")))


@dataclass(frozen=True)
class Asked:
    """The options; see conf/experiment/bench/drift.yaml."""

    root: Path
    sets: list[str]
    each: int | None
    streams: int
    shifted: int
    peers: int
    evidently: int | None
    seed: int
    workers: int
    envs: Path
    out: Path


def run(cfg: DictConfig) -> None:
    options = options_from(cfg, Asked)
    writable(options.out.parent, "bench.out")
    options.out.mkdir(exist_ok=True)
    if options.evidently:
        environment(options.envs / "evidently", peers.NEEDS)
    wanted = chosen(options.root, options.sets, options.each)
    share = -(-options.streams // len(wanted))
    program = commit(paths=MEASURED)
    files = {said["name"]: file_of(options, said, share, program) for said in wanted}
    todo = [said for said in wanted if not files[said["name"]].exists()]
    with ProcessPoolExecutor(options.workers, get_context("spawn")) as pool:
        jobs = {pool.submit(measure, options, said, share, files[said["name"]]): said["name"] for said in todo}
        for job in as_completed(jobs):
            print(jobs[job], job.result(), flush=True)
    found = [json.loads(file.read_text()) for file in files.values()]
    if not show([f for f in found if f["streams"]]):
        raise SystemExit(1)


def file_of(options: Asked, said: Mapping[str, Any], streams: int, program: str) -> Path:
    """Named by all that it depends on. ``streams``: stable ones of the set; ``program``: see ``_commit``."""
    made = [options.seed, streams, options.shifted, options.peers, options.evidently, program, said.get("sha256")]
    return options.out / f"{said['name']}-{hashlib.sha256(repr(made).encode()).hexdigest()[:10]}.json"


def measure(options: Asked, said: Mapping[str, Any], streams: int, path: Path) -> str:
    """All streams of a set, in a process of its own kind; what came of it in a word. Written to ``path``."""
    import torch

    torch.set_num_threads(1)
    found: dict[str, Any] = {"name": said["name"], "modality": kind_of(dict(said)), "streams": [], "live": []}
    try:
        of = worlds(options.root / said["file"], said["baseline_best"]["metric"], options.seed)
    except UserError as error:
        told = str(error)
    else:
        told = f"{len(of) - len(NOTHING)} shifts"
        for name, world in of.items():
            many = streams if name in NOTHING else options.shifted
            for size in SIZES:
                found["streams"] += [
                    {"shift": name, "rows": size, **stream(of, name, size, i, options)} for i in range(many)
                ]
            if world.right.any():
                truth, guess = (float(np.dot(world.weights, v)) for v in (world.right, world.sure))
                found["live"].append({"shift": name, "true": truth, "estimated": guess})
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(found))
    draft.replace(path)
    return told


def stream(of: Mapping[str, World], name: str, size: int, number: int, options: Asked) -> dict[str, Any]:
    """One stream. By detector: the first window with an alarm from the onset on, and whether there was one at all."""
    place = sorted(of).index(name)
    rng = np.random.default_rng([options.seed, number, size, place])
    stable, world = of[STABLE], of[name]
    n = len(stable.weights)
    onset = 0 if name in NOTHING else ONSET
    old = list(stable.measures(rng.integers(0, n, REFERENCES[(number + place) % len(REFERENCES)])))
    reference = {"measures": [binned(m) for m in old]}
    watch, on = Watch.new(reference), np.zeros(WINDOWS, dtype=bool)
    windows = []
    for at in range(WINDOWS):
        drawn = stable if at < onset else world
        windows.append(list(drawn.measures(rng.choice(n, size, p=drawn.weights))))
        watch.step(counts_of(reference, [m.values for m in windows[-1]]))
        on[at] = bool(watch.alarms)
    every = {OURS: on}
    if number < options.peers:
        every |= peers.alarms(old, windows, MAPIE_ROWS)
    if number < (options.evidently or 0):
        python = options.envs / "evidently" / "bin" / "python"
        every |= {peers.EVIDENTLY: peers.evidently(python, old, windows)}
    return {
        "any": {d: bool(a.any()) for d, a in every.items()},
        "first": {d: first(a, onset) for d, a in every.items()},
    }


def first(alarms: np.ndarray, onset: int) -> int | None:
    """Windows from the onset on until there is an alarm, 1 at least; None for none."""
    found = np.flatnonzero(alarms[onset:])
    return int(found[0]) + 1 if len(found) else None


def show(found: Sequence[Mapping[str, Any]]) -> bool:
    """Print what was measured; whether all bars are reached."""
    streams = [s for f in found for s in f["streams"]]
    console = Console(width=150)
    console.print(f"{len(found)} sets: {', '.join(f['name'] for f in found)}")
    console.print(alarms_table(streams))
    console.print(shifts_table(streams))
    console.print(peers_table(streams, peers.NAMES))
    if any(peers.EVIDENTLY in s["any"] for s in streams):
        console.print(peers_table(streams, (peers.EVIDENTLY, peers.NAMES[2])))
    console.print(live_line(found))
    return all([*bars(streams, console)])


def alarms_table(streams: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title=f"false alarms of stable streams of {WINDOWS} windows")
    for name in ("stream", *(f"{size} rows" for size in SIZES), "streams of each"):
        table.add_column(name, justify="left" if name == "stream" else "right")
    for name in NOTHING:
        mine = [[s["any"][OURS] for s in streams if (s["shift"], s["rows"]) == (name, size)] for size in SIZES]
        table.add_row(name, *(f"{np.mean(m):.1%}" for m in mine), str(len(mine[0])))
    return table


def shifts_table(streams: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title=f"power, and median delay in windows; the shift begins behind window {ONSET}")
    for name in ("shift", *(f"{size} rows" for size in SIZES), "streams of each"):
        table.add_column(name, justify="left" if name == "shift" else "right")
    of = grouped(streams)
    for name in dict.fromkeys(shift for shift, _ in of):
        cells = [of[name, size] for size in SIZES]
        table.add_row(name, *(f"{power(c, OURS):.0%} {delay(c, OURS)}" for c in cells), str(len(cells[0])))
    return table


def peers_table(streams: Sequence[Mapping[str, Any]], detectors: Sequence[str]) -> Table:
    """On the streams that all of these were shown."""
    table = Table(title="false alarms / power, and median delay in windows, beside others on the same streams")
    for name in ("detector", *(f"{size} rows" for size in SIZES)):
        table.add_column(name, justify="left" if name == "detector" else "right")
    shared = [s for s in streams if all(d in s["any"] for d in detectors)]
    for detector in (OURS, *detectors):
        cells = []
        for size in SIZES:
            mine = [s for s in shared if s["rows"] == size]
            shifted = [s for s in mine if s["shift"] not in NOTHING]
            if not shifted or len(shifted) == len(mine):
                cells.append("-")
                continue
            cells.append(
                f"{false_alarms(mine, detector):.0%} / {power(shifted, detector):.0%} {delay(shifted, detector)}"
            )
        table.add_row(detector, *cells)
    return table


def grouped(streams: Sequence[Mapping[str, Any]]) -> Mapping[tuple[str, int], list[Mapping[str, Any]]]:
    found = defaultdict(list)
    for s in streams:
        if s["shift"] not in NOTHING:
            found[s["shift"], s["rows"]].append(s)
    return found


def false_alarms(streams: Sequence[Mapping[str, Any]], detector: str) -> float:
    return float(np.mean([s["any"][detector] for s in streams if s["shift"] == STABLE]))


def power(streams: Sequence[Mapping[str, Any]], detector: str) -> float:
    return float(np.mean([s["first"][detector] is not None for s in streams]))


def delay(streams: Sequence[Mapping[str, Any]], detector: str) -> str:
    known = [s["first"][detector] for s in streams if s["first"][detector] is not None]
    return f"({np.median(known):.0f})" if known else "(-)"


def live_line(found: Sequence[Mapping[str, Any]]) -> str:
    """How many points of accuracy the estimates without labels are off, beside to believe that nothing changed."""
    rows = []
    for f in found:
        stable = next((one for one in f["live"] if one["shift"] == STABLE), None)
        for one in f["live"]:
            if stable is not None and one["shift"] not in NOTHING:
                change = one["estimated"] - stable["estimated"]
                rows.append((one["true"], one["estimated"], stable["true"] + change, stable["true"]))
    if not rows:
        return "no set of classes: nothing is estimated without labels"
    true, *guesses = np.array(rows).T * 100
    moved = np.abs(true - guesses[-1]) > 2
    means, large = (
        [f"{np.abs(g - true)[of].mean():.1f}" if of.any() else "-" for g in guesses] for of in (moved | True, moved)
    )
    return (
        f"accuracy without labels, {len(rows)} shifts: points off by the mean probability {means[0]}, by its change"
        f" {means[1]}, to believe that nothing changed {means[2]}; of the {moved.sum()} that moved it by more than 2"
        f" points: {', '.join(large)}"
    )


def bars(streams: Sequence[Mapping[str, Any]], console: Console) -> Iterator[bool]:
    for size in SIZES:
        mine = [s for s in streams if s["rows"] == size]
        share = false_alarms(mine, OURS)
        console.print(f"{size} rows: false alarms {share:.1%}, bar {BAR:.0%}: {'yes' if share <= BAR else 'MISSED'}")
        yield share <= BAR
    largest = [s for s in streams if s["rows"] == SIZES[-1] and s["shift"] not in NOTHING]
    found = power(largest, OURS)
    console.print(f"{SIZES[-1]} rows: power {found:.1%}, bar {POWER:.0%}: {'yes' if found >= POWER else 'MISSED'}")
    yield found >= POWER
    shared = [s for s in streams if peers.NAMES[0] in s["any"]]
    for size in SIZES:
        mine = [s for s in shared if s["rows"] == size]
        shifted = [s for s in mine if s["shift"] not in NOTHING]
        valid = [d for d in peers.NAMES if false_alarms(mine, d) <= BAR]
        better = [d for d in valid if power(shifted, d) > power(shifted, OURS)]
        said = f"MISSED: {', '.join(better)}" if better else "none"
        console.print(f"{size} rows: others that keep to {BAR:.0%} and find more: {said}")
        yield not better

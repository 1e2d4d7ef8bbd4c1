"""``level4 +experiment=compare bench.root=FOLDER``: fit every system on every set, then the table and the page."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from automl.errors import UserError
from automl.files import write_atomically
from experiments.bench import kept_rows, options_from
from experiments.bench._commit import HERE, commit
from experiments.bench.level3 import chosen, group_of, kind_of
from experiments.compare.handover import Split, split_of, write
from experiments.compare.page import page_of
from experiments.compare.peer import SCRIPTS, Peer
from experiments.compare.summary import summary_of
from experiments.options import made

US = "level4"
LATE = (3.0, 300.0)  # a fit that takes longer than factor * seconds + seconds is ended and told


@dataclass(frozen=True)
class Asked:
    """The options; see conf/experiment/compare.yaml."""

    root: Path
    seconds: float
    seeds: list[int]
    each: int | None
    sets: list[str]
    envs: Path
    out: Path


def run(cfg: DictConfig) -> None:
    """Each fit is a line of ``bench.out``/fits.jsonl, its rows' losses beside it; finished ones are kept."""
    options = options_from(cfg, Asked)
    if US not in cfg.peer:
        raise UserError(f"peer={sorted(map(str, cfg.peer))} leaves out what is compared: add {US}")
    peers: dict[str, Peer] = {str(name): made(cfg, f"peer.{name}") for name in cfg.peer}
    wanted = chosen(options.root, options.sets, options.each)
    code = commit()
    (options.out / "losses").mkdir(parents=True, exist_ok=True)
    log = options.out / "fits.jsonl"
    of = {name_of(row): row for row in kept_rows(log)}
    faults: dict[str, str] = {}
    found = []
    for turn, seed in enumerate(options.seeds):
        met: Counter[str] = Counter()
        for said in wanted:
            kind = kind_of(said)
            fitting = [name for name, peer in peers.items() if kind in peer.inputs and name not in faults]
            at = (met[kind] + turn) % max(1, len(fitting))  # in another order on each set of a modality
            met[kind] += 1
            split: Split | None = None
            for name in fitting[at:] + fitting[:at]:
                row = {"peer": name, "set": said["name"], "seed": seed, "seconds": options.seconds}
                row |= {"version": peers[name].version(code), "sha": said.get("sha256")}
                key = name_of(row)
                if key not in of:
                    split = split or split_of(options.root, said)
                    try:
                        python = peers[name].python(options.envs)
                    except (OSError, subprocess.CalledProcessError) as error:
                        faults[name] = f"cannot be installed: {error}"
                        print(name, faults[name], flush=True)
                        continue
                    row |= measured(peers[name], python, split, options, seed, options.out / "losses" / key)
                    of[key] = row
                    with log.open("a") as out:
                        out.write(json.dumps(row) + "\n")
                    told = row.get("error") or f"{row['score']:.4f} {row['fit']:.0f} s {row['row_ms']:.1f} ms a row"
                    print(said["name"], seed, name, told, flush=True)
                found.append(of[key])
    losses = {name_of(row): np.load(losses_of(options, row)) for row in found if "error" not in row}
    summary = summary_of([{**row, "losses": losses.get(name_of(row))} for row in found], US) | {"left_out": faults}
    write_atomically(options.out / "compare.json", json.dumps(summary, indent=1))
    write_atomically(options.out / "compare.html", page_of(summary, options.seconds))
    print(words(summary))
    print(f"page      {options.out / 'compare.html'}")


def name_of(row: Mapping[str, Any]) -> str:
    """The file name of a fit: all that it depends on."""
    return f"{row['set']}-{row['peer']}-{row['seed']}-{row['seconds']:g}-{row['version']}-{(row['sha'] or 'x')[:8]}"


def losses_of(options: Asked, row: Mapping[str, Any]) -> Path:
    return options.out / "losses" / f"{name_of(row)}.npy"


def measured(peer: Peer, python: str, split: Split, options: Asked, seed: int, to: Path) -> dict[str, Any]:
    """One fit in a process of its own; what it scored and how long it took."""
    with tempfile.TemporaryDirectory(prefix="compare-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        write(split, folder, options.root, options.seconds, seed, peer.options)
        # No system may download; this program is that of the same folder, wherever another one is installed.
        places = [SCRIPTS] if peer.needs else [SCRIPTS, HERE]
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places)), "HF_HUB_OFFLINE": "1"}
        with (folder / "log").open("wb") as log:
            child = subprocess.Popen(
                [python, str(peer.path), str(folder)],
                cwd=folder, env=environ, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
            try:
                code = child.wait(LATE[0] * options.seconds + LATE[1])
            except subprocess.TimeoutExpired:
                code = None
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
        if code != 0:
            last = (folder / "log").read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
            return {"error": "did not end" if code is None else last[0][:300]}
        told = json.loads((folder / "told.json").read_text())
        predictions = np.load(folder / "predictions.npy", allow_pickle=False)
    if predictions.shape != split.truth.shape:
        return {"error": f"answered {predictions.shape} for {split.truth.shape} rows"}
    if split.metric == "r2" and (wrong := int((~np.isfinite(predictions)).sum())):
        return {"error": f"answered {wrong} of {len(predictions)} rows with what is no number"}
    losses = split.losses(predictions)
    np.save(to.with_name(f"{to.name}.npy"), losses.astype(np.float32))
    modality, group = kind_of(dict(split.said)), group_of(split.said)
    facts = {"metric": split.metric, "modality": modality, "group": group, "floor": split.floor}
    return {**facts, "score": 1 - float(losses.mean()), **told}


def words(summary: Mapping[str, Any]) -> str:
    """The summary for a terminal, a line a system and modality."""
    lines = [f"{'':10} {'system':20} sets  wins ties losses of {US}   normalised score (0 no model, 1 the best)  rank"]
    for row in summary["systems"]:
        w, t, n = row["outcome"]
        score = f"{spelled(row):22} on {row['counted']:2}"
        lines.append(
            f"{row['modality']:10} {row['peer']:20} {row['sets']:4}  {w:4} {t:4} {n:6}             {score}"
            f"   {row['rank']:.2f}   {row['fit']:.0f} s, {row['row_ms']:.1f} ms a row"
            + (f", {row['failed']} fits failed" if row["failed"] else "")
        )
    lines += [f"left out   {name}: {why}" for name, why in summary["left_out"].items()]
    return "\n".join(lines)


def spelled(row: Mapping[str, Any]) -> str:
    """A normalised score and its interval; a dash where no set has a scale."""
    if row["normalised"] is None:
        return "–"
    low, high = row["interval"]
    return f"{row['normalised']:.3f} [{low:.3f}, {high:.3f}]"

"""Loads every set of a folder with ``data=file data.path=...`` alone, and compares what was inferred with its json.

    level4 +experiment=bench/data bench.root=FOLDER

The folder holds NAME.json (modality, task, n_classes, file) beside NAME.csv.gz or NAME.npz. A line per set: kind,
classes, modality, rows, findings, seconds; a last line of totals. Exit status 1 when a set fails to load, or its kind,
modality or number of classes differs. Sounds that come as spectrograms may be taken for images.
"""

from __future__ import annotations

import json
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from automl.data.prepare import Prepared, prepare
from automl.data.sources.file import FileSource
from automl.errors import UserError
from experiments.bench import options_from


@dataclass(frozen=True)
class Asked:
    """The options; see conf/experiment/bench/data.yaml."""

    root: Path
    only: str
    check: bool


@dataclass(frozen=True)
class Outcome:
    """One line of the table; ``problem`` is empty when all is as the json says."""

    name: str
    kind: str = "-"
    classes: int = 0
    modality: str = "-"
    rows: int = 0
    findings: int = 0
    seconds: float = 0.0
    problem: str = ""


def run(cfg: DictConfig) -> None:
    options = options_from(cfg, Asked)
    files = [f for f in sorted(options.root.glob("*.json")) if options.only in f.stem]
    if not files:
        raise UserError(f"bench.root={options.root} holds no NAME.json with {options.only!r} in it. Set bench.only=...")
    width = max(len(f.stem) for f in files)
    print(line(width, "set", "kind", "modality", "classes", "rows", "findings", "seconds", "as json"), flush=True)
    outcomes = []
    for file in files:
        o = judge(json.loads(file.read_text()), options.root, check=options.check)
        outcomes.append(o)
        numbers = (str(o.classes or "-"), f"{o.rows:,}", str(o.findings), f"{o.seconds:.1f}")
        print(line(width, o.name, o.kind, o.modality, *numbers, f"no: {o.problem}" if o.problem else "yes"), flush=True)
    wrong = [o for o in outcomes if o.problem]
    print(
        f"{len(outcomes)} sets, {len(outcomes) - len(wrong)} as their json says, {len(wrong)} not; "
        f"{sum(o.rows for o in outcomes):,} rows, {sum(o.findings for o in outcomes)} findings, "
        f"{sum(o.seconds for o in outcomes):.0f} s"
    )
    if wrong:
        raise SystemExit(1)


def judge(said: dict[str, Any], root: Path, *, check: bool) -> Outcome:
    """Load, formulate, check, split and encode one set; compare with what its json says."""
    began = time.monotonic()
    try:
        prepared = prepare(FileSource(str(root / said["file"])).load(), check=check)
    except UserError as error:
        return Outcome(said["name"], problem=str(error), seconds=time.monotonic() - began)
    except Exception:  # a benchmark reports every failure and goes on
        return Outcome(said["name"], problem=traceback.format_exc(limit=-1), seconds=time.monotonic() - began)
    seconds = time.monotonic() - began
    task = prepared.task
    modality = "+".join(sorted({i.modality for i in task.inputs}))
    return Outcome(
        name=said["name"],
        kind=task.kind,
        classes=len(task.classes),
        modality=modality,
        rows=len(prepared.dataset),
        findings=len(prepared.quality.findings) if prepared.quality else 0,
        seconds=seconds,
        problem="; ".join(differences(prepared, modality, said)),
    )


def differences(prepared: Prepared, modality: str, said: dict[str, Any]) -> list[str]:
    """What differs from the json, in words."""
    task, found = prepared.task, []
    if task.kind != said["task"]:
        found.append(f"kind is {task.kind}, json says {said['task']}")
    if len(task.classes) != (said["n_classes"] or 0):
        found.append(f"{len(task.classes)} classes, json says {said['n_classes']}")
    wanted = "series" if said["modality"].startswith("ts_") else said["modality"]
    if modality != wanted and not (wanted == "audio" and modality == "image"):
        found.append(f"modality is {modality}, json says {said['modality']}")
    return found


def line(width: int, name: str, kind: str, modality: str, *rest: str) -> str:
    """One line of the table; the last field may be long."""
    *numbers, last = rest
    return f"{name:<{width}}  {kind:<10}  {modality:<8}" + "".join(f"  {n:>8}" for n in numbers) + f"  {last}"

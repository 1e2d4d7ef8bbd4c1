"""Folds the encoding of every table of a folder into ``raw.onnx`` and compares it with the bundle on all test rows.

    level4 +experiment=bench/raw bench.root=FOLDER

The network is small and untrained: what is compared is all before it. A line per table: raw columns that are read, test
rows, the largest difference (of values: as a share of their span), labels that differ, milliseconds of one raw row on
one thread by the bundle and by raw.onnx, kilobytes on top of model.onnx; or why there is no raw.onnx. Exit status 1
when an answer differs by more than ``automl.deploy.fold.TOLERANCE`` or a set fails.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import torch
from omegaconf import DictConfig
from torch import nn

from automl.data.prepare import Prepared, prepare
from automl.data.sources.file import FileSource, stem
from automl.deploy.bundle import MODEL, Bundle
from automl.deploy.export import export
from automl.deploy.fold import RAW, fold, obstacle, raw_inputs, tolerance
from automl.deploy.measure import median_ms
from automl.errors import UserError
from automl.training.predictor import Predictor, target_scale
from experiments.bench import options_from

KINDS = ("*.csv.gz", "*.csv", "*.parquet")


@dataclass(frozen=True)
class Asked:
    """The options; see conf/experiment/bench/raw.yaml."""

    root: Path
    only: str
    check: bool


@dataclass(frozen=True)
class Outcome:
    """One line of the table. ``why``: no raw.onnx, for this reason; ``missed``: it answers something else."""

    columns: int = 0
    rows: int = 0
    difference: float = 0.0
    labels: int = 0
    bundle_ms: float = 0.0
    raw_ms: float = 0.0
    kilobytes: float = 0.0
    why: str = ""
    missed: bool = False


def run(cfg: DictConfig) -> None:
    options = options_from(cfg, Asked)
    files = sorted(f for kind in KINDS for f in options.root.glob(kind) if options.only in stem(f))
    if not files:
        raise UserError(f"bench.root={options.root} holds no table with {options.only!r} in its name. Set bench.only=")
    width = max(len(stem(f)) for f in files)
    print(f"{'table':<{width}}  columns    rows  difference  labels  bundle ms  raw ms      KB", flush=True)
    outcomes = []
    for file in files:
        try:
            o = judge(file, options.check)
        except UserError as error:
            o = Outcome(why=str(error), missed=True)
        outcomes.append(o)
        numbers = (
            f"{o.columns:>7}  {o.rows:>6,}  {o.difference:>10.2g}  {o.labels:>6}  {o.bundle_ms:>9.2f}  {o.raw_ms:>6.2f}"
            f"  {o.kilobytes:>6.1f}{'  MISSED' if o.missed else ''}"
        )
        print(f"{stem(file):<{width}}  {o.why or numbers}", flush=True)
    kept = [o for o in outcomes if not o.why]
    missed, largest = sum(o.missed for o in outcomes), max((o.difference for o in kept), default=0.0)
    print(
        f"{len(outcomes)} tables, {len(kept)} folded, {sum(o.rows for o in kept):,} test rows, largest difference "
        f"{largest:.2g}, {sum(o.labels for o in kept)} labels differ; {missed} missed"
    )
    if missed:
        raise SystemExit(1)


def judge(file: Path, check: bool) -> Outcome:
    """Encode one table, fold it and compare all its test rows."""
    raw = FileSource(str(file)).load()
    prepared = prepare(raw, check=check)
    if why := obstacle(prepared.encoding):
        return Outcome(why=why)
    with tempfile.TemporaryDirectory() as scratch:
        predictor = untrained(prepared)
        folder = export(
            Path(scratch) / "bundle", predictor, prepared.task, prepared.encoding, prepared.parts.test.inputs
        )
        if why := fold(folder, prepared.encoding, prepared.task):
            return Outcome(why=why, missed=True)
        rows = raw.table.iloc[prepared.given[prepared.parts.test.rows]].reset_index(drop=True)
        return compared(folder, rows)


def compared(folder: Path, rows: pd.DataFrame) -> Outcome:
    """The bundle and its raw.onnx on raw rows."""
    bundle = Bundle.load(folder, threads=1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / RAW, options, providers=["CPUExecutionProvider"])
    inputs = raw_inputs(bundle.encoding, rows)
    got = [np.asarray(out) for out in session.run(None, inputs)]
    values = bundle.task.kind == "regression"
    answers = bundle.predict(rows)
    expected = answers if values else bundle.predict_proba(rows)
    gap = float(np.abs(got[0] - expected).max())
    one = {name: column[:1] for name, column in inputs.items()}
    first = rows.iloc[:1]
    return Outcome(
        columns=len(inputs),
        rows=len(rows),
        difference=gap / max(float(np.ptp(expected)), 1e-300) if values else gap,
        labels=0 if values else int((got[1] != answers).sum()),
        bundle_ms=median_ms(lambda: bundle.predict(first)),
        raw_ms=median_ms(lambda: session.run(None, one)),
        kilobytes=((folder / RAW).stat().st_size - (folder / MODEL).stat().st_size) / 1e3,
        missed=not gap <= tolerance(expected),
    )


def untrained(prepared: Prepared) -> Predictor:
    """A network of one hidden layer that answers differently for every row."""
    task = prepared.task
    torch.manual_seed(0)
    columns, outputs = task.inputs[0].shape[0], len(task.classes) or 1
    network = nn.Sequential(nn.Linear(columns, 16), nn.Tanh(), nn.Linear(16, outputs))
    return Predictor(network, task, *target_scale(task, prepared.parts.train))

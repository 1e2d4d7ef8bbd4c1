"""Loads, checks, splits and encodes a large csv, and measures seconds and peak memory.

    level4 +experiment=bench/scale [bench.rows=1000000] [bench.columns=50]

The csv is made first (numbers, whole numbers, categories with few and many values, dates; 2 % missing), and removed.
The work is done in a process of its own, so that its peak memory is its own. Exit status 1 when the peak reaches the
limit (4 GiB).
"""

from __future__ import annotations

import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
from omegaconf import DictConfig

from automl.data.progress import Progress
from experiments.bench import alone, options_from

GIB = 1 << 30
_BLOCK = 50_000


@dataclass(frozen=True)
class Asked:
    """The options; see conf/experiment/bench/scale.yaml."""

    rows: int
    columns: int
    limit_gib: float
    check: bool


def run(cfg: DictConfig) -> None:
    options = options_from(cfg, Asked)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.csv"
        write_csv(path, options.rows, options.columns)
        size = path.stat().st_size
        print(f"{options.rows:,} rows x {options.columns} columns, {size / 1e6:,.0f} MB of csv", flush=True)
        found = alone(measure, path, check=options.check)
    for stage, seconds in found["seconds"].items():
        print(f"{stage:<10} {seconds:8.1f} s")
    print(f"{'total':<10} {sum(found['seconds'].values()):8.1f} s")
    print(f"encoded    {found['encoded_gib']:8.2f} GiB in {found['shape'][0]} columns")
    print(f"peak       {found['peak_gib']:8.2f} GiB (limit {options.limit_gib:g})")
    if found["peak_gib"] >= options.limit_gib:
        raise SystemExit(1)


def measure(path: Path, *, check: bool) -> dict:
    """Seconds per stage, peak memory of this process in GiB, and the encoded size."""
    from automl.data.prepare import prepare
    from automl.data.sources.file import FileSource

    began = time.monotonic()
    dataset = FileSource(str(path), target="target").load()
    loaded = time.monotonic()
    prepared = prepare(dataset, check=check)
    ended = time.monotonic()
    checking = prepared.quality.seconds if prepared.quality else 0.0
    parts = (prepared.parts.train, prepared.parts.valid, prepared.parts.test)
    return {
        "seconds": {"load": loaded - began, "check": checking, "encode": ended - loaded - checking},
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB,
        "encoded_gib": sum(a.nbytes for p in parts for a in p.inputs) / GIB,
        "shape": prepared.task.inputs[0].shape,
    }


def write_csv(path: Path, rows: int, columns: int, seed: int = 0) -> None:
    """A csv of mixed columns, written in blocks."""
    rng = np.random.default_rng(seed)
    with Progress(f"writing {path.name}", rows) as progress, pa.OSFile(str(path), "wb") as file:
        writer = None
        for start in range(0, rows, _BLOCK):
            table = _block(rng, min(_BLOCK, rows - start), columns, start)
            writer = writer or pyarrow.csv.CSVWriter(file, table.schema)
            writer.write_table(table)
            progress.advance(table.num_rows)
        if writer:
            writer.close()


def _block(rng: np.random.Generator, rows: int, columns: int, start: int) -> pa.Table:
    cities = np.array([f"city {i}" for i in range(20)])
    shops = np.array([f"shop-{i:05d}" for i in range(20_000)])
    made: dict[str, pa.Array] = {}
    x = rng.standard_normal((rows, columns)).round(5)
    for i in range(columns - 1):
        gone = rng.random(rows) < 0.02
        match i % 10:
            case 7:
                values = pa.array(rng.integers(0, 1000, rows), mask=gone)
            case 8:
                values = pa.array(
                    cities[rng.integers(0, 20, rows)] if i < 20 else shops[rng.integers(0, 20_000, rows)], mask=gone
                )
            case 9:
                days = np.datetime64("2015-01-01") + rng.integers(0, 3000, rows).astype("timedelta64[D]")
                values = pa.array(days.astype("datetime64[s]").astype(str), mask=gone)
            case _:
                values = pa.array(x[:, i], mask=gone)
        made[f"c{i}"] = values
    made["target"] = pa.array(np.where(x[:, 0] + x[:, 1] + rng.standard_normal(rows) > 0, "yes", "no"))
    return pa.table(made)

"""Series: one row a series, from a wide csv, an npz, or the UCR/UEA archive's files."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from automl.data.columns import as_number, column_kinds
from automl.data.dataset import Dataset
from automl.data.quality.parse import column_of
from automl.data.read.arrays import read_npz, steps_last, x_y_split
from automl.data.read.files import existing, short
from automl.data.read.ts import read_label_first, read_ts
from automl.data.sources.build import from_arrays, refuse_given
from automl.data.sources.file import FileSource, stem
from automl.errors import UserError

_PAIR = re.compile(r"(.*)_TRAIN(\.ts|\.tsv|\.txt)", re.IGNORECASE)


@dataclass
class SeriesSource:
    """``path``: a csv whose numeric columns are the steps in order, an npz, a ``.ts`` file, or a folder of the archive.

    ``NAME_TRAIN.ts`` (or ``.tsv``, label first) brings ``NAME_TEST`` beside it as the test split.
    ``channels``: how many channels the csv's columns hold, one after the other; in an npz of (rows, steps, channels)
    or (rows, channels, steps) it tells which axis they are, 1: found.
    """

    path: str
    target: str | None = None
    channels: int = 1
    group: str | None = None
    time: str | None = None
    name: str | None = None
    delimiter: str | None = None
    encoding: str | None = None

    def load(self) -> Dataset:
        path = existing(self.path)
        if path.is_dir():
            path = _train_file(path)
        pair = _PAIR.fullmatch(path.name)
        name = self.name or (pair.group(1) if pair else stem(path))
        of_tables = ("target", "group", "time", "delimiter", "encoding")
        if path.suffix.lower() == ".npz":
            refuse_given(self, of_tables, f"is for tables; {path} holds arrays")
            x, y, split = x_y_split(path, read_npz(path))
            if x.ndim > 3:
                raise UserError(f"X in {path} has shape {x.shape}; series are (rows, channels, steps)")
            if x.ndim == 3:
                x, why = steps_last(x, self.channels if self.channels != 1 else None)
            else:
                x, why = x.reshape(len(x), self._channels(x.shape[1], path), -1), "each row holds a series"
            x = x.astype(np.float32)
            return from_arrays(x, y, "series", name=name, origin=str(path), split=split, notes=(why,))
        if pair or path.suffix.lower() == ".ts":
            refuse_given(self, (*of_tables, "channels"), f"is for tables; {path} says it itself")
            return _archive(path, pair, name)
        dataset = FileSource(self.path, self.target, self.group, self.time, name, self.delimiter, self.encoding).load()
        kinds = column_kinds(dataset.table)
        odd = [c for c, k in kinds.items() if k not in ("numeric", "empty")]
        if odd:
            raise UserError(
                f"column {odd[0]!r} of {path} holds no numbers; drop it, or use data=file for a mixed table"
            )
        values = np.stack([as_number(column_of(dataset.table, c)) for c in dataset.table.columns], axis=1).astype(
            np.float32
        )
        series = values.reshape(len(values), self._channels(values.shape[1], path), -1)
        return dataclasses.replace(
            dataset,
            table=pd.DataFrame(index=range(len(dataset))),
            arrays={"series": series},
            decoded=frozenset(),
            steps=(),  # of columns, which are no more
            modalities={"series": "series"},
        )

    def _channels(self, steps: int, path: Path) -> int:
        if self.channels < 1 or steps % self.channels:
            raise UserError(f"data.channels={self.channels} does not divide the {steps} columns of {path}")
        return self.channels


def _train_file(folder: Path) -> Path:
    pairs = [(f, pair.group(1)) for f in sorted(folder.iterdir()) if (pair := _PAIR.fullmatch(f.name))]
    if not pairs:
        raise UserError(f"{folder} holds no NAME_TRAIN.ts or NAME_TRAIN.tsv; set data.path to the file")
    named = [f for f, name in pairs if name == folder.name] or [f for f, _ in pairs]
    if len({name for _, name in pairs}) > 1 and len(named) == len(pairs):
        raise UserError(
            f"{folder} holds several sets ({short(', '.join(f.name for f in named))}); name one in data.path"
        )
    return named[0]


def _archive(path: Path, pair: re.Match[str] | None, name: str) -> Dataset:
    test = f"{pair.group(1)}_TEST{pair.group(2)}".lower() if pair else None
    files = [path, *sorted(f for f in path.parent.iterdir() if f.name.lower() == test)[:1]]
    read = [read_ts(f)[:2] if f.suffix.lower() == ".ts" else read_label_first(f) for f in files]
    channels = {x.shape[1] for x, _ in read}
    if len(channels) > 1:
        raise UserError(f"{path.name} and {files[1].name} differ in channels: {sorted(channels)}; give a matching pair")
    length = max(x.shape[2] for x, _ in read)
    padded = [np.pad(x, ((0, 0), (0, 0), (0, length - x.shape[2])), constant_values=np.nan) for x, _ in read]
    split = np.repeat(["train", "test"], [len(x) for x, _ in read]) if len(read) == 2 else None
    y = np.concatenate([y for _, y in read])
    return from_arrays(np.concatenate(padded), y, "series", name=name, origin=str(path), split=split)

"""The ``.ts`` format of the UCR/UEA archive (Löning et al. 2019, sktime) and the UCR archive's label-first tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from automl.data.read.files import open_bytes, short
from automl.errors import UserError

_FLAGS = (
    "timestamps",
    "univariate",
    "equallength",
    "missing",
    "classlabel",
    "targetlabel",
    "serieslength",
    "dimensions",
)


def read_ts(path: Path) -> tuple[np.ndarray, np.ndarray, bool]:
    """(series float32 (rows, channels, longest) with NaN for gaps and after ends, targets, whether they are classes).

    Raises UserError that names the line.
    """
    header: dict[str, str] = {}
    rows: list[list[np.ndarray]] = []
    labels: list[str] = []
    in_data = False
    with open_bytes(path) as file:
        for number, raw in enumerate(file.read().decode("utf-8", errors="replace").splitlines(), start=1):
            line = raw.strip()
            if not line or line.startswith(("#", "%")):
                continue
            if line.startswith("@"):
                key, _, value = line[1:].partition(" ")
                header[key.lower()] = value.strip()
                in_data = in_data or key.lower() == "data"
                continue
            if not in_data:
                raise UserError(
                    f"{path} has {short(line)!r} in line {number} before @data; give a .ts file of the UEA archive"
                )
            if header.get("timestamps", "false").lower() == "true":
                raise UserError(f"{path} holds time stamps (@timestamps true), which are not read; write plain values")
            *dimensions, label = line.split(":")
            if not dimensions:
                raise UserError(f"{path} has no target in line {number}; end each line with ':LABEL'")
            rows.append([_values(path, number, d) for d in dimensions])
            labels.append(label.strip())
    if not rows:
        raise UserError(f"{path} holds no series after @data; give a .ts file of the UEA archive")
    channels = len(rows[0])
    for i, row in enumerate(rows):
        if len(row) != channels:
            raise UserError(
                f"{path}: series {i + 1} has {len(row)} channels, the first has {channels}; give all the same"
            )
    out = np.full((len(rows), channels, max(len(c) for row in rows for c in row)), np.nan, dtype=np.float32)
    for i, row in enumerate(rows):
        for c, values in enumerate(row):
            out[i, c, : len(values)] = values
    classes = header.get("targetlabel", "false").lower() != "true"
    if classes:
        return out, np.asarray(labels, dtype=object), True
    try:
        return out, np.asarray(labels, dtype=np.float64), False
    except ValueError as error:
        raise UserError(f"{path} says @targetlabel true but has a target that is no number: {error}") from error


def _values(path: Path, line: int, text: str) -> np.ndarray:
    cells = text.split(",")
    try:
        return np.array([np.nan if c.strip() in ("?", "", "NaN") else float(c) for c in cells], dtype=np.float32)
    except ValueError as error:
        raise UserError(f"{path} holds {short(str(error))} in line {line}; write numbers, '?' for missing") from error


def read_label_first(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(series (rows, 1, longest), labels) of a UCR ``NAME_TRAIN.tsv``: the label, then the values, no header."""
    with open_bytes(path) as file:
        lines = [x for x in file.read().decode("utf-8", errors="replace").splitlines() if x.strip()]
    if not lines:
        raise UserError(f"{path} is empty; give a table with a label and a series per line")
    mark = "\t" if "\t" in lines[0] else "," if "," in lines[0] else None
    cells = [line.split(mark) for line in lines]
    for number, row in enumerate(cells, start=1):
        if len(row) < 2:
            raise UserError(
                f"{path} has no series after the label {short(row[0])!r} in line {number}; "
                "write the label, then the values"
            )
    series = [_values(path, i + 1, ",".join(row[1:])) for i, row in enumerate(cells)]
    out = np.full((len(series), 1, max(map(len, series))), np.nan, dtype=np.float32)
    for i, values in enumerate(series):
        out[i, 0, : len(values)] = values
    labels = [row[0].strip() for row in cells]
    try:
        return out, np.asarray(labels, dtype=np.float64)
    except ValueError:
        return out, np.asarray(labels, dtype=object)

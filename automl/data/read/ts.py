"""The ``.ts`` format of the UCR/UEA archive (Löning et al. 2019, sktime) and the UCR archive's label-first tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from automl.data.read.decode import decode
from automl.data.read.files import check_unpacked, open_bytes, short
from automl.errors import UserError

_UNKNOWN = ("?", "", "NaN")


def read_ts(path: Path) -> tuple[np.ndarray, np.ndarray, bool]:
    """(series float32 (rows, channels, longest) with NaN for gaps and after ends, targets, whether they are classes).

    Raises UserError that names the line.
    """
    header: dict[str, str] = {}
    rows: list[list[np.ndarray]] = []
    labels: list[str] = []
    in_data = False
    for number, raw in _lines(path):
        line = raw.strip()
        if line.startswith(("#", "%")):
            continue
        if line.startswith("@"):
            key, *value = line[1:].split(maxsplit=1)  # blanks or tabs
            header[key.lower()] = "".join(value)
            in_data = in_data or key.lower() == "data"
            continue
        if not in_data:
            raise UserError(
                f"{path} has {short(line)!r} in line {number} before @data; give a .ts file of the UEA archive"
            )
        if _says(header, "timestamps") == "true":
            raise UserError(f"{path} holds time stamps (@timestamps true), which are not read; write plain values")
        if _says(header, "classlabel") == "false" and _says(header, "targetlabel") != "true":
            raise UserError(f"{path} says @classLabel false: it holds no target; give the file with labels")
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
    out = _padded(path, rows)
    classes = _says(header, "targetlabel") != "true"
    known = [None if label in _UNKNOWN else label for label in labels]
    if classes:
        return out, np.asarray(known, dtype=object), True
    try:
        return out, np.asarray(known, dtype=np.float64), False
    except ValueError as error:
        raise UserError(f"{path} says @targetlabel true but has a target that is no number: {error}") from error


def _says(header: dict[str, str], key: str) -> str:
    """The first word of a header line, lower case; empty where there is none."""
    return (header.get(key, "").lower().split() or [""])[0]


def _lines(path: Path) -> list[tuple[int, str]]:
    """(number, text) of the lines that hold something."""
    with open_bytes(path) as file:
        content = file.read()
    try:
        text, _, _ = decode(content)
    except ValueError as error:
        raise UserError(f"{path} is not text ({error}); give a .ts or a .tsv file of the archive") from error
    return [(i, line) for i, line in enumerate(text.splitlines(), start=1) if line.strip()]


def _padded(path: Path, rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """float32 (rows, channels, longest), NaN after the ends. Raises UserError where one row makes all too large."""
    shape = (len(rows), len(rows[0]), max(len(c) for row in rows for c in row))
    check_unpacked(path, 4 * math.prod(shape))
    out = np.full(shape, np.nan, dtype=np.float32)
    for i, row in enumerate(rows):
        for c, values in enumerate(row):
            out[i, c, : len(values)] = values
    return out


def _values(path: Path, line: int, text: str) -> np.ndarray:
    cells = text.split(",")
    try:
        values = [np.nan if c.strip() in _UNKNOWN else float(c) for c in cells]
        with np.errstate(over="ignore"):  # infinite, which the check tells
            return np.array(values).astype(np.float32)
    except ValueError as error:
        raise UserError(f"{path} holds {short(str(error))} in line {line}; write numbers, '?' for missing") from error


def read_label_first(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(series (rows, 1, longest), labels) of a UCR ``NAME_TRAIN.tsv``: the label, then the values, no header."""
    lines = _lines(path)
    if not lines:
        raise UserError(f"{path} is empty; give a table with a label and a series per line")
    mark = "\t" if "\t" in lines[0][1] else "," if "," in lines[0][1] else None
    cells = [line.split(mark) for _, line in lines]
    numbers = [number for number, _ in lines]
    for number, row in zip(numbers, cells, strict=True):
        if len(row) < 2:
            raise UserError(
                f"{path} has no series after the label {short(row[0])!r} in line {number}; "
                "write the label, then the values"
            )
    out = _padded(path, [[_values(path, n, ",".join(row[1:]))] for n, row in zip(numbers, cells, strict=True)])
    labels = [row[0].strip() for row in cells]
    try:
        return out, np.asarray(labels, dtype=np.float64)
    except ValueError:
        return out, np.asarray(labels, dtype=object)

"""A few raw rows with the model's answers, by which a bundle tests itself wherever it is loaded.

examples.json          rows as a client sends them, answers, the unit of their errors
examples.safetensors   pictures, sounds and series of these rows, exactly; absent where there are none
"""

from __future__ import annotations

import datetime
import json
import math
import numbers
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import safetensors.numpy

from automl.data.dataset import Dataset
from automl.errors import UserError
from automl.files import write_atomically

ROWS_NAME, ARRAYS_NAME = "examples.json", "examples.safetensors"
BYTES = 1_000_000  # of all rows together; what is larger makes the folder heavy and the test slow
TOLERANCE = 1e-4
"""Of probabilities, or of the target's spread, by which the answers of two runtimes for a row may differ. By judgement:
sums of float32 in another order differ by less, a wrong operator by more."""
ROUNDING = 4 * float(np.finfo(np.float32).eps)  # of a value, which a graph answers as float32

Row = dict[str, Any]


class Examples(NamedTuple):
    """``rows``: name -> cell or array each. ``answers``: probabilities (rows, classes) or values (rows,), float64.

    ``unit``: what errors are measured in: the target's spread, 1 for probabilities.
    """

    rows: list[Row]
    answers: np.ndarray
    unit: float = 1.0


def write_examples(
    folder: Path,
    dataset: Dataset,
    positions: Sequence[int] | np.ndarray,
    answers: np.ndarray,
    *,
    unit: float = 1.0,
    names: Sequence[str] | None = None,
) -> Examples:
    """Write the rows at these positions, with one answer each, and return what was written.

    ``dataset``: as it was loaded. ``names``: of the columns and arrays that the model reads, None: all; others are not
    needed, and may tell more about people than the model knows. Rows are left out where they would take more than
    ``BYTES`` together, so there may be none.
    """
    rows: list[Row] = []
    kept: list[int] = []
    size = 0
    for at, position in enumerate(positions):
        row = raw_row(dataset, int(position), names)
        arrays = [v for v in row.values() if isinstance(v, np.ndarray)]
        needed = len(json.dumps(_cells(row))) + sum(a.nbytes for a in arrays)
        if size + needed <= BYTES:
            rows.append(row)
            kept.append(at)
            size += needed
    examples = Examples(rows, np.asarray(answers, dtype=np.float64)[kept], float(unit))
    arrays = [n for n in (rows[0] if rows else {}) if isinstance(rows[0][n], np.ndarray)]
    stored = {f"array_{i}": np.stack([row[name] for row in rows]) for i, name in enumerate(arrays)}
    if stored:
        write_atomically(folder / ARRAYS_NAME, safetensors.numpy.save(stored))
    state = {
        "rows": [_cells(row) for row in rows],
        "arrays": arrays,  # of the other file, which numbers them: any name may be a user's
        "answers": examples.answers.tolist(),
        "unit": examples.unit,
    }
    write_atomically(folder / ROWS_NAME, json.dumps(state, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return examples


def read_examples(folder: Path | str) -> Examples:
    """What ``write_examples`` wrote. Raises UserError when it is absent or broken."""
    folder = Path(folder)
    try:
        state = json.loads((folder / ROWS_NAME).read_text(encoding="utf-8"))
        rows: list[Row] = [dict(row) for row in state["rows"]]
        if state["arrays"]:
            stored = safetensors.numpy.load((folder / ARRAYS_NAME).read_bytes())
            for i, name in enumerate(state["arrays"]):
                for row, array in zip(rows, stored[f"array_{i}"], strict=True):
                    row[name] = array
        answers = np.asarray(state["answers"], dtype=np.float64)
        if len(answers) != len(rows):
            raise ValueError(f"{len(answers)} answers for {len(rows)} rows")
        return Examples(rows, answers, float(state["unit"]))
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise UserError(f"{folder} holds no readable examples ({error}); export the model again") from error


def check_examples(
    predict: Callable[[list[Row]], np.ndarray], rows: list[Row], answers: np.ndarray, unit: float = 1.0
) -> None:
    """Ask for the rows and compare: ``check_examples(bundle.predict_proba, *read_examples(folder))``.

    ``predict``: rows -> answers in the form of those written. They may differ by ``TOLERANCE`` units, or by a few steps
    of float32 where values are large. Raises UserError that names the row.
    """
    if not rows:
        return
    got = np.asarray(predict(rows), dtype=np.float64)
    if got.shape != answers.shape:
        raise UserError(f"the examples' answers have shape {got.shape}, not {answers.shape}; export the model again")
    allowed = np.maximum(TOLERANCE * unit, ROUNDING * np.abs(answers) if answers.ndim == 1 else 0.0)
    apart = np.abs(got - answers)
    wrong = np.argwhere(~(apart <= allowed))  # NaN is wrong too
    if len(wrong):
        at = tuple(wrong[0])
        raise UserError(
            f"the model answers {got[at]:.7g} for row {at[0] + 1} of its examples, where it answered {answers[at]:.7g} "
            "when it was exported; install the versions of requirements.txt, or export the model again"
        )


def raw_row(dataset: Dataset, position: int, names: Sequence[str] | None = None) -> Row:
    """One row as a client sends it: table cells as JSON values, inputs that are no table as arrays."""
    cells = {str(n): plain_cell(column.iloc[position]) for n, column in dataset.table.items()}
    row: Row = cells | {n: np.ascontiguousarray(a[position]) for n, a in dataset.arrays.items()}
    return row if names is None else {n: row[n] for n in names}


def plain_cell(value: Any) -> str | int | float | bool | None:
    """A cell of a table as a JSON value that encodes to the same: None for none, dates and all else as text."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if pd.isna(value):
        return None
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None  # an infinite number is read as a missing one
    return value.isoformat() if isinstance(value, datetime.date) else str(value)


def _cells(row: Row) -> Row:
    return {name: value for name, value in row.items() if not isinstance(value, np.ndarray)}

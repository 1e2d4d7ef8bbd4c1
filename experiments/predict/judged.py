"""How good the answers for a table are, where it holds what is true as well."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow.parquet

from automl.data.dataset import Dataset
from automl.data.quality.parse import column_of
from automl.data.read.table import read_table
from automl.data.sources.build import answers_of
from automl.deploy.bundle import Bundle
from automl.errors import UserError
from automl.metrics import score
from automl.task.kind import numeric_target, plain_target
from experiments.explain import flat
from experiments.predict.columnar import ColumnarRows
from experiments.predict.csv_rows import CsvRows
from experiments.predict.rows import Rows
from experiments.predict.run import Options
from experiments.report.words import as_metric

LARGEST = 200_000_000
"""Bytes of a table: for its truth it is read whole, and a larger one would take the memory that streaming saves."""


def judged(bundle: Bundle, rows: Rows, options: Options, count: int) -> str:
    """The task's metric of the answers in ``options.out``, as a line; why it cannot be told; "" where nothing is true.

    ``count``: rows of the output, which are those of the input.
    """
    target = bundle.encoding.target.name
    if not isinstance(rows, CsvRows | ColumnarRows) or target not in rows.columns.names:
        return ""
    if options.path.stat().st_size > LARGEST:
        return f"not told of tables above {LARGEST / 1e6:.0f} MB, though column {target!r} is there"
    try:
        y, told = _truth(bundle, options, count)
        if not len(y):
            return f"not told: column {target!r} holds no value for a row that was answered"
        weights = 1.0 if bundle.decision is None else np.asarray(bundle.decision)
        found = as_metric(bundle.task.metric, score(bundle.task.metric, bundle.task.kind, y, told, weights))
    except (UserError, ValueError) as error:
        return f"not told: {flat(str(error))}"
    return f"{bundle.task.metric} {found:.4f} on the {len(y):,} rows whose {target} the table tells"


def _truth(bundle: Bundle, options: Options, count: int) -> tuple[np.ndarray, np.ndarray]:
    """What is true of the rows that have a truth and an answer, and the answers, as the metrics take them."""
    of, regression = bundle.encoding, bundle.task.kind == "regression"
    known = str(of.fields[0]["name"]) if of.fields else None  # as the header was known before
    read = read_table(options.path, delimiter=options.delimiter, encoding=options.encoding, target=known)
    if len(read.table) != count:
        raise UserError(f"{len(read.table):,} of {count:,} rows can be read")
    column = answers_of(column_of(read.table, of.target.name), str(options.path))
    given = Dataset("given", pd.DataFrame(index=column.index), column, decimal=read.decimal or "")
    truth = (numeric_target if regression else plain_target)(given).target
    names = ["prediction"] if regression else [f"p_{name}" for name in bundle.task.classes]
    if options.out.suffix.lower() == ".parquet":
        told = pyarrow.parquet.read_table(options.out, columns=names).to_pandas()
    else:
        told = pd.read_csv(options.out, usecols=names)[names]
    answers = told.to_numpy(dtype=np.float64, na_value=np.nan)
    there = np.flatnonzero(truth.notna().to_numpy() & ~np.isnan(answers).any(axis=1))
    answers = answers[there]
    y = of.encode_target(truth.iloc[there]) if len(there) else np.zeros(0)
    return y, answers[:, 0] - of.target.center if regression else answers

"""Runs every check in order and makes the repairs that are switched on. Only this file changes data."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from automl.data.dataset import Dataset
from automl.data.quality import columns
from automl.data.quality.clean import clean
from automl.data.quality.findings import REPAIRS, SEVERITIES, Finding, Quality, Step
from automl.data.quality.view import Proposal, View
from automl.errors import UserError
from automl.types import Kind

Check = Callable[[View], Iterable[Proposal]]

STAGES: Sequence[Sequence[Check]] = ((columns.missing_values, columns.constant_columns),)
"""Checks in the order they look; the repairs of a stage are made before the next one looks."""


def check(
    dataset: Dataset,
    *,
    repairs: Mapping[str, bool] | None = None,
    kind: Kind | None = None,
    seed: int = 0,
    label_errors: bool = True,
) -> tuple[Dataset, Quality]:
    """Look for faults, repair what is safe, report both.

    Parameters
    ----------
    dataset
        Raw rows. Where it has a split, no label of a test row is read and no test row dropped; the test rows
        undergo the column repairs, as new data will.
    repairs
        Switches by finding, on top of ``REPAIRS``: ``{"duplicate_rows": False}``.
    kind
        What the target is; guessed from its values when None.
    seed
        For the samples of large data and for the quick models; the same seed gives the same report.
    label_errors
        Whether to look for wrong labels, which trains a few quick models (seconds).

    Returns
    -------
    The repaired data set and the report. Raises UserError for a switch that does not exist.
    """
    began = time.perf_counter()
    switches = {**REPAIRS, **(repairs or {})}
    if unknown := sorted(set(switches) - set(REPAIRS)):
        raise UserError(f"unknown repair '{unknown[0]}'; repairs are: {', '.join(REPAIRS)}")
    rng = np.random.default_rng(seed)
    kind = kind or guess_kind(dataset)
    current, given = dataset, np.arange(len(dataset))
    findings: list[Finding] = []
    steps: list[Step] = []
    pending = np.zeros(0, dtype=np.int64)
    for stage in STAGES:
        view = View(current, given, rng, kind)
        done: list[Step] = []
        drop = np.zeros(len(current), dtype=bool)
        for look in stage:
            for proposal in look(view):
                on = switches.get(proposal.finding.name, False)
                findings.append(dataclasses.replace(proposal.finding, repaired=on and _repairs(proposal)))
                if on:
                    done += proposal.steps
                    drop[proposal.drop] = True
        current = _apply(current, done, drop & view.droppable)
        given = given[~(drop & view.droppable)]
        steps += done
    ranked = sorted(findings, key=lambda f: SEVERITIES.index(f.severity))
    return current, Quality(
        findings=tuple(ranked),
        steps=tuple(steps),
        kept=tuple(given.tolist()),
        drop_if_train=tuple(pending.tolist()),
        seconds=time.perf_counter() - began,
        rows=len(dataset),
        columns=dataset.table.shape[1],
    )


def _repairs(proposal: Proposal) -> bool:
    return bool(proposal.steps) or len(proposal.drop) > 0


def _apply(dataset: Dataset, steps: Sequence[Step], drop: np.ndarray) -> Dataset:
    """The data set after column steps, without the rows to drop."""
    table = clean(dataset.table, steps) if steps else dataset.table
    if not drop.any():
        return dataclasses.replace(dataset, table=table)
    keep = np.flatnonzero(~drop)

    def rows(array: np.ndarray | None) -> np.ndarray | None:
        return None if array is None else np.asarray(array)[keep]

    return dataclasses.replace(
        dataset,
        table=table.iloc[keep].reset_index(drop=True),
        target=dataset.target.iloc[keep].reset_index(drop=True),
        arrays={name: array[keep] for name, array in dataset.arrays.items()},
        split=rows(dataset.split),
        group=rows(dataset.group),
        time=rows(dataset.time),
    )


def guess_kind(dataset: Dataset) -> Kind:
    """Classes or values: many different numbers are values, all else is classes."""
    target = dataset.target.dropna()
    distinct = int(target.nunique())
    if pd.api.types.is_float_dtype(target.dtype) and not np.all(
        np.mod(target.to_numpy(dtype=np.float64), 1) == 0
    ):
        return "regression"
    if pd.api.types.is_numeric_dtype(target.dtype) and distinct > max(20, 0.05 * len(target)):
        return "regression"
    return "binary" if distinct <= 2 else "multiclass"

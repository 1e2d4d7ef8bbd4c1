"""Runs every check in order and makes the repairs that are switched on. Only this file changes data."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from automl.data.dataset import TEST, Dataset
from automl.data.quality import cells, columns, labels, media, rows, target
from automl.data.quality.clean import clean, clean_arrays
from automl.data.quality.findings import MAX_EXAMPLES, REPAIRS, SEVERITIES, Finding, Quality, Step
from automl.data.quality.view import Proposal, View
from automl.errors import UserError
from automl.task.kind import infer_kind
from automl.types import Kind

Check = Callable[[View], Iterable[Proposal]]

STAGES: Sequence[Sequence[Check]] = (
    (media.source_notes, target.missing_target),
    (cells.placeholders, cells.wrong_types, cells.infinite_values, media.media),
    (cells.missing_values, columns.constant_columns, columns.id_like_columns, columns.duplicate_columns),
    (columns.grouping_columns, rows.repeated_rows),
    (cells.sentinels, cells.outliers, columns.category_variants),
    (target.classes, target.target_outliers, target.target_leakage),
    (labels.label_errors,),
)
"""Checks in the order they look; the repairs of a stage are made before the next one looks."""

ENOUGH_ROWS = 50_000
"""Rows that the kind of the target is guessed from."""

MOST_PER_NAME = 10
"""Findings of one kind that are listed one by one; the rest becomes one line."""


def check(
    dataset: Dataset,
    *,
    repairs: Mapping[str, bool | None] | None = None,
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
        Switches by finding, on top of ``REPAIRS``: ``{"duplicate_rows": False}``; None leaves one as it is.
    kind
        What the target is; inferred from the rows that are not test when None.
    seed
        For the samples of large data and for the quick models; the same seed gives the same report.
    label_errors
        Whether to look for wrong labels, which trains a few quick models (seconds).

    Returns
    -------
    The repaired data set and the report. Raises UserError for a switch that does not exist.
    """
    began = time.perf_counter()
    switches = {**REPAIRS, **{name: on for name, on in (repairs or {}).items() if on is not None}}
    if unknown := sorted(set(switches) - set(REPAIRS)):
        raise UserError(f"unknown repair '{unknown[0]}'; the repairs are: {', '.join(REPAIRS)}")
    if wrong := [name for name, on in switches.items() if not isinstance(on, (bool, np.bool_))]:
        raise UserError(f"task.repairs.{wrong[0]}={switches[wrong[0]]!r} is no switch; use true or false")
    rng = np.random.default_rng(seed)
    kind = kind or guess_kind(dataset)
    current, given = dataset, np.arange(len(dataset))
    findings: list[Finding] = []
    steps: list[Step] = []
    pending: list[int] = []  # positions in the data set as it was given
    for stage in STAGES:
        view = View(current, given, rng, kind, seed=seed)
        if len(view.seen) == 0:
            break  # nothing is left to look at
        done: list[Step] = []
        inputs = current.table.shape[1] + len(current.arrays)
        drop = np.zeros(len(current), dtype=bool)
        weight = None if current.weight is None else current.weight.copy()
        for look in stage:
            if look is labels.label_errors and not label_errors:
                continue
            for proposal in look(view):
                on = switches.get(proposal.finding.name, False)
                wanted = [s for s in proposal.steps if on and (s.do != "drop" or inputs > 1)]
                inputs -= sum(s.do == "drop" for s in wanted)  # the last one stays: there must be something to learn
                positions = proposal.drop if on else proposal.drop[:0]
                if len(positions) and not view.has_split and proposal.after_split:
                    pending += given[positions].tolist()
                    positions = positions[:0]
                done += wanted
                drop[positions] = True
                if weight is not None and proposal.repeats is not None and len(positions):
                    gone = view.droppable[positions]
                    np.add.at(weight, proposal.repeats[gone], weight[positions[gone]])
                repaired = bool(wanted) or bool(len(positions))
                findings.append(dataclasses.replace(proposal.finding, repaired=repaired))
        pending += given[drop & ~view.droppable].tolist()  # given validation rows judge, but teach no refit either
        drop &= view.droppable
        current = _apply(dataclasses.replace(current, weight=weight), done, drop)
        given = given[~drop]
        steps += done
    return current, Quality(
        findings=_ranked(findings),
        steps=tuple(steps),
        kept=tuple(given.tolist()),
        drop_if_train=tuple(np.flatnonzero(np.isin(given, pending)).tolist()),
        seconds=time.perf_counter() - began,
        rows=len(dataset),
        columns=dataset.table.shape[1],
    )


def read_texts(dataset: Dataset, kind: Kind) -> tuple[Dataset, tuple[Step, ...]]:
    """The data set with texts that mean numbers, dates or nothing read so, and the steps: what no check leaves out."""
    view = View(dataset, np.arange(len(dataset)), np.random.default_rng(0), kind)
    steps: tuple[Step, ...] = ()
    for look in (cells.placeholders, cells.wrong_types):
        steps += tuple(step for proposal in look(view) for step in proposal.steps)
    return _apply(dataset, steps, np.zeros(len(dataset), dtype=bool)), steps


def _apply(dataset: Dataset, steps: Sequence[Step], drop: np.ndarray) -> Dataset:
    """The data set after column steps, without the rows to drop."""
    table = clean(dataset.table, steps) if steps else dataset.table
    arrays = clean_arrays(dataset.arrays, steps) if steps else dataset.arrays
    if not drop.any():
        return dataclasses.replace(dataset, table=table, arrays=arrays)
    keep = np.flatnonzero(~drop)

    def kept(array: np.ndarray | None) -> np.ndarray | None:
        return None if array is None else np.asarray(array)[keep]

    return dataclasses.replace(
        dataset,
        table=table.iloc[keep].reset_index(drop=True),
        target=dataset.target.iloc[keep].reset_index(drop=True),
        arrays={name: array[keep] for name, array in arrays.items()},
        split=kept(dataset.split),
        group=kept(dataset.group),
        time=kept(dataset.time),
        weight=kept(dataset.weight),
    )


def _ranked(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """By severity; of one kind and severity at most ``MOST_PER_NAME`` one by one, the rest summed up in a
    last one.
    """
    out: list[Finding] = []
    for severity in SEVERITIES:
        groups: dict[str, list[Finding]] = {}
        for item in findings:
            if item.severity == severity:
                groups.setdefault(item.name, []).append(item)
        for group in groups.values():
            out += group[:MOST_PER_NAME]
            if rest := group[MOST_PER_NAME:]:
                places = [f.where for f in rest]
                summed = dataclasses.replace(
                    rest[0],
                    count=sum(f.count for f in rest),
                    where=f"{len(rest)} more columns",
                    text=f"The same in {len(rest)} more columns: {', '.join(places[:MAX_EXAMPLES])}, ...",
                    examples=tuple(places[:MAX_EXAMPLES]),
                    repaired=all(f.repaired for f in rest),
                    rows=(),
                )
                out.append(summed)
    return tuple(out)


def guess_kind(dataset: Dataset) -> Kind:
    """What the target is, judged by the rows that are not test; never raises, as this is where faults are
    told.
    """
    seen = np.arange(len(dataset)) if dataset.split is None else np.flatnonzero(dataset.split != TEST)
    if len(seen) > ENOUGH_ROWS:
        seen = np.sort(np.random.default_rng(0).choice(seen, ENOUGH_ROWS, replace=False))
    shown = Dataset(dataset.name, pd.DataFrame(index=range(len(seen))), dataset.target.iloc[seen])
    try:
        return infer_kind(shown)[0]
    except UserError:
        return "binary" if shown.target.nunique() <= 2 else "multiclass"

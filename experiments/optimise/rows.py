"""Rows that tell how good a variant of a bundle is: those of the run that made it, or labelled ones of the user."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from automl.data.dataset import Dataset, take
from automl.data.prepare import Prepared
from automl.data.split import TEST_SHARE
from automl.deploy.judge import Ensemble, Rows
from automl.errors import UserError
from automl.metrics import scores
from automl.task.kind import numeric_target, plain_target
from experiments.options import made


def given_rows(of: Ensemble, dataset: Dataset) -> Rows:
    """Labelled rows, in the form of those of training. Raises UserError that names what does not fit.

    Whether the model has learned from them nobody knows: they are taken as rows that it has not.
    """
    encoding, task = of.bundle.encoding, of.bundle.task
    dataset = numeric_target(dataset) if task.kind == "regression" else plain_target(dataset)
    dataset = take(dataset, np.flatnonzero(dataset.target.notna().to_numpy()))
    if not len(dataset):
        raise UserError(f"{dataset.origin} has no row with an answer; set data.target=COLUMN")
    raw = (
        dataset.table
        if not dataset.arrays
        else {str(c): dataset.table[c] for c in dataset.table} | dict(dataset.arrays)
    )
    inputs = encoding.transform(encoding.dataset(raw))
    y = encoding.encode_target(dataset.target)
    return Rows(inputs, y, inputs, "given", alike=dataset.alike)


def rows_of_run(of: Ensemble, folder: Path) -> tuple[Rows, Dataset]:
    """The rows that judged the networks, prepared as the run in ``folder`` did, and the data as they were loaded.

    Raises UserError where its data are gone or others by now.
    """
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    cfg = OmegaConf.load(folder / "config.yaml")
    assert isinstance(cfg, DictConfig)
    if cfg.data.get("data", "") is None:
        raise UserError(f"the data of {folder} came from Python; give labelled rows: data.path=FILE data.target=COLUMN")
    with contextlib.chdir(start_of(cfg, folder.resolve())):
        dataset = made(cfg, "data").load()
        prepared = prepared_again(cfg, dataset)
        before, folded = said_before(of, prepared, result, Path(cfg.artifacts))
    if (prepared.task.data, prepared.task.inputs) != (of.bundle.task.data, of.bundle.task.inputs):
        raise UserError(f"the data of {folder} are others now than when it ran; give rows: data.path=FILE")
    parts = prepared.parts
    rows = prepared.folds.valid if folded and prepared.folds is not None else parts.valid
    # As for the whole ensemble, see ``experiments.solve.networks``.
    learned = prepared.learned.y if prepared.folds is not None else np.concatenate([parts.train.y, parts.valid.y])
    shares = None
    if prepared.task.kind != "regression":
        shares = np.bincount(learned, minlength=prepared.task.num_outputs) / len(learned)
    return Rows(
        rows.inputs,
        rows.y,
        parts.train.inputs,
        "folds" if folded else "valid",
        before=before,
        honest=bool(before) or (prepared.folds is None and not any(m["refit"] for m in result["ensemble"])),
        held=parts.held,
        alike=prepared.dataset.alike,
        shares=shares,
    ), dataset


def start_of(cfg: DictConfig, folder: Path) -> Path:
    """Where a run was started: paths in its options are as they were typed there. ``folder``: the run's, absolute.

    It is this folder, or one of those that the run's lies in: the first that has all of these paths, or the data alone.
    """
    data = [str(cfg.data[name]) for name in ("path", "folder") if cfg.data.get(name) is not None]
    for paths in ([*data, str(cfg.artifacts)], data):
        for start in (Path.cwd(), *folder.parents):
            if all((start / Path(path).expanduser()).exists() for path in paths):
                return start
    return Path.cwd()


def prepared_again(cfg: DictConfig, dataset: Dataset) -> Prepared:
    from experiments.settings import settings
    from experiments.solve.pipeline import prepared_as_before

    if cfg.task.test_share == TEST_SHARE:  # as earlier versions wrote it down where nothing was asked
        cfg = OmegaConf.merge(cfg, {"task": {"test_share": None}})  # pyright: ignore[reportAssignmentType]
    wanted = settings(cfg)
    with contextlib.ExitStack() as stack:
        # A search that was resumed tells there how it judged.
        store = stack.enter_context(made(cfg, "store")) if wanted.resume else None
        return prepared_as_before(cfg, wanted, dataset, store)


def said_before(
    of: Ensemble, prepared: Prepared, result: dict[str, Any], artifacts: Path
) -> tuple[Sequence[np.ndarray], bool]:
    """What each member said of the rows that judged it, and whether those are the rows of the folds.

    None where the files of the search are gone: of those that are there the right ones give the run's own score.
    """
    numbers, metric = [member["number"] for member in result["ensemble"]], prepared.task.metric
    judging = [("npy", prepared.parts.valid)]
    if prepared.folds is not None:
        judging.insert(0, ("folds.npy", prepared.folds.valid))
    for ending, part in judging:
        for folder in sorted(artifacts.glob("*"), key=lambda f: -f.stat().st_mtime):
            files = [folder / f"{number}.{ending}" for number in numbers]
            if not all(f.is_file() for f in files):
                continue
            said = [np.load(f, allow_pickle=False) for f in files]
            if any(len(p) != len(part.y) or p.shape[1:] != said[0].shape[1:] for p in said):
                continue
            prediction = of.of_members(said, of.size, now=False)[0]
            weights = None if of.bundle.decision is None else np.asarray(of.bundle.decision)
            found = scores(prepared.task.kind, part.y, prediction, weights=weights)[metric]
            if np.isclose(found, result["val"][metric], rtol=1e-6):
                return said, ending == "folds.npy"
    return (), False

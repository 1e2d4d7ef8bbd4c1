"""No network of an earlier run begins on a task of which it has seen a row that judges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from automl.data.dataset import TEST, TRAIN, Dataset
from automl.data.prepare import Prepared, prepare
from automl.store.trunks import kept
from automl.types import Family, Prior, Trial
from experiments.configuration import by_default
from experiments.solve.weights import keep_networks, unseen
from nas.families.convnet import ConvNet
from nas.families.earlier import Earlier
from nas.family import build, search_axes
from nas.given import Trained
from nas.recipe import training_axes
from nas.testing.families import candidate_at

RNG = np.random.default_rng(0)
ROWS = {
    "image": RNG.integers(0, 256, (400, 9, 9)).astype(np.uint8),
    "audio": RNG.normal(-40, 9, (400, 16, 12)).astype(np.float32),
}
FIRST, FRESH = np.arange(120), np.arange(200, 400)


def ready(modality: str, rows: np.ndarray, name: str, folds: int = 0, split: np.ndarray | None = None) -> Prepared:
    array = ROWS[modality][rows]
    target = pd.Series(np.where(rows % 2, "odd", "even"), name="y")
    table = pd.DataFrame(index=range(len(rows)))
    data = Dataset(name, table, target, {"x": array}, split=split, modalities={"x": modality})  # type: ignore[dict-item]
    return prepare(data, check=False, folds=folds)


class Best:
    """In the place of a search's files: one small network."""

    def __init__(self, prepared: Prepared) -> None:
        task, family = prepared.task, ConvNet((16,))
        axes = search_axes({"convnet": family}, task, training_axes(task))["convnet"]
        candidate = candidate_at(family, axes, 0)
        self.trial = Trial(task.name, candidate, 1, 0, "ok", 0.9)
        self.net = build(family, task, candidate, axes, seed=0)

    def best(self, trials: Any) -> list[Trial]:
        return [self.trial]

    def weights(self, trial: Trial) -> dict[str, torch.Tensor]:
        return dict(self.net.state_dict())


@pytest.fixture(params=["image", "audio"])
def modality(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def first(modality: str, tmp_path: Any) -> Prepared:
    """A run that left its network."""
    made = ready(modality, FIRST, "first")
    keep_networks(tmp_path, made, [], Best(made))  # type: ignore[arg-type]
    assert len(kept(tmp_path)) == 1
    return made


def asked(prepared: Prepared, folder: Any, began: Prior | None = None) -> Earlier:
    family = unseen({"earlier": Earlier(str(folder))}, prepared, began)["earlier"]
    assert isinstance(family, Earlier) and family.supports(prepared.task) == bool(family.admitted)
    return family


def raw(prepared: Prepared, positions: np.ndarray) -> np.ndarray:
    """Of the rows of the first run: those in ROWS."""
    return FIRST[prepared.given[positions]]


@pytest.mark.parametrize("folds", [0, 3])
def test_a_set_that_has_grown_under_another_name(first, modality, tmp_path, folds):
    grown = asked(ready(modality, np.concatenate([FIRST, FRESH]), "grown", folds), tmp_path)
    assert not grown.admitted and "rows that judge here" in grown.left_out[0]


def test_the_same_rows_in_another_order(first, modality, tmp_path):
    assert not asked(ready(modality, RNG.permutation(FIRST), "shuffled"), tmp_path).admitted


def test_other_rows_of_the_same_sort(first, modality, tmp_path):
    family = asked(ready(modality, FRESH, "other"), tmp_path)
    assert len(family.admitted) == 1 and not family.left_out


@pytest.mark.parametrize("seen", ["train", "valid"])
def test_one_row_is_enough_whether_it_taught_or_chose(first, modality, tmp_path, seen):
    row = raw(first, getattr(first.parts, seen).rows)[:1]
    split = np.array([TRAIN] * len(FRESH) + [TEST])
    family = asked(ready(modality, np.concatenate([FRESH, row]), "other", split=split), tmp_path)
    assert not family.admitted and "learned from 1 of the" in family.left_out[0]


def test_rows_that_it_never_saw_may_judge(first, modality, tmp_path):
    rows = np.concatenate([FRESH, raw(first, first.parts.test.rows)])
    assert asked(ready(modality, rows, "other"), tmp_path).admitted


def test_rows_that_it_saw_may_teach(first, modality, tmp_path):
    rows = np.concatenate([raw(first, first.parts.train.rows), FRESH])
    split = np.array([TRAIN] * len(first.parts.train) + ["valid"] * 50 + [TEST] * 150)
    assert asked(ready(modality, rows, "other", split=split), tmp_path).admitted


def test_of_folds_all_rows_are_known(modality, tmp_path):
    made = ready(modality, FIRST, "first", folds=3)
    keep_networks(tmp_path, made, [], Best(made))  # type: ignore[arg-type]
    known = raw(made, made.learned.rows)
    split = np.array([TRAIN] * len(FRESH) + [TEST] * len(known))
    family = asked(ready(modality, np.concatenate([FRESH, known]), "other", split=split), tmp_path)
    assert f"learned from {len(known)} of the" in family.left_out[0]


def test_a_resumed_search_keeps_its_space(first, modality, tmp_path):
    other = ready(modality, FRESH, "other")
    task, fresh = other.task, asked(other, tmp_path)
    with_it = Prior.uniform(search_axes({"earlier": fresh, "convnet": ConvNet((16,))}, task, ()))
    without = Prior.uniform(search_axes({"convnet": ConvNet((16,))}, task, ()))
    assert asked(other, tmp_path, with_it).admitted == fresh.admitted and not asked(other, tmp_path, without).admitted


def test_one_whose_training_is_said_is_asked_too(first, modality, tmp_path):
    families: dict[str, Family] = {"earlier": Trained(Earlier(str(tmp_path)), {"batch_size": 32})}
    for name, rows in (("grown", FIRST), ("other", FRESH)):
        prepared = ready(modality, rows, name)
        made = unseen(families, prepared)["earlier"]
        assert isinstance(made, Trained) and made.supports(prepared.task) == (name == "other")


def test_it_is_searched_by_default_and_offers_nothing_unasked(first, tmp_path):
    assert "earlier" in by_default("family")
    assert not Earlier(str(tmp_path)).supports(first.task)

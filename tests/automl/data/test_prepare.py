"""From a Dataset to encoded splits, with the quality check between."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from automl.data.dataset import Dataset
from automl.data.encode import Encoding
from automl.data.identity import identity
from automl.data.prepare import prepare
from automl.data.sources.file import FileSource
from automl.data.sources.frame import FrameSource
from automl.data.sources.sklearn import NAMES, SklearnSource
from automl.serial import from_json, to_json
from automl.store.rows import task_digest
from automl.types import Task

from .test_sources import CONF

RNG = np.random.default_rng(0)


def messy(rows: int = 300) -> Dataset:
    """Prices as text, a constant, an identifier, copies of rows, and rows without a target."""
    x = RNG.normal(size=rows)
    table = pd.DataFrame(
        {
            "price": [f"${1000 + 100 * v:,.2f}" for v in x],
            "same": "here",
            "id": [f"row-{i:05d}" for i in range(rows)],
            "noise": RNG.normal(size=rows),
        }
    )
    target = pd.Series(np.where(x + 0.3 * RNG.normal(size=rows) > 0, "up", "down"), name="target", dtype=object)
    target.iloc[[3, 50]] = None
    for column in ("price", "noise"):
        table.loc[10:14, column] = table.loc[20:24, column].to_numpy()
    target.iloc[10:15] = target.iloc[20:25].to_numpy()
    return Dataset("messy", table, target)


class TestMessy:
    prepared = prepare(messy())

    def test_parts_are_disjoint_rows_of_the_repaired_data(self) -> None:
        parts = (self.prepared.parts.train, self.prepared.parts.valid, self.prepared.parts.test)
        rows = np.concatenate([p.rows for p in parts])
        assert len(set(rows)) == len(rows) <= len(self.prepared.dataset) <= 298
        for part in parts:
            for one, array in zip(self.prepared.task.inputs, part.inputs, strict=True):
                assert array.shape == (len(part), *one.shape)
            target = self.prepared.dataset.target.iloc[part.rows]
            assert (self.prepared.encoding.decode(part.y) == target.to_numpy()).all()

    def test_faults_are_found_and_repaired(self) -> None:
        assert self.prepared.quality is not None
        names = {f.name for f in self.prepared.quality.findings}
        assert {"missing_target", "constant_column", "id_like_column", "duplicate_rows", "numeric_text"} <= names
        assert [f["name"] for f in self.prepared.encoding.fields] == ["price", "noise"]

    def test_serving_repeats_the_repairs(self) -> None:
        raw = messy().table.iloc[:5]
        loaded = Encoding.from_json(self.prepared.encoding.to_json())
        served = loaded.transform(loaded.dataset(raw.to_dict("records")))[0]
        price = raw["price"].str.replace(r"[$,]", "", regex=True).astype(float)
        assert (np.argsort(served[:, 0]) == np.argsort(price)).all()

    def test_every_decision_is_said_in_one_line(self) -> None:
        why = self.prepared.task.why
        for word in ("kind: binary", "metric: accuracy", "test:", "validation:", "table:"):
            assert sum(line.startswith(word) for line in why) == 1, why
        assert all("\n" not in line for line in why)


@pytest.mark.parametrize("check", [True, False])
def test_rows_lead_back_to_the_users_own(check: bool) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"mark": np.arange(200) * 1.5, "b": rng.normal(size=200), "y": rng.integers(0, 2, 200)})
    frame = pd.concat([frame, frame.iloc[10:30]]).sample(frac=1, random_state=0, ignore_index=True)  # duplicates
    frame["y"] = frame["y"].astype(float)
    frame.loc[[3, 50], "y"] = np.nan
    prepared = prepare(FrameSource(frame, target="y").load(), check=check)
    assert len(prepared.given) == len(prepared.dataset) < len(frame)
    marks = np.asarray(prepared.dataset.table["mark"], float)
    np.testing.assert_array_equal(marks, frame["mark"].to_numpy()[prepared.given])
    np.testing.assert_array_equal(
        prepared.dataset.target.astype(float), frame["y"].to_numpy()[prepared.given].astype(float)
    )


def test_the_check_can_be_left_out_and_repairs_switched() -> None:
    assert prepare(messy(), check=False).quality is None
    assert len(prepare(messy(), repairs={"duplicate_rows": False}).dataset) == 298
    assert len(prepare(messy()).dataset) == 293


def test_a_given_test_split_is_never_changed() -> None:
    data = messy()
    split = np.where(np.arange(len(data)) % 4 == 0, "test", "train")
    prepared = prepare(Dataset("m", data.table, data.target, split=split))
    labelled = (split == "test") & data.target.notna().to_numpy()
    assert len(prepared.parts.test) == labelled.sum()


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_parts(name: str) -> None:
    one, other, third = (prepare(SklearnSource(name).load(), seed=s, check=False) for s in (0, 0, 1))
    assert one.task == other.task and one.encoding == other.encoding
    for a, b in zip(one.parts.train.inputs, other.parts.train.inputs, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(one.parts.test.rows, third.parts.test.rows)


@pytest.mark.parametrize("option", sorted(p.stem for p in (CONF.parent / "task").glob("*.yaml")))
def test_task_options(option: str) -> None:
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF.parent / "task")):
        asked: Any = instantiate(compose(option), _convert_="object")
    task = prepare(SklearnSource("iris").load(), **asked).task
    assert task.kind == "multiclass"
    assert (task.limits.latency_ms == 5.0) == (option == "edge")


def test_data_are_told_apart_by_what_they_hold_not_by_their_name(tmp_path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=60), "b": rng.choice(["x", "y"], 60), "y": np.arange(60) % 2})

    def of(table: pd.DataFrame, seed: int = 0, **options: Any) -> Any:
        return prepare(FrameSource(table, target="y").load(), seed=seed, check=False, **options).task

    one = of(frame)
    changed = frame.assign(a=frame["a"].where(np.arange(60) != 30, 9.0))
    others = [changed, frame.iloc[:-1], frame.rename(columns={"a": "c"}), frame.assign(a=frame["a"].astype("float32"))]
    assert len({task_digest(t) for t in (one, *map(of, others))}) == 5 == len({of(f).group for f in (frame, *others)})
    assert task_digest(of(frame, seed=7)) == task_digest(one), "the split does not matter"
    named = of(changed, group="mine", name="sales")
    assert (named.group, named.name) == ("mine", "sales")
    assert task_digest(named) != task_digest(of(frame, group="mine", name="sales"))
    for folder, table in (("one", frame), ("two", changed)):
        (tmp_path / folder).mkdir()
        table.to_csv(tmp_path / folder / "train.csv", index=False)
    paths = [str(tmp_path / folder / "train.csv") for folder in ("one", "two")]
    files = [prepare(FileSource(path, target="y").load(), check=False).task for path in paths]
    assert files[0].group != files[1].group and all(f.group.startswith("train-") for f in files)


def test_arrays_have_an_identity_too() -> None:
    x = np.arange(24 * 9.0).reshape(24, 3, 3)
    one, same, other = (
        identity(FrameSource(a, y=np.arange(24) % 2, modality="series").load()) for a in (x, x.copy(), x[::-1])
    )
    assert one == same != other and len(one) == 16
    odd = Dataset("odd", pd.DataFrame({"t": ["a\ud83d", None, [1]] * 3}), pd.Series(range(9)))
    assert identity(odd) != identity(dataclasses.replace(odd, target=odd.target + 1))
    assert identity(Dataset("none", pd.DataFrame({"a": []}), pd.Series([], dtype=float)))


def test_runs_from_before_keep_their_digest() -> None:
    task = prepare(SklearnSource("iris").load(), check=False).task
    before = from_json(Task, to_json(task).replace(f',"data":"{task.data}"', ""))
    assert before.data == "" and task_digest(before) == task_digest(dataclasses.replace(task, data=""))

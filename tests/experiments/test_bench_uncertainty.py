"""What the benchmark of uncertainty keeps, and which runs it compares; its trainings take hours."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from automl.types import Task
from automl.uncertainty.calibrate import Answers
from experiments.bench import _calibrated as calibrated
from experiments.bench import options_from, uncertainty
from experiments.bench._calibrated import Asked, Run, file_of, train_and_keep
from experiments.bench.uncertainty import Covered, Measured, cost, default_of, in_common
from tests.experiments.recipes import recipe

SAID = {"name": "toy", "file": "toy.csv", "baseline_best": {"metric": "accuracy", "value": 0.5}}


def measured(name: str, way: str, seed: int = 0, rows: int = 2000, score: float = 0.5, **more: Any) -> Measured:
    """A run whose validation split has so many rows, and whose score on 100 test rows is given."""
    y = np.zeros(100, np.int64)
    right = np.arange(100) < 100 * score
    task = Task(name, "binary", (), 2, "accuracy", classes=("a", "b"))
    judged = Answers(np.full((rows, 2), 0.5), np.zeros(rows, np.int64))
    run = Run(name, more.get("group", name), seed, way, task, more.get("alike", True), judged, None,
              Answers(np.stack([right, ~right], axis=1).astype(float), y))  # fmt: skip
    return Measured(run, rows, 1.0, [], None, (0.0, 0.0), (0.0, 0.0))


def test_the_default_of_a_set_is_its_own_run_where_another_way_failed() -> None:
    """Without its ``holdout`` a set once gave its rows to the set before it."""
    found = [measured("one", "holdout"), measured("one", "valid"), measured("two", "valid", rows=50)]
    assert [(m.run.name, m.run.way) for m in default_of(found)] == [("one", "holdout"), ("two", "valid")]
    assert [(m.run.name, m.run.way) for m in default_of(found[1:])] == [("two", "valid")], "nothing was held out"
    assert default_of([measured("two", "folds")]) == []
    seeds = [measured("one", way, seed) for seed in (0, 1) for way in ("holdout", "valid")]
    assert [(m.run.seed, m.run.way) for m in default_of(seeds)] == [(0, "holdout"), (1, "holdout")]
    timed = [measured("one", way, alike=False) for way in ("holdout", "valid")]
    assert [m.run.way for m in default_of(timed)] == ["valid"], "the latest rows are not held out by themselves"


def test_ways_are_compared_on_the_sets_that_have_all(capsys, monkeypatch) -> None:
    """Folds are made of few rows alone: over all sets each way was judged on others."""
    ways = {"few": ("holdout", "valid", "folds"), "many": ("holdout", "valid")}
    inside = {"few": False, "many": True}
    found = [
        dataclasses.replace(measured(name, way), covered=[Covered(0.9, 0.8, inside[name], 1.0, 1.0)])
        for name in ways
        for way in ways[name]
    ]
    assert {(m.run.name, m.run.way) for m in in_common(found)} == {("few", way) for way in ways["few"]}
    monkeypatch.setattr(uncertainty, "measured", lambda run: next(m for m in found if m.run is run))
    uncertainty.show([m.run for m in found])
    said = capsys.readouterr().out
    over, common = said.split("on the 1 sets that have all ways:")
    assert "holdout: 2 runs, 50.0% of 2" in over and "folds: 1 runs, 0.0% of 1" in over
    assert all(f"{way}: 1 runs, 0.0% of 1 (set, level)" in common for way in ways["few"])


def test_sets_of_a_group_are_drawn_together(capsys) -> None:
    def wide(by: int) -> float:
        pairs = [(f"s{i}", f"g{i // by}", 0.5 + (i % 10 < 5) / 10) for i in range(20)]
        found = [
            measured(name, way, score=0.5 if way == "valid" else score, group=group)
            for name, group, score in pairs
            for way in ("holdout", "valid")
        ]
        cost(found, "holdout")
        low, high = capsys.readouterr().out.splitlines()[0].split("[")[1].split("]")[0].split(",")
        return float(high) - float(low)

    assert wide(5) > 1.5 * wide(1)


def configured(tmp_path: Path, **options: Any):
    cfg = recipe("uncertainty", root=tmp_path, out=tmp_path / "out", workers=1, **options)
    return cfg, options_from(cfg, Asked)


def test_a_run_is_named_by_all_that_it_depends_on(tmp_path: Path) -> None:
    def name(way: str = "folds", program: str = "abc", seed: int = 0, **options: Any) -> Path:
        return file_of(*configured(tmp_path, **options), SAID, seed, way, program)

    others = [name(program="def"), name(seed=1), name(fold_rows=9), name(members=2), name(epochs=3), name("valid")]
    assert len({name(), *others}) == 7 and name() == name()
    assert name("valid", fold_rows=9) == name("valid"), "the other ways do not look at it"


def test_a_run_that_failed_is_not_kept(tmp_path: Path, monkeypatch) -> None:
    cfg, options = configured(tmp_path)
    options.out.mkdir()
    plain: Any = OmegaConf.to_container(cfg, resolve=True)

    def broken(*of: Any) -> dict[str, np.ndarray]:
        raise MemoryError("no room")

    monkeypatch.setattr(calibrated, "answers_of", broken)
    file = options.out / "run.npz"
    assert train_and_keep(plain, SAID, 0, "valid", file) == "failed: MemoryError: no room" and not file.exists()
    monkeypatch.setattr(calibrated, "answers_of", lambda *of: {})
    assert train_and_keep(plain, SAID, 0, "folds", file) == "passed over" and file.exists()


def test_what_failed_is_said(tmp_path: Path, monkeypatch, capsys) -> None:
    (tmp_path / "toy.json").write_text(json.dumps({**SAID, "modality": "tabular"}))
    cfg, _ = configured(tmp_path)
    monkeypatch.setattr(uncertainty, "ProcessPoolExecutor", Nobody)
    with pytest.raises(SystemExit):
        uncertainty.run(cfg)
    assert "3 of 3 runs failed and are in no number below" in capsys.readouterr().out


class Nobody:
    """An executor of which nothing comes."""

    def __init__(self, *of: Any) -> None: ...

    def __enter__(self) -> Nobody:
        return self

    def __exit__(self, *of: Any) -> None: ...

    def submit(self, *of: Any) -> Any:
        from concurrent.futures import Future

        done: Future[str] = Future()
        done.set_result("failed: nothing")
        return done

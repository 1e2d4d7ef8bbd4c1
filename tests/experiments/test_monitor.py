"""A file through the monitor: what moved, what the labels say, and an exit status for cron."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from omegaconf import OmegaConf

from automl.errors import UserError
from automl.monitor.status import status
from experiments.monitor.monitor import lines, monitor
from experiments.monitor.run import Options, options_of
from tests.automl.monitor.bundles import goal_of, made, people


@pytest.fixture(scope="module")
def binary(tmp_path_factory) -> Path:
    return made(tmp_path_factory.mktemp("watched")).folder


def file(folder: Path, older: float = 0.0, rows: int = 1000, name: str = "new.parquet") -> Path:
    frame = pd.concat([people(rows // 2, 5), people(rows - rows // 2, 6, older=older)], ignore_index=True)
    frame["goal"] = goal_of(frame, "binary")
    path = folder / name
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    return path


def asked(bundle: Path, path: Path, **more: Any) -> dict[str, Any]:
    return json.loads(json.dumps(monitor(Options(bundle, path, progress=False, **more)), allow_nan=False))


def test_a_stable_file(binary: Path, tmp_path: Path) -> None:
    found = asked(binary, file(tmp_path))
    assert found["verdict"] == "fine" and not found["alerts"] and found["judged"]["windows"] == 5
    text = "\n".join(lines(found))
    assert "rows        1,000 in 5 windows" in text and "moved       nothing" in text and "estimated   accuracy" in text


@pytest.mark.parametrize("name", ["new.parquet", "new.csv"])
def test_a_file_that_moved(binary: Path, tmp_path: Path, name: str) -> None:
    found = asked(binary, file(tmp_path, older=15, name=name), window=100)
    ages = [a for a in found["alerts"] if a["field"] == "age"]
    assert len(ages) == 1 and 500 < ages[0]["since"] <= 700
    assert any(line.startswith("moved       age: median") for line in lines(found))


def test_labels_of_the_file(binary: Path, tmp_path: Path) -> None:
    found = asked(binary, file(tmp_path), labels="goal")
    assert found["live"]["labels"] == 1000 and len(found["live"]["coverage"]) == 3
    assert any(line.startswith("confirmed   accuracy") for line in lines(found))
    with pytest.raises(UserError, match="nothing"):
        asked(binary, file(tmp_path), labels="nothing")


def test_unreadable_rows_are_counted(binary: Path, tmp_path: Path) -> None:
    path = file(tmp_path, name="new.csv")
    path.write_text(path.read_text() + "1,2\n")
    found = asked(binary, path)
    assert found["traffic"]["unread"] == 1 and "could not be counted" in "\n".join(lines(found))


def test_it_is_what_a_server_tells(binary: Path, tmp_path: Path) -> None:
    from automl.deploy.bundle import Bundle

    assert asked(binary, file(tmp_path)).keys() == status(tmp_path / "none", Bundle.load(binary)).keys()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"window": 49}, "window=49 must be a whole number of at least 50"),
        ({"labels": 3}, "labels=3 must be text or null"),
        ({"bundle": "gone"}, "gone does not exist"),
        ({"out": "."}, "out=. is a folder"),
    ],
)
def test_wrong_options_are_one_line(binary: Path, tmp_path: Path, change: dict[str, Any], line: str) -> None:
    data = {"path": str(file(tmp_path)), "delimiter": None, "encoding": None}
    fine = {"bundle": str(binary), "data": data, "window": 200, "labels": None, "out": None, "progress": False}
    assert options_of(OmegaConf.create(fine)).window == 200
    with pytest.raises(UserError, match=line):
        options_of(OmegaConf.create(fine | change))
    with pytest.raises(UserError, match=r"data\.target=x does nothing here"):
        options_of(OmegaConf.create(fine), ["data.target=x"])


def test_a_bundle_without_a_reference_is_refused(binary: Path, tmp_path: Path) -> None:
    from tests.automl.monitor.bundles import Dataset, bundle_of

    frame = people(50, 1)
    bare = bundle_of(tmp_path / "bare", Dataset("toy", frame, goal_of(frame, "binary")), "binary")
    with pytest.raises(UserError, match=r"has no reference\.json"):
        asked(bare, file(tmp_path))


def test_too_few_rows_are_no_good_news(binary: Path, tmp_path: Path) -> None:
    found = asked(binary, file(tmp_path, rows=40))
    text = "\n".join(lines(found))
    assert found["verdict"] == "waiting" and "not known: fewer than 50 rows" in text and "nothing;" not in text
    found = asked(binary, file(tmp_path, rows=430))
    assert "the last 30 rows are too few to be tested" in "\n".join(lines(found)) and found["verdict"] == "fine"

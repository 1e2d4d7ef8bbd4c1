"""The benchmarks of the data floor, on folders made here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from automl.errors import UserError
from experiments.bench import data, scale
from experiments.bench.__main__ import main


def folder(tmp_path: Path, **changes) -> Path:
    """One csv and its json."""
    rows = "".join(f"{i},{i % 5},{'ab'[i % 2]}\n" for i in range(60))
    (tmp_path / "made.csv").write_text("x,z,target\n" + rows)
    said = {"name": "made", "file": "made.csv", "modality": "tabular", "task": "binary", "n_classes": 2}
    (tmp_path / "made.json").write_text(json.dumps(said | changes))
    return tmp_path


def test_a_set_that_is_as_its_json_says(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert data.main(["--root", str(folder(tmp_path)), "--no-check"]) == 0
    assert "1 sets, 1 as their json says, 0 not; 60 rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"task": "regression", "n_classes": 0}, "kind is binary, json says regression"),
        ({"n_classes": 3}, "2 classes, json says 3"),
        ({"modality": "image"}, "modality is tabular"),
        ({"file": "gone.csv"}, "does not exist"),
    ],
)
def test_a_mismatch_exits_with_one(tmp_path: Path, capsys: pytest.CaptureFixture, changes: dict, word: str) -> None:
    assert data.main(["--root", str(folder(tmp_path, **changes)), "--no-check"]) == 1
    assert word in capsys.readouterr().out


def test_an_absent_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--root"):
        data.main(["--root", str(tmp_path / "none")])


def test_the_large_csv_in_small(tmp_path: Path) -> None:
    scale.write_csv(tmp_path / "large.csv", 1_000, 24)
    found = scale.measure(tmp_path / "large.csv", check=False)
    assert found["shape"][0] > 24 and found["peak_gib"] > 0 and set(found["seconds"]) == {"load", "check", "encode"}


def test_an_unknown_benchmark_is_told_in_one_line(capsys: pytest.CaptureFixture) -> None:
    assert main(["nothing"]) == 2 and main([]) == 2
    said = capsys.readouterr().err
    assert "'nothing'" in said and "data" in said and said.count("\n") == 2

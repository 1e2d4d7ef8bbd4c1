"""The benchmarks of the data floor, on folders made here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from automl.errors import UserError
from experiments.bench import data, scale
from tests.experiments.recipes import recipe


def folder(tmp_path: Path, **changes) -> Path:
    """One csv and its json."""
    rows = "".join(f"{i},{i % 5},{'ab'[i % 2]}\n" for i in range(60))
    (tmp_path / "made.csv").write_text("x,z,target\n" + rows)
    said = {"name": "made", "file": "made.csv", "modality": "tabular", "task": "binary", "n_classes": 2}
    (tmp_path / "made.json").write_text(json.dumps(said | changes))
    return tmp_path


def test_a_set_that_is_as_its_json_says(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data.run(recipe("data", root=folder(tmp_path), check=False))
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
    with pytest.raises(SystemExit) as ended:
        data.run(recipe("data", root=folder(tmp_path, **changes), check=False))
    assert ended.value.code == 1
    assert word in capsys.readouterr().out


def test_a_folder_without_sets_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no NAME.json"):
        data.run(recipe("data", root=tmp_path))


def test_the_large_csv_in_small(tmp_path: Path) -> None:
    scale.write_csv(tmp_path / "large.csv", 1_000, 24)
    found = scale.measure(tmp_path / "large.csv", check=False)
    assert found["shape"][0] > 24 and found["peak_gib"] > 0 and set(found["seconds"]) == {"load", "check", "encode"}

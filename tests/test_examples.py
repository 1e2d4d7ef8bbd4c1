"""The examples do what they say. Each runs in a folder of its own, with a store of its own."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEVEL4_STORE", str(tmp_path / "store.db"))


def test_every_example_is_run():
    assert {f.name for f in EXAMPLES.iterdir()} == {"wine.py", "estimators.ipynb"}


@pytest.mark.whole
def test_wine(capsys):
    runpy.run_path(str(EXAMPLES / "wine.py"), run_name="__main__")
    said = capsys.readouterr().out
    assert "ensemble of" in said or "linear" in said or "mlp" in said
    found = dict(line.split(": ", 1) for line in said.splitlines() if ": " in line)
    assert float(found["accuracy on the test rows"]) > 0.8
    assert Path(found["report"]).exists() and len(found["labels"].split()) == 3


@pytest.mark.slow  # three searches
def test_estimators(tmp_path):
    """The code of the notebook's cells, in order; the last expression of a cell is evaluated as a notebook would."""
    cells = json.loads((EXAMPLES / "estimators.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert all(not cell.get("outputs") for cell in cells), "kept without outputs"
    known: dict = {}
    for cell in code:
        exec(compile(cell, "estimators.ipynb", "exec"), known)
    assert known["accuracy"] > 0.9 and known["scores"].shape == (2,) and known["probabilities"].shape[1] == 2
    assert (tmp_path / "bundle/model.onnx").exists()

"""What a model costs is told of rows as clients send them."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd

from automl.data.dataset import Dataset
from automl.deploy import measure
from automl.deploy.examples import raw_row
from automl.deploy.explain import write_background
from automl.deploy.export import export
from automl.deploy.fold import RAW
from automl.deploy.measure import BATCH, measured
from automl.deploy.rows import FastRows
from tests.automl.data.frames import fit_table
from tests.automl.deploy.test_bundle import made


def test_rows_are_asked_as_a_client_sends_them(tmp_path, monkeypatch):
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(40), unit="D")
    encoding, dataset = fit_table(a=np.arange(40.0), since=days, city=["x", "y", None, "x"] * 10)
    asked: list[list] = []
    fast = FastRows(encoding)

    def predict(rows: list) -> None:
        asked.append(rows)
        assert fast.encode(rows) is not None

    said = SimpleNamespace(
        encoding=encoding, meta={"parameters": 7, "files": {}}, variant={}, predict=predict, predict_encoded=list
    )
    monkeypatch.setattr(measure.Bundle, "load", lambda folder, threads: said)
    cost = measured(tmp_path, dataset)
    assert {len(rows) for rows in asked} == {1, BATCH}
    for rows in asked:
        assert json.loads(json.dumps(rows)) == rows
    assert asked[0] != asked[1], "another row each time"
    assert all(cost[name] > 0 for name in ("latency_ms", "batch_ms")) and cost["parameters"] == 7


def test_cells_of_every_kind_are_plain():
    table = pd.DataFrame(
        {
            "n": [1],
            "x": np.array([0.5], np.float32),
            "gap": [np.nan],
            "day": pd.to_datetime(["2020-01-02"]),
            "word": ["a"],
        }
    )
    dataset = Dataset("t", table, pd.Series(["yes"]), arrays={"signal": np.ones((1, 3))})
    row = raw_row(dataset, 0)
    np.testing.assert_array_equal(row.pop("signal"), np.ones(3))
    assert row == {"n": 1, "x": 0.5, "gap": None, "day": "2020-01-02T00:00:00", "word": "a"}
    assert [type(v) for v in row.values()] == [int, float, type(None), str, str]


def test_what_is_kept_to_explain_and_to_test_a_model_is_no_part_of_its_size(tmp_path):
    """A limit on megabytes is one on the model: its reference rows may be larger."""
    task, encoding, predictor, inputs, dataset = made("binary")

    def fill(folder):
        write_background(folder, [np.zeros((32, 10_000), np.float32)])
        for name in (RAW, "reference.json", "schema.json"):
            (folder / name).write_bytes(bytes(1_000_000))

    folder = export(tmp_path / "bundle", predictor, task, encoding, inputs, fill=fill)
    assert measured(folder, dataset)["megabytes"] < 0.1

"""What a model costs is told of rows as clients send them."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from automl.data.dataset import Dataset
from automl.deploy.bundle import Bundle
from automl.deploy.examples import raw_row
from automl.deploy.export import export
from automl.deploy.measure import BATCH, measured
from tests.automl.deploy.test_bundle import made


def test_a_row_is_asked_as_a_client_sends_it(tmp_path, monkeypatch):
    task, encoding, predictor, inputs, dataset = made("binary")
    folder = export(tmp_path / "bundle", predictor, task, encoding, inputs)
    asked, predict = [], Bundle.predict
    monkeypatch.setattr(Bundle, "predict", lambda bundle, rows: asked.append(rows) or predict(bundle, rows))
    cost = measured(folder, dataset)
    assert {len(rows) for rows in asked} == {1, BATCH}
    for rows in asked:
        assert json.loads(json.dumps(rows)) == rows
    assert asked[0] != asked[1], "another row each time"
    assert all(cost[name] > 0 for name in ("latency_ms", "batch_ms", "graph_ms", "parameters", "megabytes"))


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

"""What a card tells of the data is what the rows held."""

from __future__ import annotations

import numpy as np
import pandas as pd

from automl.data.dataset import Dataset
from automl.data.encode import Encoding
from automl.deploy.card import card
from automl.deploy.reference import reference_of
from automl.types import Task
from experiments.solve.data_card import classes_told, inputs_told
from tests.automl.deploy.rows import part_of
from tests.automl.deploy.test_card import EVIL, FACTS


def test_inputs_are_told_by_their_values_and_gaps() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": np.where(np.arange(100) < 20, np.nan, np.linspace(0, 99, 100)),
            "city": np.repeat(["Rome", "Oslo", "Lima", "Bonn", "Kyiv"], [40, 30, 15, 10, 5]),
            "seen": pd.date_range("2020-01-01", periods=100),
            "note": [" ".join(rng.choice(["red", "soft", "warm"], 4)) + f" {i}" for i in range(100)],
        }
    )
    dataset = Dataset("t", frame, pd.Series(np.arange(100.0), name="y"), modalities={"note": "text"})
    encoding = Encoding.fit(dataset, np.arange(100), kind="regression")
    task = Task("t", "regression", encoding.inputs, 1, "r2")
    reference = reference_of(encoding, dataset, part_of(encoding, dataset), np.zeros(100), task)
    told = {name: rest for name, *rest in inputs_told(encoding.fields, reference)}
    assert told["age"][:1] == ["numeric"] and told["age"][1].startswith("20 to 99, half of them below 5")
    assert told["age"][2] == "20 %" and told["seen"] == ["datetime", "2020-01-01 to 2020-04-09", "0 %"]
    assert told["city"] == ["categorical", "Rome 40 %, Oslo 30 %, Lima 15 %, Bonn 10 % and 1 more", "0 %"]
    assert told["note"][1] == "5 to 5 words or characters"


def test_classes_are_told_by_their_shares() -> None:
    task = Task("t", "binary", (), 2, "accuracy", classes=("no", "yes"))
    assert classes_told(task, np.array([0, 1, 1, 1])) == "yes 75 %, no 25 %"
    assert classes_told(Task("t", "regression", (), 1, "r2"), np.zeros(4)) == ""


def test_the_card_shows_them_as_they_are() -> None:
    inputs = [(f"{EVIL} {i}", "numeric", "0 to 1", "3 %") for i in range(50)]
    text = card({**FACTS, "inputs": inputs, "balance": "Adelie 40 %"})
    data = text.partition("## Data")[2].partition("## ")[0]
    assert "<script" not in data and data.count("0 to 1 | 3 %") == 40 and "10 more are in `schema.json`" in data
    assert "Classes among the rows it learned from: Adelie 40 %." in data

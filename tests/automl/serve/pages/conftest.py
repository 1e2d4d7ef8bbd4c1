"""A stub of the server for all tests of the pages."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

from automl.data.dataset import Dataset
from tests.automl.deploy.rows import mixed
from tests.automl.serve.pages.stub import HOSTILE, Stub, served


def strange() -> Dataset:
    """Columns, categories and classes with names that try to be something else."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({name: rng.normal(size=60) for name in HOSTILE})
    frame["city <b>"] = rng.choice(HOSTILE[:4], 60)
    return Dataset("strange", frame, pd.Series(np.array(HOSTILE)[np.arange(60) % 6], name="<i>goal</i>"))


def wide() -> Dataset:
    """100 columns and 120 classes."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(240, 100)), columns=[f"a measured quantity {i}" for i in range(100)])
    return Dataset("wide", frame, pd.Series([f"species number {i % 120}" for i in range(240)], name="species"))


@pytest.fixture(scope="session")
def stub() -> Stub:
    stub = Stub()
    rng = np.random.default_rng(0)
    stub.add("everything", mixed(), "binary", row=4)
    stub.add("strange", strange(), "multiclass")
    stub.add("wide", wide(), "multiclass")
    stub.add(
        "value", Dataset("v", pd.DataFrame({"a": rng.normal(size=60)}), pd.Series(rng.normal(size=60))), "regression"
    )
    return stub


@pytest.fixture(scope="session")
def address(stub: Stub) -> Iterator[str]:
    with served(stub.app) as address:
        yield address

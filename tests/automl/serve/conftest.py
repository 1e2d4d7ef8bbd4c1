"""Bundles that the tests of the server share; each is made when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.automl.serve import made


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Kind -> folder of a bundle of it."""
    folder = tmp_path_factory.mktemp("served")
    return cache(lambda kind: made.bundle(folder, kind))

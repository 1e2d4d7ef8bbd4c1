from __future__ import annotations

import pytest

from automl.deploy.bundle import Bundle
from tests.automl.monitor.bundles import made


@pytest.fixture(scope="session")
def bundle(tmp_path_factory) -> Bundle:
    return made(tmp_path_factory.mktemp("watched"))


@pytest.fixture(scope="session")
def values(tmp_path_factory) -> Bundle:
    return made(tmp_path_factory.mktemp("values"), "regression")

"""A server that takes jobs, in this process; what it starts is in ``processes.py``."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from automl.serve.app import Server, create_app
from automl.serve.settings import Settings
from experiments.jobs.server import mount
from experiments.jobs.service import Service
from experiments.jobs.settings import VARIABLE, Jobs

ROOT = Path(__file__).resolve().parents[3]
HERE = str(Path(__file__).with_name("processes.py"))
Made = Callable[..., tuple[Server, Service]]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    """Makes one with these options of ``Jobs``."""
    (tmp_path / "registry").mkdir()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    services: list[Service] = []

    def make(token: str | None = None, **options: Any) -> tuple[Server, Service]:
        words = {name: (sys.executable, HERE, name) for name in ("work", "clerk")}
        monkeypatch.setenv(VARIABLE, json.dumps(dataclasses.asdict(Jobs(**{**words, **options}))))
        app = create_app(Settings(registry=str(tmp_path / "registry"), state=str(tmp_path / "state"), token=token))
        mount(app)
        (service,) = app.parts
        assert isinstance(service, Service)
        services.append(service)
        return app, service

    yield make
    for service in services:
        service.close()

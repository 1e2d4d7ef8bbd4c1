"""What is told where the server cannot start."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from automl.errors import UserError
from automl.serve.__main__ import _server


def test_what_is_missing_is_named_as_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By packages: of a small install the whole program's extra is none."""
    real = importlib.util.find_spec

    def find(name: str) -> Any:
        return None if name in ("fastapi", "python_multipart") else real(name)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    with pytest.raises(UserError, match=r"Run: pip install fastapi python-multipart$"):
        _server()

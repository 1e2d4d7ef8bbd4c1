"""Engines whose packages are not installed by default."""

from __future__ import annotations

from typing import Any

import pytest

from nas.engines.pool import Pool


def ray_engine(**options: Any) -> Pool:
    """The engine on Ray; without that the test which makes it is skipped."""
    pytest.importorskip("ray", reason="ray is not installed")
    from nas.engines.ray import RayEngine

    return RayEngine(**options)

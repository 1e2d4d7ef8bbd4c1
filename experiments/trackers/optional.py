"""What trackers of packages that are not installed by default have in common, beside ``automl.errors.needs``."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec

log = logging.getLogger(__name__)
P = ParamSpec("P")


def harmless(method: Callable[P, Any]) -> Callable[P, None]:
    """A tracker's method whose first fault is one warning, and the last of it: the run goes on without the tracker."""

    @functools.wraps(method)
    def tried(*args: P.args, **kwargs: P.kwargs) -> None:
        tracker: Any = args[0]
        if getattr(tracker, "_lost", False):
            return
        try:
            method(*args, **kwargs)
        except Exception as error:
            tracker._lost = True
            said = " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__
            log.warning("%s: %s. The run goes on without it.", type(tracker).__name__, said)

    return tried


def run_folder(folder: str | None) -> Path:
    """As asked, else Hydra's output folder, else ``outputs``."""
    from hydra.core.hydra_config import HydraConfig

    own = HydraConfig.get().runtime.output_dir if HydraConfig.initialized() else "outputs"
    return Path(folder or own)

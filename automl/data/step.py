"""What was done to a column on its way from the raw cells, so that serving can do it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Step:
    """One conversion or repair of one column that new data must undergo too: see ``automl.data.quality.clean``."""

    do: str
    column: str
    values: tuple[Any, ...] = ()

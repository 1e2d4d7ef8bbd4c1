"""What went wrong on the user's side, in one line."""

from __future__ import annotations

import math
from importlib.util import find_spec


class UserError(Exception):
    """A mistake that the user can mend: one line that names the value, the place and the fix.

    The command line prints it alone, without a traceback, and exits with status 2.
    """


def within(name: str, value: float | None, low: float, high: float = math.inf) -> None:
    """Raises ValueError when an option lies outside its bounds; None is free."""
    if value is not None and not low <= value <= high:
        bounds = f"at least {low:g}" if math.isinf(high) else f"from {low:g} to {high:g}"
        raise ValueError(f"{name}={value} must be {bounds}")


def needs(option: str, module: str, install: str) -> None:
    """Raises UserError where a package that an option needs is not installed: before the work, not after it."""
    if find_spec(module) is None:
        raise UserError(f"{option} needs a package that is not installed. Run: pip install {install}")

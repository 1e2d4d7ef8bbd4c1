"""No tracking."""

from __future__ import annotations

from experiments.events import Listener


class NoTracker(Listener):
    """Does nothing: the store, result.json and the report still hold everything."""

"""What a server that takes jobs is told, beside ``automl.serve.settings``."""

from __future__ import annotations

from dataclasses import dataclass

from automl.errors import UserError

VARIABLE = "LEVEL4_JOBS"
"""Of the environment: how a server's workers learn of these."""
RUN, SEARCHES = "run", "searches"
"""Folders of a job: what it leaves, and the networks of its search, which only a run that goes on reads."""


@dataclass(frozen=True)
class Jobs:
    """``work``, ``clerk``: the words of the commands that do a job and that check one. The server knows nothing else of
    what trains: it holds no torch.

    ``datasets``: a folder of data that jobs may name. ``at_once``: jobs that train at the same time; ``waiting``,
    ``kept``: that may wait, and that may be there at all, as many as uploads. ``seconds``: of one job at most.
    ``check_seconds``: of a look at what was asked. ``store``: of past runs, for the leaderboard.
    """

    work: tuple[str, ...]
    clerk: tuple[str, ...]
    datasets: str | None = None
    at_once: int = 1
    waiting: int = 20
    kept: int = 200
    seconds: float = 3600.0
    check_seconds: float = 60.0
    store: str | None = None

    def __post_init__(self) -> None:
        """Raises UserError for a number out of range."""
        for name in ("work", "clerk"):  # JSON knows lists
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("at_once", "waiting", "kept"):
            if getattr(self, name) < 1:
                raise UserError(f"job.{name}={getattr(self, name)} must be at least 1")
        for name in ("seconds", "check_seconds"):
            if not getattr(self, name) > 0:
                raise UserError(f"job.{name}={getattr(self, name)} must be above 0")

"""Where trainings that may go on wait: their state, on disk, for as long as the search runs."""

from __future__ import annotations

import tempfile
from typing import IO

from automl.types import Candidate


class States:
    """Candidate -> state of its longest training so far, as ``Outcome.resume`` holds it.

    A convenience, not a record: files without a name, which vanish with the process even when it is killed. Beyond
    ``gigabytes`` or ``count`` (both by judgement: of disk, and of open files) the oldest are dropped; a training whose
    state is gone starts again from scratch.
    """

    def __init__(self, gigabytes: float = 8.0, count: int = 256) -> None:
        self.limit = int(gigabytes * 1e9)
        self.count = count
        self._files: dict[str, IO[bytes]] = {}
        self._sizes: dict[str, int] = {}

    def put(self, candidate: Candidate, state: bytes) -> None:
        """Keep a state; an earlier one of the same candidate is replaced."""
        self.drop(candidate)
        if len(state) > self.limit:
            return
        while self._sizes and (sum(self._sizes.values()) + len(state) > self.limit or len(self._sizes) >= self.count):
            self._remove(next(iter(self._sizes)))
        file = tempfile.TemporaryFile()  # noqa: SIM115  (closed when it is dropped)
        file.write(state)
        file.flush()
        self._files[candidate.id], self._sizes[candidate.id] = file, len(state)

    def get(self, candidate: Candidate) -> bytes | None:
        """The state, or None when there is none."""
        file = self._files.get(candidate.id)
        if file is None:
            return None
        file.seek(0)
        return file.read()

    def drop(self, candidate: Candidate) -> None:
        """Forget the candidate's state, if there is one."""
        if candidate.id in self._files:
            self._remove(candidate.id)

    def _remove(self, id: str) -> None:
        self._files.pop(id).close()
        del self._sizes[id]

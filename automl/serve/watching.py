"""What the server hands to monitoring: who counts a version's rows, labels that come later, and how a model fares."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from automl.deploy.bundle import Bundle
from automl.errors import UserError
from automl.monitor.answers import NAME as ANSWERS
from automl.monitor.answers import Answers, Feedback
from automl.monitor.recorder import Recorder
from automl.monitor.status import status
from automl.serve.limits import Refused
from automl.serve.models import SHORT, Loaded, Version

KEPT = 1.5  # seconds until an answer is kept


class Watching:
    """``state``: the server's folder. Versions that are served no longer are still known there, for late labels."""

    def __init__(self, state: Path) -> None:
        self.folder = state / "monitor"
        self._bundles: dict[Path, Bundle] = {}  # of every version that was served since the start

    def recorder(self, version: Version, bundle: Bundle) -> Recorder:
        folder = self._of(version.name, version.digest)
        self._bundles[folder] = bundle
        return Recorder(folder, bundle)

    async def feedback(self, request: str, labels: Sequence[Any]) -> Feedback:
        """Labels of a request's rows. Raises UserError for one that its model cannot have, Refused where none is known.

        The version that answered is found by the request: which it was a client need not know. What was answered just
        now is kept a moment later.
        """
        try:
            return await asyncio.to_thread(self._feedback, request, labels)
        except Refused:
            await asyncio.sleep(KEPT)
        return await asyncio.to_thread(self._feedback, request, labels)

    def _feedback(self, request: str, labels: Sequence[Any]) -> Feedback:
        wrong: UserError | None = None
        for folder, bundle in [*self._bundles.items()]:
            if not (folder / ANSWERS).is_file():
                continue
            try:
                found = Answers(folder, bundle).feedback(request, labels)
            except UserError as error:
                wrong = error
                continue
            if found.known or found.repeated:
                return found
        if wrong is not None:
            raise wrong
        raise Refused(404, "no answer is kept under this id")

    def status(self, loaded: Loaded) -> Mapping[str, Any]:
        said = status(self._of(loaded.name, loaded.digest), loaded.bundle)
        return {"model": loaded.name, **said}

    def _of(self, name: str, digest: str) -> Path:
        return self.folder / name / digest[:SHORT]

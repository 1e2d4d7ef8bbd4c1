"""What the server hands to monitoring: who counts a version's rows, labels that come later, and how a model fares."""

from __future__ import annotations

import asyncio
import logging
import math
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from automl.deploy.bundle import Bundle
from automl.deploy.entry import DIGITS
from automl.errors import UserError
from automl.monitor.answers import KEEP_DAYS, NAME, Answers, Feedback, fix_of
from automl.monitor.recorder import Recorder
from automl.monitor.status import status
from automl.serve.limits import Refused
from automl.serve.models import Loaded, Version

KEPT = 1.5  # seconds until an answer is kept: those of ``recorder.PAUSE`` and what a batch takes
UNKNOWN = "no answer is kept under this id"
DAY = 86_400  # seconds
log = logging.getLogger(__name__)


class Watching:
    """``state``: the server's folder. Versions that are served no longer are still known there, for late labels: also
    those of before a restart.

    ``webhook``: where alerts go too.
    """

    def __init__(self, state: Path, webhook: str | None = None) -> None:
        self.folder, self.webhook = state / "monitor", webhook
        self._answers: dict[Path, Answers] = {}  # of every version that was served since the start, without its model

    def recorder(self, version: Version, bundle: Bundle) -> Recorder:
        folder = self._of(version.name, version.digest)
        self._answers[folder] = Answers(folder, bundle)
        return Recorder(folder, bundle, webhook=self.webhook)

    async def feedback(self, request: str, labels: Sequence[Any], name: str | None = None) -> Feedback:
        """Labels of a request's rows. Raises UserError for one that its model cannot have, Refused where none is known.

        The version that answered is found by the request: which it was a client need not know. ``name``: of the model
        that is meant, where several answered the same id. What was answered just now is kept a moment later.
        """
        if not request.isascii():  # none has such an id
            raise Refused(404, UNKNOWN)
        try:
            return await asyncio.to_thread(self._feedback, request, labels, name, time.time() - KEPT)
        except Refused:
            await asyncio.sleep(KEPT)
        return await asyncio.to_thread(self._feedback, request, labels, name, math.inf)

    def _feedback(self, request: str, labels: Sequence[Any], name: str | None, before: float) -> Feedback:
        """Told to all versions of a name that were asked: to a shadow too.

        ``before``: unix seconds. A later answer may not be kept by all of them yet.
        """
        wrong: UserError | Refused | None = None
        asked: list[Answers] = []
        for folder, answers in self._kept().items():
            if name not in (None, folder.parent.name):
                continue
            try:
                if (at := answers.answered(request)) is None:
                    continue
                if at > before:
                    raise Refused(404, UNKNOWN)
                asked.append(answers)
            except (OSError, sqlite3.Error) as error:
                wrong = _not_kept(folder, error)
        names = sorted({answers.path.parent.parent.name for answers in asked})
        if len(names) > 1:
            raise UserError(f'several models answered this id; send "model" too, one of: {", ".join(names[:8])}')
        found: list[Feedback] = []
        for answers in asked:
            try:
                found.append(answers.feedback(request, labels))
            except UserError as error:
                wrong = error
            except (OSError, sqlite3.Error) as error:
                wrong = _not_kept(answers.path.parent, error)
        if found:
            return max(found)
        raise wrong or Refused(404, UNKNOWN)

    def _kept(self) -> dict[Path, Answers]:
        """By folder: of all that were served since the start, and before it as long as answers are kept."""
        for path in self.folder.glob(f"*/*/{NAME}"):
            with suppress(OSError, sqlite3.Error):
                if path.parent in self._answers or time.time() - path.stat().st_mtime > KEEP_DAYS * DAY:
                    continue
                if (found := Answers.found(path.parent)) is not None:
                    self._answers[path.parent] = found
        return dict(self._answers)

    def status(self, loaded: Loaded) -> Mapping[str, Any]:
        said = status(self._of(loaded.name, loaded.digest), loaded.bundle)
        return {"model": loaded.name, **said}

    def _of(self, name: str, digest: str) -> Path:
        return self.folder / name / digest[:DIGITS]


def _not_kept(folder: Path, error: Exception) -> Refused:
    log.error("%s: labels cannot be kept (%s); %s", folder, error, fix_of(error))
    return Refused(503, "labels cannot be kept now; send them again later", Retry_After="5")

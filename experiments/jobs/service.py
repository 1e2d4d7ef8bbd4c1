"""Jobs of a server: the table, who works on it, who checks what is asked, the data that may be named."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import threading
import zipfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, TypeVar

from automl.errors import UserError
from automl.serve.limits import Refused
from automl.serve.settings import private_folder
from experiments.jobs.data import Data
from experiments.jobs.desk import Clerk
from experiments.jobs.keeper import Keeper
from experiments.jobs.settings import RUN, Jobs
from experiments.jobs.table import ENDED, Full, Job, Table

WAITING = 8  # for the clerk or a disk, in threads of their own
SHOWN = ("name", "model", "labels")  # of a dictionary, what the leaderboard needs
IN_BRIEF = ("id", "data", "state", "attempts", "made", "began", "ended", "version", "result", "error")
T = TypeVar("T")


class Wrong(Exception):
    """What was asked cannot be done. ``errors``: of each fault its place ``at``, the ``problem`` and the ``fix``."""

    def __init__(self, text: str, errors: list[dict[str, Any]]) -> None:
        super().__init__(text)
        self.text, self.errors = text, errors


class Service:
    """``folder``: of all that jobs write. Raises UserError where it or the table in it cannot be used."""

    def __init__(self, settings: Jobs, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        private_folder(folder)
        datasets = None if settings.datasets is None else Path(settings.datasets).expanduser()
        self.data = Data(folder / "data", datasets)
        self.table = Table.checked(folder / "jobs.db")
        words = [*settings.clerk, "--uploads", str(self.data.uploads)]
        words += ["--seconds", str(settings.seconds)]
        words += [] if datasets is None else ["--datasets", str(datasets)]
        self.clerk = Clerk(words, folder / "clerk.txt", settings.check_seconds, settings.store)
        work = [*settings.work, "--uploads", str(self.data.uploads), "--seconds", str(settings.seconds)]
        work += [] if datasets is None else ["--datasets", str(datasets)]
        self.keeper = Keeper(self.table, folder, work, settings.at_once)
        self._room, self._threads = threading.BoundedSemaphore(WAITING), ThreadPoolExecutor(WAITING, "jobs")
        self._layers: Mapping[str, Any] | None = None

    def start(self) -> None:
        self.keeper.start()
        threading.Thread(target=self.clerk.start, name="clerk", daemon=True).start()

    def close(self) -> None:
        self.clerk.close()
        self.keeper.close()

    async def patiently(self, task: Callable[..., T], *of: Any) -> T:
        """What waits for the clerk or a disk: not in the loop's threads, where all else waits too. Raises Refused."""
        if not self._room.acquire(blocking=False):
            raise Refused(429, "too many requests wait here; ask again later", Retry_After="2")
        future = self._threads.submit(task, *of)
        future.add_done_callback(lambda _: self._room.release())  # not before its thread is free
        return await asyncio.wrap_future(future)

    def check(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the dictionary would train. Raises Wrong, Refused."""
        return self._answer("check", asked=asked)

    def submit(self, asked: Mapping[str, Any], key: str | None) -> Job:
        """Check, then queue. ``key``: of the client; what was sent with it before is neither checked nor queued again.

        Raises Wrong, Refused, and UserError for a key of another dictionary.
        """
        job = None if key is None else self.table.keyed(key)
        if job is None:
            data = self.check(asked)["data"]
            try:
                job, _ = self.table.submit(
                    asked,
                    data,
                    most=self.settings.waiting,
                    kept=self.settings.kept,
                    key=key,
                    sure=lambda: self.data.find(data),
                )
            except Full as full:
                raise Refused(429, str(full), Retry_After="30") from None
        if key is not None and json.dumps(job.asked, sort_keys=True) != json.dumps(asked, sort_keys=True):
            raise UserError("Idempotency-Key: another dictionary was sent with it before; take another key")
        return job

    def layers(self) -> Mapping[str, Any]:
        """What a dictionary may name; it never changes."""
        self._layers = self._layers or self._answer("layers")
        return self._layers

    def leaderboard(self, data: str) -> Mapping[str, Any]:
        """Raises Wrong, Refused, UserError."""
        self.data.find(data)
        jobs = [
            {"id": job.id, "asked": {n: job.asked.get(n) for n in SHOWN}, "result": job.result}
            for job in self.table.all(data=data, last=1000)
            if job.state == "done"
        ]
        return self._answer("leaderboard", data=data, jobs=jobs)

    def test(self, id: str, rows: list[Any], truth: list[Any]) -> Mapping[str, Any]:
        """Raises Wrong, Refused."""
        return self._answer("test", folder=str(self.bundle(self.job(id))), rows=rows, truth=truth)

    def remove(self, name: str) -> None:
        """Take away what was uploaded. Raises UserError, and Refused while a job needs it."""
        path = self.data.uploaded(name)
        with self.table.needing(name) as id:
            if id is not None:
                raise Refused(409, f"job {id} needs {name!r}; wait until it has ended, or DELETE /jobs/{id} first")
            path.unlink(missing_ok=True)

    def job(self, id: str) -> Job:
        """Raises Refused."""
        job = self.table.get(id)
        if job is None:
            raise Refused(404, "no job has this id")
        return job

    def finished(self, job: Job) -> Path:
        """The folder of a job that is done. Raises Refused."""
        if job.state != "done":
            raise Refused(404, f"this job is {job.state}; what it gives is there when it is done")
        return self.folder / job.id / RUN

    def result(self, job: Job) -> bytes:
        """result.json, without where things lie on this machine. Raises Refused."""
        try:
            text = (self.finished(job) / "result.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            raise Refused(404, "this job has no result any more") from None
        for folder in filter(None, (self.data.uploads, self.data.datasets, self.folder / job.id)):
            text = text.replace(f"{folder}/", "")
        return text.encode()

    def bundle(self, job: Job) -> Path:
        folder = self.finished(job) / "bundle"
        if not (folder / "meta.json").is_file():
            raise Refused(404, "this job has no bundle any more")
        return folder

    def packed(self, job: Job) -> IO[bytes]:
        """The bundle as a zip file without a name, gone when it is closed or this process ends. Raises Refused."""
        folder = self.bundle(job)
        try:
            file = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115 -- who sends it closes it
            with zipfile.ZipFile(file, "w", strict_timestamps=False) as packed:  # a clock may stand at 1970
                for one in sorted(p for p in folder.rglob("*") if p.is_file()):
                    packed.write(one, Path("bundle") / one.relative_to(folder))
        except FileNotFoundError:  # it is being deleted
            raise Refused(404, "this job has no bundle any more") from None
        except OSError:
            raise Refused(503, "there is no room now to pack the bundle; come again later", Retry_After="30") from None
        return file

    def delete(self, job: Job) -> Job | None:
        """Stop one that has not ended; take away one that has, with all it wrote: None."""
        if job.state not in ENDED:
            return self.table.cancel(job.id)
        shutil.rmtree(self.folder / job.id, ignore_errors=True)  # before nobody knows of it
        self.table.forget(job.id)
        return None

    def _answer(self, what: str, /, **question: Any) -> Mapping[str, Any]:
        told = self.clerk.ask(what, **question)
        if "errors" in told:
            raise Wrong(told["error"], told["errors"])
        if "unready" in told:
            raise Refused(503, told["unready"], Retry_After="30")
        if "ok" not in told:
            raise RuntimeError(f"the clerk failed over {what}: {self.clerk.log} knows why")
        return told["ok"]


def brief(job: Job) -> dict[str, Any]:
    """A job in a list."""
    said = {name: getattr(job, name) for name in IN_BRIEF}
    progress = job.progress or {}
    trials = progress.get("trials", ())  # of a list their number
    return said | {
        "name": job.asked.get("name"),
        "what": job.asked.get("model") or "layers",
        "stage": progress.get("stage") if job.state == "running" else None,
        "trials": trials if isinstance(trials, int) else len(trials),
        "metric": progress.get("metric"),
        "best": progress.get("best"),
    }


def whole(job: Job) -> dict[str, Any]:
    """Everything of one."""
    return brief(job) | {"asked": job.asked, "progress": job.progress, "cancel": job.cancel}

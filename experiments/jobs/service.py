"""Jobs of a server: the table, who works on it, who checks what is asked, the data that may be named."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from automl.errors import UserError
from automl.serve.limits import Refused
from experiments.jobs.data import Data
from experiments.jobs.desk import Clerk
from experiments.jobs.keeper import Keeper
from experiments.jobs.settings import Jobs
from experiments.jobs.table import ENDED, Full, Job, Table

OLD = 3600.0  # seconds after which nobody downloads a file any more
RUN = "run"  # the folder of a job that its process writes
IN_BRIEF = ("id", "data", "state", "attempts", "made", "began", "ended", "version", "result", "error")


class Wrong(Exception):
    """What was asked cannot be done. ``errors``: of each fault its place ``at``, the ``problem`` and the ``fix``."""

    def __init__(self, text: str, errors: list[dict[str, Any]]) -> None:
        super().__init__(text)
        self.text, self.errors = text, errors


class Service:
    """``folder``: of all that jobs write."""

    def __init__(self, settings: Jobs, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        datasets = None if settings.datasets is None else Path(settings.datasets).expanduser()
        self.data = Data(folder / "data", datasets)
        self.table = Table(folder / "jobs.db")
        words = [*settings.clerk, "--uploads", str(self.data.uploads)]
        words += ["--seconds", str(settings.seconds)]
        words += [] if datasets is None else ["--datasets", str(datasets)]
        self.clerk = Clerk(words, folder / "clerk.txt", settings.check_seconds, settings.store)
        work = [*settings.work, "--uploads", str(self.data.uploads), "--seconds", str(settings.seconds)]
        work += [] if datasets is None else ["--datasets", str(datasets)]
        self.keeper = Keeper(self.table, folder, work, settings.at_once)
        self._layers: Mapping[str, Any] | None = None
        for left in folder.glob(".zip-*"):  # of a server that was killed
            if time.time() - left.stat().st_mtime > OLD:
                left.unlink(missing_ok=True)

    def start(self) -> None:
        self.keeper.start()
        threading.Thread(target=self.clerk.start, name="clerk", daemon=True).start()

    def close(self) -> None:
        self.clerk.close()
        self.keeper.close()

    def check(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the dictionary would train. Raises Wrong, Refused."""
        return self._answer("check", asked=asked)

    def submit(self, asked: Mapping[str, Any], key: str | None) -> tuple[Job, bool]:
        """Check, then queue. ``key``: of the client; what was sent with it before is not queued twice."""
        told = self.check(asked)
        try:
            job, new = self.table.submit(
                asked, told["data"], most=self.settings.waiting, kept=self.settings.kept, key=key
            )
        except Full as full:
            raise Refused(429, str(full), Retry_After="30") from None
        if not new and job.asked != asked:
            raise UserError("Idempotency-Key: another dictionary was sent with it before; take another key")
        return job, new

    def layers(self) -> Mapping[str, Any]:
        """What a dictionary may name; it never changes."""
        self._layers = self._layers or self._answer("layers")
        return self._layers

    def leaderboard(self, data: str) -> Mapping[str, Any]:
        jobs = [
            {"id": job.id, "asked": job.asked, "result": job.result, "ended": job.ended, "folder": str(self.place(job))}
            for job in self.table.all(data=data, last=1000)
            if job.state == "done"
        ]
        return self._answer("leaderboard", data=data, jobs=jobs)

    def test(self, job: Job, rows: list[Any], truth: list[Any]) -> Mapping[str, Any]:
        return self._answer("test", folder=str(self.bundle(job)), rows=rows, truth=truth)

    def job(self, id: str) -> Job:
        """Raises Refused."""
        job = self.table.get(id)
        if job is None:
            raise Refused(404, "no job has this id")
        return job

    def place(self, job: Job) -> Path:
        return self.folder / job.id / RUN

    def finished(self, job: Job) -> Path:
        """The folder of a job that is done. Raises Refused."""
        if job.state != "done":
            raise Refused(404, f"this job is {job.state}; what it gives is there when it is done")
        return self.place(job)

    def result(self, job: Job) -> bytes:
        """result.json, without where things lie on this machine. Raises Refused."""
        file = self.finished(job) / "result.json"
        if not file.is_file():
            raise Refused(404, "this job has no result any more")
        text = file.read_text(encoding="utf-8")
        for folder in filter(None, (self.data.uploads, self.data.datasets, self.folder / job.id)):
            text = text.replace(f"{folder}/", "")
        return text.encode()

    def bundle(self, job: Job) -> Path:
        folder = self.finished(job) / "bundle"
        if not (folder / "meta.json").is_file():
            raise Refused(404, "this job has no bundle any more")
        return folder

    def packed(self, job: Job) -> Path:
        """The bundle as a zip file of its own, which the caller removes. Raises Refused."""
        folder = self.bundle(job)
        with tempfile.NamedTemporaryFile(dir=self.folder, prefix=".zip-", delete=False) as file:
            path = Path(file.name)
            try:
                with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as packed:
                    for one in sorted(p for p in folder.rglob("*") if p.is_file()):
                        packed.write(one, Path("bundle") / one.relative_to(folder))
            except BaseException:
                path.unlink()
                raise
        return path

    def delete(self, job: Job) -> Job | None:
        """Stop one that has not ended; take away one that has, with all it wrote: None."""
        if job.state not in ENDED:
            return self.table.cancel(job.id)
        if self.table.forget(job.id):
            shutil.rmtree(self.folder / job.id, ignore_errors=True)
        return None

    def _answer(self, what: str, /, **question: Any) -> Mapping[str, Any]:
        told = self.clerk.ask(what, **question)
        if "errors" in told:
            raise Wrong(told["error"], told["errors"])
        if "ok" not in told:
            raise RuntimeError(f"the clerk failed over {what}: {self.clerk.log} knows why")
        return told["ok"]


def brief(job: Job) -> dict[str, Any]:
    """A job in a list."""
    said = {name: getattr(job, name) for name in IN_BRIEF}
    progress = job.progress or {}
    return said | {
        "name": job.asked.get("name"),
        "what": job.asked.get("model") or "layers",
        "stage": progress.get("stage") if job.state == "running" else None,
        "trials": len(progress.get("trials", ())),
        "metric": progress.get("metric"),
        "best": progress.get("best"),
    }


def whole(job: Job) -> dict[str, Any]:
    """Everything of one."""
    return brief(job) | {"asked": job.asked, "progress": job.progress, "cancel": job.cancel}

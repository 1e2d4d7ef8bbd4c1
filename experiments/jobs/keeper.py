"""The keeper: a thread of the server that starts a process for each job whose turn it is.

The process itself holds the lease, hears that it is to stop, and says how it ended: it goes on when the server is
killed. What the keeper does when the server ends in order is to stop the jobs; they wait, and go on with the next one.
It also takes away what no job needs any more, however the job ended.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from experiments.jobs.desk import environ
from experiments.jobs.settings import SEARCHES
from experiments.jobs.table import ENDED, Lease, Table

LOOK = 0.5  # seconds between looks at the table
TIDY = 30.0  # seconds between looks for what is left over
log = logging.getLogger(__name__)


class Keeper:
    """``command``: the words that work on a job; the folder of jobs, its id and the lease are added."""

    def __init__(self, table: Table, folder: Path, command: Sequence[str], at_once: int) -> None:
        self.table, self.folder, self.command, self.at_once = table, folder, command, at_once
        self.working: dict[str, tuple[Lease, subprocess.Popen[bytes]]] = {}
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)
        self._stop = threading.Event()

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop the jobs, also those of a server that was killed: they wait, and lose nothing that had finished."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        stopped = {lease: process.pid for lease, process in self.working.values()}
        with contextlib.suppress(sqlite3.Error):
            stopped |= dict(self.table.at_work())
        for lease, pid in stopped.items():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            with contextlib.suppress(sqlite3.Error):
                lease.give_back()
        for _, process in self.working.values():
            process.wait()
        self.working.clear()

    def look(self) -> None:
        """Once: see who has ended, and start what may begin."""
        for id, (lease, process) in [*self.working.items()]:
            if process.poll() is not None:
                lease.vanished()
                del self.working[id]
        while (lease := self.table.take(self.at_once)) is not None:
            try:
                process = self._begun(lease)
            except OSError:  # it waits on, and has lost no attempt
                lease.give_back()
                raise
            self.working[lease.id] = lease, process
            lease.begin(process.pid)  # it says so itself once it has imported what it needs, which may take long

    def tidy(self) -> None:
        """Only a run that goes on reads the networks of its search: those of jobs that have ended are taken away."""
        for searches in self.folder.glob(f"*/{SEARCHES}"):
            job = self.table.get(searches.parent.name)
            if job is not None and job.state in ENDED:
                shutil.rmtree(searches, ignore_errors=True)

    def _run(self) -> None:
        told, tidied = False, -TIDY
        while not self._stop.wait(LOOK):
            try:
                if time.monotonic() - tidied >= TIDY:  # before: it may give a full disk some room
                    self.tidy()
                    tidied = time.monotonic()
                self.look()
                told = False
            except (sqlite3.Error, OSError) as error:  # a full disk: jobs wait until it is mended
                if not told:
                    log.error("jobs cannot be started: %s", error)
                told = True
            except Exception:  # a fault of ours over one job must not end the starting of all others
                if not told:
                    log.exception("jobs cannot be started")
                told = True

    def _begun(self, lease: Lease) -> subprocess.Popen[bytes]:
        folder = self.folder / lease.id
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (folder / "log.txt").open("ab") as text:
            return subprocess.Popen(
                [*self.command, str(self.folder), lease.id, lease.token],
                stdin=subprocess.DEVNULL,
                stdout=text,
                stderr=text,
                env=environ(),
                start_new_session=True,  # Ctrl-C in the server's terminal is not for it
            )

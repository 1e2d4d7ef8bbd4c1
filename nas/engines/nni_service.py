"""Trains in NNI's own training service: a process per trial, on this machine or on others over SSH.

For machines that are set up for NNI already. Everywhere else ``processes`` is many times faster, since its workers
import torch once (``+experiment=bench/throughput``).
"""

from __future__ import annotations

import nas.nni_fixes  # isort: skip  # noqa: F401

import base64
import logging
import math
import queue
import shlex
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from nni.experiment.config import ExperimentConfig, LocalConfig, RemoteConfig, RemoteMachineConfig
from nni.runtime.tuner_command_channel import TunerCommandChannel, command_type

from automl.errors import UserError, within
from nas.engines.base import Engine
from nas.engines.nni.jobfile import order_to_json, outcome_from_json, save_job
from nas.engines.nni.manager import NniManager
from nas.job import Job, Order, Outcome
from nas.time import TRIAL_START, patience

PAYLOAD = 4000  # bytes; NNI cuts at 4096
log = logging.getLogger(__name__)
T = TypeVar("T")


class NniServiceEngine(Engine):
    """Parameters.

    workers: trials at once. threads: torch threads of a trial. folder: what NNI writes; None takes a temporary one.
    gpus_per_trial: whole GPUs, or a fraction of one (1/n lets n trials share it).
    machines: remote ones, each ``{host, user, port, ssh_key_file, python_path}``; empty means this machine. The Python
    in the folder ``python_path`` must have this program's libraries; code and data travel. NNI runs ``pip install nni
    --upgrade`` there and opens a port of its own.
    port: of NNI's manager and its web page, the next one too. listen: the address it listens on. **Whoever reaches
    that port can run code as this user**: there is no password. Remote machines must reach it, so with ``machines``
    give the address of a network that you trust.
    """

    def __init__(
        self,
        workers: int = 2,
        threads: int = 1,
        folder: str | None = None,
        gpus_per_trial: float = 0.0,
        machines: Sequence[Mapping[str, Any]] = (),
        port: int = 8080,
        listen: str = "127.0.0.1",
        trial_seconds: float | None = None,
    ) -> None:
        super().__init__(workers, trial_seconds)
        within("threads", threads, 1)
        within("gpus_per_trial", gpus_per_trial, 0)
        within("port", port, 1, 65534)
        self.threads, self.gpus, self.machines = threads, gpus_per_trial, list(machines)
        self.port, self.listen = port, listen
        self._wanted = folder
        self._folder: Path | None = None
        self._manager: NniManager | None = None
        self._channel: TunerCommandChannel | None = None
        self._listener: threading.Thread | None = None
        self._events: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._pieces: dict[int, dict[int, str]] = {}
        self._whole: dict[int, Outcome] = {}
        self._ended: dict[int, tuple[str, float]] = {}
        self._began: dict[int, float] = {}  # in the order in which NNI runs them
        self._turn: dict[int, float] = {}  # when there was a worker for it
        self._limits: dict[int, float | None] = {}
        self._refused: list[tuple[int, Outcome]] = []

    # --- life

    def take(self, job: Job) -> None:
        self.shutdown()
        self._folder = Path(self._wanted or tempfile.mkdtemp(prefix="level4-nni-")).resolve()
        code = self._folder / "code"
        copy_code(job, code)
        save_job(job, code / "job")
        self._manager = NniManager(self._config(code), self._folder, self.port, self.listen)
        if self.listen not in ("127.0.0.1", "localhost"):
            log.warning(
                "NNI listens on %s:%d without a password: whoever reaches it can run code as this user",
                self.listen,
                self._manager.port,
            )
        self._manager.start()
        self._connect(self._manager.channel)
        super().take(job)

    def _config(self, code: Path) -> ExperimentConfig:
        """NNI's view of an experiment; it wants a search space and a tuner, and uses neither."""
        config = ExperimentConfig("remote" if self.machines else "local")
        config.experiment_name = "level4"
        config.search_space = {}
        config.tuner.name = "Random"  # pyright: ignore[reportOptionalMemberAccess]
        config.trial_concurrency = self.workers
        config.trial_code_directory = str(code)
        config.log_level = "info"
        # NNI gave the manager a home of its own; the training's caches are where they always are.
        home = "" if self.machines else 'HOME="$LEVEL4_HOME" '
        python = "python3" if self.machines else shlex.quote(sys.executable)
        config.trial_command = f"{home}{python} -m nas.engines.nni.trial job {self.threads}"
        sharing = max(round(1 / self.gpus), 1) if 0 < self.gpus < 1 else 1
        config.trial_gpu_number = math.ceil(self.gpus)
        service = config.training_service
        if isinstance(service, LocalConfig):
            service.use_active_gpu = True
            service.max_trial_number_per_gpu = sharing
        elif isinstance(service, RemoteConfig):
            config.nni_manager_ip = self.listen
            service.machine_list = [RemoteMachineConfig(**m, max_trial_number_per_gpu=sharing) for m in self.machines]
        return config

    def _connect(self, url: str) -> None:
        channel = TunerCommandChannel(url)
        channel.on_initialize(lambda command: channel.send_initialized())
        channel.on_report_metric_data(lambda command: self._events.put(("metric", command)))
        channel.on_trial_end(lambda command: self._events.put(("end", command)))
        channel.on_terminate(lambda command: self._events.put(("terminate", command)))
        channel.connect()
        self._listener = threading.Thread(target=channel.listen, args=(threading.Event(),), daemon=True)
        self._listener.start()
        self._channel = channel

    def shutdown(self) -> None:
        self._fresh = False
        if self._manager is not None:
            self._manager.stop()  # says goodbye to the listener, which then ends
            self._manager = None
        if self._listener is not None:
            self._listener.join(timeout=5)
            self._listener = None
        if self._channel is not None:
            self._channel.disconnect()
            self._channel = None
        if self._folder is not None and self._wanted is None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None
        for kept in (self._pieces, self._whole, self._ended, self._began, self._turn, self._limits, self._refused):
            kept.clear()
        self._events = queue.Queue()

    # --- work

    def start(self, number: int, order: Order) -> None:
        assert self._channel is not None
        # NNI takes // for a comment, even inside text (nni#5457): written so that none appears.
        text = order_to_json(order).replace("//", "/\\u002f")
        if len(text.encode()) > PAYLOAD:
            self._refused.append((number, Outcome("failed", error=f"an order of {len(text)} bytes, NNI takes 4096")))
            return
        self._began[number] = time.monotonic()
        self._limits[number] = order.seconds
        self._channel.send_trial(parameter_id=number, parameters={"order": text})

    def collect(self) -> Sequence[tuple[int, Outcome | None]]:
        while True:
            if self._refused:
                return [self._refused.pop(0)]
            if self.stopped:
                return [(number, self._cancel(number, None)) for number in tuple(self._began)]
            if late := self._late():
                return late
            done = [number for number in self._ended if self._is_complete(number)]
            if done:
                return [(number, self._finish(number)) for number in done]
            try:
                self._take(*self._events.get(timeout=0.5))
            except queue.Empty:
                if self._manager is None or not self._manager.alive():
                    raise UserError("NNI's manager ended in the middle of the search. Use engine=processes.") from None

    def _late(self) -> list[tuple[int, Outcome]]:
        """Trials that gave no word in time, not even that they hang: ``nas.engines.nni.trial`` says so."""
        now, late = time.monotonic(), []
        for number in tuple(self._began)[: self.workers]:
            since, limit = self._turn.setdefault(number, now), self._limits[number]
            if number not in self._ended and limit is not None and now - since > patience(limit) + TRIAL_START:
                error = f"no word from NNI's trial for {now - since:.0f} s, the limit is {limit:.1f} s"
                late.append((number, self._cancel(number, Outcome("timeout", seconds=now - since, error=error))))
        return late

    def _cancel(self, number: int, outcome: T) -> T:
        """Forget a trial, and let NNI stop it."""
        if self._manager is not None:
            self._manager.cancel(number)
        for kept in (self._began, self._turn, self._limits, self._pieces, self._whole, self._ended):
            kept.pop(number, None)
        return outcome

    def _take(self, kind: str, command: Any) -> None:
        if kind == "terminate":
            raise UserError("NNI's experiment was stopped from outside. Run again with resume=true to go on.")
        if kind == "end":
            assert isinstance(command, command_type.TrialEnd)
            number = command.parameter_ids[0]
            if number in self._began:
                self._ended[number] = (command.event, time.monotonic())
            return
        number = command.parameter_id
        if number not in self._began:
            return
        index, count, piece = str(command.value).split(" ", 2)
        pieces = self._pieces.setdefault(number, {})
        pieces[int(index)] = piece
        if len(pieces) == int(count):
            text = base64.urlsafe_b64decode("".join(pieces[i] for i in range(int(count)))).decode()
            self._whole[number] = outcome_from_json(text)

    def _is_complete(self, number: int) -> bool:
        """A trial's end may overtake its last words; they get ten seconds."""
        status, since = self._ended[number]
        return number in self._whole or status != "SUCCEEDED" or time.monotonic() - since > 10

    def _finish(self, number: int) -> Outcome:
        status, _ = self._ended.pop(number)
        began = self._began.pop(number)
        for kept in (self._pieces, self._turn, self._limits):
            kept.pop(number, None)
        lost = Outcome("failed", seconds=time.monotonic() - began, error=f"NNI's trial ended without a word: {status}")
        return self._whole.pop(number, lost)


def copy_code(job: Job, folder: Path) -> None:
    """The packages that a trial imports, without data and compiled files: what NNI sends to other machines.

    Raises UserError when a family's module is not a part of a package in a folder of its own.
    """
    packages = {}
    for name in {"automl", "nas", *(type(family).__module__.partition(".")[0] for family in job.families.values())}:
        found = getattr(sys.modules.get(name), "__path__", None)
        if not found:
            raise UserError(f"family module {name!r} is not a package, so NNI cannot send it. Use engine=processes.")
        packages[name] = Path(next(iter(found)))
    for name, path in packages.items():
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(path, folder / name, ignore=_only_code)


def _only_code(folder: str, names: list[str]) -> list[str]:
    kept = (".py", ".json", ".yaml")
    return [n for n in names if n == "__pycache__" or not (n.endswith(kept) or (Path(folder) / n).is_dir())]

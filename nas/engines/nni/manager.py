"""Starts and stops NNI's manager, the node program behind its training services, closed to the network."""

from __future__ import annotations

import nas.nni_fixes  # isort: skip  # noqa: F401

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import nni_node
from nni.experiment import management, rest
from nni.experiment.config import ExperimentConfig
from nni.experiment.launcher import NniManagerArgs

from automl.errors import UserError

# NNI listens on all interfaces and asks nobody for a password, dies where the machine has no default route
# (nni_node/common/utils.js getIPV4Address), and lives on when the search that started it is killed. All three are
# mended from outside, before its own code is loaded.
PRELOAD = """
const net = require('net'), dgram = require('dgram');
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (first, ...rest) {
  if (typeof first === 'number') return listen.call(this, { port: first, host: process.env.LEVEL4_LISTEN }, ...rest);
  return listen.call(this, first, ...rest);
};
const create = dgram.createSocket;
dgram.createSocket = function (...args) { return create.apply(dgram, args).on('error', () => {}); };
const parent = process.ppid;
setInterval(() => { if (process.ppid !== parent) process.exit(1); }, 1000).unref();
"""


class NniManager:
    """One experiment of NNI.

    ``folder``: everything it writes goes there, its home too. ``listen``: the address it listens on; whoever reaches
    the port can run code as this user.
    """

    def __init__(self, config: ExperimentConfig, folder: Path, port: int, listen: str = "127.0.0.1") -> None:
        self.config, self.folder, self.listen = config, folder.resolve(), listen
        self.port = free_port(port)
        self.id = management.generate_experiment_id()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def channel(self) -> str:
        """Where orders go in and results come out."""
        return f"ws://localhost:{self.port}/tuner"

    def start(self, seconds: float = 60.0) -> None:
        """Start it. Raises UserError when it is not up in time."""
        self.config.experiment_working_directory = str(self.folder)
        config = self.config.canonical_copy()
        (self.folder / "nni-experiments").mkdir(parents=True, exist_ok=True)
        (self.folder / "nni-experiments" / ".experiment").write_text("{}")
        log = self.folder / self.id / "log"
        log.mkdir(parents=True, exist_ok=True)
        preload = self.folder / "preload.js"
        preload.write_text(PRELOAD)
        arguments = NniManagerArgs("create", self.id, config, self.port, False, False, None, self.channel)
        home = Path(nni_node.__path__[0])
        with (log / "manager.log").open("ab") as out:
            self._process = subprocess.Popen(
                [str(home / "node"), str(home / "main.js"), *arguments.to_command_line_args()],
                stdout=out,
                stderr=out,
                cwd=home,
                env=self._environment(preload),
                start_new_session=True,
            )
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(Exception):
                rest.get(self.port, "/check-status")
                break
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise UserError(
                    f"NNI's manager did not start; see {log / 'manager.log'}. Use engine=processes instead."
                )
            time.sleep(0.1)
        rest.post(self.port, "/experiment", config.json())

    def _environment(self, preload: Path) -> Mapping[str, str]:
        environment = dict(os.environ)
        environment["LEVEL4_HOME"] = environment.get("HOME", "")
        environment["HOME"] = str(self.folder)
        environment["LEVEL4_LISTEN"] = self.listen
        environment["NODE_OPTIONS"] = f'--require "{preload}"'
        # NNI runs the interpreter's scripts by name.
        environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
        return environment

    def cancel(self, number: int) -> None:
        """Stop the trial of this parameter number, as far as NNI still answers and knows it."""
        with contextlib.suppress(Exception):  # requests' and NNI's own, of many kinds
            for job in rest.get(self.port, "/trial-jobs"):
                if any(json.loads(given)["parameter_id"] == number for given in job.get("hyperParameters", ())):
                    rest.delete(self.port, f"/trial-jobs/{job['trialJobId']}")

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Stop it and its trials; safe to call twice."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            with contextlib.suppress(Exception):
                rest.delete(self.port, "/experiment")
                process.wait(timeout=20)
        if process.poll() is None:
            process.kill()
        process.wait()


def free_port(wanted: int) -> int:
    """The first of ``wanted`` and the ports after it that, with the next one, nobody uses (NNI takes two)."""
    for port in range(wanted, wanted + 200, 2):
        if all(_is_free(p) for p in (port, port + 1)):
            return port
    raise UserError(f"no free port from {wanted} to {wanted + 200}. Set engine.port=...")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

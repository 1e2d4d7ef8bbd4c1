"""Weights & Biases: the trial table, the search curve and the result. Offline unless the user is logged in.

All of wandb happens in one thread of its own, in order: importing it and starting its service takes a
second or two that the search need not wait for, and a server that does not answer holds up nobody.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from automl.serial import dumps
from automl.types import Trial
from experiments.events import Listener
from experiments.report.words import as_metric

log = logging.getLogger(__name__)

TRIAL_COLUMNS = (
    *("number", "family", "status", "score", "fidelity", "seconds", "parameters", "latency_ms", "seed"),
    *("choices", "curve", "error"),
)


class Wandb(Listener):
    """A W&B run, written below the run's folder (``FOLDER/wandb``); send an offline one with ``wandb sync``.

    mode: offline | online | disabled; None takes WANDB_MODE, else online when the user is logged in.
    folder: None takes Hydra's output folder, else ``outputs``. wait_seconds: how long the server may take
    to accept the run, and how long the end of the program waits for the upload. A fault is one warning;
    the run goes on without W&B.
    """

    def __init__(
        self,
        project: str = "level4",
        entity: str | None = None,
        mode: str | None = None,
        folder: str | None = None,
        wait_seconds: float = 20.0,
    ) -> None:
        self.project, self.entity, self.mode = project, entity, mode
        self.folder, self.wait_seconds = folder, wait_seconds
        self._todo: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._run: Any = None
        self._best: float | None = None  # higher is better
        self._metric = ""

    def start(self, config: Mapping[str, Any], name: str, metric: str = "") -> None:
        self._metric = metric
        # Hydra's folder is known in the calling thread only.
        folder = Path(self.folder) if self.folder else _run_folder()
        plain = dict(config)
        self._todo.put(lambda: self._open(plain, name, folder))
        self._thread = threading.Thread(target=self._work, name="wandb tracker", daemon=True)
        self._thread.start()

    def trial(self, trial: Trial, *, resumed: bool = False) -> None:
        if not resumed:
            self._todo.put(lambda: self._log_trial(trial))

    def finish(self, result: Mapping[str, Any], report_path: Path, trials: Sequence[Trial]) -> None:
        if self._thread is None:
            return
        self._todo.put(lambda: self._close(result, report_path, trials))
        self._todo.put(None)
        self._thread.join(2 * self.wait_seconds)  # once to be accepted, once to upload
        if self._thread.is_alive():
            log.warning("W&B did not finish in %.0f s; the run goes on without it.", 2 * self.wait_seconds)

    # -- in the thread --

    def _work(self) -> None:
        try:
            while (step := self._todo.get()) is not None:
                step()
        except BaseException as error:  # whatever wandb throws, SystemExit too: a tracker never ends a run
            said = " ".join(str(error).split()) or type(error).__name__
            log.warning("W&B: %s. The run goes on without it.", said[:300].rstrip("."))

    def _open(self, config: dict[str, Any], name: str, folder: Path) -> None:
        import wandb  # takes a second
        from wandb.errors import CommError

        folder.mkdir(parents=True, exist_ok=True)
        _keep_files_in(folder)
        wandb.setup(wandb.Settings(silent=True))  # else it prints between the lines of the progress display
        mode = self.mode or os.environ.get("WANDB_MODE") or ("online" if _logged_in() else "offline")
        if mode not in ("offline", "dryrun", "disabled") and not _logged_in():
            log.warning("W&B: mode is %s, but nobody is logged in: writing offline. Run: wandb login", mode)
            mode = "offline"
        given: dict[str, Any] = {
            "project": self.project,
            "entity": self.entity,
            "name": name,
            "config": config,
            "dir": str(folder),
            "reinit": "finish_previous",  # a run before this one in the same process may have ended early
        }
        try:
            self._run = wandb.init(mode=mode, settings=self._settings(wandb), **given)  # type: ignore[arg-type]
        except CommError as error:
            if mode == "offline":
                raise
            log.warning("W&B: %s: writing offline.", " ".join(str(error).split())[:200])
            self._run = wandb.init(mode="offline", settings=self._settings(wandb), **given)

    def _settings(self, wandb: Any) -> Any:
        """Quiet, quick to start, and nothing of the machine or the code leaves it."""
        return wandb.Settings(
            silent=True,
            console="off",
            save_code=False,
            disable_git=True,
            disable_job_creation=True,
            init_timeout=self.wait_seconds,
            finish_timeout=self.wait_seconds,
            x_disable_stats=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
        )

    def _log_trial(self, trial: Trial) -> None:
        point: dict[str, Any] = {
            "trial/number": trial.number,
            "trial/ok": int(trial.status == "ok"),
            "trial/seconds": trial.seconds,
            "trial/epochs": trial.fidelity,
        }
        if trial.parameters is not None:
            point["trial/parameters"] = trial.parameters
        if trial.score is not None:
            point["trial/score"] = as_metric(self._metric, trial.score)
            self._best = trial.score if self._best is None else max(self._best, trial.score)
        if self._best is not None:
            point["best score"] = as_metric(self._metric, self._best)
        self._run.log(point)

    def _close(self, result: Mapping[str, Any], report_path: Path, trials: Sequence[Trial]) -> None:
        import wandb

        rows: list[Any] = [_table_row(trial, self._metric) for trial in trials]
        self._run.log({"trials": wandb.Table(columns=list(TRIAL_COLUMNS), data=rows)})
        if Path(report_path).exists():
            # A link in the run's files, not a panel: wandb would keep two more copies of its five megabytes.
            self._run.save(str(report_path), base_path=str(Path(report_path).parent), policy="now")
        # The trials are in the table: as a summary they would be one long text.
        self._run.summary.update(_flat({k: v for k, v in result.items() if k != "tried"}))
        self._run.finish()


def _table_row(trial: Trial, metric: str) -> list[Any]:
    values = {name: getattr(trial, name, None) for name in TRIAL_COLUMNS}
    choices, curve = dumps(trial.candidate.choices), dumps([as_metric(metric, value) for value in trial.curve])
    values |= {
        "score": as_metric(metric, trial.score),
        "family": trial.candidate.family,
        "choices": choices,
        "curve": curve,
    }
    return [values[name] for name in TRIAL_COLUMNS]


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as ``a/b`` keys, for W&B's tables of runs; lists as JSON."""
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            flat |= _flat(inner, f"{prefix}{key}/")
        else:
            flat[f"{prefix}{key}"] = dumps(inner) if isinstance(inner, list | tuple) else inner
    return flat


def _logged_in() -> bool:
    """Whether wandb could go online without asking anybody: a key or token in the environment, or in
    .netrc.
    """
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    from wandb.sdk.lib.wbauth import read_netrc_auth

    return bool(read_netrc_auth(host=os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai"))


_data_dir_of_ours = ""


def _keep_files_in(folder: Path) -> None:
    """Where wandb stages tables until they are sent; by default in the user's home, where nobody cleans up."""
    global _data_dir_of_ours
    if os.environ.get("WANDB_DATA_DIR", _data_dir_of_ours) == _data_dir_of_ours:
        _data_dir_of_ours = os.environ["WANDB_DATA_DIR"] = str(folder.resolve() / "wandb" / "staged")


def _run_folder() -> Path:
    from hydra.core.hydra_config import HydraConfig

    return Path(HydraConfig.get().runtime.output_dir if HydraConfig.initialized() else "outputs")

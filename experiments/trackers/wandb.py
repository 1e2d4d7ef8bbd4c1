"""Weights & Biases: trials, their curves, the result and the model. Offline unless the user is logged in.

All of wandb happens in one thread of its own, in order: importing it and starting its service takes a
second or two that the search need not wait for, and a server that does not answer holds up nobody.
"""

from __future__ import annotations

import logging
import os
import queue
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from automl.metrics import higher_is_better
from automl.serial import dumps
from automl.types import Trial
from experiments.events import Listener
from experiments.report.words import NAMES, as_metric
from experiments.solve.tables import trials_frame

log = logging.getLogger(__name__)

CURVES = 20  # of the best trials are drawn
TRIALS = ("table", "runs")


class Wandb(Listener):
    """A W&B run, written below the run's folder (``FOLDER/wandb``); send an offline one with ``wandb sync``.

    Its config is the composed one, with code, data, kind and level under ``facts``. It logs a table of trials whose
    choices are columns, a chart of their curves, the report, and the bundle as an artifact of type model beside one of
    type dataset that holds the data's facts and fingerprint, not the data. Runs of one multirun, else on one task, are
    a group.

    mode: offline | online | disabled; None takes WANDB_MODE, else online when the user is logged in.
    folder: None takes Hydra's output folder, else ``outputs``. wait_seconds: how long the server may take
    to accept the run, and how long the end of the program waits for the upload. trials: table, or runs for a run of its
    own for each trial too, in the same group. A fault is one warning; the run goes on without W&B.
    """

    def __init__(
        self,
        project: str = "level4",
        entity: str | None = None,
        mode: str | None = None,
        folder: str | None = None,
        wait_seconds: float = 20.0,
        trials: str = "table",
    ) -> None:
        if trials not in TRIALS:
            raise ValueError(f"trials={trials} must be one of: {', '.join(TRIALS)}")
        self.project, self.entity, self.mode = project, entity, mode
        self.folder, self.wait_seconds = folder, wait_seconds
        self._todo: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self.trials = trials
        self._run: Any = None
        self._shared: dict[str, Any] = {}  # what all runs of this search are begun with
        self._seen = ""
        self._best: float | None = None  # higher is better
        self._metric = ""

    def start(self, config: Mapping[str, Any], name: str, metric: str = "") -> None:
        self._metric = metric
        # Hydra's folder is known in the calling thread only.
        folder, group = Path(self.folder) if self.folder else _run_folder(), _sweep() or name
        plain = dict(config)
        self._todo.put(lambda: self._open(plain, name, folder, group))
        self._thread = threading.Thread(target=self._work, name="wandb tracker", daemon=True)
        self._thread.start()

    def trial(self, trial: Trial, *, resumed: bool = False) -> None:
        self._todo.put(lambda: self._log_trial(trial, resumed))

    def finish(self, result: Mapping[str, Any], report_path: Path, trials: Sequence[Trial]) -> None:
        if self._thread is None:
            return
        self._todo.put(lambda: self._close(result, report_path, trials))
        self._todo.put(None)
        self._thread.join(2 * self.wait_seconds)  # once to be accepted, once to upload
        if self._thread.is_alive():
            log.warning("W&B did not finish in %.0f s; the run goes on without it.", 2 * self.wait_seconds)

    def seen(self) -> str:
        return self._seen

    # -- in the thread --

    def _work(self) -> None:
        try:
            while (step := self._todo.get()) is not None:
                step()
        except BaseException as error:  # whatever wandb throws, SystemExit too: a tracker never ends a run
            said = " ".join(str(error).split()) or type(error).__name__
            log.warning("W&B: %s. The run goes on without it.", said[:300].rstrip("."))

    def _open(self, config: dict[str, Any], name: str, folder: Path, group: str) -> None:
        import wandb  # takes a second
        from wandb.errors import CommError

        folder.mkdir(parents=True, exist_ok=True)
        _keep_files_in(folder)
        wandb.setup(wandb.Settings(silent=True))  # else it prints between the lines of the progress display
        mode = self.mode or os.environ.get("WANDB_MODE") or ("online" if logged_in() else "offline")
        if mode not in ("offline", "dryrun", "disabled") and not logged_in():
            log.warning("W&B: mode is %s, but nobody is logged in: writing offline. Run: wandb login", mode)
            mode = "offline"
        facts = config.get("facts", {})
        level = f"-l{facts['level']}" if "level" in facts else ""
        self._shared = {
            "project": self.project,
            "entity": self.entity,
            "dir": str(folder),
            "group": group,
            "tags": tags_of(facts, config.get("family")),
        }
        given: dict[str, Any] = {
            **self._shared,
            "name": f"{name}{level}-s{config.get('seed', 0)}",
            "job_type": "search",
            "config": config,
            "reinit": "finish_previous",  # a run before this one in the same process may have ended early
        }
        try:
            self._run = wandb.init(mode=mode, settings=self._settings(wandb), **given)  # type: ignore[arg-type]
        except CommError as error:
            if mode == "offline":
                raise
            log.warning("W&B: %s: writing offline.", " ".join(str(error).split())[:200])
            mode = "offline"
            self._run = wandb.init(mode=mode, settings=self._settings(wandb), **given)
        self._shared |= {"mode": mode, "name": given["name"]}
        better = "max" if self._metric not in NAMES or higher_is_better(self._metric) else "min"
        self._run.define_metric("trial/number", hidden=True, summary="none")
        self._run.define_metric("trial/*", step_metric="trial/number", summary="none")  # else that of the last trial
        for name in ("trial/score", "best score"):
            self._run.define_metric(name, step_metric="trial/number", summary=better)
        self._seen = self._run.url or ("" if mode == "disabled" else f"wandb sync {self._run.sync_dir}")

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

    def _log_trial(self, trial: Trial, resumed: bool) -> None:
        if trial.score is not None:
            self._best = trial.score if self._best is None else max(self._best, trial.score)
        if resumed:  # the run before told it; the best so far is the search's
            return
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
        if self._best is not None:
            point["best score"] = as_metric(self._metric, self._best)
        self._run.log(point)
        if self.trials == "runs":
            self._own_run(trial)

    def _own_run(self, trial: Trial) -> None:
        """A run that holds one trial, beside that of the search."""
        import wandb

        given = {**self._shared, "name": f"{self._shared['name']}-t{trial.number}", "job_type": "trial"}
        config = {"family": trial.candidate.family, **trial.candidate.choices, "epochs": trial.fidelity}
        of = wandb.init(config=config, reinit="create_new", settings=self._settings(wandb), **given)
        of.define_metric("score", step_metric="epoch")
        for epoch, score in enumerate(trial.curve, 1):
            of.log({"epoch": epoch, "score": as_metric(self._metric, score)})
        names = ("status", "seconds", "parameters", "latency_ms", "error", "number")
        known = {name: getattr(trial, name) for name in names} | {"score": as_metric(self._metric, trial.score)}
        of.summary.update({name: value for name, value in known.items() if value not in (None, "")})
        of.finish()

    def _close(self, result: Mapping[str, Any], report_path: Path, trials: Sequence[Trial]) -> None:
        import wandb

        columns: list[Any]
        rows: list[Any]
        columns, rows = table_of(result)
        self._run.log({"trials": wandb.Table(columns=columns, data=rows)})
        best = sorted((t for t in trials if t.score is not None and t.curve), key=lambda t: -(t.score or 0.0))[:CURVES]
        if best:
            ys = [[as_metric(self._metric, value) for value in t.curve] for t in best]
            xs = [list(range(1, len(y) + 1)) for y in ys]
            keys = [f"{t.number} {t.candidate.family}" for t in best]
            self._run.log({"curves": wandb.plot.line_series(xs, ys, keys=keys, title="Best trials", xname="epoch")})
        self._artifacts(wandb, result)
        if Path(report_path).exists():
            # A link in the run's files, not a panel: wandb would keep two more copies of its five megabytes.
            self._run.save(str(report_path), base_path=str(Path(report_path).parent), policy="now")
        # The trials are in the table: as a summary they would be one long text.
        self._run.summary.update(_flat({k: v for k, v in result.items() if k != "tried"}))
        self._run.finish()

    def _artifacts(self, wandb: Any, result: Mapping[str, Any]) -> None:
        """The model, and what it was made of."""
        if not (bundle := Path(result.get("bundle", ""))).is_dir() or not result.get("bundle"):
            return
        task, known = result["task"], result["data"]
        data = wandb.Artifact(artifact_name(task["name"], "data"), type="dataset", metadata=dict(known))
        with data.new_file("data.json", mode="w") as file:
            file.write(dumps(known))
        # Offline nothing can be used, as it is not known whether the server has it.
        (self._run.log_artifact if self._shared["mode"] == "offline" else self._run.use_artifact)(data)
        told = {name: result[name] for name in ("val", "test", "level", "seed", "version", "deployed")}
        about = {**told, "metric": task["metric"], "data": known["hash"]}
        model = wandb.Artifact(artifact_name(task["name"], "model"), type="model", metadata=about)
        model.add_dir(str(bundle), policy="immutable", skip_cache=True)  # no copies: it stays as it is
        self._run.log_artifact(model, aliases=[f"seed-{result['seed']}", f"level-{result['level']}"])


def table_of(result: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows of the trials in a result: each choice is a column, of one type, None where a trial has none."""
    frame = trials_frame(result).astype(object)
    return list(frame.columns), frame.where(frame.notna(), None).to_numpy().tolist()


def tags_of(facts: Mapping[str, Any], families: Any) -> list[str]:
    """Level, modalities, and the families where they are few enough to tell runs apart."""
    names = [*families] if isinstance(families, Mapping) and len(families) <= 5 else []
    level = [f"level {facts['level']}"] if "level" in facts else []
    return [tag[:64] for tag in (*level, *facts.get("modalities", ()), *names)]  # W&B takes no longer ones


def artifact_name(*parts: str) -> str:
    return re.sub(r"[^\w.-]+", "-", "-".join(parts))[:128]


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as ``a/b`` keys, for W&B's tables of runs; lists as JSON."""
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            flat |= _flat(inner, f"{prefix}{key}/")
        else:
            flat[f"{prefix}{key}"] = dumps(inner) if isinstance(inner, list | tuple) else inner
    return flat


def logged_in() -> bool:
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


def _sweep() -> str:
    """What the runs of this multirun are called together; empty for a run of its own."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return ""
    return group_of(Path(HydraConfig.get().sweep.dir))


def group_of(sweep: Path) -> str:
    """What the runs of a multirun are called together, by its folder."""
    return "-".join(sweep.parts[-2:])

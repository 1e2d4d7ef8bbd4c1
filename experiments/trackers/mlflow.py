"""MLflow: a run of the search, and below it a run for each trial."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from automl.errors import needs
from automl.types import Trial
from experiments.events import Listener
from experiments.report.words import as_metric
from experiments.trackers.optional import harmless, run_folder

# A folder is no store by default any more, though it needs no database; and a server that does not answer is given up.
FOLDER = "MLFLOW_ALLOW_FILE_STORE"
QUIET = {
    FOLDER: "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


class Mlflow(Listener):
    """experiment: null takes the task's name. uri: of a server or store, null takes MLFLOW_TRACKING_URI, else
    ``FOLDER/mlruns``; folder: null takes the run's own. Raises UserError where the package is not installed.
    """

    def __init__(self, experiment: str | None = None, uri: str | None = None, folder: str | None = None) -> None:
        needs("tracker=mlflow", "mlflow", "mlflow-skinny")
        self.experiment, self.uri, self.folder, self._metric = experiment, uri, folder, ""
        self._run = ""

    @harmless
    def start(self, config: Mapping[str, Any], name: str, metric: str = "") -> None:
        for option, value in QUIET.items():
            os.environ.setdefault(option, value)
        from mlflow import MlflowClient

        self._metric = metric
        own = (run_folder(self.folder) / "mlruns").resolve().as_uri()
        self._uri = self.uri or os.environ.get("MLFLOW_TRACKING_URI") or own
        self._client = MlflowClient(tracking_uri=self._uri)
        self._experiment = self._experiment_of(self.experiment or name)
        facts = config.get("facts", {})
        made = self._client.create_run(self._experiment, run_name=f"{name}-s{config.get('seed', 0)}")
        self._run = made.info.run_id
        self._params(self._run, {**facts, "seed": config.get("seed", 0)})

    @harmless
    def trial(self, trial: Trial, *, resumed: bool = False) -> None:
        from mlflow.entities import Metric

        if not self._run:
            return
        tags = {"mlflow.parentRunId": self._run, "status": trial.status}
        name = f"{trial.number} {trial.candidate.family}"
        own = self._client.create_run(self._experiment, tags=tags, run_name=name).info.run_id
        self._params(own, {"family": trial.candidate.family, **trial.candidate.choices, "epochs": trial.fidelity})
        now = int(time.time() * 1000)
        curve = [as_metric(self._metric, value) for value in trial.curve]
        told = [Metric("curve", value, now, epoch) for epoch, value in enumerate(curve, 1) if value is not None]
        of = {"score": as_metric(self._metric, trial.score), "seconds": trial.seconds, "parameters": trial.parameters}
        told += [Metric(key, float(value), now, 0) for key, value in of.items() if value is not None]
        self._client.log_batch(own, metrics=told)
        self._client.set_terminated(own, status="FINISHED" if trial.status == "ok" else "FAILED")

    @harmless
    def finish(self, result: Mapping[str, Any], report_path: Path, trials: Sequence[Trial]) -> None:
        if not self._run:
            return
        for part in ("val", "test"):
            for name, value in result[part].items():
                self._client.log_metric(self._run, f"{part}_{name}", float(value))
        if Path(report_path).exists():
            self._client.log_artifact(self._run, str(report_path))
        if result.get("bundle") and Path(result["bundle"]).is_dir():
            self._client.log_artifacts(self._run, result["bundle"], "bundle")
        self._client.set_terminated(self._run)

    def seen(self) -> str:
        if not self._run:
            return ""
        command = f"mlflow ui --backend-store-uri {self._uri}"
        return (
            self._uri if self._uri.startswith("http") else f"{FOLDER}=true {command}" if "file:" in command else command
        )

    def _experiment_of(self, name: str) -> str:
        """Its id. Of jobs that begin at once all may find none, and one of them makes it."""
        from mlflow.exceptions import MlflowException

        if (known := self._client.get_experiment_by_name(name)) is None:
            try:
                return self._client.create_experiment(name)
            except MlflowException:
                if (known := self._client.get_experiment_by_name(name)) is None:
                    raise
        return known.experiment_id

    def _params(self, run: str, params: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        self._client.log_batch(run, params=[Param(name, str(value)) for name, value in params.items()])

"""A server of a bundle or a registry: ``level4 +experiment=serve bundle=FOLDER``; with ``jobs=true`` it also trains.

The options are checked here; then this process becomes the server, so that nothing of the program but it is in memory.
``server=ray`` runs the same application in replicas of Ray Serve, for people with a cluster.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

import automl
from automl.data.read.files import existing
from automl.errors import UserError
from automl.serve.limits import Limits
from automl.serve.settings import TOKEN, VARIABLE, Settings, private_folder
from experiments.jobs.settings import VARIABLE as JOBS
from experiments.jobs.settings import Jobs
from experiments.jobs.table import Table
from experiments.options import check_types

SERVERS = ("uvicorn", "ray")
COMMANDS = {name: (sys.executable, "-m", f"experiments.jobs.{name}") for name in ("work", "clerk")}


def run(cfg: DictConfig) -> None:
    """Does not return. Raises UserError for a wrong option."""
    if cfg.server not in SERVERS:
        raise UserError(f"server={cfg.server} must be one of: {', '.join(SERVERS)}")
    settings, jobs = settings_of(cfg, os.environ.get(TOKEN)), jobs_of(cfg)
    if cfg.server == "ray":
        if jobs is not None:
            raise UserError("jobs=true does not go with server=ray. Leave out one of them")
        on_ray(settings)
        return
    root = str(Path(next(iter(automl.__path__))).parent)
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environ = {**os.environ, VARIABLE: settings.to_env(), "PYTHONPATH": os.pathsep.join(paths)}
    if jobs is not None:
        Table.checked(private_folder(private_folder(str(settings.state)) / "jobs") / "jobs.db")
        environ[JOBS] = json.dumps(dataclasses.asdict(jobs))
    sys.stdout.flush()
    module = "automl.serve" if jobs is None else "experiments.jobs.server"
    os.execve(sys.executable, [sys.executable, "-m", module], environ)


def on_ray(settings: Settings) -> None:
    """Serve on Ray until told to end: ``workers`` replicas behind Ray's own proxy, each with its own numbers.

    Raises UserError where Ray Serve is not installed. The folders must be there on every machine of the cluster.
    """
    try:
        from ray import serve
    except ModuleNotFoundError as error:
        raise UserError(f"server=ray needs {error.name}. Run: pip install 'level4[ray-serve]'") from error
    from automl.serve.app import create_app

    def app() -> Any:
        return create_app(settings)

    deployed: Any = serve.deployment(
        serve.ingress(app)(),
        name="level4",
        num_replicas=settings.workers,
        max_ongoing_requests=settings.limits.queue,
        max_queued_requests=settings.limits.queue,
    )
    serve.start(http_options={"host": settings.host, "port": settings.port})
    serve.run(deployed.bind(), name="level4", blocking=True)


def settings_of(cfg: DictConfig, token: str | None) -> Settings:
    """The checked options. Raises UserError that names the one that is wrong."""
    names = {field.name for field in dataclasses.fields(Settings)} - {"token"}
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    options = {name: plain[name] for name in names}
    check_types(Settings, {n: v for n, v in options.items() if n != "limits"}, "")
    check_types(Limits, options["limits"], "limits.")
    if cfg.jobs and options["bundle"] is None and options["registry"] is None and options["state"] is not None:
        # It serves nothing yet; what it trains can be added there. The state first: else others could read it.
        options["registry"] = str(private_folder(private_folder(str(options["state"])) / "registry"))
    for name in ("bundle", "registry"):
        if options[name] is not None:
            options[name] = str(existing(options[name], option=name).absolute())
    if options["registry"] is not None and (Path(options["registry"]) / "meta.json").is_file():
        raise UserError(f"registry={plain['registry']} is one bundle. Set bundle={plain['registry']}")
    try:
        limits = Limits(**options["limits"])
    except ValueError as error:
        raise UserError(f"limits.{error}") from error
    return Settings(**{**options, "limits": limits}, token=token)


def jobs_of(cfg: DictConfig) -> Jobs | None:
    """The checked options of jobs, None where none are taken. Raises UserError."""
    if not isinstance(cfg.jobs, bool):
        raise UserError(f"jobs={cfg.jobs} must be true or false")
    if not cfg.jobs:
        return None
    if cfg.state is None:
        raise UserError("jobs=true needs a folder for what jobs write. Set state=FOLDER")
    plain: Any = OmegaConf.to_container(cfg.job, resolve=True)
    options = {**plain, **COMMANDS, "store": OmegaConf.select(cfg, "store.url")}
    check_types(Jobs, plain, "job.")
    if options["datasets"] is not None:
        options["datasets"] = str(existing(options["datasets"], option="job.datasets").absolute())
    return Jobs(**options)

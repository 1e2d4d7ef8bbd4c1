"""The server that also takes jobs: what ``+experiment=serve jobs=true`` becomes. It holds no torch.

``automl.serve`` knows nothing of jobs; they are mounted on it here.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.serve.__main__ import main

if TYPE_CHECKING:
    from automl.serve.app import Server

PAGE = "/training"


def app() -> Any:
    """What a worker runs."""
    from automl.serve.run import app as served

    return served(mount)


def mount(made: Server) -> None:
    """Add the addresses of jobs, and their page."""
    from automl.serve.pages.router import page
    from experiments.jobs.routes import add_jobs
    from experiments.jobs.service import Service
    from experiments.jobs.settings import VARIABLE, Jobs

    service = Service(Jobs(**json.loads(os.environ[VARIABLE])), Path(str(made.settings.state)) / "jobs")
    add_jobs(made, service)
    made.router.routes.append(page(PAGE, "training.html"))
    made.access.open.add(PAGE)
    made.pages.append(PAGE.strip("/"))
    made.parts.append(service)


if __name__ == "__main__":
    main("experiments.jobs.server:app")

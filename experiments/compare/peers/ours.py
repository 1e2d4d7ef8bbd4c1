"""The program, as its users start it. ``options.words``: more words of the command."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from exchange import Predict, Task, answer

from automl.deploy.bundle import Bundle
from experiments.explain import quoted

RUN = Path(__file__).resolve().parents[3] / "run.py"


@dataclass(frozen=True)
class Answers:
    """What was made answers. ``imports``: seconds of the program's, which the other scripts have before their fit."""

    bundle: Bundle
    imports: float

    def __call__(self, test: pd.DataFrame | np.ndarray) -> np.ndarray:
        return np.asarray(self.bundle.predict(test))


def fit(task: Task, rows: Any, truth: np.ndarray) -> Predict:
    scratch = task.folder / "level4"
    command = [
        *(sys.executable, str(RUN), "data=file", f"data.path={quoted(task.file)}"),
        *(f"task.metric={task.metric}", f"task.group={quoted(task.group)}", f"seed={task.seed}"),
        *(f"budget.seconds={task.seconds:g}", "budget.trials=null", "tracker=none", "progress=false"),
        *(f"artifacts={scratch / 'searches'}", f"store.url=sqlite:///{scratch / 'store.db'}"),
        f"hydra.run.dir={scratch / 'run'}",
        *task.options.get("words", []),
    ]
    if status := subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
        sys.exit(status)  # its own last line says why
    result = json.loads((scratch / "run" / "result.json").read_text())
    return Answers(Bundle.load(scratch / "run" / "bundle"), result["seconds"].get("import", 0.0))


if __name__ == "__main__":
    answer(fit)

"""Does a version of the program search as another did, trial by trial, where no clock decides?

    git worktree add ../before COMMIT
    level4 +experiment=bench/same_trials 'bench.code={before:../before,after:.}'

Each case is searched by both checkouts in one process with one thread, so many trials and no bound of time. Compared:
candidate, epochs, status and score of each trial, in the order of their numbers. Name the families: which there are may
differ between versions, and with them every draw.

Exit status 1 where a case differs, or a search crashed.
"""

from __future__ import annotations

import os
import shlex
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from automl.errors import UserError
from experiments.bench import options_from

ASKED = (
    "select number, family, choices, fidelity, status, score from trials"
    " join candidates on candidates.id = candidate_id order by number"
)


@dataclass(frozen=True)
class Asked:
    """The options; see conf/experiment/bench/same_trials.yaml."""

    code: dict[str, str] | None
    cases: list[str]
    trials: int
    epochs: int
    seed: int


def run(cfg: DictConfig) -> None:
    options = options_from(cfg, Asked)
    code = options.code or {}
    if len(code) != 2 or not all((Path(folder) / "run.py").is_file() for folder in code.values()):
        raise UserError(f"bench.code={options.code} must be two checkouts, as {{before:../before,after:.}}")
    fine = True
    for case in options.cases:
        one, other = (trials(Path(folder), case, options) for folder in code.values())
        same = one == other and len(one) > 0
        fine &= same
        first = next((n for n, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), None)
        apart = "" if first is None else f", the first that differs is {first}"
        print(f"{'same' if same else 'DIFFERENT'}: {len(one)} and {len(other)} trials{apart}: {case}", flush=True)
    if not fine:
        raise SystemExit(1)


def trials(code: Path, case: str, options: Asked) -> list[Any]:
    """Of one search by one checkout; none where it crashed, whose last words are printed."""
    with tempfile.TemporaryDirectory(prefix="same-trials-") as scratch:
        command = [
            *(sys.executable, "run.py", *shlex.split(case)),
            *("engine=sequential", f"budget.trials={options.trials}", "budget.seconds=null"),
            *(f"budget.epochs={options.epochs}", f"seed={options.seed}", "tracker=none", "progress=false"),
            *(f"store.url=sqlite:///{scratch}/store.db", f"artifacts={scratch}/a", f"hydra.run.dir={scratch}/run"),
        ]
        one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=code, env=one_thread, capture_output=True, text=True)
        if done.returncode:
            print(f"{code}: {(done.stderr.strip() or 'no word').splitlines()[-1][:300]}", flush=True)
            return []
        with sqlite3.connect(f"{scratch}/store.db") as connection:
            return connection.execute(ASKED).fetchall()

"""The process beside a server that has torch: checks dictionaries, lists layers, compares what was tried.

A line of JSON is a question, ``{"what": "check", "asked": {...}}``, and a line the answer: ``{"ok": ...}``, or
``{"error": LINE, "errors": [{"at", "problem", "fix"}]}``; ``{"unready": LINE}`` where what was asked is right, and
``{"fault": true}`` where this program is at fault. It ends with its input.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from automl.data.dataset import Dataset
from automl.data.prepare import Prepared
from automl.errors import UserError
from automl.models.listed.errors import LayerError
from automl.serial import dumps
from experiments.explain import flat
from experiments.jobs.data import Data
from experiments.jobs.desk import STORE
from experiments.jobs.dictionary import Wanted, placed, read
from experiments.jobs.leaderboard import leaderboard
from experiments.jobs.listing import listing
from experiments.jobs.planned import about
from experiments.jobs.train import of_found
from experiments.settings import settings
from experiments.solve.pipeline import prepared_as_before

KEPT = 4  # data that are held ready


class Unready(Exception):
    """What was asked is right, and cannot be answered now. The text is for who asked."""


class Clerk:
    """``seconds``: that a job may take. ``store``: of past runs, None for none."""

    def __init__(self, data: Data, seconds: float, store: str | None = None) -> None:
        self.data, self.seconds, self.store = data, seconds, store
        self._kept: OrderedDict[str, tuple[Dataset, Prepared]] = OrderedDict()
        self.answers: Mapping[str, Callable[..., Any]] = {
            "check": self.check,
            "layers": listing,
            "leaderboard": self.leaderboard,
            "test": test,
        }

    def answer(self, question: Mapping[str, Any]) -> Mapping[str, Any]:
        """Raises nothing."""
        place = "/rows" if question["what"] == "test" else "/data"
        try:
            with placed(place):
                return {"ok": self.answers[question["what"]](**{n: v for n, v in question.items() if n != "what"})}
        except LayerError as error:
            fault = {"at": error.path, "problem": flat(error.problem), "fix": flat(error.fix)}
            return {"error": self._plain(str(error)), "errors": [{n: self._plain(v) for n, v in fault.items()}]}
        except Unready as error:
            traceback.print_exc()
            return {"unready": str(error)}
        except Exception:
            traceback.print_exc()
            return {"fault": True}

    def check(self, asked: Any) -> dict[str, Any]:
        """What a dictionary would train. Raises LayerError."""
        wanted = read(asked, most_seconds=self.seconds)
        if not isinstance(wanted.data, str):
            raise LayerError("/data", "it is no text", "Write the name of data, such as digits")
        found = self.data.find(wanted.data)
        cfg, source = of_found(wanted, found)
        prepared = self._prepared(wanted, cfg, source.load, found.path)[1]
        return {"data": found.name, **about(wanted, cfg, prepared)}

    def leaderboard(self, data: str, jobs: Sequence[Mapping[str, Any]]) -> Any:
        found = self.data.find(data)
        wanted = Wanted(data, model="mlp")
        cfg, source = of_found(wanted, found)
        prepared = self._prepared(wanted, cfg, source.load, found.path)[1]
        try:
            return leaderboard(data, prepared.task, jobs, self.store)
        except UserError as error:  # of the store
            raise Unready("the store of past runs cannot be read now; come again later") from error

    def _prepared(
        self, wanted: Wanted, cfg: DictConfig, load: Callable[[], Dataset], path: Path | None
    ) -> tuple[Dataset, Prepared]:
        """The data, read and split as the job would; the last few are remembered."""
        stat = path.stat() if path is not None else None
        of = settings(cfg)
        shapes = [OmegaConf.to_container(cfg.data), OmegaConf.to_container(cfg.task), of.seed, of.calibrate]
        shapes += [of.budget.seconds, wanted.labels, stat and [stat.st_mtime_ns, stat.st_size, stat.st_ino]]
        key = dumps(shapes)
        if key not in self._kept:
            dataset = load()
            self._kept[key] = dataset, prepared_as_before(cfg, of, dataset, None)
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]

    def _plain(self, text: str) -> str:
        """Without where things lie on this machine."""
        for folder in filter(None, (self.data.uploads, self.data.datasets)):
            text = text.replace(f"{folder}/", "")
        return flat(text)[:600]


def test(folder: str, rows: Sequence[Mapping[str, Any]], truth: Sequence[Any]) -> dict[str, Any]:
    """Every metric of a bundle on rows whose answers are known. Raises UserError, LayerError, Unready."""
    from automl import metrics
    from automl.deploy.bundle import Bundle

    try:
        bundle = Bundle.load(folder)
    except UserError as error:
        raise Unready("the bundle of this job cannot be read; train it again") from error
    task = bundle.task
    answer = bundle.answer(list(rows))
    if task.kind == "regression":
        try:
            y = np.array([float(value) for value in truth])
        except (ValueError, OverflowError) as error:
            raise LayerError("/truth", str(error)[:80], "Write numbers") from None
        if not np.isfinite(y).all():
            raise LayerError("/truth", "it holds what is no finite number", "Write numbers")
        found = metrics.scores(task.kind, y, np.asarray(answer.prediction, dtype=float))
    else:
        place = {name: i for i, name in enumerate(task.classes)}
        texts = [str(value) for value in truth]
        if odd := next((text for text in texts if text not in place), None):
            raise LayerError(
                "/truth", f"{odd[:60]!r} is no class of the model", f"Its classes: {', '.join(task.classes[:12])}"
            )
        y = np.array([place[text] for text in texts])
        weights = None if bundle.decision is None else np.asarray(bundle.decision)
        assert answer.probabilities is not None
        found = metrics.scores(task.kind, y, answer.probabilities, task.classes, weights=weights)
    return {"rows": len(y), "metric": task.metric, "value": found[task.metric], "metrics": found}


def main() -> None:
    parser = argparse.ArgumentParser("python -m experiments.jobs.clerk")
    parser.add_argument("--uploads", type=Path, required=True)
    parser.add_argument("--datasets", type=Path)
    parser.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    clerk = Clerk(Data(given.uploads, given.datasets), given.seconds, os.environ.pop(STORE, None))
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)  # what a library prints is no answer
        serve(clerk, out)


def serve(clerk: Clerk, out: TextIO) -> None:
    print(file=out, flush=True)  # it is up
    for line in sys.stdin.buffer:
        print(dumps(clerk.answer(json.loads(line))), file=out, flush=True)


if __name__ == "__main__":
    main()

"""report.html: whether the model is good and how far to trust it, then what that rests on, most telling first."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from automl.files import write_atomically
from automl.types import Prior, Profile, Task, Trial
from automl.version import code_version
from experiments.progress import one_line
from experiments.report.data import data_part
from experiments.report.front import front_part
from experiments.report.importance import importance_part
from experiments.report.model import model_part
from experiments.report.page import Html, contents, page, section, tag
from experiments.report.prior import prior_part
from experiments.report.search import search_part
from experiments.report.test_rows import Tested, test_rows_part
from experiments.report.verdict import verdict_part

log = logging.getLogger(__name__)


def write_report(
    path: str | Path,
    result: Mapping[str, Any],
    *,
    task: Task,
    trials: Sequence[Trial],
    dataset_facts: Mapping[str, Any],
    quality: Any = None,
    prior: Prior | None = None,
    profile: Profile | None = None,
    predictions: pd.DataFrame | None = None,
) -> None:
    """Write the report to ``path``, whole or not at all.

    ``result``: as in result.json. ``trials``: all of the search, as they finished. ``dataset_facts``:
    what to tell of the data, name -> text, number, list or mapping. ``quality``: an
    ``automl.data.quality.Quality``. ``predictions``: as in predictions.parquet. What is not given is left
    out; a part that cannot be made says so, and the others stand.
    """
    tested = Tested.of(task, predictions)
    rows = len(tested.y) if tested else 0
    parts: list[tuple[str, str, Callable[[], Html]]] = [
        ("looks", "What the model looks at", lambda: importance_part(result, task)),
        ("test", "On the test rows", lambda: test_rows_part(result, task, tested)),
        ("data", "The data", lambda: data_part(result, task, dataset_facts, quality, profile)),
        ("search", "The search", lambda: search_part(trials, task)),
        ("front", "Speed against score", lambda: front_part(trials, task)),
        ("prior", "The prior, and what it was worth", lambda: prior_part(prior, trials, task)),
        ("model", "The model, and how to use it", lambda: model_part(result, task, trials)),
    ]
    head = _made("The verdict", lambda: verdict_part(result, task, trials, rows))
    made = [(anchor, title, inside) for anchor, title, make in parts if (inside := _made(title, make))]
    body = [
        head,
        contents((anchor, title) for anchor, title, _ in made),
        *(section(title, inside, anchor=anchor) for anchor, title, inside in made),
        _footer(result),
    ]
    write_atomically(path, page(f"{task.name}: Level 4 report", body))


def _made(title: str, make: Callable[[], Html]) -> Html:
    """A part, or nothing when it is empty. A fault in one part never costs the report."""
    try:
        return make()
    except Exception as error:
        log.warning("report: the part %r could not be made: %s", title, one_line(str(error)))
        return tag("p", f"This part could not be made: {one_line(repr(error))}", class_="note")


def _footer(result: Mapping[str, Any]) -> Html:
    now = datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="minutes")
    return tag("footer", f"Level 4 {code_version()}, {now}. Trials are kept in {result.get('store', '–')}.")


__all__ = ["write_report"]

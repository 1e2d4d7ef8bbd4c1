"""A file through the monitor: ``level4 +experiment=monitor bundle=B data.path=requests.parquet``.

Exit status 0: nothing has moved; 1: something has; 2: a mistake in the command or the file. The options are checked
before anything is imported that takes a second.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from automl.data.read.files import existing
from automl.errors import UserError
from automl.files import write_atomically
from experiments.options import said
from experiments.predict.run import READ
from experiments.settings import truth, whole, writable


@dataclass(frozen=True)
class Options:
    """``path``: file or folder. ``window``: rows. ``labels``: a column, or None."""

    bundle: Path
    path: Path
    window: int = 200
    labels: str | None = None
    out: Path | None = None
    progress: bool = True
    delimiter: str | None = None
    encoding: str | None = None


def run(cfg: DictConfig) -> None:
    """The command line's way in."""
    options = options_of(cfg, HydraConfig.get().overrides.task)
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    from experiments.monitor.monitor import lines, monitor

    found = monitor(options)
    if options.out is not None:
        try:
            write_atomically(options.out, json.dumps(found, ensure_ascii=False, allow_nan=False) + "\n")
        except OSError as error:
            raise UserError(f"out={options.out} cannot be written: {error.strerror}. Set out=ANOTHER_FILE") from error
    print("\n".join(lines(found)))
    if found["alerts"]:
        raise SystemExit(1)


def options_of(cfg: DictConfig, typed: Sequence[str] = ()) -> Options:
    """The checked options. ``typed``: words of the command line.

    Raises UserError for a value of the wrong type, a path that is not there, and an output that cannot be.
    """
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    for word in typed:
        group, _, name = word.lstrip("+~").partition("=")[0].partition(".")
        if group == "data" and name and name not in READ:
            raise UserError(
                f"{word} does nothing here: of data, {', '.join(READ)} are read; labels=COLUMN names labels"
            )
    data = plain["data"] if isinstance(plain["data"], dict) else {}
    for name, value in {"bundle": plain["bundle"], "data.path": data.get("path")}.items():
        if not isinstance(value, str):
            raise UserError(f"{name}={said(value)} must be a path. Set {name}=...")
    texts = {"labels": plain["labels"], "out": plain["out"], **{f"data.{n}": data.get(n) for n in READ[1:]}}
    for name, value in texts.items():
        if not isinstance(value, str | None):
            raise UserError(f"{name}={said(value)} must be text or null")
    out = None if plain["out"] is None else Path(plain["out"]).expanduser()
    if out is not None:
        if out.is_dir():
            raise UserError(f"out={out} is a folder. Set out=FILE.json")
        writable(out.parent, "out")
    return Options(
        existing(plain["bundle"], option="bundle"),
        existing(data["path"]),
        whole(plain, "window", 50),
        plain["labels"],
        out,
        truth(plain, "progress"),
        data.get("delimiter"),
        data.get("encoding"),
    )

"""Answers for a file: ``level4 +experiment=predict bundle=B data.path=new.parquet out=p.parquet``.

The options are checked before anything is imported that takes a second.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from automl.data.read.files import existing
from automl.errors import UserError
from experiments.options import said
from experiments.settings import number, truth, whole

ENDINGS = (".parquet", ".csv")
READ = ("path", "delimiter", "encoding")  # of data


@dataclass(frozen=True)
class Options:
    """``path``: file or folder. ``level``: of intervals and sets, None for none. ``chunk``: rows, None: found."""

    bundle: Path
    path: Path
    out: Path
    level: float | None = None
    chunk: int | None = None
    overwrite: bool = False
    progress: bool = True
    delimiter: str | None = None
    encoding: str | None = None


def run(cfg: DictConfig) -> None:
    """The command line's way in."""
    options = options_of(cfg, HydraConfig.get().overrides.task)
    # Arrow's own pool takes a gigabyte of addresses at once, which ``ulimit -v`` counts.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    from experiments.predict.predict import predict, summary

    try:
        print(summary(predict(options)))
    except KeyboardInterrupt:
        print("What is finished is kept; the same command goes on.", file=sys.stderr)
        raise


def options_of(cfg: DictConfig, typed: Sequence[str] = ()) -> Options:
    """The checked options; the folder of ``out`` is made. ``typed``: words of the command line.

    Raises UserError for a value of the wrong type, a path that is not there, and an output that must not be written.
    """
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    for word in typed:
        group, _, name = word.lstrip("+~").partition("=")[0].partition(".")
        if group == "data" and name and name not in READ:
            raise UserError(f"{word} does nothing here: of data, {', '.join(READ)} are read")
    data = plain["data"] if isinstance(plain["data"], dict) else {}
    for name, value in {"bundle": plain["bundle"], "data.path": data.get("path"), "out": plain["out"]}.items():
        if not isinstance(value, str):
            raise UserError(f"{name}={said(value)} must be a path. Set {name}=...")
    for name in READ[1:]:
        if not isinstance(data.get(name), str | None):
            raise UserError(f"data.{name}={said(data[name])} must be text or null")
    level = number(plain, "level", 0, free=True)
    if level is not None and level >= 1:
        raise UserError(f"level={level} must be below 1, such as 0.9")
    options = Options(
        existing(plain["bundle"], option="bundle"),
        existing(data["path"]),
        Path(plain["out"]).expanduser(),
        level,
        whole(plain, "chunk", 1, free=True),
        truth(plain, "overwrite"),
        truth(plain, "progress"),
        data.get("delimiter"),
        data.get("encoding"),
    )
    check_out(options)
    return options


def check_out(options: Options) -> None:
    """Raises UserError for an output that is of no known kind, there already, or cannot be."""
    out = options.out
    if out.suffix.lower() not in ENDINGS:
        raise UserError(f"out={out} must end in {' or '.join(ENDINGS)}")
    if out.is_dir():
        raise UserError(f"out={out} is a folder. Set out=FILE.parquet")
    if out.exists() and out.samefile(options.path):
        raise UserError(f"out={out} is the file that is read. Set out=ANOTHER_FILE")
    if out.exists() and not options.overwrite:
        raise UserError(f"out={out} exists. Set out=ANOTHER_FILE, or overwrite=true")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"out={out} cannot be written: {error.strerror}. Set out=ANOTHER_FILE") from error

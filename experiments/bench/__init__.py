"""Benchmarks of the program: ``level4 +experiment=bench/NAME`` calls the ``run`` of the module NAME.

Exit status 1: a bar was missed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from omegaconf import DictConfig, OmegaConf

from automl.errors import UserError
from automl.files import write_atomically
from experiments.options import check_types
from experiments.settings import writable

T = TypeVar("T")
SEEDS = ("seed", "seeds")


def options_from(cfg: DictConfig, of: type[T]) -> T:
    """The options under ``bench`` as a dataclass. Raises UserError for a value that is not of its field's type.

    Numbers must be above 0, also those in lists; seeds may be 0.
    """
    plain: Any = OmegaConf.to_container(cfg.bench, resolve=True)
    hints = get_type_hints(of)
    if odd := set(plain) ^ set(hints):
        sign = "+" if min(odd) in plain else "~"
        raise UserError(f"{sign}bench.{min(odd)}: options are neither added nor taken away here. Leave it out")
    check_types(of, plain, "bench.")
    for name, value in plain.items():
        if value == [] and hints[name] != list[str]:
            raise UserError(f"bench.{name}=[] is empty. Set bench.{name}=[...]")
        numbers = [n for n in (value if isinstance(value, list) else [value]) if type(n) in (int, float)]
        if not all(0 < n < math.inf or (name in SEEDS and n == 0) for n in numbers):
            raise UserError(f"bench.{name}={value} must be {'0 or more' if name in SEEDS else 'above 0'}")
    return of(**{name: _with_paths(value, hints[name]) for name, value in plain.items()})


def _with_paths(value: Any, hint: Any) -> Any:
    if hint == list[Path]:
        return [Path(text).expanduser() for text in value]
    return Path(value).expanduser() if value is not None and Path in (hint, *get_args(hint)) else value


def kept_rows(out: Path) -> list[dict[str, Any]]:
    """What earlier runs have written to ``bench.out``, a line a row. Raises UserError where nothing can be written.

    A last line that was cut, as by a full disk, is taken away: the next row would stand in it.
    """
    writable(out.parent, "bench.out")
    try:
        *lines, last = out.read_text().split("\n") if out.exists() else [""]
        rows = [json.loads(line) for line in lines]
        if last and not rows:
            raise ValueError("a single line, and no end of it")
        if last:
            write_atomically(out, "".join(f"{line}\n" for line in lines))
        return rows
    except (ValueError, IsADirectoryError) as error:
        raise UserError(f"bench.out={out} holds no rows of a benchmark. Set bench.out=FILE") from error


def alone(work: Callable[..., T], *args: Any, **more: Any) -> T:
    """What a function returns, called in a process of its own, so that its peak memory is its own."""
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(work, *args, **more).result()
    except BrokenProcessPool as error:
        raise SystemExit("the measured process was killed; the machine may have too little memory") from error

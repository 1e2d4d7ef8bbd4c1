"""What a user sees when something is wrong: one line that names the choices, and an exit status.

0 done, 2 a mistake in the command or the data, 130 stopped by Ctrl-C, 143 by SIGTERM, 1 a fault of ours (with its
traceback). A search that is stopped once something finished still makes its model: that is done, 0.
Set ``HYDRA_FULL_ERROR=1`` to see the traceback of every error.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from automl.version import code_version
from experiments.configuration import SEARCH_PATH
from experiments.explain import explain, printable
from experiments.settings import check, hide_passwords, keep_config, refuse_unread
from experiments.signals import terminated
from experiments.sweep import finished_before, refuse_direction, tell_end, to_minimise

WANTS_TRACEBACK = os.environ.get("HYDRA_FULL_ERROR") == "1"


def main() -> None:
    """The command ``level4``, which is ``python run.py``."""
    sys.argv[1:] = flags_first(sys.argv[1:])
    if "--version" in sys.argv[1:]:
        print(f"level4 {code_version()}")
        return
    with one_line_errors():
        try:
            job()
        finally:
            tell_end()
    if "torch" in sys.modules and sys.getprofile() is sys.gettrace() is None:  # else who watches wants the last word
        end()


def end() -> None:
    """End the process as Python does, but for freeing what torch brought, object by object: that takes two seconds."""
    threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue]
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):  # nobody reads any more, or the disk is full: Python's own status for that
        os._exit(120)
    os._exit(0)


@hydra.main(version_base="1.3", config_path=SEARCH_PATH, config_name="config")
def job(cfg: DictConfig) -> float | None:
    """One run of the composed configuration. What makes a model returns how good it is, for a sweeper that optimises:
    see ``experiments.sweep.to_minimise``.
    """
    with one_line_errors(resumable=cfg.reads is None):
        of = HydraConfig.get()
        folder = Path(of.runtime.output_dir)
        if of.mode == RunMode.MULTIRUN:
            hide_passwords(Path(of.sweep.dir) / "multirun.yaml")
            refuse_direction(of)
        refuse_unread(cfg, of.overrides.task)
        check(cfg)  # a wrong value is told before the heavy imports
        if of.mode == RunMode.MULTIRUN and (before := finished_before(cfg, folder)) is not None:
            print(f"{folder} has finished before, with the same options: it is not run again")
            return to_minimise(before)
        keep_config(cfg, folder)
        return hydra.utils.call(cfg.run, cfg)


@contextmanager
def one_line_errors(*, resumable: bool = False) -> Iterator[None]:
    """Turn the errors of Hydra, OmegaConf and the user into one line on stderr.

    ``resumable``: what runs inside takes ``resume=true``. Stands around Hydra's main, for faults of the composition,
    and inside it, where Hydra would add lines of its own.
    """
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints its own, longer text and exits itself
    status = [130]
    try:
        with terminated(lambda: status.append(143)):
            yield
    except KeyboardInterrupt:
        kept = " Finished trials are kept; add resume=true to go on." if resumable else ""
        leave(f"Stopped.{kept}", status[-1])
    except Exception as error:
        line = explain(error)
        if WANTS_TRACEBACK or line is None:
            raise
        leave(line, 2)
    finally:
        if before is None:
            os.environ.pop("HYDRA_FULL_ERROR", None)


def flags_first(arguments: list[str]) -> list[str]:
    """The same words with ``--multirun`` and its like in front: argparse takes no overrides on both sides of them."""
    flags = {"--multirun", "-m", "--run", "-r", "--resolve", "--help", "-h"}
    return [a for a in arguments if a in flags] + [a for a in arguments if a not in flags]


def leave(line: str, status: int) -> None:
    print(printable(line), file=sys.stderr)
    raise SystemExit(status)

"""The store of a run, opened; on standard error what is to be said of where it lies."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from automl.errors import UserError
from automl.store.place import HERE, own_url, refusal
from automl.store.store import Store
from experiments.explain import printable
from experiments.options import made


def opened(cfg: DictConfig) -> Store:
    """The configured store. Where the home cannot be written, the person's own gives way to one in the working folder.

    Raises UserError for one that was asked for and cannot be opened.
    """
    url, named = OmegaConf.select(cfg, "store.url"), os.environ.get("LEVEL4_STORE")
    if url != own_url():
        return made(cfg, "store")
    if not named and (why := refusal(url)):
        tell(f"{shortened(url)} cannot be written ({why}): past runs are kept in {shortened(HERE)}. Set LEVEL4_STORE")
        return made(cfg, "store", url=HERE)
    try:
        store: Store = made(cfg, "store")
    except UserError as error:
        raise UserError(f"LEVEL4_STORE: {error}" if named else str(error)) from error
    if old := left_behind(store):
        tell(old)
    return store


def left_behind(store: Store, file: Path | None = None) -> str:
    """A line where the working folder has past runs, in ``file``, that the store has not; else an empty one."""
    file = file or Path(shortened(HERE))
    if not file.is_file():
        return ""
    query = "select k.digest, count(*) from trials t join tasks k on k.id = t.task_id where t.status = 'ok' group by 1"
    try:
        # Not through Store: it would bring a file of an older version up to date.
        with contextlib.closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=1)) as db:
            there = db.execute(query).fetchall()
    except sqlite3.Error:
        return ""
    known = store.finished_by_task()
    if all(n <= known.get(digest, 0) for digest, n in there):
        return ""
    return (
        f"{file} has past runs that {shortened(store.name)} has not. To take them along: level4 +experiment=knowledge "
        f"knowledge.import={file}; to go on with them as they are: store.url=sqlite:///{file}"
    )


def shortened(url: str) -> str:
    """A store's place for people: the path of a file, ``~`` for the home; any other URL as it is."""
    path, home = url.removeprefix("sqlite:///"), f"{Path('~').expanduser()}/"
    return f"~/{path.removeprefix(home)}" if path.startswith(home) else path


def tell(line: str) -> None:
    print(printable(line), file=sys.stderr)

"""Which program was measured: what a benchmark keeps is of one, and is measured again by another."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Sequence
from pathlib import Path

PROGRAM = tuple(f":/{name}" for name in ("automl", "nas", "metalearner", "experiments", "conf", "run.py", "level4.py"))
COMMAND = (*PROGRAM, ":(exclude,top)experiments/bench", ":(exclude,top)experiments/compare")
"""What its command runs: without what measures that."""
HERE = Path(__file__).parents[2]
CODE = (".py", ".yaml", ".cpp")


def commit(folder: Path = HERE, paths: Sequence[str] = COMMAND) -> str:
    """Which program a checkout holds: the last commit that changed these paths, and a digest of what differs from it.

    Commits of other things do not change it, so that what was measured stays; two states of a changed checkout are told
    apart. Where nothing is known of commits, as of what was installed, it is a digest of the program's files.
    """

    def said(*words: str) -> str:
        git = ["git", "-C", str(folder), *words, "--", *paths]
        return subprocess.run(git, capture_output=True, text=True, errors="replace").stdout.strip()

    try:
        top = subprocess.run(["git", "-C", str(folder), "rev-parse", "--show-toplevel"], capture_output=True, text=True)
    except FileNotFoundError:  # no git
        return _files(folder)
    if top.returncode or not said("log", "-1", "--format=%h"):
        return _files(folder)
    new = said("ls-files", "--others", "--exclude-standard", "--full-name").splitlines()
    changes = [said("diff", "HEAD"), *new, *((Path(top.stdout.strip()) / f).read_text(errors="replace") for f in new)]
    changed = f"-{hashlib.sha256(repr(changes).encode()).hexdigest()[:8]}" if any(changes) else ""
    return said("log", "-1", "--format=%h") + changed


def _files(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in (name.removeprefix(":/") for name in PROGRAM):
        place = folder / name
        for file in sorted(f for f in (place, *place.rglob("*")) if f.suffix in CODE and f.is_file()):
            digest.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]

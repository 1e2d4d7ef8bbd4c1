"""A system to compare with: what it needs, which inputs it takes, and the script that fits it."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from automl.errors import UserError
from experiments.environments import environment

SCRIPTS = Path(__file__).parent / "peers"
EXCHANGE = SCRIPTS / "exchange.py"


@dataclass(frozen=True)
class Peer:
    """``script``: a file of ``experiments/compare/peers`` by its name, or the path of another one.

    ``needs``: packages as pip takes them, for an environment of its own; none: the program's own. ``inputs``: the
    modalities that it takes (tabular, image, series, text, audio). ``options``: what the script reads of them.
    Raises UserError for a script that is not there.
    """

    script: str
    inputs: list[str]
    needs: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.path.is_file():
            raise UserError(f"script={self.script}: {self.path} is not there. Give a name of {SCRIPTS} or a path")

    @property
    def path(self) -> Path:
        named = SCRIPTS / f"{self.script}.py"
        return named if named.is_file() else Path(self.script).expanduser().resolve()

    def version(self, code: str) -> str:
        """Changes with what is measured: script, packages, options; and ``code`` where it runs in the program's own."""
        said = [self.path.read_text(), EXCHANGE.read_text(), self.needs, self.options, None if self.needs else code]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:10]

    def python(self, envs: Path) -> str:
        """The interpreter, its environment made where it is missing. Peers with the same needs share one.

        Raises CalledProcessError or OSError where it cannot be installed.
        """
        if not self.needs:
            return sys.executable
        name = (
            f"{self.needs[0].split('=')[0].split('[')[0]}-{hashlib.sha256(repr(self.needs).encode()).hexdigest()[:6]}"
        )
        return str(environment(envs / name, self.needs))

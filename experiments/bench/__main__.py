"""``python -m experiments.bench NAME [options]`` runs the ``main(argv) -> int`` of ``experiments.bench.NAME``."""

from __future__ import annotations

import importlib
import pkgutil
import sys

from automl.errors import UserError
from experiments import bench


def main(argv: list[str]) -> int:
    """Exit status of the benchmark; 2 for a wrong name or a user's mistake, told in one line."""
    names = sorted(m.name for m in pkgutil.iter_modules(bench.__path__) if not m.name.startswith("_"))
    if not argv or argv[0] not in names:
        got = f"no benchmark {argv[0]!r}" if argv else "which benchmark?"
        print(f"{got}; python -m experiments.bench NAME, with NAME one of: {', '.join(names)}", file=sys.stderr)
        return 2
    try:
        return importlib.import_module(f"experiments.bench.{argv[0]}").main(argv[1:])
    except UserError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

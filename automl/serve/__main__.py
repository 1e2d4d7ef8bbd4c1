"""``python -m automl.serve FOLDER``: the server where the whole program is not, such as in a bundle's image.

Without a folder it is told all by the environment, as ``level4 +experiment=serve`` tells it.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path

MODULES = {
    "fastapi": "fastapi",
    "uvicorn": "uvicorn",
    "httptools": "httptools",
    "python_multipart": "python-multipart",
    "prometheus_client": "prometheus-client",
}
"""What a server imports, and what to install for it."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main(factory: str | None = None) -> None:
    """``factory``: see ``automl.serve.run.serve``."""
    for name in THREADS:  # numpy, which is not imported yet, would take all processors in each of several workers
        os.environ.setdefault(name, "1")
    from automl.errors import UserError
    from automl.serve.settings import TOKEN, VARIABLE, Settings

    parser = argparse.ArgumentParser("python -m automl.serve", description="Serve a bundle, or a registry of bundles.")
    told = VARIABLE in os.environ
    parser.add_argument("folder", nargs="?" if told else None, help="of a bundle, or of a registry")
    parser.add_argument("--host", default="127.0.0.1", help=f"another than this machine needs a token: {TOKEN}=...")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--state", help="folder of logs and counts; without one they go with the server")
    given = vars(parser.parse_args())
    folder = given.pop("folder")
    try:
        serve = _server()
        if folder is None:
            settings = Settings.from_env()
        else:
            kind = "registry" if (Path(folder) / "names").is_dir() else "bundle"
            settings = Settings(**{kind: folder}, **given, token=os.environ.get(TOKEN))
        serve(settings, *filter(None, [factory]))
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _server() -> Callable[..., None]:
    """Raises UserError where the extra was not installed."""
    from automl.errors import UserError

    # Looked for, not imported: what prometheus_client does is decided when it is imported (automl.serve.metrics).
    missing = [package for name, package in MODULES.items() if importlib.util.find_spec(name) is None]
    if missing:  # by their names: what is installed may be the whole program, or the wheel of a bundle
        raise UserError(f"a server needs what is not installed here. Run: pip install {' '.join(missing)}")
    from automl.serve.run import serve

    return serve


if __name__ == "__main__":
    main()

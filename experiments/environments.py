"""Virtual environments of other programs, beside which this one is measured."""

from __future__ import annotations

import subprocess
import venv
from collections.abc import Sequence
from pathlib import Path


def environment(folder: Path, needs: Sequence[str], anew: Sequence[str] = ()) -> Path:
    """One with these packages, made unless it is whole and of these; the path of its Python.

    ``anew``: wheels that are installed each time, as they are what is measured.
    Raises CalledProcessError or OSError where it cannot be made.
    """
    python, made, wanted = folder / "bin" / "python", folder / ".made", "\n".join(needs)
    pip = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    if not made.is_file() or made.read_text() != wanted:
        print(f"making {folder}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([*pip, *anew, *needs], check=True)
        made.write_text(wanted)
    elif anew:
        subprocess.run([*pip, "--no-deps", "--force-reinstall", *anew], check=True)
    return python

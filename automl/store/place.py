"""Where past runs lie when nobody says otherwise: one store a person, whatever folder they work in."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

HERE = "sqlite:///outputs/store.db"
"""In the working folder: where the home cannot be written, and where runs were kept before there was one store."""


def own_url() -> str:
    """``LEVEL4_STORE`` (a URL, or the path of a file), else ``level4/store.db`` where the XDG base directory
    specification puts a person's data.
    """
    if given := os.environ.get("LEVEL4_STORE"):
        return given if "://" in given else f"sqlite:///{Path(given).expanduser()}"
    asked = Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser()
    # The specification: a relative path there is to be ignored.
    data = asked if asked.is_absolute() else Path("~/.local/share").expanduser()
    return f"sqlite:///{data / 'level4' / 'store.db'}"


def trunks_beside(url: str | None) -> str:
    """The folder of networks of a store's runs: beside its file, or beside a person's own where it is none."""
    file = url if url and url.startswith("sqlite:///") else own_url()
    if not file.startswith("sqlite:///"):
        file = HERE
    return str(Path(file.removeprefix("sqlite:///")).with_name("trunks"))


def refusal(url: str) -> str:
    """Why a store cannot be kept in this file, in the system's words; empty where it can, or where it is no file."""
    file = Path(url.removeprefix("sqlite:///"))
    if not url.startswith("sqlite:///"):
        return ""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=file.parent):  # SQLite writes beside the file too
            pass
        if file.exists():
            file.open("r+b").close()
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""

"""Which code made a result."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import subprocess
import tomllib
from importlib import resources
from pathlib import Path

_ROOT = Path(str(resources.files("automl"))).resolve().parent  # of a checkout, else site-packages


@functools.cache
def code_version() -> str:
    """Such as ``0.1.0+g139cf87c0de1`` (package version, git revision, ``.dirty`` when files were changed).

    Outside a checkout the package version alone; ``unknown`` when there is none. Never raises; asked once
    a process.
    """
    revision = _revision()
    return package_version() + (f"+g{revision}" if revision else "")


def package_version() -> str:
    try:  # a checkout first: an installed copy of another version may lie beside it
        return tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    except (OSError, ValueError, KeyError):
        pass
    try:
        return importlib.metadata.version("level4")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


@functools.cache
def source_digest() -> str:
    """Of all Python source that decides a search and its networks, comments included; 16 hex digits.

    Unlike ``code_version`` it tells two states of a changed checkout apart, and is the same after a commit of something
    else.
    """
    digest = hashlib.sha256()
    for name in ("automl", "nas", "metalearner"):
        for file in sorted((_ROOT / name).rglob("*.py")):
            digest.update(str(file.relative_to(_ROOT)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def _revision() -> str:
    if not (_ROOT / ".git").exists():
        return ""
    # Inside a git hook GIT_DIR and its kin point to another repository.
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    command = ["git", "-C", str(_ROOT), "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=3, env=clean, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip().replace("-dirty", ".dirty")

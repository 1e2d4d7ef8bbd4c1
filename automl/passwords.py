"""What may not be written down: passwords, in options and inside of texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "***"
_NAME = r"(?:password|passwd|passphrase|secret|(?:api|access|auth)[_-]?(?:key|token)|(?<![\w-])token)"
_OPTION = re.compile(rf".*{_NAME}", re.IGNORECASE)
_URL = re.compile(r"(://[^/\s:@\"]*:)[^\s\"]+(@)")
_PART = re.compile(rf"({_NAME}=)(?:'[^']*'|[^&\s\"]+)", re.IGNORECASE)  # of a URL, a connection, a command line
_ENTRY = re.compile(  # of a mapping on the command line
    rf"""({_NAME}["']?\s*:\s*)(?!(?:null|None)\b)("(?:[^"\\]|\\.)*"|'[^']*'|[^\s"'][^,}}\]\n]*)""", re.IGNORECASE
)


def masked(value: Any) -> Any:
    """Plain data without passwords: those of options that are called so, and those inside of texts."""
    if isinstance(value, Mapping):
        return {
            k: HIDDEN if type(v) in (str, int) and v and _OPTION.fullmatch(str(k)) else masked(v)
            for k, v in value.items()
        }
    if isinstance(value, list | tuple):
        return [masked(v) for v in value]
    return _ENTRY.sub(rf"\1{HIDDEN}", without_passwords(value)) if isinstance(value, str) else value


def without_passwords(text: str) -> str:
    """The text with its passwords hidden: of URLs, ``//user:password@host`` (the user may be missing), and of what is
    called so, ``password=...``. What is written as JSON stays JSON.
    """
    return _PART.sub(rf"\1{HIDDEN}", _URL.sub(rf"\1{HIDDEN}\2", text))

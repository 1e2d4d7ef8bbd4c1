"""Pieces of Markdown, in which a user's text is shown as it is and never read as markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

_LINKS = re.compile(r"(?i)(?<=:)//|www\.|@")  # what hubs make links of without being asked


def escaped(text: Any) -> str:
    """A text as one line that is shown as it is, in a sentence, a list or a table."""
    line = " ".join(re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", " ", str(text)).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = re.sub(r"([\\`*_\[\]#|~$])", r"\\\1", line)
    return _LINKS.sub(lambda found: "".join(f"&#{ord(sign)};" for sign in found[0]), line)


def sentence(text: Any) -> str:
    """An escaped text that ends with a full stop."""
    return f"{escaped(text).rstrip('.')}."


def listed(lines: Iterable[str]) -> str:
    """A list of Markdown lines; empty ones are left out."""
    return "\n".join(f"- {line}" for line in lines if line)


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown cells."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (titles, ["---"] * len(titles), *rows))


def number(value: float | None) -> str:
    """Four digits, or a dash for none."""
    return "–" if value is None else f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:,.4g}"


def percent(share: float) -> str:
    return f"{100 * share:.3g} %"

"""Tables of plain text, as wide as they are: on a terminal, in a pipe, in a file."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from experiments.explain import printable


def aligned(head: Sequence[str], rows: Sequence[Sequence[object]], numbers: Collection[str] = ()) -> str:
    """Columns two spaces apart; those named in ``numbers`` are set right."""
    lines = [list(head), *([printable(str(value)) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if name in numbers else cell.ljust(width)
            for cell, width, name in zip(line, widths, head, strict=True)
        ).rstrip()
        for line in lines
    )

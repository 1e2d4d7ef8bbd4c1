"""A table with columns of paths: pictures and sounds become inputs of their own beside the other columns."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from automl.data.cells.words import is_missing_word
from automl.data.quality.parse import column_of
from automl.data.read.media import Loaded, inside, media_kind, read_images, read_sounds
from automl.types import Modality


def load_media(
    table: pd.DataFrame, folder: Path, origin: str, *, size: int | None = None, without: tuple[str | None, ...] = ()
) -> tuple[pd.DataFrame, dict[str, Loaded], dict[str, Modality], list[str]]:
    """(table without the path columns, what was read by column name, its modality, notes).

    Paths are relative to ``folder`` and must lie in it. An empty cell gives a black picture or silence.
    """
    read: dict[str, Loaded] = {}
    modalities: dict[str, Modality] = {}
    notes: list[str] = []
    for name in map(str, table.columns):
        kind = None if name in without else media_kind(column_of(table, name))
        if kind is None:
            continue
        paths = [
            None
            if pd.isna(value) or is_missing_word(value)
            else inside(folder, str(value), f"column {name!r} in row {i + 1} of {origin}")
            for i, value in enumerate(table[name])
        ]
        read[name] = read_images(paths, size=size) if kind == "image" else read_sounds(paths)
        modalities[name] = kind
        notes += [f"column {name!r}: {note}" for note in read[name].notes]
    return table.drop(columns=list(read)), read, modalities, notes

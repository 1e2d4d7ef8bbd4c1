"""Sounds (wav) in one folder per class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from automl.data.dataset import Dataset
from automl.data.read.audio import ENDINGS
from automl.data.read.files import existing
from automl.data.read.media import read_sounds
from automl.data.sources.file import stem
from automl.data.sources.walk import walk
from automl.errors import UserError


@dataclass
class AudioFolderSource:
    """``path``: a folder FOLDER/CLASS/FILE.wav (also FOLDER/train/CLASS/... and FOLDER/test/CLASS/...).

    ``seconds``: what is kept of each sound, null: the longest, at most 10. ``broken``: "stop" or "skip".
    """

    path: str
    seconds: float | None = None
    broken: str = "stop"
    name: str | None = None

    def load(self) -> Dataset:
        path = existing(self.path)
        found = walk(path, ENDINGS, "sound")
        loaded = read_sounds(found.files, seconds=self.seconds, broken=self.broken)
        if len(loaded.kept) == 0:
            raise UserError(f"no sound in {path} can be read; mend them")
        return Dataset(
            name=self.name or stem(path),
            table=pd.DataFrame(index=range(len(loaded.kept))),
            target=pd.Series(np.asarray(found.labels, dtype=object)[loaded.kept], name="target").astype("str"),
            arrays={"audio": loaded.array},
            split=None if found.split is None else found.split[loaded.kept],
            modalities={"audio": "audio"},
            decoded=frozenset({"audio"}),
            origin=str(path),
            notes=(*found.notes, *loaded.notes),
        )

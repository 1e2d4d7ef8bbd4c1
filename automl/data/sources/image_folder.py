"""Pictures in one folder per class, or a csv that names them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from automl.data.dataset import Dataset
from automl.data.read.files import existing
from automl.data.read.image import ENDINGS
from automl.data.read.media import read_images
from automl.data.sources.build import refuse_given
from automl.data.sources.file import FileSource, stem
from automl.data.sources.walk import walk
from automl.errors import UserError


@dataclass
class ImageFolderSource:
    """``path``: a folder FOLDER/CLASS/FILE (also FOLDER/train/CLASS/FILE and FOLDER/test/...), or a csv of paths.

    ``size``: side in pixels, null: found. ``broken``: "stop" at an unreadable picture, or "skip" it.
    ``target``: the label column of a csv.
    """

    path: str
    size: int | None = None
    broken: str = "stop"
    target: str | None = None
    name: str | None = None

    def load(self) -> Dataset:
        path = existing(self.path)
        if path.is_file():
            refuse_given(self, ("broken",), f"is for folders; {path} names its pictures in a column")
            dataset = FileSource(str(path), target=self.target, name=self.name, size=self.size).load()
            if "image" not in dataset.modalities.values():
                raise UserError(
                    f"{path} has no column of picture paths ({', '.join(ENDINGS[:4])}); name the files in one"
                )
            return dataset
        refuse_given(self, ("target",), f"is for tables; the classes of {path} are its folders")
        found = walk(path, ENDINGS, "picture")
        loaded = read_images(found.files, size=self.size, broken=self.broken)
        if len(loaded.kept) == 0:
            raise UserError(f"no picture in {path} can be read; mend them")
        return Dataset(
            name=self.name or stem(path),
            table=pd.DataFrame(index=range(len(loaded.kept))),
            target=pd.Series(np.asarray(found.labels, dtype=object)[loaded.kept], name="target").astype("str"),
            arrays={"image": loaded.array},
            split=None if found.split is None else found.split[loaded.kept],
            modalities={"image": "image"},
            decoded=frozenset({"image"}),
            white={} if loaded.white is None else {"image": loaded.white},
            origin=str(path),
            notes=(*found.notes, *loaded.notes),
        )

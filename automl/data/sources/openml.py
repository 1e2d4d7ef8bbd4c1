"""A data set of openml.org, by its number; kept on disk after the first time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from automl.data.dataset import Dataset
from automl.data.read.files import short
from automl.data.sources.build import from_table
from automl.errors import UserError


@dataclass
class OpenmlSource:
    """``id``: the number in openml.org/d/ID. ``target``: null takes the one that OpenML names.

    ``cache``: folder for the files; null is OpenML's own (~/.cache/openml), which is trusted. Columns that OpenML
    marks as row number or to be ignored are left out.
    """

    id: int
    target: str | None = None
    name: str | None = None
    cache: str | None = None

    def load(self) -> Dataset:
        import openml

        if self.cache:
            openml.config.set_root_cache_directory(Path(self.cache).expanduser())
        try:
            if self.cache:
                _without_pickles(self.id)
            found = openml.datasets.get_dataset(
                int(self.id), download_qualities=False, download_features_meta_data=True
            )
            table, _, categorical, names = found.get_data(dataset_format="dataframe")
        except Exception as error:  # openml raises whatever its parsers and the network raise
            raise UserError(
                f"OpenML data set {self.id} cannot be loaded: {short(str(error) or type(error).__name__, 120)}; "
                "check data.id on openml.org and the connection"
            ) from error
        target = self.target or found.default_target_attribute
        if not target or "," in target:
            raise UserError(f"OpenML data set {self.id} names no single target; set data.target=COLUMN")
        frame = pd.DataFrame(table).copy()
        for column, is_category in zip(names, categorical, strict=True):
            if is_category and column in frame.columns:
                frame[column] = frame[column].astype("str").where(frame[column].notna(), np.nan)
        return from_table(
            frame,
            name=self.name or str(found.name),
            origin=f"openml.org/d/{self.id}",
            target=target,
            notes=(f"OpenML data set {self.id}, version {found.version}",),
        )


def _without_pickles(number: int) -> None:
    """A folder that is named may come from others: what OpenML keeps there as pickle, which can run code, is made anew
    from the files beside it.
    """
    import openml

    for file in (Path(openml.config.get_cache_directory()) / "datasets" / str(int(number))).glob("*.pkl*"):
        file.unlink()

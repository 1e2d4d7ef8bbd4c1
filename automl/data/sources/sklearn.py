"""The data sets that scikit-learn carries: no file and no internet needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from automl.data.dataset import Dataset
from automl.data.sources.build import from_arrays
from automl.errors import UserError

NAMES = ("digits", "iris", "wine", "breast_cancer", "diabetes", "linnerud")


@dataclass
class SklearnSource:
    """``name``: digits (8x8 images), iris, wine, breast_cancer, diabetes (regression) or linnerud (regression)."""

    name: str = "digits"

    def load(self) -> Dataset:
        if self.name not in NAMES:
            raise UserError(
                f"data.name={self.name!r} is no bundled set of scikit-learn; use one of: {', '.join(NAMES)}"
            )
        import sklearn.datasets

        origin = f"sklearn.datasets.load_{self.name}"
        if self.name == "digits":
            bunch: Any = sklearn.datasets.load_digits()
            images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)  # the set's unit is 0..16
            return from_arrays(images, bunch.target, "image", name="digits", origin=origin)
        bunch = getattr(sklearn.datasets, f"load_{self.name}")(as_frame=True)
        targets = bunch.target if isinstance(bunch.target, pd.DataFrame) else bunch.target.to_frame()
        target, notes = targets.iloc[:, 0], ()
        if targets.shape[1] > 1:
            others = ", ".join(map(str, targets.columns[1:]))
            notes = (f"one target is learned at a time: {target.name}, the first; {others} are left out",)
        names = getattr(bunch, "target_names", None)
        if self.name not in ("diabetes", "linnerud") and names is not None:
            target = pd.Series(np.asarray(names, dtype=object)[target.to_numpy()], name="target").astype("str")
        return Dataset(name=self.name, table=bunch.data, target=target.rename("target"), origin=origin, notes=notes)

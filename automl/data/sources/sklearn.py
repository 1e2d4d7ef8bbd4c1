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
        target = bunch.target if isinstance(bunch.target, pd.Series) else bunch.target.iloc[:, 0]
        names = getattr(bunch, "target_names", None)
        if self.name not in ("diabetes", "linnerud") and names is not None:
            target = pd.Series(np.asarray(names, dtype=object)[target.to_numpy()], name="target").astype("str")
        return Dataset(name=self.name, table=bunch.data, target=target.rename("target"), origin=origin)

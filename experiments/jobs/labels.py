"""Names of a user's own for the classes of data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import pandas as pd

from automl.data.dataset import Dataset
from automl.models.listed.errors import LayerError
from automl.types import Source


@dataclasses.dataclass(frozen=True)
class Labelled:
    """A source whose classes are called otherwise. ``labels``: value, as a text, -> name; or names in the order of the
    values: of numbers from small to large, of texts as a dictionary has them.
    """

    source: Source
    labels: Mapping[str, str] | Sequence[str]

    def load(self) -> Dataset:
        """Raises LayerError where the names do not fit the classes."""
        dataset = self.source.load()
        target = dataset.target
        values = sorted(target.dropna().unique().tolist(), key=lambda v: (isinstance(v, str), v))
        if isinstance(self.labels, Mapping):
            texts = {as_text(v): v for v in values}
            if odd := [name for name in self.labels if name not in texts]:
                known = ", ".join(list(texts)[:12])
                raise LayerError(f"/labels/{odd[0][:80]}", f"{target.name} has no such value", f"Its values: {known}")
            named = {texts[text]: name for text, name in self.labels.items()}
            named = {v: named.get(v, as_text(v)) for v in values}
            if len(set(named.values())) < len(named):
                problem = "a name is also a value that keeps its own: two classes would be one"
                raise LayerError("/labels", problem, "Give each class a name of its own")
        else:
            if len(self.labels) != len(values):
                problem = f"{len(self.labels)} names, and {target.name} has {len(values)} values"
                raise LayerError("/labels", problem, f"Write {len(values)} names, or {{VALUE: NAME}}")
            named = dict(zip(values, self.labels, strict=True))
        return dataclasses.replace(dataset, target=pd.Series(target.map(named), name=target.name, dtype=object))


def as_text(value: object) -> str:
    """``3`` for 3.0: a column with missing values holds floats."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)

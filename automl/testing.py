"""What every source promises, as a test class for yours.

class TestMine(SourceContract):
    @pytest.fixture
    def source(self):
        return Mine(rows=30)
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from automl.types import Source


class SourceContract:
    """Subclass it with a fixture ``source`` that makes yours."""

    def test_dataset_is_sound(self, source: Source) -> None:
        dataset = source.load()
        rows = len(dataset)
        assert rows > 0 and dataset.name and dataset.origin
        assert len(dataset.table) == rows and list(dataset.table.index) == list(range(rows))
        assert all(isinstance(c, str) for c in dataset.table.columns) and dataset.table.columns.is_unique
        assert all(len(a) == rows and a.dtype != object for a in dataset.arrays.values())
        assert dataset.arrays.keys() <= dataset.modalities.keys() <= {*dataset.arrays, *dataset.table.columns}
        assert dataset.split is None or set(dataset.split) <= {"train", "valid", "test"}
        assert dataset.target.name not in dataset.table.columns
        assert all(note and "\n" not in note for note in dataset.notes)

    def test_loading_twice_gives_the_same(self, source: Source) -> None:
        one, other = source.load(), source.load()
        pd.testing.assert_frame_equal(one.table, other.table)
        pd.testing.assert_series_equal(one.target, other.target)
        for key, array in one.arrays.items():
            np.testing.assert_array_equal(array, other.arrays[key])
        assert one.notes == other.notes

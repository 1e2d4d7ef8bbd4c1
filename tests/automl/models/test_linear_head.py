"""Linear models fitted at once: rows that stand for a weight are one row."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from automl.models.closed_form.copies import copies, left_out
from automl.models.closed_form.linear_head import linear_head


def test_equal_rows_beside_one_another_are_one() -> None:
    x = np.array([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [2.0, 1.0], [0.0, 1.0]])
    assert copies(x, np.array([0, 0, 1, 1, 0])).tolist() == [0, 0, 1, 2, 3]
    assert copies(x[:1], np.zeros(1)).tolist() == [0]
    assert copies(csr_matrix(x), np.array([0, 0, 1, 1, 0])).tolist() == [0, 0, 1, 2, 3]


def test_no_copy_of_a_row_is_left_out_alone() -> None:
    of = np.repeat(np.arange(40), np.random.default_rng(0).integers(1, 6, 40))
    held, rest = left_out(of, 0.2, np.random.default_rng(1))
    assert not set(of[held]) & set(of[rest]) and sorted([*held, *rest]) == list(range(len(of)))
    assert 0.1 < len(held) / len(of) <= 0.2
    plain = np.concatenate(left_out(np.arange(10), 0.2, np.random.default_rng(1)))
    assert plain.tolist() == np.random.default_rng(1).permutation(10).tolist()


@pytest.mark.parametrize("classes", [0, 2])
def test_a_weight_that_all_rows_have_changes_little(classes: int) -> None:
    """Noise: shrunk to nearly nothing, which leaving copies out one by one does not see."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 60))
    y = rng.integers(0, 2, 150) if classes else rng.normal(size=150)
    plain = linear_head(x, y, classes, threads=1)[0]
    times = rng.integers(9, 12, 150)
    weighted = linear_head(np.repeat(x, times, axis=0), np.repeat(y, times), classes, threads=1)[0]
    assert np.linalg.norm(weighted) < 2 * np.linalg.norm(plain) + 0.1

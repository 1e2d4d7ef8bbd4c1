"""The arithmetic of the strategies benchmark; its searches take hours."""

from __future__ import annotations

import numpy as np
import pytest

from automl import metrics
from automl.errors import UserError
from automl.types import Input, Task
from experiments.bench.strategies import data_files, mean_ranks, run
from experiments.judged import judged_score
from tests.experiments.recipes import recipe


def row(name: str, seed: int, strategy: str, test: float) -> dict:
    return {"set": name, "seed": seed, "strategy": strategy, "test": test}


def test_ranks_count_each_set_once_and_only_where_all_have_finished():
    rows = [row("a", seed, s, score) for seed in (0, 1, 2) for s, score in (("x", 0.9), ("y", 0.8))]
    rows += [row("b", 0, "x", 0.1), row("b", 0, "y", 0.2), row("c", 0, "x", 0.5)]
    ranks, interval, sets = mean_ranks(rows, ["x", "y"])
    assert sets == 2 and ranks.tolist() == [1.5, 1.5]
    assert (interval[0] <= ranks).all() and (ranks <= interval[1]).all()


def test_equal_scores_share_a_rank():
    ranks, _, _ = mean_ranks([row("a", 0, s, 0.5) for s in "xyz"], list("xyz"))
    assert ranks.tolist() == [2, 2, 2]


def test_sets_are_spread_over_the_folder_and_errors_are_one_line(tmp_path):
    with pytest.raises(UserError, match=r"holds no NAME.csv.gz"):
        run(recipe("strategies", data=tmp_path))
    with pytest.raises(UserError, match=r"bench.strategies=\[\] is empty"):
        run(recipe("strategies", data=tmp_path, strategies=[]))
    for name in "abcdefghi":
        (tmp_path / f"{name}.csv.gz").touch()
    assert [p.name[0] for p in data_files(tmp_path, [], 3)] == ["a", "e", "i"]
    assert [p.name[0] for p in data_files(tmp_path, ["c"], 3)] == ["c"]
    with pytest.raises(UserError, match="no set z"):
        data_files(tmp_path, ["z"], 3)


def test_sets_of_a_group_are_drawn_together():
    def wide(by: int) -> float:
        rows = [
            {**row(f"s{i}", 0, s, score), "group": f"g{i // by}"}
            for i in range(20)
            for s, score in (("x", 0.5), ("y", 0.6 if i % 10 < 5 else 0.4))
        ]
        return float(np.ptp(mean_ranks(rows, ["x", "y"])[1][:, 0]))

    assert wide(5) > 1.5 * wide(1)


def test_nothing_is_decided_by_the_test_rows():
    """Weights that suit the test rows would part them; those of the validation rows take all for the rare class."""
    task = Task("t", "binary", (Input("x", "tabular", (1,), (0,)),), 2, "balanced_accuracy")

    def answers(y: np.ndarray, low: float, high: float) -> np.ndarray:
        p = np.where(y == 1, high, low)
        return np.stack([1 - p, p], axis=1)

    y, test_y = np.repeat([0, 1], [900, 100]), np.repeat([0, 1], 500)
    valid, test = answers(y, 0.05, 0.3), answers(test_y, 0.3, 0.6)
    assert metrics.score("balanced_accuracy", "binary", test_y, test) == 1.0, "its own weights"
    assert judged_score(task, test_y, test, y, valid) == 0.5
    assert judged_score(task, test_y, test, y, valid, np.repeat([0, 1], 500)) == 1.0, "shares of all rows to learn from"

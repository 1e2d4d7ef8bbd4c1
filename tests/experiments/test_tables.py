"""The trials of a run as tables."""

from pathlib import Path

import pandas as pd

from experiments.solve.solution import Solution
from experiments.solve.tables import leaderboard, trials_frame
from tests.experiments.runs.folders import TRIED, result


def test_a_row_a_trial_with_its_choices_as_columns(tmp_path):
    trials_frame(result()).to_parquet(tmp_path / "trials.parquet", index=False)
    frame = pd.read_parquet(tmp_path / "trials.parquet")
    assert frame.number.tolist() == [0, 1, 2] and frame.status.tolist() == ["ok", "failed", "ok"]
    assert frame.score.isna().tolist() == [False, True, False] and frame.error[1] == "boom"
    assert frame["choices.width"].dtype == "Int64" and frame["choices.norm"].dtype == "boolean"
    assert frame["choices.rate"].dtype == "Float64" and frame["choices.width"].isna()[1]
    assert frame["choices.head"].tolist() == ["flat", "2", "flat"], "of two types: texts"
    assert frame.set_index("number").loc[2, ["choices.width", "epochs"]].tolist() == [128, 4]


def test_a_search_without_a_trial_has_a_table_too():
    assert list(trials_frame(result(tried=[])).columns)[:4] == ["number", "family", "status", "score"]


def test_the_model_comes_first_and_then_the_trials_best_first():
    frame = leaderboard(result())
    assert frame.trial.tolist() == ["model", "2", "0"]
    assert frame.test[0] == 0.8 and frame.test[1:].isna().all(), "nothing but the model ever sees the test rows"
    assert frame.family[0] == "ensemble of 2" and frame.weight.tolist()[1:] == [0.75, 0.25]
    assert frame.ms_per_row.tolist()[:2] == [0.25, 0.5] and frame.seconds[0] == 12.3
    by_error = leaderboard(result(metric="rmse", tried=[t | {"score": t["score"] and -t["score"]} for t in TRIED]))
    assert by_error.trial.tolist() == ["model", "2", "0"] and by_error.score[1] == -0.9


def test_a_notebook_shows_what_came_out():
    shown = Solution(result("<img src=x>"), Path("a&b"), Path("a/bundle"))._repr_html_()
    assert "0.8000 on the test rows" in shown and "<table" in shown and "ensemble of 2" in shown
    assert "<img" not in shown and "a&amp;b/report.html" in shown

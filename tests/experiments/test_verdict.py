"""The report's verdict: good or not, beside no model and a simple one, and how far that is to be trusted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from automl.types import Candidate, Prior
from experiments.report.prior import DRAWN, OWN, worth
from experiments.report.search import differences
from experiments.report.verdict import trust, verdict, verdict_part
from experiments.report.words import difference
from tests.automl.examples import AXES, TASK, trial
from tests.experiments.test_report import DIGITS, report, result_of

METRICS = {"accuracy": (0.9, 0.5, 0.8, [0.85, 0.95]), "log_loss": (0.2, 0.7, 0.4, [0.15, 0.25])}


def judged(metric: str, difference: list[float] | None, **changes) -> tuple[str, str, str]:
    value, none, simple, interval = METRICS[metric]
    told = {"name": "logistic regression", "rows": 9, "features": 3, "val": {}, "test": {metric: simple}}
    result = {
        "test": {metric: value},
        "baseline": {metric: none},
        "interval": interval,
        "simple": told | {"difference": difference},
    }
    return verdict(result | changes, replace(TASK, metric=metric))


@pytest.mark.parametrize(("metric", "sign"), [("accuracy", 1), ("log_loss", -1)])
def test_what_is_good_news_follows_the_metrics_direction(metric, sign):
    ends = [[sign * low, sign * high] for low, high in ((0.05, 0.2), (-0.05, 0.2), (-0.3, -0.1))]
    told = [judged(metric, sorted(pair)) for pair in ends]
    assert [text for text, _, _ in told] == [
        "Better than a simple model",
        "As good as a simple model",
        "Worse than a simple model",
    ]
    assert [kind for _, kind, _ in told] == ["good", "", "bad"]
    assert "is behind by" in told[0][2] and "95 %: 0.0500 to 0.2000" in told[0][2]
    value, _, _, _ = METRICS[metric]
    none = {"baseline": {metric: value}}
    assert judged(metric, [0.0, 0.0], **none)[0] == "No better than no model"
    perhaps = judged(metric, [0.0, 0.0], baseline={metric: METRICS[metric][3][0 if sign > 0 else 1]})
    assert perhaps[:2] == ("Perhaps better than no model", "")


def test_without_a_simple_model_or_any_number_it_says_no_more_than_it_knows():
    assert judged("accuracy", None, simple=None)[0] == "Better than no model"
    assert verdict({}, TASK) == ("", "", "")
    assert verdict({"test": {"accuracy": 0.9}}, TASK) == ("", "", "")
    text, _, why = judged("accuracy", None)
    assert text == "Better than no model" and "95 %" not in why, "nothing was redrawn, so nothing tells what is chance"
    assert "boom" not in verdict_part({}, TASK, [], 0)


def test_rows_of_one_group_and_numbers_that_are_none_are_no_good_news():
    text, kind, why = judged("accuracy", None, interval=None, data={"test": 40})
    assert (text, kind) == ("Perhaps better than no model", "") and "one group" in why
    assert judged("accuracy", None, interval=None, data={"test": 200_000})[0] == "Better than no model"
    assert judged("accuracy", None, test={"accuracy": float("nan")}) == ("", "", "")


def test_what_makes_a_number_doubtful_is_said():
    result = {"test": {"accuracy": 0.9, "ece": 0.2}, "val": {"accuracy": 0.99}, "interval": [0.85, 0.95]}
    hard = [{"class": "<b>", "rows": 5, "recall": 0.2, "precision": 1.0}]
    said = " ".join(map(str, trust(result | {"classes_on_test": hard, "findings": [{"severity": "error"}]}, TASK, 40)))
    for words in (
        "Only 40 test rows",
        "Validation said 0.9900: choosing by those rows flattered it",
        "is not to be taken at its word: it is off by 20.0 points",
        "“<b>”: 20% of its 5 rows are found",
        '<a href="#data">1 finding in the data',
    ):
        assert words in said
    fine = " ".join(
        map(str, trust(result | {"val": {"accuracy": 0.9}, "test": {"accuracy": 0.9, "ece": 0.01}}, TASK, 4000))
    )
    assert "did not flatter it" in fine and "can be taken at its word" in fine and "Only" not in fine


def test_the_page_begins_with_it_and_leads_to_every_part(tmp_path):
    test = {"accuracy": 0.9}
    simple = {"name": "logistic regression", "rows": 9, "features": 3, "val": test, "test": {"accuracy": 0.5}}
    result = result_of(DIGITS, test) | {"baseline": {"accuracy": 0.1}, "simple": simple | {"difference": [0.3, 0.5]}}
    text, read = report(tmp_path, result=result)
    assert "could not be made" not in read.words
    assert read.words.index("Better than a simple model") < read.words.index("On the test rows")
    anchors = [value[1:] for _, name, value in read.attributes if name == "href"]
    ids = [value for _, name, value in read.attributes if name == "id"]
    assert anchors == [i for i in ids if i != "plotly"] and len(anchors) == len(set(anchors)) >= 4
    order = ["On the test rows", "The data", "The search", "The prior, and what it was worth", "The model, and how"]
    assert [read.words.rindex(title) for title in order] == sorted(read.words.rindex(title) for title in order)
    assert text.count("<h2>") == len(anchors)


def test_of_a_trial_what_differs_from_the_first_of_its_family():
    told = differences(
        [
            Candidate("mlp", {"a": 1, "b": 2}),
            Candidate("cnn", {"a": 3}),
            Candidate("mlp", {"a": 1, "b": 5}),
            Candidate("mlp", {"a": 1, "b": 2}),
        ]
    )
    assert "<summary>its 2 choices</summary>" in told[0] and "a=1" in told[0] and "b=2" in told[0]
    assert "its 1 choice<" in told[1]
    assert "b=5" in told[2] and "a=1" not in told[2] and "details" not in told[2]
    assert told[3] == "the same"


def test_a_difference_on_the_same_rows_is_surer_than_two_intervals():
    rng = np.random.default_rng(0)
    y = rng.normal(size=200)
    noise = rng.normal(size=200)
    low, high = difference("rmse", "regression", y, (y + noise, None), (y + 1.2 * noise, None)) or (0, 0)
    assert -0.3 < low < high < -0.1, "the first is better: its error is less, by a fifth"
    assert difference("rmse", "regression", y, (y, None), (y, None), np.zeros(200, int)) is None


def test_what_the_prior_was_worth_counts_each_candidate_once():
    """Its longer training counts, and a score that is better when it is lower is told as it is."""
    one, two = Candidate("mlp", {"a": 1}), Candidate("mlp", {"a": 2})
    trials = [trial(i, candidate=c, score=s) for i, (c, s) in enumerate([(one, -0.5), (two, -0.25), (one, -0.125)])]
    prior = replace(Prior.uniform(AXES), portfolio=(one,))
    assert worth(prior, trials, "log_loss") == [
        {"candidates": OWN, "tried": 1, "best": 0.125, "median": 0.125},
        {"candidates": DRAWN, "tried": 1, "best": 0.25, "median": 0.25},
    ]
    assert worth(Prior.uniform(AXES), trials, "log_loss") == []

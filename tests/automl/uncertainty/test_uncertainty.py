"""Sets and intervals cover what they promise; temperature, decisions and thresholds are what their sources say."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from automl import metrics
from automl.errors import UserError
from automl.types import Input, Task
from automl.uncertainty.calibrate import (
    Answers,
    band,
    best_offset,
    calibrate,
    coverage,
    kept,
    sure_of,
    temperature_of,
    tempered,
    venn_abers,
)
from automl.uncertainty.sets import Calibration, Scores, binomial_tail, decide

INPUTS = (Input("table", "tabular", (3,), cardinalities=(0, 0, 0)),)


def task_of(kind: str, classes: int, metric: str) -> Task:
    names = tuple(f"c{i}" for i in range(classes)) if kind != "regression" else ()
    return Task("toy", kind, INPUTS, classes, metric, classes=names)  # type: ignore[arg-type]


def drawn(rows: int, classes: int, seed: int, heat: float = 1.0) -> Answers:
    """Probabilities that are right, but for a temperature, and classes drawn from them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2, size=(rows, classes))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    y = (p.cumsum(1) > rng.random((rows, 1))).argmax(1)
    return Answers(tempered(p, heat), y)


def values(rows: int, seed: int) -> Answers:
    """Errors as large as the spread says."""
    rng = np.random.default_rng(seed)
    spread = rng.uniform(0.2, 3, rows)
    prediction = rng.normal(size=rows)
    return Answers(prediction, prediction + spread * rng.normal(size=rows), spread)


def made(judged: Answers, held: Answers | None, task: Task, **more) -> Calibration:
    return calibrate(task, judged, held, source="holdout" if held else "valid", alike=True, **more)


def test_sets_cover_what_they_promise_over_many_draws():
    task, shares = task_of("multiclass", 4, "accuracy"), []
    for seed in range(60):
        of = made(drawn(50, 4, seed), drawn(99, 4, 1000 + seed), task)
        test = drawn(400, 4, 2000 + seed)
        sets = of.sets(test.prediction, 0.9)
        shares.append(sets[np.arange(400), test.y].mean())
    # 60 draws of Beta(90, 10): a mean of .9 with a standard error of .004
    assert abs(np.mean(shares) - 0.9) < 0.013
    assert of.guaranteed


def test_the_same_sets_as_mapie():
    """MAPIE's split conformal sets with the same score, through an estimator that answers what it is given."""
    mapie = pytest.importorskip("mapie.classification")
    base = pytest.importorskip("sklearn.base")

    class Given(base.ClassifierMixin, base.BaseEstimator):
        def fit(self, x, y):
            self.classes_, self.n_features_in_ = np.arange(x.shape[1]), x.shape[1]
            return self

        def predict_proba(self, x):
            return x

        def predict(self, x):
            return x.argmax(1)

    held, test = drawn(200, 5, 1), drawn(300, 5, 2)
    of = made(drawn(50, 5, 3), held, task_of("multiclass", 5, "accuracy"))
    for level in (0.8, 0.9, 0.95):
        reference = mapie.SplitConformalClassifier(
            Given().fit(held.prediction, held.y), confidence_level=level, conformity_score="lac", prefit=True
        )
        reference.conformalize(held.prediction, held.y)
        expected = reference.predict_set(test.prediction)[1][:, :, 0]
        np.testing.assert_array_equal(of.sets(test.prediction, level), expected)


def test_by_class_each_class_is_covered():
    rng = np.random.default_rng(0)
    task = task_of("multiclass", 3, "accuracy")

    def hard(rows: int) -> Answers:  # class 2 is always missed
        y = rng.integers(0, 3, rows)
        p = np.full((rows, 3), 0.1)
        p[np.arange(rows), np.where(y == 2, 0, y)] = 0.8
        p += rng.uniform(0, 0.01, p.shape)
        return Answers(p / p.sum(1, keepdims=True), y)

    of, test = made(hard(90), hard(900), task), hard(3000)
    rare = test.y == 2
    assert of.sets(test.prediction, 0.6)[rare, 2].mean() < 0.2
    assert of.sets(test.prediction, 0.6, by_class=True)[rare, 2].mean() > 0.5


def test_a_class_with_too_few_rows_for_a_level_is_in_every_set():
    """That of all rows together promises nothing for a class that is always missed."""
    y = np.append(np.zeros(2_000, np.int64), np.ones(30, np.int64))
    p = np.tile([0.99, 0.01], (len(y), 1)) - 1e-3 * np.linspace(0, 1, len(y))[:, None] * [1, -1]
    of = made(Answers(p, y), Answers(p, y), task_of("binary", 2, "accuracy"))
    assert not of.sets(p, 0.98)[:, 1].all()
    assert of.sets(p, 0.98, by_class=True)[:, 1].all() and 1 in of.by_class


def test_intervals_cover_and_are_wider_where_members_differ():
    task, shares = task_of("regression", 1, "r2"), []
    for seed in range(40):
        of = made(values(100, seed), values(199, 500 + seed), task)
        test = values(500, 900 + seed)
        ends = of.intervals(test.prediction, test.spread, 0.9)
        shares.append(((ends[:, 0] <= test.y) & (test.y <= ends[:, 1])).mean())
    assert abs(np.mean(shares) - 0.9) < 0.012
    width = ends[:, 1] - ends[:, 0]
    assert test.spread is not None and np.corrcoef(width, test.spread)[0, 1] > 0.99
    credibility = of.credibility(test.prediction, test.spread)
    assert 0 < credibility.min() < 0.02 and credibility[test.spread.argmax()] == credibility.min()


def test_a_spread_that_says_nothing_is_not_used():
    rng = np.random.default_rng(0)
    spread, y = rng.exponential(size=500), rng.normal(size=500)
    assert best_offset(Answers(np.zeros(500), y, spread)) is None
    assert best_offset(Answers(np.zeros(500), y, np.zeros(500))) is None
    assert best_offset(values(500, 0)) is not None


@given(st.integers(1, 200), st.integers(0, 99), st.floats(0.01, 0.99))
def test_the_quantile_is_the_right_order_statistic(rows: int, seed: int, level: float):
    scores = np.sort(np.random.default_rng(seed).normal(size=rows))
    rank = math.ceil(round((rows + 1) * level, 9))
    expected = math.inf if rank > rows else scores[rank - 1]
    assert Scores(rows, scores).quantile(level) == expected


def test_copies_that_stand_for_weights_are_no_further_rows():
    """Each of 60 rows ten times says what 60 rows say: a level or a threshold that they are too few for stays so."""
    one, rows = drawn(60, 2, 0), np.repeat(np.arange(60), 10)
    ten = Answers(one.prediction[rows], one.y[rows], rows=rows)
    of, same = (made(told, None, task_of("binary", 2, "accuracy")) for told in (ten, one))
    assert of.rows == of.scores.rows == 60 and of.by_class.keys() == same.by_class.keys()
    np.testing.assert_array_equal(of.scores.values, same.scores.values)
    np.testing.assert_array_equal(of.sure, same.sure)  # type: ignore[arg-type]
    np.testing.assert_allclose(of.venn, same.venn)  # type: ignore[arg-type]
    assert [of.threshold(error) for error in (0.02, 0.2)] == [same.threshold(error) for error in (0.02, 0.2)]
    with pytest.raises(UserError, match=r"level=0\.99 needs more than 60 calibration rows"):
        of.sets(one.prediction, 0.99)
    value = values(60, 0)
    assert value.spread is not None
    ten = Answers(value.prediction[rows], value.y[rows], value.spread[rows], rows)
    far = made(ten, None, task_of("regression", 1, "r2"))
    assert far.rows == far.scores.rows == 60 and far.spreads is not None and far.spreads.rows == 60


def test_very_many_scores_are_thinned_to_the_safe_side():
    scores = np.random.default_rng(0).normal(size=50_001)
    thin = kept(scores)
    assert thin.rows == 50_001 and len(thin.values) == 4096
    for level in (0.5, 0.9, 0.999):
        exact = Scores(50_001, np.sort(scores)).quantile(level)
        assert exact <= thin.quantile(level) <= np.quantile(scores, min(level + 3e-4, 1))


@pytest.mark.parametrize(
    ("level", "words"), [(0.0, "between"), (1.0, "between"), (math.nan, "between"), (0.99, "0.98")]
)
def test_a_level_out_of_reach_is_one_line(level: float, words: str):
    of = made(drawn(50, 3, 0), None, task_of("multiclass", 3, "accuracy"))
    with pytest.raises(UserError, match=words):
        of.sets(drawn(5, 3, 1).prediction, level)


def test_a_level_of_next_to_nothing_is_the_smallest_set():
    of = made(drawn(50, 3, 0), None, task_of("multiclass", 3, "accuracy"))
    p = drawn(20, 3, 1).prediction
    np.testing.assert_array_equal(of.sets(p, 1e-300), of.sets(p, 1e-3))


def test_temperature_is_found_and_left_alone():
    hot = drawn(2_000, 4, 0, heat=0.5)  # too sure: log p / 0.5
    assert 1.8 < temperature_of(hot.prediction, hot.y) < 2.2
    right = drawn(200, 4, 1)
    assert temperature_of(right.prediction, right.y) == 1
    assert temperature_of(right.prediction[:1], right.y[:1]) == 1
    # All right: no surer than one wrong row more would allow.
    few = np.full((30, 3), 0.1) + 0.7 * np.eye(3)[np.arange(30) % 3]
    sharper = tempered(few, temperature_of(few, np.arange(30) % 3))
    assert 0.9 < sharper.max() < 0.98
    better = tempered(hot.prediction, temperature_of(hot.prediction, hot.y))
    assert metrics.log_loss(hot.y, better) < metrics.log_loss(hot.y, hot.prediction)


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 60), st.integers(0, 10_000))
def test_venn_abers_is_that_of_its_definition(rows: int, seed: int):
    from sklearn.isotonic import IsotonicRegression

    rng = np.random.default_rng(seed)
    p = rng.choice(np.linspace(0.05, 0.95, 19), rows)
    y = (rng.random(rows) < p).astype(int)
    for place, low, high in venn_abers(p, y):
        for label, told in ((0, low), (1, high)):
            fitted = IsotonicRegression().fit(np.append(p, place), np.append(y, label))
            assert told == pytest.approx(float(fitted.predict([place])[0]), abs=1e-9)
        assert low <= high


def test_intervals_of_two_classes_hold_the_truth_between_places():
    held = drawn(300, 2, 0)
    of = made(drawn(100, 2, 1), held, task_of("binary", 2, "accuracy"))
    ends = of.probability_interval(drawn(100, 2, 2).prediction)
    assert (ends[:, 0] <= ends[:, 1]).all() and ends.min() >= 0 and ends.max() <= 1
    with pytest.raises(UserError, match="two classes"):
        made(drawn(60, 3, 1), None, task_of("multiclass", 3, "accuracy")).probability_interval(held.prediction)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 40), st.integers(0, 10_000))
def test_intervals_of_two_classes_hold_the_truth_beyond_all_places_too(rows: int, seed: int):
    """Against the definition: isotonic regression with the row itself, once of each class."""
    from sklearn.isotonic import IsotonicRegression

    rng = np.random.default_rng(seed)
    p = rng.choice(np.linspace(0.3, 0.7, 9), rows)
    y = (rng.random(rows) < p).astype(np.int64)
    known = Answers(np.stack([1 - p, p], axis=1), y)
    of = made(known, known, task_of("binary", 2, "accuracy"))
    for asked in (0.1, float(p.min()), 0.5, float(p.max()), 0.9):
        low, high = of.probability_interval(np.array([[1 - asked, asked]]))[0]
        for label in (0, 1):
            fitted = IsotonicRegression().fit(np.append(p, asked), np.append(y, label))
            assert low - 1e-9 <= float(fitted.predict([asked])[0]) <= high + 1e-9


@given(st.integers(0, 50), st.integers(1, 400), st.floats(0.01, 0.9))
def test_the_binomial_tail_is_exact(most: int, of: int, share: float):
    assert binomial_tail(most, of, share) == pytest.approx(float(binom.cdf(most, of, share)), rel=1e-9, abs=1e-12)


def test_what_is_answered_is_wrong_as_seldom_as_asked():
    broken = 0
    for seed in range(100):
        held = drawn(300, 2, 300 + seed)
        sure = sure_of(held.prediction, held.y, np.ones(2))
        of = Calibration("binary", 300, "holdout", True, kept(held.y), sure=sure)
        test = drawn(4000, 2, 900 + seed)
        answered = test.prediction.max(1) >= of.threshold(0.1)
        if answered.any():
            broken += (test.prediction.argmax(1) != test.y)[answered].mean() > 0.1
    assert broken <= 10  # 5 % of 100 draws are 5, and 10 with a probability of 1 %
    assert 0.2 < answered.mean() < 1
    assert of.threshold(0.001) == math.inf  # 300 rows cannot show that


def test_the_band_is_that_of_beta_binomial_draws():
    rng = np.random.default_rng(0)
    shares = rng.binomial(200, rng.beta(90, 10, 20_000)) / 200
    np.testing.assert_allclose(band(99, 200, 0.9), np.quantile(shares, [0.025, 0.975]), atol=0.006)


def test_it_comes_back_from_json_as_it_was():
    for of, test in (
        (made(drawn(50, 3, 0), drawn(100, 3, 1), task_of("multiclass", 3, "balanced_accuracy")), drawn(20, 3, 2)),
        (made(drawn(50, 2, 0), None, task_of("binary", 2, "f1_macro")), drawn(20, 2, 2)),
        (made(values(50, 0), None, task_of("regression", 1, "r2")), values(20, 2)),
    ):
        back = Calibration.from_json(of.to_json())
        assert back.to_json() == of.to_json()
        assert coverage(back, test) == coverage(of, test)
        np.testing.assert_array_equal(
            back.credibility(test.prediction, test.spread), of.credibility(test.prediction, test.spread)
        )


def test_the_decision_moves_and_not_the_probabilities():
    """One class in ten: right probabilities, decided by their shares, find as many of each class."""
    rng = np.random.default_rng(0)
    y = (rng.random(5_000) < 0.1).astype(int)
    x = rng.normal(loc=1.5 * y)
    odds = np.exp(1.5 * x - 1.5**2 / 2) / 9
    p = np.stack([1 / (1 + odds), odds / (1 + odds)], axis=1)
    weights = metrics.decision("balanced_accuracy", y, p)
    assert weights[1] == 1 and weights[0] == pytest.approx((y == 1).mean() / (y == 0).mean())
    plain, moved = metrics.scores("binary", y, p), metrics.scores("binary", y, p, weights=weights)
    assert moved["balanced_accuracy"] > plain["balanced_accuracy"] + 0.1
    assert moved["accuracy"] < plain["accuracy"] and moved["log_loss"] == plain["log_loss"]
    assert metrics.score("balanced_accuracy", "binary", y, p) == moved["balanced_accuracy"]
    f1 = metrics.decision("f1_macro", y, p)
    assert metrics.scores("binary", y, p, weights=f1)["f1_macro"] > plain["f1_macro"]
    assert (metrics.decision("accuracy", y, p) == 1).all()
    assert (decide(p, weights) == (p[:, 1] > (y == 1).mean())).mean() > 0.99


@pytest.mark.parametrize("apart", [1e-6, -1e-6])
def test_rows_that_are_all_alike_are_covered_whatever_the_last_digits(apart: float):
    """A table of few different rows: most stand exactly at the limit, and no machine rounds like another."""
    y = (np.arange(100) % 5 == 0).astype(int)
    held = Answers(np.tile([0.8, 0.2], (100, 1)), y)
    of = made(held, held, task_of("binary", 2, "accuracy"))
    again = held.prediction * (1 + apart)
    assert of.sets(again, 0.75)[:, 0].all() and of.sets(again, 0.9)[:, 1].all()
    assert of.credibility(again).min() == 1
    assert (again.max(1) >= of.threshold(0.4)).all()
    prediction, spread = np.full(100, 1000.0), np.full(100, 0.5)
    told = Answers(prediction, prediction + np.arange(100) % 4, spread)
    of = made(told, told, task_of("regression", 1, "r2"))
    ends = of.intervals(prediction * (1 + apart / 10), spread * (1 + apart), 0.9)
    assert ((ends[:, 0] <= told.y) & (told.y <= ends[:, 1])).all()
    assert of.credibility(prediction, spread * (1 + apart)).min() == 1


@pytest.mark.parametrize(
    "change",
    [
        {"rows": math.inf},
        {"rows": "many"},
        {"by_class": []},
        {"scores": {"rows": 3, "values": []}},
        {"scores": {"rows": 3, "values": [0.1, math.nan, 0.2]}},
        {"scores": {"rows": 3, "values": [0.3, 0.1, 0.2]}},
        {"scores": {"rows": math.inf, "values": [0.1]}},
        {"scores": {"rows": 1, "values": [0.1, 0.2]}},
        {"scores": [0.1]},
        {"scores": None},
        {"sure": [0.5, math.nan, 1]},
        {"venn": [[0.5, 0.4]]},
        {"decision": "heavy"},
        {"offset": "wide"},
        {"kind": 3},
        {"more": 1},
    ],
)
def test_a_calibration_that_is_none_is_refused(change: dict):
    plain = json.loads(made(drawn(50, 2, 0), None, task_of("binary", 2, "accuracy")).to_json())
    for text in (json.dumps(plain | change), json.dumps([plain]), "[" * 100_000):
        with pytest.raises((ValueError, KeyError, TypeError)):
            Calibration.from_json(text)


def test_a_class_of_a_row_or_two_is_not_the_answer_everywhere():
    """A network gives it a share of a thousand where it has one in ten thousand: weighed by that it would win."""
    y = (np.arange(1_000) % 5 == 0).astype(int)
    p = np.where(y[:, None] == [0, 1, 2], 0.7, [0.25, 0.25, 0.003])
    shares = np.array([0.8, 0.1999, 0.0001])
    for some in (y, np.append(y[:-1], 2)):  # and one row of it among those that judge
        weights = metrics.decision("balanced_accuracy", some, p, shares)
        assert (decide(p, weights) == y).mean() > 0.99
    right = np.where(y[:, None] == [0, 1], 0.9, 0.1)
    assert (metrics.decision("balanced_accuracy", y, right, shares[:2])).tolist() == [0.1999 / 0.8, 1]

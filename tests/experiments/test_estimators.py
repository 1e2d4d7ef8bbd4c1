"""The estimators as users of scikit-learn meet them."""

from __future__ import annotations

import copy
import json
import pickle
import re

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from experiments.solve.estimators import names_of
from level4 import Bundle, Level4Classifier, Level4Regressor

QUICK = (
    *("engine=sequential", "engine.threads=1", "family=[linear]", "metalearner=uniform", "strategy=random"),
    *("budget.trials=1", "budget.epochs=1", "task.folds=0", "task.check=false"),
    *("objective.refit=false", "objective.calibrate=none"),
)
RNG = np.random.default_rng(0)
X = pd.DataFrame(RNG.normal(size=(90, 3)), columns=["a", "target", "split"])
Y = pd.Series(np.where(X["a"] > 0, "none", " b "))
"""As awkward as users are: a missing word and blanks for labels, columns named as the program's own."""


def quick(of: type = Level4Classifier, **more):
    return of(seconds=None, overrides=QUICK, **more)


@pytest.fixture(scope="module")
def fitted() -> Level4Classifier:
    weight = np.r_[np.zeros(2), RNG.random(88) + 0.1]
    return quick().fit(X, Y, sample_weight=weight)


def test_it_answers_with_the_labels_it_was_given(fitted):
    assert fitted.classes_.tolist() == [" b ", "none"]
    assert fitted.feature_names_in_.tolist() == list(X.columns) and fitted.n_features_in_ == 3
    p = fitted.predict_proba(X)
    assert p.shape == (90, 2) and p.sum(1) == pytest.approx(1)
    assert (fitted.predict(X) == fitted.classes_[p.argmax(1)]).all()
    assert fitted.score(X, Y) > 0.9
    assert fitted.result_["data"]["rows"] == 88 and fitted.result_["test"] == {}, "rows of weight 0 are left out"
    assert fitted.leaderboard_["trial"].tolist() == ["model", "0"]


def test_a_frame_with_other_columns_is_refused(fitted):
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.predict(X[["a", "split"]])


def test_it_can_be_copied_pickled_and_saved(fitted, tmp_path):
    p = fitted.predict_proba(X)
    for again in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        assert (again.predict_proba(X) == p).all()
    alone = Bundle.load(fitted.save(tmp_path / "bundle"))
    assert alone.predict_proba(X.set_axis(fitted._columns, axis=1)) == pytest.approx(p, abs=1e-6)


def test_it_is_cloned_without_what_it_learned(fitted):
    again = clone(fitted)
    assert again.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        again.bundle_  # noqa: B018


def test_a_fit_that_fails_leaves_no_earlier_model_to_answer(fitted):
    model = copy.deepcopy(fitted)
    with pytest.raises(ValueError, match="one class only"):
        model.fit(X, ["a"] * 90)
    with pytest.raises(NotFittedError):
        model.predict(X)


@pytest.mark.parametrize(
    ("make", "y", "says"),
    [
        (quick(), np.zeros((90, 2)), r"y has shape \(90, 2\): one target is learned at a time"),
        (quick(), ["a"] * 90, "y holds one class only, 'a'"),
        (quick(metric="rmse"), Y, "metric 'rmse' does not fit binary"),
        (quick(limits={"latency": 3}), Y, "no option 'task.limits.latency'"),
        (Level4Regressor(seconds=None), X["a"], "a search without an end"),
    ],
)
def test_what_cannot_be_learned_is_one_line(make, y, says):
    with pytest.raises(ValueError, match=says) as caught:
        make.fit(X, y)
    assert "\n" not in str(caught.value)


def test_weights_move_the_answer():
    x, y = RNG.normal(size=(200, 2)), np.tile(["low", "high"], 100)
    p = quick().fit(x, y, sample_weight=np.where(y == "high", 9.0, 1.0)).predict_proba(x)
    assert p[:, 0].mean() == pytest.approx(0.9, abs=0.05), "high, as nothing else tells the rows apart"


def test_copies_that_stand_for_weights_are_no_further_rows_to_be_sure_by():
    """Neither of a level nor of a drift."""
    options = [*(o for o in QUICK if "calibrate" not in o), "objective.calibrate=valid"]
    x, y = RNG.normal(size=(200, 2)), np.tile(["low", "high"], 100)
    model = Level4Classifier(seconds=None, overrides=options).fit(x, y, sample_weight=RNG.random(200) + 0.1)
    judged = int(model.result_["judged_by"].split()[0])
    assert 0 < model.result_["calibration"]["rows"] <= judged < 100
    reference = json.loads((model.bundle_.folder / "reference.json").read_text())
    assert (reference["rows"], reference["predictions"]) == (model.result_["data"]["train"], judged)
    assert model.result_["importance_from"]["rows"] == judged


@pytest.mark.parametrize(
    ("classes", "names"),
    [
        ([1, 2], ["1", "2"]),
        ([0.0, 1.0], ["0", "1"]),
        ([False, True], ["False", "True"]),
        (["a", "n/a"], ["0", "1"]),  # would be a missing label
        (["1", "1.0"], ["0", "1"]),  # would be one
        (["a", "b"], ["a", "b"]),
    ],
)
def test_labels_keep_their_text_where_it_tells_them_apart(classes, names):
    assert names_of(np.array(classes)) == names


FAILS = {
    "check_sample_weight_equivalence_on_dense_data": "batches are drawn: a row of weight 2 is met in other batches "
    "than two rows of weight 1, and validation rows are drawn from other rows",
}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("of", [Level4Classifier, Level4Regressor])
def test_scikit_learns_own_checks(of):
    found = check_estimator(quick(of), expected_failed_checks=FAILS, on_fail=None, on_skip=None)
    failed = {f"{r['check_name']}: {r['exception']}" for r in found if r["status"] == "failed"}
    assert not failed
    assert {r["check_name"] for r in found if r["status"] == "xfail"} == set(FAILS), "what passes is off the list"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_is_piped_searched_over_and_cross_validated():
    pipe = make_pipeline(make_column_transformer((StandardScaler(), ["a"]), remainder="passthrough"), quick())
    scores = cross_val_score(pipe, X, Y, cv=3, n_jobs=2)
    assert scores.shape == (3,) and scores.mean() > 0.85
    found = GridSearchCV(quick(), {"metric": ["accuracy", "log_loss"]}, cv=2).fit(X, Y)
    assert re.match("accuracy|log_loss", found.best_params_["metric"]) and found.predict(X).shape == (90,)

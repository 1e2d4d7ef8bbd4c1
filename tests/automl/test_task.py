"""Task formulation: kinds, classes, metrics, goals, and the reasons given."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.data.dataset import Dataset
from automl.errors import UserError
from automl.task.formulate import default_metric, formulate
from automl.task.goal import METRICS, parse_goal
from automl.task.kind import check_kind, infer_kind, numeric_target, plain_target, split_by_target
from automl.task.labels import class_names
from automl.task.others import joined_tags
from automl.types import Input, Limits

TABLE = (Input("table", "tabular", (1,), cardinalities=(0,)),)


def of(target, name: str = "target", split=None) -> Dataset:
    target = pd.Series(target, name=name)
    return Dataset("d", pd.DataFrame({"a": np.arange(len(target))}), target, split=split)


def counted(counts: dict) -> np.ndarray:
    return np.repeat(list(counts), list(counts.values()))


def shares(target: np.ndarray, stratified: bool, seed: int = 0) -> np.ndarray:
    """A fifth as test: of each value, or of all rows."""
    rng = np.random.default_rng(seed)
    test = np.zeros(len(target), dtype=bool)
    for rows in [np.flatnonzero(target == v) for v in np.unique(target)] if stratified else [np.arange(len(target))]:
        test[rng.choice(rows, len(rows) // 5, replace=False)] = True
    return np.where(test, "test", "train")


RNG = np.random.default_rng(0)
RATINGS = counted({3: 30, 4: 216, 5: 2138, 6: 2836, 7: 1079, 8: 193, 9: 5})  # wine tasters' grades
CODES = counted(dict.fromkeys((1, 2, 3, 4, 5, 7), 300))

KINDS = {
    "two words": (["yes", "no"] * 20, "binary"),
    "three words": (["a", "b", "c"] * 20, "multiclass"),
    "booleans": ([True, False] * 20, "binary"),
    "two numbers": ([-1, 1] * 20, "binary"),
    "two fractions": ([0.25, 0.75] * 20, "binary"),
    "two numbers and gaps": ([0.0, 1.0, None] * 20, "binary"),
    "digits": (list(range(10)) * 20, "multiclass"),
    "digits as floats": ([float(i) for i in range(10)] * 20, "multiclass"),
    "three unequal classes": (counted({1: 5000, 2: 200, 3: 90}), "multiclass"),
    "136 balanced codes": (np.repeat(np.arange(136), 20), "multiclass"),
    "77 codes from 1": (np.repeat(np.arange(1, 78), 30), "multiclass"),
    "fractions": (RNG.normal(size=50), "regression"),
    "prices": (RNG.integers(5_000, 45_000, 200), "regression"),
    "ages": (RNG.normal(40, 12, 500).astype(int), "regression"),
    "rings of a shell": (np.clip(RNG.gamma(9, 1.1, 4000).astype(int), 1, 29), "regression"),
    "grades": (RATINGS, "regression"),
    "marks of pupils": (
        counted({0: 38, 5: 7, 6: 15, 8: 32, 9: 28, 10: 56, 11: 47, 12: 31, 14: 27, 15: 33, 17: 6, 20: 1}),
        "regression",
    ),
    "ages from 0": (np.clip(RNG.exponential(30, 20_000).astype(int), 0, 60), "regression"),
    "few rows of many even codes": (np.repeat(np.arange(20), 3), "multiclass"),
    "counts of rare events": (RNG.poisson(6, 3000), "regression"),
}


@pytest.mark.parametrize("name", KINDS)
def test_kind(name: str) -> None:
    target, kind = KINDS[name]
    found, reason = infer_kind(of(target))
    assert found == kind, reason
    assert reason and "\n" not in reason


def test_the_split_tells_classes_from_measurements() -> None:
    """Whole numbers with a gap: classes when the split keeps their shares, a quantity when it ignores them."""
    assert infer_kind(of(CODES, split=shares(CODES, True)))[0] == "multiclass"
    assert infer_kind(of(CODES, split=shares(CODES, False)))[0] == "regression"


def test_the_split_does_not_turn_plain_codes_into_numbers() -> None:
    digits = np.tile(np.arange(10), 300)
    assert infer_kind(of(digits, split=shares(digits, False)))[0] == "multiclass"


def test_a_target_named_class_holds_classes() -> None:
    assert infer_kind(of(RATINGS, name="class"))[0] == "multiclass"
    assert infer_kind(of(RATINGS, name="quality"))[0] == "regression"


@given(st.integers(0, 50))
def test_a_random_split_is_never_called_stratified(seed: int) -> None:
    assert split_by_target(of(CODES, split=shares(CODES, False, seed))) != "stratified"


@given(st.integers(0, 50))
def test_a_stratified_split_always_is(seed: int) -> None:
    assert split_by_target(of(CODES, split=shares(CODES, True, seed))) == "stratified"


def test_class_names_keep_their_order() -> None:
    assert class_names(pd.Series([10.0, 2.0, 1.0, None])) == ("1", "2", "10")
    assert class_names(pd.Series(["level 10", "level 2", "a"])) == ("a", "level 2", "level 10")
    assert class_names(pd.Series([True, False])) == ("False", "True")
    assert class_names(pd.Series(["01", "1"])) == ("01", "1")


def test_one_whole_number_is_one_class_and_versions_are_not() -> None:
    def names(labels: list[str]) -> tuple[str, ...]:
        return class_names(plain_target(of(labels * 20)).target)

    assert names(["1", "1.0", "2", "3"]) == ("1", "2", "3")
    assert names(["3.1", "3.10", "3.9"]) == ("3.1", "3.10", "3.9")


def test_numbers_written_as_text() -> None:
    prices = of([f"$1,{i:03d}.50" for i in range(40)])
    assert numeric_target(prices).target.iloc[3] == 1003.5
    assert infer_kind(numeric_target(prices))[0] == "regression"
    codes = of(["01", "02", "10"] * 20)
    assert numeric_target(codes) is codes


def test_a_number_in_two_spellings_is_one_number_where_there_are_many() -> None:
    prices = of([*(f"{i / 4:.2f}" for i in range(40)), "2.5", "3.5"])
    assert infer_kind(prices)[0] == "regression" and numeric_target(prices).target.iloc[-2] == 2.5
    versions = of(["3.1", "3.10", "3.9"] * 20)
    assert numeric_target(versions) is versions and infer_kind(versions)[0] == "multiclass"


METRIC = {
    "balanced": (["a"] * 60 + ["b"] * 40, "accuracy"),
    "somewhat imbalanced": (["a"] * 85 + ["b"] * 15, "accuracy"),
    "strongly imbalanced": (["a"] * 950 + ["b"] * 50, "balanced_accuracy"),
    "one large and one tiny class": (["a"] * 700 + ["b"] * 280 + ["c"] * 20, "balanced_accuracy"),
    "many classes, one tiny": ([str(i) for i in range(10)] * 50 + ["x"], "accuracy"),
}


@pytest.mark.parametrize("name", METRIC)
def test_default_metric(name: str) -> None:
    target, metric = METRIC[name]
    assert default_metric(of(target), "multiclass")[0] == metric


def test_formulate_says_why() -> None:
    task = formulate(of(["yes", "no"] * 20), TABLE, limits=Limits(latency_ms=5), goal="accuracy >= 0.9")
    assert (task.kind, task.num_outputs, task.classes, task.metric) == ("binary", 2, ("no", "yes"), "accuracy")
    assert task.name == task.group == "d"
    for word in ("kind: binary", "metric: accuracy", "goal: accuracy >= 0.9", "latency_ms at most 5", "input table"):
        assert any(word in line for line in task.why), task.why
    assert all("\n" not in line for line in task.why)


def test_what_is_asked_wins() -> None:
    task = formulate(of(RATINGS), TABLE, kind="multiclass", metric="log_loss", name="wine", group="drinks")
    assert (task.kind, task.num_outputs, task.metric) == ("multiclass", 7, "log_loss")
    assert (task.name, task.group) == ("wine", "drinks")
    assert sum("as asked" in line for line in task.why) == 2
    assert formulate(of([1, 2, 3] * 9), TABLE, kind="regression").classes == ()


def test_goal() -> None:
    goal = parse_goal(" accuracy>=95% ")
    assert goal is not None and goal.value == 0.95
    assert goal.met({"accuracy": 0.95}) is True
    assert goal.met({"accuracy": 0.9}) is False
    assert goal.met({"r2": 1.0}) is None and goal.met({"accuracy": float("nan")}) is None
    below = parse_goal("rmse < 3e-1")
    assert below is not None and below.met({"rmse": 0.2}) and not below.met({"rmse": 0.3})
    assert parse_goal("") is None
    for wrong in ("accuracy", "accuracy >= good", "accuracy => 1", "speed > 3", "accuracy >= 0.9; import os"):
        with pytest.raises(UserError, match="goal"):
            parse_goal(wrong)


@pytest.mark.parametrize(
    ("goal", "says"),
    [
        ("accuracy >= 95", "Did you mean 95%, which is 0.95?"),
        ("accuracy > 1", "can be met by no model"),
        ("roc_auc >= 101%", "from 0 to 1"),
        ("r2 >= 1.5", "at most 1. Did you mean 1.5%"),
        ("rmse < 0", "never below 0"),
        ("log_loss <= -1", "never below 0"),
        ("ece < 0", "from 0 to 1"),
        ("latency_ms <= 0", "can be met by no model"),
        ("megabytes < 0", "can be met by no model"),
        ("rmse < 5%", "leave the % out"),
        ("latency_ms <= 50%", "leave the % out"),
    ],
)
def test_a_goal_that_no_model_can_meet_is_refused(goal: str, says: str) -> None:
    with pytest.raises(UserError, match="goal") as caught:
        parse_goal(goal)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_goals_at_the_edge_of_what_can_be() -> None:
    for text in (
        "accuracy >= 100%",
        "r2 > -3",
        "rmse <= 0",
        "log_loss <= 0",
        "brier < 2",
        "parameters <= 1e6",
        "ece <= 0",
    ):
        assert parse_goal(text) is not None, text


@given(st.text(max_size=40))
def test_any_goal_is_understood_or_refused(text: str) -> None:
    try:
        goal = parse_goal(text)
    except UserError as error:
        assert "\n" not in str(error).replace(repr(text), "")
    else:
        assert goal is None or goal.metric in {*sum(METRICS.values(), ()), "latency_ms", "parameters", "megabytes"}


COLOURS = ["red", "green", "blue", "black"]


def tags(separator: str, rows: int = 300) -> list[str]:
    """One to three colours per row."""
    rng = np.random.default_rng(0)
    return [separator.join(rng.choice(COLOURS, rng.integers(1, 4), replace=False)) for _ in range(rows)]


@pytest.mark.parametrize("separator", [",", ", ", ";", "|"])
def test_several_tags_per_row_are_said(separator: str) -> None:
    with pytest.raises(UserError, match=r"joins 4 tags by .*multi-label.*task\.kind=multiclass"):
        infer_kind(of(tags(separator)))
    check_kind(of(tags(separator)), "multiclass")
    with pytest.raises(UserError, match="joins 4 tags") as caught:
        infer_kind(of(list(dict.fromkeys(tags(separator)))))
    assert "\n" not in str(caught.value)


def test_lists_of_tags_and_of_numbers_written_as_texts_are_told() -> None:
    with pytest.raises(UserError, match=r"joins 4 tags by ','"):
        infer_kind(of([str(of.split(",")) for of in tags(",")]))
    for form in ("[{}, {}]", "({};{})", "{} {}", "{}.5,-{}e3"):
        with pytest.raises(UserError, match=r"each holds several numbers, such as .* give a column per number"):
            infer_kind(of([form.format(i, i + 1) for i in range(60)]))
    assert infer_kind(of(["(0, 10]", "(10, 20]", "(20, 30]"] * 20))[0] == "multiclass", "intervals are classes"


def test_ranks_of_queries_are_refused_unless_a_group_is_set() -> None:
    data = dataclasses.replace(of([0, 1, 2, 3, 4] * 12), table=pd.DataFrame({"qid": np.repeat(range(6), 10)}))
    data.target.name = "relevance"
    with pytest.raises(UserError, match=r"looks like ranking.* set data\.group=qid"):
        infer_kind(data)
    assert infer_kind(dataclasses.replace(data, group=np.repeat(range(6), 10)))[0] == "multiclass"
    data.target.name = "label"
    assert infer_kind(data)[0] == "multiclass"


@pytest.mark.parametrize(
    "labels",
    [
        [f"{land[0]}{place}, {land}" for land in ("France", "Spain", "Italy") for place in "xyz"],
        [f"Name{i}, Given{i % 3}" for i in range(12)],
        ["low, cold", "high, warm", "between"],
        ["yes", "no", "may be"],
        ["<1,000", "1,000-2,000", "2,000-3,000", ">3,000"],
    ],
)  # fmt: skip
def test_labels_that_join_nothing(labels: list[str]) -> None:
    assert joined_tags(labels) is None
    assert infer_kind(of(labels * 10))[0] != "regression"


@pytest.mark.parametrize(
    ("target", "kind", "metric"),
    [
        (pd.Categorical(["a", "b"] * 30, categories=["a", "b", "c"]), "binary", "accuracy"),
        (pd.Categorical(["a", "b", "c"] * 30, categories=list("abcdef")), "multiclass", "accuracy"),
        (["yes", "no", "no "] * 20, "binary", "accuracy"),
        (["a", "a ", " a", "b"] * 30, "binary", "accuracy"),
    ],
)
def test_classes_are_counted_as_they_are_named(target, kind: str, metric: str) -> None:
    data = of(target)
    assert infer_kind(data)[0] == kind
    chosen, reason = default_metric(data, infer_kind(data)[0])
    assert chosen == metric and "inf" not in reason.split()


@pytest.mark.parametrize("target", [["x", "x "] * 20, pd.Categorical(["x"] * 40, categories=["x", "y"])])
def test_one_class_is_one_however_it_is_written(target) -> None:
    with pytest.raises(UserError, match="holds only 'x'"):
        infer_kind(of(target))


@pytest.mark.parametrize(
    ("column", "target", "values"),
    [
        ("query", "relevance", ["yes", "no"]),
        ("qid", "rank", [round(0.137 * i, 3) for i in range(60)]),
        ("x", "variant", [f"{size}, {colour}" for size in "SML" for colour in ("red", "blue", "green")]),
        ("x", "place", [f"{town}, {of}" for town in ("Springfield", "Salem", "Clinton") for of in ("IL", "OR", "MA")]),
    ],
)
def test_what_only_looks_like_ranks_or_tags_is_learned(column: str, target: str, values: list) -> None:
    table = pd.DataFrame({column: np.arange(180) % 20, "y": np.arange(180.0)})
    dataset = Dataset("d", table, pd.Series((values * 180)[:180], name=target))
    assert infer_kind(dataset)[0] in ("binary", "multiclass", "regression")

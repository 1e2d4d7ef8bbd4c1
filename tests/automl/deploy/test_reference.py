"""Counts in fixed bins: those of the reference's own rows come back, of batches they add up, and shifts show."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from automl.data.dataset import Dataset, taken
from automl.data.encode import Encoding
from automl.deploy import reference as module
from automl.deploy.bundle import MODEL, Bundle
from automl.deploy.judge import Verdict
from automl.deploy.optimise import Variant
from automl.deploy.reference import BINS, answered, counts_of, measured, reference_of
from automl.deploy.variants import Kept, write
from automl.monitor.counter import Counter
from automl.monitor.tests import Watch
from automl.types import Task
from tests.automl.deploy.rows import ROWS, mixed, part_of, task_of
from tests.automl.monitor.bundles import asked, made, people

MIXED = mixed()
ENCODING = Encoding.fit(MIXED, np.arange(ROWS), kind="binary")
TASK = task_of(ENCODING)
PREDICTIONS = np.random.default_rng(1).dirichlet([1, 1], ROWS).astype(np.float32)
REFERENCE = reference_of(ENCODING, MIXED, part_of(ENCODING, MIXED), PREDICTIONS, TASK)
STORED = np.concatenate([np.asarray(m["counts"], dtype=np.int64) for m in REFERENCE["measures"]])


def counted(raw: Any, predictions: np.ndarray = PREDICTIONS, reference: Any = REFERENCE) -> np.ndarray:
    """Raw rows as a server counts them."""
    dataset = ENCODING.dataset(raw)
    seen = [*measured(ENCODING, dataset, ENCODING.transform(dataset)), *answered(TASK, predictions)]
    return counts_of(json.loads(json.dumps(reference, allow_nan=False)), [m.values for m in seen])


def raw_rows() -> list[dict[str, Any]]:
    cells = MIXED.table.astype(object).where(MIXED.table.notna(), None).to_dict("records")
    return [row | {n: a[i] for n, a in MIXED.arrays.items()} for i, row in enumerate(cells)]


def of(field: str, what: str, reference: Any = REFERENCE) -> dict[str, Any]:
    (found,) = (m for m in reference["measures"] if (m["field"], m["what"]) == (field, what))
    return found


def test_the_references_own_rows_come_back() -> None:
    assert STORED.sum() == ROWS * len(REFERENCE["measures"])
    np.testing.assert_array_equal(counted({**MIXED.table, **MIXED.arrays}), STORED)
    np.testing.assert_array_equal(counted(raw_rows()), STORED)


def test_batches_add_up() -> None:
    rows = raw_rows()
    parts = [counted(rows[at : at + 7], PREDICTIONS[at : at + 7]) for at in range(0, ROWS, 7)]
    np.testing.assert_array_equal(sum(parts), STORED)
    np.testing.assert_array_equal(counted(rows[3:4], PREDICTIONS[3:4]), counted([rows[3]], PREDICTIONS[[3]]))


def test_what_is_counted() -> None:
    names = [(m["field"], m["what"]) for m in REFERENCE["measures"]]
    assert len(set(names)) == len(names)
    assert {f for f, _ in names} == {*MIXED.table, *MIXED.arrays, ""}
    gap = of("gap", "value")
    assert gap["counts"][-3:] == [MIXED.table["gap"].isna().sum(), 0, 0]
    old = of("old", "value")
    assert old["edges"] == [0, 0.5, 1], "one bin for each value, with a readable edge between"
    assert old["counts"] == [int((~MIXED.table["old"]).sum()), int(MIXED.table["old"].sum()), 0, 0, 0]
    city = of("city", "value")
    counts = MIXED.table["city"].value_counts()
    assert dict(zip(city["values"], city["counts"], strict=False)) == counts.to_dict()
    assert city["counts"][-3:] == [1, 0, 0]
    shop = MIXED.table["shop"].value_counts()
    assert of("shop", "value")["counts"][-1] == (shop == 1).sum(), "seen once is unknown"
    assert of("seen", "days")["edges"][0] == 17_897 and of("seen", "days")["counts"][-3:] == [1, 0, 0]
    assert of("story", "length")["counts"][-3:] == [1, 0, 0]
    assert of("story", "unknown share")["edges"][-1] == 1, "the missing text is one unknown token"
    assert of("voice", "frames")["edges"][::2] == [15, 20]
    assert of("voice", "frames")["counts"] == [1, ROWS - 1, 0, 0, 0]
    assert of("pulse", "missing share")["counts"] == [ROWS - 1, 1, 0, 0, 0]
    photo = MIXED.arrays["photo"] / 255
    assert of("photo", "brightness")["edges"][-1] == pytest.approx(photo.mean((1, 2, 3)).max())
    assert of("photo", "contrast")["edges"][0] == pytest.approx(photo.std((1, 2, 3)).min())
    assert of("", "class")["values"] == ["no", "yes"]
    assert of("", "class")["counts"] == [*np.bincount(PREDICTIONS.argmax(1)), 0, 0, 0]
    assert 0.5 <= of("", "probability of the class")["edges"][0] <= of("", "probability of the class")["edges"][-1] <= 1


def change(field: str, value: Any) -> list[dict[str, Any]]:
    return [row | {field: value} for row in raw_rows()]


@pytest.mark.parametrize(
    ("field", "value", "what", "place"),
    [
        ("size", None, "value", -3),
        ("size", -1e9, "value", -2),
        ("size", 1e9, "value", -1),
        ("city", None, "value", -3),
        ("city", "Cairo", "value", -1),
        ("seen", "1990-01-01", "days", -2),
        ("story", "", "length", -3),
        ("story", "word " * 50, "length", -1),
        ("photo", np.zeros((9, 7, 3), np.uint8), "brightness", -2),
        ("photo", np.zeros((9, 7, 3), np.uint8), "contrast", -2),
        ("voice", np.full((64, 20), np.nan), "level", -3),
        ("voice", np.full((64, 9), 50.0), "frames", -2),
        ("voice", np.full((64, 9), 50.0), "level", -1),
        ("pulse", np.full((2, 30), 1e9), "mean", -1),
        ("pulse", np.zeros((2, 30)), "deviation", -2),
        ("line", [1.0, *[None] * 11], "missing share", -1),
        ("line", np.full(12, np.inf), "mean", -3),
    ],
)
def test_what_training_did_not_see_is_counted_outside(field: str, value: Any, what: str, place: int) -> None:
    vector = counted(change(field, value))
    at = 0
    for measure in REFERENCE["measures"]:
        counts = vector[at : at + len(measure["counts"])]
        at += len(counts)
        if (measure["field"], measure["what"]) == (field, what):
            assert counts[place] == ROWS, counts
        elif measure["field"] != field:
            assert counts.tolist() == measure["counts"], "only the changed field shows"


def test_answers_of_a_regression() -> None:
    task = Task("toy", "regression", (), 1, "r2")
    values = np.random.default_rng(0).normal(1e6, 1, 500).astype(np.float32)
    (measure,) = answered(task, values)
    state = module.binned(measure)
    assert sum(state["counts"]) == 500 and state["counts"][-3:] == [0, 0, 0]
    outside = module._counts(state, np.array([0.0, np.nan, 1e7, np.inf, -np.inf]))
    assert outside[-3:].tolist() == [1, 2, 2] and outside.sum() == 5


NUMBERS = st.one_of(
    st.floats(allow_infinity=False), st.integers(-5, 5).map(float), st.sampled_from([0.0, 5e-324, 1e308])
)


@given(st.lists(NUMBERS, max_size=200), st.lists(st.floats(), max_size=20))
@settings(max_examples=150, deadline=None)
def test_bins_of_any_numbers(values: list[float], others: list[float]) -> None:
    measure = module.Measure("f", "value", np.array(values, dtype=np.float64))
    state = json.loads(json.dumps(module.binned(measure), allow_nan=False))
    edges, counts = state["edges"], state["counts"]
    known = measure.values[~np.isnan(measure.values)]
    assert module._counts(state, measure.values).tolist() == counts
    assert edges == sorted(edges) and len(counts) == max(len(edges) - 1, 0) + 3 <= BINS + 3
    assert counts[-3:] == [len(values) - len(known), 0, 0] and sum(counts) == len(values)
    distinct = np.unique(known)
    if 0 < len(distinct) <= BINS:
        assert counts[:-3] == [int((known == v).sum()) for v in distinct]
    more = module._counts(state, np.array(others, dtype=np.float64))
    one_by_one = [module._counts(state, np.array([v])) for v in others]
    np.testing.assert_array_equal(more, sum(one_by_one, np.zeros(len(counts), np.int64)))
    if len(known) and others:
        a = np.array(others)
        assert more[-3:].tolist() == [np.isnan(a).sum(), (a < known.min()).sum(), (a > known.max()).sum()]


def test_bins_hold_alike_many() -> None:
    values = np.random.default_rng(0).lognormal(size=5_000)
    counts = module.binned(module.Measure("f", "value", values))["counts"][:-3]
    assert len(counts) == BINS and max(counts) - min(counts) <= 2
    heavy = np.where(np.arange(5_000) % 2 == 0, 0.0, values)
    counts = module.binned(module.Measure("f", "value", heavy))["counts"]
    assert counts[0] == 2_500, "a value that half of the rows have is a bin of its own"


def test_a_wide_table_stays_small() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({f"a rather long name of a column {i}": rng.normal(size=1_000) for i in range(30)})
    for i in range(20):
        frame[f"category {i}"] = [f"a category of {v}" for v in rng.integers(0, 300, 1_000)]
    dataset = Dataset("wide", frame, pd.Series(rng.normal(size=1_000), name="y"))
    encoding = Encoding.fit(dataset, np.arange(1_000), kind="regression")
    reference = reference_of(encoding, dataset, part_of(encoding, dataset), rng.normal(size=1_000), task_of(encoding))
    assert len(reference["measures"]) == 51 and len(json.dumps(reference, indent=1)) < 100_000
    shop = of("category 0", "value", reference)
    assert len(shop["values"]) == BINS and len(shop["counts"]) == BINS + 3
    assert shop["counts"][-2] > 500 and sum(shop["counts"]) == 1_000


def test_many_rows_are_looked_at_by_the_spread_of_them(monkeypatch) -> None:
    monkeypatch.setattr(module, "ROWS", 20)
    monkeypatch.setattr(module, "CHUNK", 6)
    few = reference_of(ENCODING, MIXED, part_of(ENCODING, MIXED), PREDICTIONS, TASK)
    assert few["rows"] == 20 and sum(of("size", "value", few)["counts"]) == 20
    assert sum(of("", "class", few)["counts"]) == ROWS == few["predictions"]


def rare(rows: int, seed: int) -> Dataset:
    """Texts and categories of which most are rare, as words and names are."""
    rng = np.random.default_rng(seed)
    texts = [" ".join(f"word{n}" for n in rng.zipf(1.5, 12).clip(max=10**6)) for _ in range(rows)]
    shops = [f"shop{n}" for n in rng.zipf(1.5, rows).clip(max=10**6)]
    return Dataset("rare", pd.DataFrame({"note": texts, "shop": shops}), pd.Series(rng.normal(size=rows), name="y"))


def test_what_the_encoding_knows_is_told_of_rows_that_it_does_not_know() -> None:
    """Of those that it was fitted on it knows more: every stream that came after them once seemed to have moved."""
    dataset, learned, unseen = rare(1500, 0), np.arange(900), np.arange(900, 1500)
    encoding = Encoding.fit(dataset, learned, kind="regression")
    rows, task, said = part_of(encoding, dataset), task_of(encoding), np.random.default_rng(2).normal(size=1500)

    def moved(unseen: np.ndarray) -> set[tuple[str, str]]:
        reference = reference_of(encoding, dataset, taken(rows, learned), said, task, [taken(rows, unseen)])
        watch = Watch.new(reference)
        found = set()
        for number in range(20):
            stream = rare(100, 1000 + number)
            fields = measured(encoding, stream, encoding.transform(stream))
            values = [m.values for m in (*fields, *answered(task, np.random.default_rng(number).normal(size=100)))]
            for event in watch.step(counts_of(reference, values)):
                measure = reference["measures"][event.measure]
                found.add((measure["field"], measure["what"]))
        return found

    assert moved(unseen[:50]) == {("note", "unknown share")}, "so few do not tell"
    assert moved(unseen) == set()
    reference = reference_of(encoding, dataset, taken(rows, learned), said, task, [taken(rows, unseen)])
    assert sum(of("note", "length", reference)["counts"]) == len(learned)
    assert sum(of("note", "unknown share", reference)["counts"]) == len(unseen)


def test_a_variant_is_compared_with_answers_of_its_own(tmp_path) -> None:
    """Its probabilities are not those of the whole model: of the model's own rows the first window once alarmed."""
    bundle = made(tmp_path)
    graph = onnx.load(bundle.folder / MODEL)
    (out,) = graph.graph.output
    bold = helper.make_node("Round", [out.name], ["bold"])  # surer than the model ever was
    graph.graph.node.append(bold)
    out.name = "bold"
    times = {(threads, rows): 1.0 for threads in (1, 2) for rows in (1, 32)}
    variant = Variant(1, "fp32", megabytes=1.0, verdict=Verdict(0.5, 0, 1, 0), raw_ms=times, graph_ms=times)
    _, outputs = asked(bundle, people(400, 3))
    own = [module.binned(m) for m in answered(bundle.task, outputs[0].round())]
    write(bundle, [Kept(variant, graph.SerializeToString(), None, own)], variant.name)
    bold_bundle = Bundle.load(bundle.folder)

    def moved(counter: Counter) -> int:
        _, outputs = asked(bold_bundle, people(400, 4))
        return len(Watch.new(counter.reference).step(counter.answers(outputs)[counter.layout.counts]))

    assert moved(Counter(bold_bundle)) == 0
    assert moved(Counter(dataclasses.replace(bold_bundle, variant={}))) > 0, "with those of the whole model"


def test_rows_are_not_encoded_again_and_a_copy_is_no_further_row() -> None:
    """Their encoding is most of what it takes."""
    encoded, twice = part_of(ENCODING, MIXED), np.repeat(np.arange(ROWS)[::-1], 2)
    known: Any = SimpleNamespace(encoders=ENCODING.encoders)  # which reads nothing
    assert reference_of(known, MIXED, taken(encoded, twice), PREDICTIONS, TASK) == REFERENCE

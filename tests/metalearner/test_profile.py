"""Profiles: the same names for every task, no matter the order of the rows, and numbers that mean what they say."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn import datasets

from automl.data.dataset import Dataset, Part
from automl.types import Input, Kind, Profile, Task
from metalearner.profile import DESCRIPTIONS, NAMES, profile
from metalearner.profile.flat import MAX_WIDTH, flatten, pooled, reduce_width, word_counts
from metalearner.profile.landmarks import ridge

ROWS = 120
INPUTS = {
    "tabular": Input("table", "tabular", (5,), cardinalities=(0, 0, 0, 3, 4)),
    "image": Input("picture", "image", (3, 12, 14), mean=(0.5,) * 3, std=(0.2,) * 3),
    "audio": Input("sound", "audio", (1, 16, 20)),
    "series": Input("wave", "series", (3, 50), masked=True),
    "text": Input("words", "text", (12,), vocabulary=40),
}


def array_of(modality: str, rows: int, rng: np.random.Generator) -> np.ndarray:
    shape = (rows, *INPUTS[modality].shape)
    if modality == "image":
        return rng.integers(0, 256, shape, dtype=np.uint8)
    if modality == "text":
        tokens = rng.integers(1, 40, shape)
        tokens[np.arange(shape[1]) >= rng.integers(1, shape[1] + 1, rows)[:, None]] = 0
        return tokens
    values = rng.normal(size=shape).astype(np.float32)
    if modality == "tabular":
        values[:, 3], values[:, 4] = rng.integers(0, 3, rows), rng.integers(0, 4, rows)
    if modality == "series":
        values[:, -1] = np.arange(shape[2]) < rng.integers(20, shape[2] + 1, rows)[:, None]
    return values


def task_of(kind: Kind, *modalities: str, outputs: int = 3) -> Task:
    outputs = {"binary": 2, "multiclass": outputs, "regression": 1}[kind]
    inputs = tuple(INPUTS[m] for m in modalities)
    return Task("made", kind, inputs, outputs, "r2" if kind == "regression" else "accuracy")


def part_of(task: Task, rows: int = ROWS, seed: int = 0) -> Part:
    rng = np.random.default_rng(seed)
    inputs = tuple(array_of(i.modality, rows, rng) for i in task.inputs)
    if task.kind == "regression":
        y = rng.normal(size=rows).astype(np.float32)
    else:
        y = rng.integers(0, task.num_outputs, rows)
    return Part(inputs, y, np.arange(rows))


def shuffled(part: Part, order: np.ndarray) -> Part:
    return Part(tuple(a[order] for a in part.inputs), part.y[order], part.rows[order])


def table_part(x: np.ndarray, y: np.ndarray, kind: Kind = "multiclass") -> tuple[Task, Part]:
    spec = Input("table", "tabular", (x.shape[1],), cardinalities=(0,) * x.shape[1])
    outputs = 1 if kind == "regression" else int(y.max()) + 1
    y = y.astype(np.float32) if kind == "regression" else y.astype(np.int64)
    return Task("table", kind, (spec,), outputs, "accuracy"), Part((x.astype(np.float32),), y, np.arange(len(y)))


def values(profile_: Profile) -> np.ndarray:
    return np.array(profile_.values)


CASES: list[tuple[Kind, tuple[str, ...]]] = [
    ("binary", ("tabular",)),
    ("multiclass", ("image",)),
    ("regression", ("series",)),
    ("multiclass", ("audio",)),
    ("binary", ("text",)),
    ("multiclass", ("tabular", "image", "text")),
    ("regression", ("tabular", "audio", "series")),
]


@functools.cache
def measured(kind: Kind, modalities: tuple[str, ...]) -> Profile:
    task = task_of(kind, *modalities)
    return profile(task, part_of(task))


@pytest.mark.parametrize(("kind", "modalities"), CASES)
def test_every_task_has_the_same_names(kind: Kind, modalities: tuple[str, ...]) -> None:
    made = measured(kind, modalities)
    assert made.names == NAMES
    assert len(NAMES) >= 40
    assert set(DESCRIPTIONS) == set(NAMES)


@pytest.mark.parametrize(("kind", "modalities"), CASES)
def test_what_is_missing_has_a_reason_and_nothing_else_has(kind: Kind, modalities: tuple[str, ...]) -> None:
    made = measured(kind, modalities)
    missing = {n for n, v in made.as_dict().items() if math.isnan(v)}
    assert missing == set(made.reasons)
    assert all(reason for reason in made.reasons.values())
    assert not any(math.isinf(v) for v in made.values)


@pytest.mark.parametrize(("kind", "modalities"), CASES)
def test_every_modality_adds_its_own(kind: Kind, modalities: tuple[str, ...]) -> None:
    made = measured(kind, modalities).as_dict()
    for modality in INPUTS:
        prefix = "table_" if modality == "tabular" else f"{modality}_"
        known = [n for n in NAMES if n.startswith(prefix) and not math.isnan(made[n])]
        assert bool(known) == (modality in modalities)
        assert made[f"has_{modality}"] == (modality in modalities)


@settings(max_examples=7, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=st.sampled_from(CASES), seed=st.integers(0, 10_000), cap=st.sampled_from([40, ROWS]))
def test_the_order_of_the_rows_does_not_matter(case: tuple[Kind, tuple[str, ...]], seed: int, cap: int) -> None:
    task = task_of(case[0], *case[1])
    part = part_of(task)
    order = np.random.default_rng(seed).permutation(ROWS)
    first, second = profile(task, part, max_rows=cap), profile(task, shuffled(part, order), max_rows=cap)
    np.testing.assert_array_equal(values(first), values(second))
    assert first.reasons == second.reasons


def test_the_same_seed_gives_the_same_profile_and_the_seed_hardly_matters() -> None:
    task, part = table_part(*datasets.load_wine(return_X_y=True))
    one, same, two = (values(profile(task, part, seed=s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    changed = {n for n, a, b in zip(NAMES, one, two, strict=True) if a != b and not math.isnan(a)}
    assert changed <= {"landmark_random_features_error"}


def test_sizes_and_classes() -> None:
    y = np.repeat([0, 1, 2], [60, 30, 10])
    task, part = table_part(np.random.default_rng(0).normal(size=(100, 10)), y)
    made = profile(task, part).as_dict()
    assert made["log10_train_rows"] == pytest.approx(2)
    assert made["log10_values_per_row"] == pytest.approx(1)
    assert made["log10_rows_per_value"] == pytest.approx(1)
    assert made["log10_classes"] == pytest.approx(math.log10(3))
    assert made["class_entropy_nats"] == pytest.approx(-(0.6 * np.log(0.6) + 0.3 * np.log(0.3) + 0.1 * np.log(0.1)))
    assert made["majority_class_share"] == pytest.approx(0.6)
    assert made["minority_class_share"] == pytest.approx(0.1)
    assert made["log10_class_imbalance"] == pytest.approx(math.log10(6))
    assert made["landmark_constant_error"] == pytest.approx(0.4)
    assert made["duplicate_row_share"] == 0


def test_missing_values_are_those_of_the_training_rows() -> None:
    task, part = table_part(np.random.default_rng(0).normal(size=(10, 2)), np.arange(10) % 2)
    table = pd.DataFrame({"a": [np.nan] * 5 + [1.0] * 15, "b": [1.0] * 20, "c": ["x"] * 10 + [None] * 10})
    dataset = Dataset("raw", table, pd.Series([0, 1] * 10))
    part = Part(part.inputs, part.y, np.arange(0, 20, 2))  # rows 0, 2, 4 lack a; 10, 12, ..., 18 lack c
    made = profile(task, part, dataset).as_dict()
    assert made["missing_share"] == pytest.approx(8 / 30)
    assert made["missing_column_share"] == pytest.approx(2 / 3)
    assert made["missing_row_share"] == pytest.approx(0.8)
    assert made["max_column_missing_share"] == pytest.approx(0.5)
    assert profile(task, part).reasons["missing_share"] == "the raw data set was not given"
    bare = Dataset("bare", pd.DataFrame(index=range(20)), dataset.target)
    assert profile(task, part, bare).reasons["missing_share"] == "the data set has no plain columns"


@pytest.mark.parametrize("dimension", [1, 2, 4])
def test_the_intrinsic_dimension_of_a_plane_is_found(dimension: int) -> None:
    rng = np.random.default_rng(0)
    flat = rng.uniform(size=(800, dimension))
    x = flat @ np.linalg.qr(rng.normal(size=(12, dimension)))[0].T
    made = profile(*table_part(x, rng.integers(0, 2, 800), "binary")).as_dict()
    assert 10 ** made["log10_twonn_dimension"] == pytest.approx(dimension, rel=0.25)
    assert 10 ** made["log10_pca_dimensions_95"] <= dimension


def test_landmarks_tell_what_is_easy_for_whom() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (600, 2))
    line = profile(*table_part(x, (x[:, 0] + x[:, 1] > 0).astype(int), "binary")).as_dict()
    assert line["landmark_linear_error"] < 0.06 < line["landmark_stump_error"]
    step = profile(*table_part(x, (x[:, 0] > 0.2).astype(int), "binary")).as_dict()
    assert step["landmark_stump_error"] < 0.02
    checks = profile(*table_part(x, ((x[:, 0] > 0) ^ (x[:, 1] > 0)).astype(int), "binary")).as_dict()
    assert checks["landmark_1nn_error"] < 0.1 < 0.35 < checks["landmark_linear_error"]
    assert checks["landmark_random_features_error"] < 0.15
    noise = profile(*table_part(x, rng.integers(0, 2, 600), "binary")).as_dict()
    assert all(0.4 < noise[f"landmark_{n}_error"] < 0.6 for n in ("1nn", "linear", "tree", "random_features"))
    plane = profile(*table_part(x, 3 * x[:, 0] - x[:, 1], "regression")).as_dict()
    assert plane["landmark_linear_error"] < 0.01
    assert plane["landmark_constant_error"] > 0.99
    assert plane["max_target_dependence_share"] == pytest.approx(0.9, abs=0.05)


def test_convolutions_see_what_moves_about() -> None:
    """A bright corner or a bright cross anywhere in the picture: easy for a convolution, hard for a flat model."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 40, (400, 1, 16, 16), dtype=np.uint8)
    y = rng.integers(0, 2, 400)
    for image, label in zip(images, y, strict=True):
        top, left = rng.integers(0, 11, 2)
        stamp = np.zeros((5, 5), dtype=np.uint8)
        if label:
            stamp[2, :] = stamp[:, 2] = 200
        else:
            stamp[0, :] = stamp[:, 0] = 200
        image[0, top : top + 5, left : left + 5] += stamp
    task = Task("stamps", "binary", (Input("image", "image", (1, 16, 16)),), 2, "accuracy")
    made = profile(task, Part((images,), y, np.arange(400))).as_dict()
    assert made["landmark_convolution_error"] < 0.1
    assert made["landmark_linear_error"] > 0.3
    assert made["landmark_1nn_error"] > 0.2


def test_word_pairs_see_the_order_of_words() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 300)
    tokens = rng.integers(4, 20, (300, 8))
    place = rng.integers(0, 7, 300)
    rows = np.arange(300)
    tokens[rows, place], tokens[rows, place + 1] = np.where(y == 1, (2,), (3,)), np.where(y == 1, (3,), (2,))
    task = Task("order", "binary", (Input("text", "text", (8,), vocabulary=20),), 2, "accuracy")
    made = profile(task, Part((tokens,), y, rows)).as_dict()
    assert made["landmark_word_pairs_error"] < 0.2
    assert made["landmark_linear_error"] > 0.35


def test_pictures() -> None:
    rng = np.random.default_rng(0)
    smooth = np.tile(np.linspace(0, 255, 32), (60, 1, 32, 1)).astype(np.uint8)
    noise = rng.integers(0, 256, (60, 1, 32, 32), dtype=np.uint8)
    task = Task("images", "binary", (Input("image", "image", (1, 32, 32)),), 2, "accuracy")

    def look(images: np.ndarray) -> dict[str, float]:
        return profile(task, Part((images,), np.arange(60) % 2, np.arange(60))).as_dict()

    a, b = look(smooth), look(noise)
    assert a["image_autocorrelation_1px"] > 0.9 > 0.1 > abs(b["image_autocorrelation_1px"])
    assert a["image_high_frequency_share"] < 0.1 < 0.5 < b["image_high_frequency_share"]
    assert a["image_edge_density"] == 0 < 0.5 < b["image_edge_density"]
    assert a["image_mean_image_share"] > 0.99 > 0.1 > b["image_mean_image_share"]
    assert a["image_mirror_correlation"] < -0.99
    assert a["image_brightness"] == pytest.approx(0.5, abs=0.01)
    assert a["image_log10_pixels"] == pytest.approx(math.log10(1024))


def test_series() -> None:
    rng = np.random.default_rng(0)
    time = np.arange(200)
    period = np.sin(2 * np.pi * time / 20 + rng.uniform(0, 6, (80, 1, 1)))
    noise = rng.normal(size=(80, 1, 200))
    trend = time / 200 + 0.01 * noise
    task = Task("waves", "binary", (Input("wave", "series", (1, 200)),), 2, "accuracy")

    def look(series: np.ndarray) -> dict[str, float]:
        return profile(task, Part((series.astype(np.float32),), np.arange(80) % 2, np.arange(80))).as_dict()

    a, b, c = look(period), look(noise), look(trend)
    assert a["series_dominant_frequency_share"] == pytest.approx(0.1, abs=0.01)
    assert a["series_spectral_entropy_share"] < 0.1 < 0.8 < b["series_spectral_entropy_share"]
    assert a["series_autocorrelation_1step"] > 0.9 > 0.05 > abs(b["series_autocorrelation_1step"])
    assert c["series_trend_r2"] > 0.98 > 0.1 > b["series_trend_r2"]
    assert b["series_roughness"] == pytest.approx(math.sqrt(2), abs=0.05)
    assert c["series_mean_series_share"] > 0.95 > 0.1 > a["series_mean_series_share"]
    assert b["series_excess_kurtosis"] == pytest.approx(0, abs=0.3)


def test_padding_is_no_part_of_a_series() -> None:
    rng = np.random.default_rng(0)
    walk = rng.normal(size=(60, 1, 100)).cumsum(axis=-1)
    mask = (np.arange(100) < 50) * np.ones((60, 1, 1))
    series = np.concatenate([walk * mask, mask], axis=1).astype(np.float32)
    task = Task("walks", "binary", (Input("walk", "series", (2, 100), masked=True),), 2, "accuracy")
    made = profile(task, Part((series,), np.arange(60) % 2, np.arange(60))).as_dict()
    assert made["series_masked_share"] == pytest.approx(0.5)
    assert made["series_channels"] == 1


def test_texts() -> None:
    tokens = np.array([[2, 3, 2, 0], [4, 1, 0, 0], [2, 5, 6, 7]] * 6)
    task = Task("texts", "binary", (Input("text", "text", (4,), vocabulary=10),), 2, "accuracy")
    made = profile(task, Part((tokens,), np.arange(18) % 2, np.arange(18))).as_dict()
    assert made["text_log10_mean_tokens"] == pytest.approx(math.log10(3))
    assert made["text_full_share"] == pytest.approx(1 / 3)
    assert made["text_type_token_ratio"] == pytest.approx(7 / 54)
    assert made["text_unknown_share"] == pytest.approx(1 / 9)
    assert made["text_repeat_share"] == pytest.approx(1 / 9)
    assert made["text_log10_vocabulary"] == pytest.approx(1)

    letters = np.concatenate([tokens, np.arange(1, 55).reshape(18, 3) * 10**8], axis=1)
    more = replace(task, inputs=(replace(task.inputs[0], shape=(7,), letters=3),))
    again = profile(more, Part((letters,), np.arange(18) % 2, np.arange(18))).as_dict()
    np.testing.assert_equal(again, made)


@pytest.mark.parametrize(("kind", "modalities"), CASES)
@pytest.mark.parametrize("rows", [1, 2, 7, 13])
def test_few_rows_give_reasons_not_errors(kind: Kind, modalities: tuple[str, ...], rows: int) -> None:
    task = task_of(kind, *modalities)
    made = profile(task, part_of(task, rows))
    assert made.as_dict()["log10_train_rows"] == pytest.approx(math.log10(rows))
    if rows < 8:
        assert made.reasons["pca_first_share"] == made.reasons["landmark_1nn_error"] == f"only {rows} rows"


@pytest.mark.parametrize(("kind", "modalities"), CASES)
def test_inputs_that_never_change_give_reasons_not_errors(kind: Kind, modalities: tuple[str, ...]) -> None:
    task = task_of(kind, *modalities)
    part = part_of(task, 30)
    same = Part(tuple(np.repeat(a[:1], 30, axis=0) for a in part.inputs), np.zeros_like(part.y), part.rows)
    made = profile(task, same)
    assert made.reasons["pca_first_share"] == "every input is the same in every row"
    assert set(made.reasons) == {n for n, v in made.as_dict().items() if math.isnan(v)}


def test_no_rows_are_refused() -> None:
    task = task_of("binary", "tabular")
    with pytest.raises(ValueError, match="at least one training row"):
        profile(task, part_of(task, 0))


def test_the_cap_keeps_large_data_cheap() -> None:
    import time

    rng = np.random.default_rng(0)
    task, part = table_part(rng.normal(size=(200_000, 20)), rng.integers(0, 5, 200_000))
    began = time.process_time()
    made = profile(task, part).as_dict()
    assert time.process_time() - began < 3
    assert made["log10_train_rows"] == pytest.approx(math.log10(200_000))


def test_wide_blocks_keep_their_main_directions() -> None:
    rng = np.random.default_rng(0)
    for rows, width in ((300, 500), (600, 200)):
        block = rng.normal(size=(rows, 3)) @ rng.normal(size=(3, width))
        block -= block.mean(axis=0)
        small = reduce_width(block)
        assert small.shape == (rows, MAX_WIDTH)
        np.testing.assert_allclose(small @ small.T, block @ block.T, atol=1e-6 * (block**2).sum())


def test_flat_blocks_count_alike() -> None:
    task = task_of("binary", "tabular", "image", "text")
    flat = flatten(task.inputs, part_of(task).inputs)
    assert (flat**2).sum(axis=1).mean() == pytest.approx(3)


def test_pooling_and_counting() -> None:
    image = np.arange(32 * 40, dtype=np.float32).reshape(1, 1, 32, 40)
    assert pooled(image, side=16).shape == (1, 1, 16, 20)
    assert pooled(image, side=16)[0, 0, 0, 0] == image[0, 0, :2, :2].mean()
    counts = word_counts(np.array([[2, 2, 3, 0], [4, 0, 0, 0], [0, 0, 0, 0]]))
    assert counts.shape == (3, 3)
    np.testing.assert_allclose(np.linalg.norm(counts, axis=1), [1, 1, 0])
    assert word_counts(np.array([[2, 3, 0]]), pairs=True).shape == (1, 3)
    assert word_counts(np.zeros((4, 3), dtype=int)).shape == (4, 0)


def test_ridge_is_linear_regression_with_a_chosen_penalty() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4))
    y = x @ rng.normal(size=(4, 2)) + 5
    np.testing.assert_allclose(ridge(x, y, x[:10]), y[:10], atol=0.01)
    wide = rng.normal(size=(20, 60))
    assert np.isfinite(ridge(wide, rng.normal(size=(20, 1)), wide)).all()


def test_rows_that_weigh_more_are_measured_once() -> None:
    """Else a copy in another fold tells everything, and the hardest data look easy."""
    task = task_of("binary", "tabular")
    part = part_of(task, 60)
    copies = shuffled(part, np.repeat(np.arange(60), 5))
    np.testing.assert_array_equal(values(profile(task, copies)), values(profile(task, part)))

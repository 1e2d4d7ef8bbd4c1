"""Wrong labels that were planted are found, and few others are accused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from automl.data.dataset import TEST, TRAIN, Dataset
from automl.data.quality import Finding, check
from automl.data.quality.features import quick_features, shrink
from automl.data.quality.quick import class_probabilities, fit_kernel_ridge, predicted_values
from automl.data.quality.suspects import MIN_CLASS, find_label_errors, suspects


def flipped(y: np.ndarray, share: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels with a share of them moved to another class, and the positions of those."""
    rng = np.random.default_rng(seed)
    classes = int(y.max()) + 1
    rows = rng.choice(len(y), round(share * len(y)), replace=False)
    wrong = y.copy()
    wrong[rows] = (y[rows] + rng.integers(1, classes, len(rows))) % classes
    return wrong, rows


def table_of(bunch, y: np.ndarray) -> Dataset:
    return Dataset("planted", bunch.data, pd.Series(y, name="target"))


def digits(rows: int = 900) -> tuple[np.ndarray, np.ndarray]:
    bunch = datasets.load_digits()
    return (bunch.images[:rows] * 15.9).astype(np.uint8), bunch.target[:rows]


def pictures(images: np.ndarray, y: np.ndarray) -> Dataset:
    bare = pd.DataFrame(index=range(len(y)))
    return Dataset("digits", bare, pd.Series(y), arrays={"image": images}, modalities={"image": "image"})


def found(dataset: Dataset, **options) -> tuple[Dataset, Finding | None]:
    repaired, quality = check(dataset, **options)
    return repaired, next(iter(quality.named("label_errors")), None)


def precision_recall(told: tuple[int, ...], true: np.ndarray) -> tuple[float, float]:
    hits = len(set(told) & set(true.tolist()))
    return hits / max(len(told), 1), hits / len(true)


def test_flipped_digits_are_found_as_images() -> None:
    images, y = digits()
    wrong, rows = flipped(y, 0.05)
    _, finding = found(pictures(images, wrong))
    assert finding is not None
    precision, recall = precision_recall(finding.rows, rows)
    assert precision >= 0.85
    assert recall >= 0.85
    assert finding.severity == "warning"
    assert not finding.repaired
    named = {e["row"]: e for e in finding.examples}
    right = [e["suggested"] == str(y[row]) for row, e in named.items()]
    assert np.mean(right) > 0.9
    assert all(e["label"] == str(wrong[row]) for row, e in named.items())


@pytest.mark.parametrize(
    ("load", "precision_floor", "recall_floor"),
    [(datasets.load_wine, 0.85, 0.6), (datasets.load_breast_cancer, 0.7, 0.6)],
)
def test_flipped_labels_of_a_table_are_found(load, precision_floor: float, recall_floor: float) -> None:
    bunch = load(as_frame=True)
    wrong, rows = flipped(bunch.target.to_numpy(), 0.05)
    _, finding = found(table_of(bunch, wrong))
    assert finding is not None
    precision, recall = precision_recall(finding.rows, rows)
    assert precision >= precision_floor
    assert recall >= recall_floor


def test_flipped_labels_of_texts_and_series_are_found() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 200)
    words = (
        ["good fine lovely warm happy", "bad awful dull cold sad"],
        ["the", "film", "was", "so", "really", "very", "quite", "it", "then", "a"],
    )
    texts = [" ".join(rng.permutation([*rng.choice(words[0][k].split(), 4), *rng.choice(words[1], 5)])) for k in y]
    wrong, rows = flipped(y, 0.05)
    _, finding = found(Dataset("films", pd.DataFrame({"review": texts}), pd.Series(wrong)))
    assert finding is not None
    assert min(precision_recall(finding.rows, rows)) >= 0.7
    time = np.linspace(0, 6, 60)
    series = np.stack([np.sin(time * (2 + 2 * k) + rng.uniform(0, 1)) + rng.normal(0, 0.3, 60) for k in y])
    bare = pd.DataFrame(index=range(200))
    waves = {"series": series[:, None].astype(np.float32)}
    _, finding = found(Dataset("waves", bare, pd.Series(wrong), arrays=waves, modalities={"series": "series"}))
    assert finding is not None
    assert min(precision_recall(finding.rows, rows)) >= 0.7


def test_pure_chance_accuses_nearly_nobody() -> None:
    """Where inputs say nothing of the label, no model can be sure of another one."""
    rng = np.random.default_rng(0)
    dataset = Dataset("noise", pd.DataFrame(rng.normal(size=(400, 5))), pd.Series(rng.integers(0, 2, 400)))
    dataset = dataclasses.replace(dataset, table=dataset.table.rename(columns=str))
    _, finding = found(dataset)
    assert finding is None or (finding.count <= 4 and finding.severity == "info")


def test_a_rare_class_is_not_accused_for_being_rare() -> None:
    rng = np.random.default_rng(0)
    y = (rng.random(600) < 0.08).astype(int)
    x = rng.normal(size=(600, 4))
    x[:, 0] += 1.0 * y  # far too little to tell the rare class
    judged = find_label_errors(x, y)
    assert len(judged.rows) < 0.4 * y.sum()


def test_the_repair_waits_for_a_split_and_takes_training_rows_only() -> None:
    images, y = digits()
    wrong, rows = flipped(y, 0.05)
    whole = pictures(images, wrong)
    repaired, quality = check(whole, repairs={"label_errors": True})
    assert len(repaired) == len(whole)
    assert not quality.named("label_errors")[0].repaired
    assert set(quality.drop_if_train) == set(quality.named("label_errors")[0].rows)
    split = np.where(np.arange(len(y)) % 3 == 0, TEST, TRAIN)
    repaired, quality = check(dataclasses.replace(whole, split=split), repairs={"label_errors": True})
    finding = quality.named("label_errors")[0]
    assert finding.repaired
    assert quality.drop_if_train == ()
    assert (repaired.split == TEST).sum() == (split == TEST).sum()
    assert len(repaired) == len(whole) - finding.count
    assert set(split[list(finding.rows)]) == {TRAIN}
    assert len(set(finding.rows) & set(rows.tolist())) / finding.count > 0.8


def test_slips_of_a_numeric_target_are_found() -> None:
    bunch = datasets.load_diabetes(as_frame=True)
    rng = np.random.default_rng(0)
    x = pd.DataFrame(rng.normal(size=(400, 4)), columns=list("abcd"))
    y = 3 * x["a"] - x["b"] ** 2 + rng.normal(0, 0.3, 400)
    y.iloc[[5, 50]] += [14, -17]
    _, finding = found(Dataset("values", x, y), kind="regression")
    assert finding is not None
    assert set(finding.rows) == {5, 50}
    assert finding.severity == "info"
    _, finding = found(Dataset("diabetes", bunch.data, bunch.target))
    assert finding is None


def test_the_labels_of_a_large_set_are_judged_by_models_of_a_few_rows() -> None:
    images, y = digits(1797)
    wrong, rows = flipped(y, 0.05)
    x = quick_features(pictures(images, wrong), np.arange(len(y)))
    judged = find_label_errors(x, wrong, max_fit=600)
    precision, recall = precision_recall(tuple(judged.rows.tolist()), rows)
    assert precision >= 0.7
    assert recall >= 0.8


def test_small_data_is_left_alone() -> None:
    rng = np.random.default_rng(0)
    for rows in (1, 3, 12, 19):
        dataset = Dataset("few", pd.DataFrame({"a": rng.normal(size=rows)}), pd.Series(["x", "y"] * 10)[:rows])
        assert found(dataset)[1] is None
    y = np.array([0] * 30 + [1] * (MIN_CLASS - 1))
    assert len(find_label_errors(rng.normal(size=(len(y), 3)), y).rows) == 0


def test_suspects_need_a_rival_and_a_low_probability() -> None:
    y = np.array([0] * 10 + [1] * 10)
    sure = np.where(y[:, None] == [0, 1], 0.95, 0.05)
    assert len(suspects(sure, y, sure[np.arange(20), y])) == 0
    one = sure.copy()
    one[3] = [0.02, 0.98]
    one[4] = [0.45, 0.55]
    assert suspects(one, y, one[np.arange(20), y]).tolist() == [3]


def test_leaving_one_out_is_what_it_says() -> None:
    """The closed form equals refitting without the row, for the chosen width and ridge."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 3)) / np.sqrt(3)
    y = np.sin(3 * x[:, :1])
    model, out = fit_kernel_ridge(x, y, np.random.default_rng(1), lambda p: float(np.mean((p - y) ** 2)))
    assert np.mean((out - y) ** 2) > np.mean((model.predict(x) - y) ** 2)
    from automl.data.quality.quick import _features

    z = _features(x, model.anchors, model.gamma, model.root)
    for ridge in (0.03, 0.3, 3.0):
        keep = np.arange(30) != 7
        weights = np.linalg.solve(z[keep].T @ z[keep] + ridge * np.eye(z.shape[1]), z[keep].T @ y[keep])
        if np.allclose(z[7] @ weights, out[7], atol=1e-6):
            return
    pytest.fail("no ridge gives the left-out prediction of row 7")


def test_probabilities_and_values_are_out_of_fold() -> None:
    """Random labels are told no better than by chance: no row helps to judge itself."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 6)) / np.sqrt(6), rng.integers(0, 3, 300)
    probabilities, accuracy = class_probabilities(x, y, 3, np.arange(300), seed=0)
    assert probabilities.shape == (300, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-9)
    assert accuracy < 0.45
    values = rng.normal(size=300)
    assert np.corrcoef(predicted_values(x, values, np.arange(300), seed=0), values)[0, 1] < 0.2


def test_features_of_every_kind_of_data() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "number": rng.normal(size=40),
            "gap": np.where(np.arange(40) % 3 == 0, np.nan, 1.0),
            "city": rng.choice(["a", "b"], 40),
            "when": pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(40), unit="h"),
            "yes": rng.random(40) < 0.5,
            "note": [f"some words about row {k} {'here' if k % 3 else 'there'}" for k in range(40)],
            "void": np.nan,
        }
    )
    arrays = {"image": rng.integers(0, 255, (40, 3, 50, 60), dtype=np.uint8), "series": rng.normal(size=(40, 2, 30))}
    arrays["series"][4, 0, 10:] = np.nan
    dataset = Dataset("all", table, pd.Series([0, 1] * 20), arrays, modalities={"image": "image", "series": "series"})
    x = quick_features(dataset, np.arange(5, 40))
    assert x.shape[0] == 35
    assert np.isfinite(x).all()
    # four blocks (columns, text, image, series), each with a mean squared norm of 1
    assert (x**2).sum(axis=1).mean() == pytest.approx(4)
    same = Dataset("same", pd.DataFrame({"a": [1.0] * 9}), pd.Series([0] * 9))
    assert quick_features(same, np.arange(9)).shape == (9, 1)


def test_images_shrink_by_whole_blocks() -> None:
    image = np.arange(48 * 60, dtype=np.float32).reshape(1, 48, 60)
    small = shrink(image, side=24)
    assert small.shape == (1, 24, 30)
    assert small[0, 0, 0] == image[0, :2, :2].mean()
    assert shrink(np.zeros((2, 48, 60, 3)), side=24).shape == (2, 3, 24, 30)
    assert shrink(np.zeros((2, 3, 20, 20)), side=24).shape == (2, 3, 20, 20)

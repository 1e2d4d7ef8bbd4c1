"""What each family has to reach, on which set, with which fixed recipe.

Every training choice is a family's or the trainer's own axis; what is not named stays at the family's first option.
Published numbers: UCR archive results of ROCKET (Dempster et al. 2020) and InceptionTime (Ismail Fawaz et al. 2020) as
given by the sets' json files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from automl.types import Option
from nas.families.composed import NAMED


@dataclass(frozen=True)
class Check:
    """Train ``family`` on ``data`` for ``epochs`` with each seed; the mean test score must reach the bar.

    The bar is ``at_least``; or, when ``against`` is set, that check's score (``label on data``; ``hgb`` is
    scikit-learn's HistGradientBoosting on the same rows) less ``slack``; for hgb ``slack`` is a share of its score.
    """

    family: str
    data: str
    choices: Mapping[str, Option]
    epochs: int
    at_least: float = 0.0
    against: str = ""
    slack: float = 0.0
    seeds: tuple[int, ...] = (0,)
    label: str = field(default="")

    @property
    def name(self) -> str:
        return self.label or self.family


# All univariate sets with at least 100 test rows and at most 300 steps, and what is published.
ROCKET = {
    "ts_Adiac": 0.7834,
    "ts_ArrowHead": 0.8143,
    "ts_BME": 1.0,
    "ts_CBF": 1.0,
    "ts_Chinatown": 0.9825,
    "ts_CricketX": 0.8195,
    "ts_CricketY": 0.8523,
    "ts_DistalPhalanxOutlineAgeGroup": 0.759,
    "ts_DistalPhalanxTW": 0.7187,
    "ts_ECG200": 0.906,
    "ts_ECGFiveDays": 1.0,
    "ts_GunPoint": 1.0,
    "ts_GunPointAgeSpan": 0.9968,
    "ts_ItalyPowerDemand": 0.9696,
    "ts_MiddlePhalanxOutlineCorrect": 0.8385,
    "ts_MoteStrain": 0.9146,
    "ts_PhalangesOutlinesCorrect": 0.8343,
    "ts_Plane": 1.0,
    "ts_ProximalPhalanxOutlineAgeGroup": 0.8556,
    "ts_SmoothSubspace": 0.9787,
    "ts_SyntheticControl": 0.9997,
}

# The linear or ridge regressions of the sets' json files, and what their columns or steps become here.
LINES = {
    "texture": (0.9936, {"bend": "hinges"}),
    "pollen": (0.7872, {"bend": "hinges"}),
    "tsr_MelbourneMinTemp": (0.6903, {}),
    "tsr_Sunspots": (0.7980, {}),
}

SERIES = {"learning_rate": 0.003, "batch_size": 16, "weight_decay": 0.01}
IMAGES = {"learning_rate": 0.003, "batch_size": 128, "weight_decay": 0.01, "schedule": "onecycle"}
TABLES = {"learning_rate": 0.003, "batch_size": 128, "weight_decay": 0.01, "numeric": "piecewise"}
MIXED = {"width": 64, "depth": 4, "grain": "medium", "stem": "conv", "learning_rate": 0.003, "weight_decay": 0.01}


def checks() -> Iterator[Check]:
    """All of them; what others are compared with comes first."""
    inception = {"width": 16, "depth": 6, "kernel": 39, **SERIES, "learning_rate": 0.001, "ema": True}
    yield Check("inception_time", "ts_GunPoint", inception, 60, 0.98, seeds=(0, 1, 2))
    yield Check("inception_time", "ts_ECG200", inception, 60, 0.90, seeds=(0, 1, 2))
    for data, published in ROCKET.items():
        recipe = {"kernels": 10000, "learning_rate": 0.001, "batch_size": 32, "weight_decay": 0.01}
        yield Check("rocket", data, recipe, 15, published - 0.02, seeds=(0, 1, 2))
    yield Check("rnn", "ts_SyntheticControl", {"width": 64, "directions": 2, "grain": "fine", **SERIES}, 40, 0.95)
    yield Check("tcn", "ts_SyntheticControl", {"width": 32, "levels": 4, **SERIES}, 40, 0.95)

    for data in ("satimage", "cpu_act", "house_16H"):
        tabm = {"members": 16, "depth": 2, "width": 256, "rows": "all", "dropout": 0.1, **TABLES}
        yield Check("tabm", data, tabm, 30, against="hgb", slack=0.01)
        transformer = {"width": 64, "depth": 3, "feed": "reglu", "dropout": 0.1, **TABLES, "learning_rate": 0.001}
        transformer["numeric"] = "linear"  # as in the paper
        yield Check("ft_transformer", data, transformer, 30, against="hgb", slack=0.01)
        trees = {"rounds": 100, "leaves": 32, "shrinkage": 0.1, "smallest_leaf": 20, "columns": 1.0, "penalty": 0.0}
        grown = {"kind": "random", "trees": 100, "leaves": 2048, "smallest_leaf": 1, "columns": 0.3}
        yield Check("forest", data, grown, 1, against="hgb", slack=0.03)
        yield Check(
            "boosted_trees", data, {**trees, "learning_rate": 0.003, "batch_size": 128}, 3, against="hgb", slack=0.01
        )

    for data, (simple, features) in LINES.items():
        gently = {**features, "learning_rate": 0.0003, "batch_size": 64, "weight_decay": 0.01}
        yield Check("linear", data, gently, 3, 0.99 * simple)

    words = {"width": 128, "filters": 128, "windows": "3-4-5", "dropout": 0.3, "learning_rate": 0.001}
    yield Check("text_cnn", "mr_polarity", {**words, "batch_size": 64, "weight_decay": 0.1}, 8, 0.74)

    ngrams = {"grams": 2, "buckets": 131072, "letters": True, "weighting": "tfidf", "learning_rate": 0.001}
    yield Check("ngram_linear", "mr_polarity", {**ngrams, "batch_size": 64, "weight_decay": 0.01}, 3, 0.77)

    residual = {"block": "residual", "stages": 3, "depth": 2, "width": 16, "resolution": "high"}
    yield Check("convnet", "mnist", {**residual, **IMAGES, "augment": "light"}, 5, 0.99)
    yield Check("convnet", "fashion_mnist", {**residual, **IMAGES}, 8, 0.91)
    yield Check("vit", "mnist", {"width": 64, "depth": 4, "grain": "medium", "stem": "conv", **IMAGES}, 6, 0.98)
    yield Check("convnext", "mnist", {"width": 16, "stages": 3, "depth": 2, "resolution": "medium", **IMAGES}, 6, 0.98)

    # composed: the named settings beside the family that each belongs to, on a set that trains in minutes
    image, data = "kannada_mnist_10k", "ts_SyntheticControl"
    yield Check("vit", image, {"width": 64, "depth": 4, "grain": "medium", "stem": "conv", **IMAGES}, 15)
    yield Check("convnext", image, {"width": 16, "stages": 3, "depth": 2, "resolution": "medium", **IMAGES}, 15)
    for setting, against in (("mlp_mixer", "vit"), ("vit", "vit"), ("poolformer", "convnext")):
        choices = {**MIXED, **NAMED[setting], "schedule": "onecycle"}
        yield Check(
            "composed", image, choices, 15, against=f"{against} on {image}", slack=0.02, label=f"composed:{setting}"
        )
    choices = {**MIXED, **NAMED["tcn"], **SERIES, "grain": "fine"}
    yield Check("composed", data, choices, 40, against=f"tcn on {data}", slack=0.02, label="composed:tcn")

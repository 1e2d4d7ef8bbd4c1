"""Scikit-learn's way in: estimators to be piped, cloned and cross-validated.

    from level4 import Level4Classifier
    model = Level4Classifier(seconds=60).fit(X, y)
    model.predict_proba(X_new); model.leaderboard_; model.bundle_

No row is held out to test: who wants to know how good the model is asks ``cross_val_score``, or keeps rows back.
"""

from __future__ import annotations

import dataclasses
import io
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    _check_y,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from automl.data.cells.words import text_of
from automl.data.dataset import Dataset
from automl.data.read.plain import as_pandas
from automl.deploy.bundle import Bundle
from automl.errors import UserError
from automl.task.kind import plain_target
from automl.task.labels import class_names
from automl.types import Kind, Limits
from experiments.options import said
from experiments.solve.python import solve


class Level4Estimator(BaseEstimator):
    """What classifier and regressor share.

    seconds: of a whole ``fit``; None where an override bounds it. metric: by which models are chosen, None: what suits
    the target. limits: ``automl.types.Limits`` or a mapping such as ``{"latency_ms": 5}`` that the model must keep.
    seed: of all that is random. overrides: further options as on the command line.

    A fit starts from the runs that the program ships and leaves none: else one fold of a cross-validation would tell
    the next. It writes to a temporary folder; the estimator holds the bundle itself, so it can be copied and pickled.
    Raises ValueError, in one line, for data that cannot be learned and for options that are none.
    """

    leaderboard_: pd.DataFrame
    """See ``Solution.leaderboard``."""
    result_: dict[str, Any]
    """As result.json; ``test`` is empty."""
    n_features_in_: int

    def __init__(
        self,
        seconds: float | None = 60,
        metric: str | None = None,
        limits: Limits | Mapping[str, float] | None = None,
        seed: int = 0,
        overrides: Sequence[str] = (),
    ) -> None:
        self.seconds, self.metric, self.limits, self.seed, self.overrides = seconds, metric, limits, seed, overrides

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.categorical = tags.input_tags.string = True
        tags.input_tags.three_d_array = True  # pictures and series: the first axis is the row
        tags.non_deterministic = True  # a clock ends the search
        return tags

    def _learn(self, X: Any, y: Any, weight: Any, kind: Kind) -> Self:
        """Search, and keep the bundle. ``y``: texts of classes or values (rows,); ``weight``: above 0 (rows,)."""
        with tempfile.TemporaryDirectory(prefix="level4-") as at:
            own = [f"task.kind={kind}", f"task.metric={said(self.metric)}", f"seed={self.seed}", "task.test_share=0"]
            own += [f"task.limits.{name}={said(value)}" for name, value in _limits(self.limits).items()]
            own += [f"store.url=sqlite:///{at}/store.db", f"artifacts={at}/searches", "progress=false"]
            if isinstance(X, pd.DataFrame):
                own.append(f"data.target={_free('target', X.columns)}")
            options = [*own, *self.overrides]
            try:
                solution = solve(X, y, weight=weight, seconds=self.seconds, folder=Path(at) / "run", overrides=options)
            except UserError as error:
                raise ValueError(str(error)) from error
            self.result_, self.leaderboard_ = solution.result, solution.leaderboard()
            self._packed = packed(solution.bundle)
        self._opened = unpacked(self._packed)
        return self

    @property
    def bundle_(self) -> Bundle:
        """What answers, without torch; ``save`` writes its folder."""
        check_is_fitted(self, "_packed")
        if getattr(self, "_opened", None) is None:
            self._opened = unpacked(self._packed)
        return self._opened[1]

    def save(self, folder: str | Path) -> Path:
        """Write the bundle into a folder, for ``Bundle.load``, a server or ``+experiment=predict``; the folder."""
        check_is_fitted(self, "_packed")
        with zipfile.ZipFile(io.BytesIO(self._packed)) as files:
            files.extractall(folder)
        return Path(folder)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_packed")

    def __getstate__(self) -> dict[str, Any]:
        state: Any = super().__getstate__()
        return {**state, "_opened": None}  # a session of ONNX belongs to its process

    def _given(self, X: Any, y: Any, weight: Any, *, numeric: bool) -> tuple[Any, np.ndarray, np.ndarray | None]:
        """Rows, targets and weights as they are learned; rows of weight 0 are left out.

        An earlier fit is forgotten: were this one to fail, that model would answer with these labels.
        """
        vars(self).pop("_packed", None)
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        if len(shape := np.asarray(y, dtype=object).shape) > 1 and shape[1] != 1:
            raise ValueError(
                f"y has shape {shape}: one target is learned at a time, give one value per row, ({shape[0]},)"
            )
        X, y = self._rows(X, reset=True), _check_y(y, y_numeric=numeric, estimator=self)
        check_consistent_length(X, y)
        if weight is None:
            return X, y, None
        weight = _check_sample_weight(weight, X, dtype=np.float64, ensure_non_negative=True)
        seen = weight > 0
        return X[seen], y[seen], weight[seen]

    def _rows(self, X: Any, *, reset: bool) -> Any:
        """Raw rows as the program takes them: a frame with names, or an array of pictures or series."""
        X = as_pandas(X)
        names, least = getattr(self, "_columns", None), 2 if reset else 1
        if isinstance(X, pd.DataFrame):
            validate_data(self, X, reset=reset, skip_check_array=True)  # pyright: ignore[reportArgumentType]
            if len(X) < least:
                raise ValueError(f"Found array with {len(X)} sample(s) while a minimum of {least} is required.")
        else:
            how = {"dtype": None, "ensure_all_finite": "allow-nan", "allow_nd": True, "ensure_min_samples": least}
            X = validate_data(self, X, reset=reset, **how)
            if X.ndim > 2:
                return X
        if reset:
            given = getattr(self, "feature_names_in_", [f"x{i}" for i in range(X.shape[1])])
            # A column of that name would say which rows are to test.
            self._columns = names = [_free(name, given) if name.lower() == "split" else name for name in given]
        X = X if isinstance(X, pd.DataFrame) else pd.DataFrame(X)
        return X.set_axis(names, axis=1).infer_objects().reset_index(drop=True)


class Level4Classifier(ClassifierMixin, Level4Estimator):
    """A classifier that is searched for; parameters and attributes: ``Level4Estimator``.

    ``classes_``: the labels as they were given, in their order; ``feature_names_in_``: of a frame.
    """

    classes_: np.ndarray

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """``X``: a frame or an array whose first axis is the row; ``y``: labels (rows,); ``sample_weight``: (rows,)."""
        X, y, weight = self._given(X, y, sample_weight, numeric=False)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y holds one class only, {str(self.classes_[0])!r}: give rows of another class")
        self._names = names_of(self.classes_)
        named = np.asarray(self._names, dtype=object)[codes]
        return self._learn(X, named, weight, "binary" if len(self.classes_) == 2 else "multiclass")

    def predict(self, X: Any) -> np.ndarray:
        """Labels (rows,)."""
        check_is_fitted(self)
        place = {name: i for i, name in enumerate(self._names)}
        return self.classes_[[place[str(name)] for name in self.bundle_.predict(self._rows(X, reset=False))]]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (rows, classes), in the order of ``classes_``."""
        check_is_fitted(self)
        found = self.bundle_.predict_proba(self._rows(X, reset=False)).astype(np.float64)
        found = found[:, [self.bundle_.task.classes.index(name) for name in self._names]]
        return found / found.sum(axis=1, keepdims=True)  # float32 does not add up to 1 exactly


class Level4Regressor(RegressorMixin, Level4Estimator):
    """A regressor that is searched for; parameters and attributes: ``Level4Estimator``."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """``X``: a frame or an array whose first axis is the row; ``y``: values (rows,); ``sample_weight``: (rows,)."""
        X, y, weight = self._given(X, y, sample_weight, numeric=True)
        return self._learn(X, y, weight, "regression")

    def predict(self, X: Any) -> np.ndarray:
        """Values (rows,)."""
        check_is_fitted(self)
        return np.asarray(self.bundle_.predict(self._rows(X, reset=False)), dtype=np.float64)


def names_of(classes: np.ndarray) -> list[str]:
    """Of each label a name that the program keeps apart from the others: its own text where that does, else a number.

    Texts such as "n/a" mean that a label is missing, and "1" and "1.0" are one.
    """
    names = [text_of(label) for label in classes.tolist()]
    target = plain_target(Dataset("", pd.DataFrame(index=range(len(names))), pd.Series(names, dtype=object))).target
    kept = target.notna().all() and sorted(class_names(target)) == sorted(names)
    return names if kept and len(set(names)) == len(names) else [str(i) for i in range(len(names))]


def packed(folder: Path) -> bytes:
    """The files of a folder as a zip."""
    with zipfile.ZipFile(held := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as files:
        for file in sorted(folder.iterdir()):
            files.write(file, file.name)
    return held.getvalue()


def unpacked(content: bytes) -> tuple[tempfile.TemporaryDirectory[str], Bundle]:
    """A bundle of ``packed``, and the folder that it lies in as long as it is held."""
    folder = tempfile.TemporaryDirectory(prefix="level4-")
    with zipfile.ZipFile(io.BytesIO(content)) as files:
        files.extractall(folder.name)
    return folder, Bundle.load(folder.name)


def _limits(limits: Limits | Mapping[str, float] | None) -> dict[str, Any]:
    if limits is None:
        return {}
    return dataclasses.asdict(limits) if isinstance(limits, Limits) else dict(limits)


def _free(name: str, taken: Any) -> str:
    """The name, with underscores where others have it."""
    name = f"{name}_" if name in taken else name
    return name if name not in taken else _free(name, taken)

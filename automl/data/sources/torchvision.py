"""A data set class of torchvision, from files that are already on this machine."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from automl.data.dataset import Dataset
from automl.data.progress import track
from automl.data.read.files import short
from automl.data.read.image import resize_one
from automl.data.read.media import MAX_SIDE
from automl.errors import UserError

_OWN = ("ImageFolder", "DatasetFolder")  # PIL opens formats for them that run programs


@dataclass
class TorchvisionSource:
    """``name``: the class, such as MNIST or CIFAR10; ``root``: where its files are. Nothing is downloaded.

    Classes with a ``train`` or ``split`` argument give their official split. ``options`` go to the class as they are.
    """

    name: str
    root: str = "."
    size: int | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def load(self) -> Dataset:
        import torchvision.datasets as zoo

        kind = getattr(zoo, self.name, None)
        if self.name in _OWN:
            raise UserError(f"data.name={self.name} opens files of any kind; use data=image_folder for a folder")
        if not inspect.isclass(kind):
            raise UserError(
                f"data.name={self.name!r} is no data set of torchvision; use one such as MNIST, CIFAR10 or SVHN"
            )
        images, labels, split, names = [], [], [], None
        for part, extra in _parts(kind):
            made = self._make(kind, extra)
            for i in track(range(len(made)), f"reading {self.name}", len(made)):
                try:
                    picture, label = made[i]
                except Exception as error:  # a decoder raises whatever it stumbles over
                    raise UserError(
                        f"picture {i + 1} of torchvision.datasets.{self.name} in {self.root} cannot be read: "
                        f"{short(str(error) or type(error).__name__)}; mend its files"
                    ) from error
                images.append(_array(picture, self.name))
                labels.append(_label(label, self.name))
                split.append(part)
            names = getattr(made, "classes", None)
        x = _stack(images, self.size)
        target = pd.Series(labels, name="target")
        if names and target.dtype.kind in "iu" and target.max() < len(names):
            target = pd.Series([str(names[i]) for i in target], name="target").astype("str")
        return Dataset(
            name=self.name,
            table=pd.DataFrame(index=range(len(target))),
            target=target,
            arrays={"image": x},
            split=np.asarray(split) if len(set(split)) > 1 else None,
            modalities={"image": "image"},
            origin=f"torchvision.datasets.{self.name} in {self.root}",
        )

    def _make(self, kind: Any, extra: dict[str, Any]) -> Any:
        takes = inspect.signature(kind).parameters
        arguments = {
            **({"root": str(Path(self.root).expanduser())} if "root" in takes else {}),
            **extra,
            **self.options,
        }
        try:
            return kind(**arguments)
        except (RuntimeError, OSError, TypeError, ValueError) as error:
            raise UserError(
                f"torchvision.datasets.{self.name} cannot be read from {self.root}: {short(str(error), 120)}; "
                "set data.root to the folder of its files, or data.options"
            ) from error


def _parts(kind: Any) -> list[tuple[str, dict[str, Any]]]:
    takes = inspect.signature(kind).parameters
    if "train" in takes:
        return [("train", {"train": True}), ("test", {"train": False})]
    if "split" in takes:
        return [("train", {"split": "train"}), ("test", {"split": "test"})]
    return [("train", {})]


def _array(picture: Any, name: str) -> np.ndarray:
    array = np.asarray(picture.convert("RGB") if getattr(picture, "mode", "L") not in ("L", "RGB") else picture)
    if array.dtype != np.uint8 or array.ndim not in (2, 3):
        raise UserError(f"torchvision.datasets.{name} gives {array.dtype} of shape {array.shape}, no picture")
    return array


def _label(label: Any, name: str) -> Any:
    if isinstance(label, (int, float, str, np.integer, np.floating)):
        return label
    if getattr(label, "ndim", 1) == 0:
        return label.item()
    raise UserError(
        f"torchvision.datasets.{name} has labels of type {type(label).__name__}; one class per picture is needed"
    )


def _stack(images: list[np.ndarray], size: int | None) -> np.ndarray:
    shapes = {i.shape[:2] for i in images}
    if len(shapes) > 1 or size:
        side = size or int(np.clip(np.median([min(s) for s in shapes]), 8, MAX_SIDE))
        images = [resize_one(i, side, side) for i in images]
    if len({i.ndim for i in images}) > 1:
        images = [i if i.ndim == 3 else np.repeat(i[:, :, None], 3, axis=2) for i in images]
    return np.stack(images)

"""Graphs of networks, and which network it is where there is none."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from torch import nn

from automl.data.dataset import Part
from automl.deploy.cut import cut
from automl.deploy.onnx import Agreement, compare, write_onnx
from automl.training.predictor import Predictor
from automl.types import Task

LINE = 300  # characters of an error


class Unexportable(Exception):
    """There is no graph of the networks that answers what they answer."""


def blamed(write: Callable[..., Agreement]) -> Callable[..., Agreement]:
    """A way to write a graph whose faults are those of the networks, whatever the exporter raises.

    But a disk that is full or closed is not, and so are faults in the bundle's other files not.
    """

    def tried(*of: Any) -> Agreement:
        try:
            return write(*of)
        except OSError:
            raise
        except Exception as error:
            raise Unexportable(flat(error)) from error

    return tried


def write_cut(
    whole: Path,
    of: Mapping[str, Any],
    values: bool,
    path: Path,
    predictor: nn.Module,
    names: Sequence[str],
    inputs: Sequence[np.ndarray],
) -> Agreement:
    """As ``write_onnx``, but cut out of a graph of more members. ``of``: their weights and the temperature."""
    onnx.save(cut(onnx.load(whole), of["weights"], of["temperature"], values=values, told=True), path)
    return compare(path, predictor, names, inputs)


def unexportable(predictors: Sequence[Predictor], task: Task, valid: Part) -> dict[int, str]:
    """Which of the networks the exporter refuses alone, by their place, and why."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for place, predictor in enumerate(predictors):
            try:
                write_onnx(Path(folder) / "alone.onnx", predictor, [i.name for i in task.inputs], valid.inputs)
            except OSError:
                raise
            except Exception as error:  # the exporter raises whatever it meets
                found[place] = flat(error)
    return found


def flat(error: Exception) -> str:
    """An error in one line that fits a terminal."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:LINE]

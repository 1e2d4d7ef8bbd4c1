"""What is wrong with a list of layers: where, what, and the fix."""

from __future__ import annotations

from collections.abc import Sequence

from automl.errors import UserError


class LayerError(UserError):
    """A list that no network can be made of.

    ``path``: where in the list, as a JSON pointer: ``/layers/4/Linear/out_features``. ``fix``: a sentence.
    """

    def __init__(self, path: str, problem: str, fix: str) -> None:
        super().__init__(f"{path}: {problem}. {fix}")
        self.path, self.problem, self.fix = path, problem, fix


class ShapeError(LayerError):
    """A layer that does not fit to what comes before it. ``shape``: what it got, of one row."""

    def __init__(self, path: str, problem: str, fix: str, shape: Sequence[int]) -> None:
        super().__init__(path, problem, fix)
        self.shape = tuple(shape)

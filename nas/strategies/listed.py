"""Trains a given list of candidates, in order: for benchmarks, collecting knowledge and comparisons."""

from __future__ import annotations

import nas.nni_fixes  # isort: skip  # noqa: F401

from collections.abc import Sequence

from nni.nas.strategy.base import Strategy

from automl.types import Candidate
from nas.space import SearchSpace


class Listed(Strategy):
    """``candidates``: what to train; ``fidelity``: epochs, None for the budget's."""

    def __init__(self, candidates: Sequence[Candidate], fidelity: int | None = None) -> None:
        super().__init__()
        self.candidates, self.fidelity = candidates, fidelity

    def _run(self) -> None:
        space = self.model_space
        assert isinstance(space, SearchSpace)
        for candidate in self.candidates:
            if not self.wait_for_resource():
                return
            self.engine.submit_models(space.propose(candidate, self.fidelity))

"""NNI's regularized evolution on a conditional space."""

from __future__ import annotations

import nas.nni_fixes  # isort: skip  # noqa: F401

import contextlib

from nni.nas.execution.event import ModelEvent
from nni.nas.space import ExecutableModelSpace
from nni.nas.strategy import RegularizedEvolution
from nni.nas.strategy.utils import DuplicationError

from nas.space import Proposal, SearchSpace


class Evolution(RegularizedEvolution):
    """Aging evolution (Real et al. 2019, algorithm 1) as NNI runs it; only the mutation knows about conditions.

    NNI mutates every axis of the flat sample, also those of families not chosen. Here only the active ones mutate,
    and an axis that becomes active is drawn from the prior. While nothing has gone well there is nobody to mutate:
    with more workers than the population holds, or after failures, more are drawn from the prior.
    """

    def new_individual(self) -> ExecutableModelSpace:
        if not self._population:
            return self.random()
        space = self.model_space
        assert isinstance(space, SearchSpace)
        parent = space.candidate(self.best_parent())
        model: Proposal = space.propose(space.mutate(parent, self.mutation_prob, self._random_state))
        if self._dedup_helper is not None:
            self._dedup_helper.dedup(model.sample)
        self._individual_counter += 1
        return model

    def _training_end_callback(self, event: ModelEvent) -> None:
        if event.model not in self._running_models:  # of a search that went another way before it was stopped
            self._running_models.append(event.model)
            if self._dedup_helper is not None:
                with contextlib.suppress(DuplicationError):
                    self._dedup_helper.dedup(event.model.sample)
        super()._training_end_callback(event)

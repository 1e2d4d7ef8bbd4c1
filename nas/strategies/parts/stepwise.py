"""Base of our own strategies: one proposal at a time, each after every result that was ready for it."""

from __future__ import annotations

import nas.nni_fixes  # isort: skip  # noqa: F401

from abc import abstractmethod
from collections.abc import Container

import numpy as np
from nni.nas.execution import ExecutionEngine
from nni.nas.execution.event import ModelEventType, TrainingEndEvent
from nni.nas.space import ExecutableModelSpace, ModelStatus
from nni.nas.strategy.base import Strategy

from automl.types import Candidate
from nas.execution import Execution
from nas.space import Proposal, SearchSpace


class Stepwise(Strategy):
    """The loop; subclasses say what to try (``propose``) and take in what came of it (``observe``).

    Both must depend on the seed and on the order of results alone, never on the clock: a killed search is replayed.
    ``space``: what to choose from. ``session``: budget, share of it that is spent, and the job. ``running``: proposals.
    """

    def _initialize(self, model_space: ExecutableModelSpace, engine: ExecutionEngine) -> ExecutableModelSpace:
        if not isinstance(model_space, SearchSpace) or not isinstance(engine, Execution):
            raise TypeError(f"{type(self).__name__} explores our SearchSpace on our engines")
        self.space = model_space
        self.execution, self.session = engine, engine.session
        self.running: list[Proposal] = []
        self.portfolio = Portfolio(model_space)
        engine.register_model_event_callback(ModelEventType.TrainingEnd, self._ended)
        self.prepare()
        return model_space

    def _cleanup(self) -> None:
        self.engine.unregister_model_event_callback(ModelEventType.TrainingEnd, self._ended)

    def _run(self) -> None:
        while self.wait_for_resource():
            proposal = self.propose()
            if proposal is not None:
                self.running.append(proposal)
                self.engine.submit_models(proposal)
            elif not self.execution.next_result():  # what comes back may open the way again
                return

    def _ended(self, event: TrainingEndEvent) -> None:
        proposal = event.model
        assert isinstance(proposal, Proposal)
        if proposal in self.running:
            self.running.remove(proposal)
        score = proposal.metric if event.status == ModelStatus.Trained else None
        self.observe(proposal, None if score is None else float(score))  # pyright: ignore[reportArgumentType]

    # --- for subclasses

    def listed(self, tried: Container[str]) -> Candidate | None:
        """The next of the prior's own candidates that is not ``tried`` (identifiers) yet."""
        while (candidate := self.portfolio.next()) is not None:
            if candidate.id not in tried:
                return candidate
        return None

    def drawn(self, tried: Container[str], rng: np.random.Generator, retries: int) -> Candidate | None:
        """An untried draw from the prior; None when so many draws in a row give nothing new: the space is exhausted."""
        draws = (self.space.prior.sample(rng) for _ in range(retries))
        return next((candidate for candidate in draws if candidate.id not in tried), None)

    def prepare(self) -> None:
        """Set up what needs ``self.space`` and ``self.session``."""

    @abstractmethod
    def propose(self) -> Proposal | None:
        """The next training; None when there is nothing to try before a further result."""

    @abstractmethod
    def observe(self, proposal: Proposal, score: float | None) -> None:
        """A training ended; ``score`` is None unless it went well.

        Also one that ``propose`` never asked for: of a search that went another way before it was stopped.
        """


class Portfolio:
    """Hands out the prior's own candidates, best first, each once; a new prior's list is followed at once.

    ``limit``: how many at most; the search's own setting by default.
    """

    def __init__(self, space: SearchSpace, limit: int | None = None) -> None:
        self.space = space
        self.left = space.first if limit is None else limit
        self.given: set[str] = set()

    def next(self) -> Candidate | None:
        """The best one not given before, or None."""
        if self.left <= 0:
            return None
        for candidate in self.space.prior.portfolio:
            if candidate.id not in self.given and self.space.prior.log_prob(candidate) > float("-inf"):
                self.given.add(candidate.id)
                self.left -= 1
                return candidate
        return None

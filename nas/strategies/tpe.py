"""NNI's Tree-structured Parzen Estimator on a conditional space."""

from __future__ import annotations

import nas.nni_fixes  # isort: skip  # noqa: F401

import math

from nni import NoMoreTrialError
from nni.algorithms.hpo.tpe_tuner import TpeTuner

from automl.types import Candidate
from nas.space import Proposal
from nas.strategies.parts.stepwise import Stepwise


class TPE(Stepwise):
    """NNI's TpeTuner (Bergstra et al. 2011), maximising, with the prior's portfolio as its first observations.

    NNI's own ``TPE`` strategy minimises unless told otherwise, sleeps a second per trial and does not know that
    inactive axes do not count; so the tuner is NNI's and the loop is ours. It takes no weights from a prior: beyond
    the portfolio, its first ``startup`` proposals are uniform.

    startup: random proposals before the model speaks. retries: proposals in a row that were tried before, until the
    space counts as exhausted.
    """

    def __init__(self, startup: int = 20, retries: int = 500, seed: int = 0) -> None:
        super().__init__()
        self.retries = retries
        self.tuner = TpeTuner(optimize_mode="maximize", seed=seed, tpe_args={"n_startup_jobs": startup})

    def prepare(self) -> None:
        self.tuner.update_search_space(
            {
                label: {"_type": "choice", "_value": list(mutable.values)}  # pyright: ignore[reportAttributeAccessIssue]
                for label, mutable in self.space.simplify().items()
            }
        )
        self._count = 0
        self._keys: dict[Proposal, int | None] = {}  # the tuner's number; None: a candidate that it did not propose
        self._scores: dict[str, float | None] = {}  # candidate -> score, None while running

    def propose(self) -> Proposal | None:
        if (listed := self.listed(self._scores)) is not None:
            return self._note(listed, None)
        for _ in range(self.retries):
            key, self._count = self._count, self._count + 1
            try:
                sample = self.tuner.generate_parameters(key)
            except NoMoreTrialError:
                return None
            candidate = self.space.candidate(sample)
            if candidate.id not in self._scores:
                return self._note(candidate, key)
            self._tell(key, self._scores[candidate.id])  # it only differs in axes that do not count
        return None

    def _note(self, candidate: Candidate, key: int | None) -> Proposal:
        proposal = self.space.propose(candidate)
        self._keys[proposal] = key
        self._scores[candidate.id] = None
        return proposal

    def observe(self, proposal: Proposal, score: float | None) -> None:
        score = -math.inf if score is None else score  # the tuner only sorts: a failure is worse than anything
        self._scores[proposal.candidate.id] = score
        key = self._keys.pop(proposal, None)
        if key is not None:
            self._tell(key, score)
        else:
            self.tuner.import_data([{"parameter": dict(proposal.sample or {}), "value": score}])

    def _tell(self, key: int, score: float | None) -> None:
        if score is not None:
            self.tuner.receive_trial_result(key, {}, score)
        self.tuner.trial_end(key, score is not None)

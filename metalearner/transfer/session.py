"""One search with ``transfer``: which candidate next, given what was seen so far on this task.

session = Session(beliefs, log_seconds)
while there is time:
j = session.next()
session.observe(j, score, seconds)     # score None: it failed
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import logsumexp, ndtr

from metalearner.transfer.belief import Belief

RARE = 1e-3  # a prior mean less likely than this, relative to the best, is left out of a step
# These two were chosen on four tables of past runs together (docs/benchmarks.md).
BELIEVED = 0.6  # optimism needs the past to be that likely to help
EVERY = 3  # every so many-th candidate is chosen by expected improvement, the others by optimism
FAR = 4.0  # scores further below the median than this many times (best - median) count as that: no outlier rules
# RARE and FAR by judgement: the one saves time for next to nothing, the other hides how bad the worst are.


class Session:
    """A mixture of beliefs over a fixed list of candidates.

    ``log_seconds``: expected cost of each candidate in ln(seconds), (C,); with ``per_second`` the
    improvement expected for the ``price`` decides, else the improvement alone (Snoek et al., Practical Bayesian
    Optimization, 2012, section 3.2). ``first``: what each candidate is worth before anything was run, (C,), in units
    of its standard deviation; None is the mean of the beliefs.
    """

    def __init__(
        self,
        beliefs: Sequence[Belief],
        log_seconds: np.ndarray,
        per_second: bool = False,
        first: np.ndarray | None = None,
    ) -> None:
        self.beliefs = list(beliefs)
        self._first = first
        self._log_seconds = log_seconds
        self._per_second = per_second
        self.observed: list[int] = []
        self._scores: list[float] = []
        self._cost: list[float] = []
        self._done = np.zeros(len(log_seconds), bool)

    def observe(self, j: int, score: float | None, seconds: float = float("nan")) -> None:
        """Candidate ``j`` gave ``score`` (higher is better) or failed (None)."""
        for belief in self.beliefs:
            belief.observe(j)
        self.observed.append(j)
        self._done[j] = True
        self._scores.append(np.nan if score is None else score)
        if np.isfinite(seconds) and seconds > 0:
            self._cost.append(float(np.log(seconds) - self._log_seconds[j]))

    @property
    def seconds(self) -> np.ndarray:
        """Expected wall seconds of each candidate, (C,), in the pace seen on this task so far."""
        return np.exp(self._log_seconds + (np.median(self._cost) if self._cost else 0.0))

    @property
    def price(self) -> np.ndarray:
        """What a trial costs the search, (C,): its seconds, and those of a usual one, because a cheap trial that
        teaches nothing takes the place of another. So the cheapest are at most twice as attractive as a usual one.
        """
        return self.seconds + np.median(self.seconds)

    def weights(self) -> np.ndarray:
        """Posterior probability of every prior mean of every belief, in order."""
        return np.concatenate([w for w, _ in self._posterior()])

    def trust(self) -> float:
        """Posterior probability that the past helps: of the beliefs that were learned from it."""
        return float(sum(w.sum() for b, (w, _) in zip(self.beliefs, self._posterior(), strict=True) if b.past))

    def expected(self, forks: Sequence[Belief] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each candidate's score, in units of normal scores: two (C,).

        ``forks``: the beliefs that observed what is pending too; the deviations are theirs.
        """
        mean, square = np.zeros(len(self._done)), np.zeros(len(self._done))
        for belief, (weight, posterior) in zip(forks or self.beliefs, self._posterior(), strict=True):
            of = np.flatnonzero(weight > 0)
            if len(of):
                mu = posterior(of)
                mean += weight[of] @ mu
                square += weight[of] @ (mu**2 + belief.deviation**2)
        return mean, np.sqrt(np.maximum(square - mean**2, 0))

    def next(self) -> int | None:
        """The candidate to run next; None when all were."""
        return None if self._done.all() else int(np.argmax(self.acquisition()))

    def acquisition(self, pending: Sequence[int] = (), forks: Sequence[Belief] | None = None) -> np.ndarray:
        """How much each candidate is worth running next, (C,), -inf for those run or pending.

        Two rules take turns, since each fails where the other does well (a portfolio of acquisition functions, as in
        Hoffman et al., 2011). The upper confidence bound, mean + sd of the mixture (Srinivas et al., 2010), also looks
        where past tasks disagree. Every third time, for the second candidate, and while the past is hardly believed,
        it is the expected improvement: optimism about what nothing is known of is a random search.
        Before anything is known it is ``first`` or the mean itself. ``pending`` candidates count as run, with the mean
        that each prior mean expects of them (``forks``: the beliefs that observed them too).
        """
        runs = [*self.observed, *pending]
        if len(runs) < 2 or len(runs) % EVERY == 0 or self.trust() < BELIEVED:
            known = None if runs else self._first
            value = self._improvement(runs, forks or self.beliefs) if known is None else known.copy()
            if self._per_second:
                value = (value if runs else np.exp(value)) / self.price
        else:
            mean, sd = self.expected(forks)
            value = mean + sd
            if self._per_second:
                value = np.exp(value) / self.price
        value[self._done] = -np.inf
        value[list(pending)] = -np.inf
        return value

    def _improvement(self, runs: list[int], forks: Sequence[Belief]) -> np.ndarray:
        """Expected improvement, (C,); the mean before anything was run.

        EI = sd (u Phi(u) + phi(u)), u = (mean - best) / sd (Jones et al., 1998), averaged over prior means
        by their posterior probability. ``best`` is the highest posterior mean of those run.
        """
        value = np.zeros(len(self._done))
        for fork, (weight, posterior) in zip(forks, self._posterior(), strict=True):
            of = np.flatnonzero(weight > 0)
            if not len(of):
                continue
            mean = posterior(of)
            if not runs:
                value += weight[of] @ mean
                continue
            deviation = fork.deviation
            u = (mean - mean[:, runs].max(axis=1, keepdims=True)) / deviation
            value += weight[of] @ (deviation * (u * ndtr(u) + np.exp(-0.5 * u * u) / np.sqrt(2 * np.pi)))
        return value

    def ranking(self, most: int, ahead: int = 12, pending: Sequence[int] = ()) -> list[int]:
        """The next candidates, best first: ``ahead`` chosen one after the other, as for parallel workers,
        then the rest as they stand then. ``pending``: those that are running, not yet observed.
        """
        chosen: list[int] = []
        forks = [belief.fork() for belief in self.beliefs]
        for j in pending:
            for fork in forks:
                fork.observe(j)
        value = self.acquisition(pending, forks)
        for _ in range(min(ahead, most, int(np.isfinite(value).sum()))):
            chosen.append(int(np.argmax(value)))
            for fork in forks:
                fork.observe(chosen[-1])
            value = self.acquisition([*pending, *chosen], forks)
        rest = [int(i) for i in np.argsort(-value, kind="stable")[: most - len(chosen)] if np.isfinite(value[i])]
        return chosen + rest

    def _posterior(self):
        """Per belief: posterior probabilities of its prior means, rare ones 0, and the function to their means."""
        y = self._usable()
        given = [belief.given(y) if y is not None else belief.given_nothing() for belief in self.beliefs]
        logs = [belief.log_weights + evidence for belief, (evidence, _) in zip(self.beliefs, given, strict=True)]
        every = np.concatenate(logs)
        cut = every.max() + np.log(RARE)
        total = logsumexp(every[every >= cut])
        return [
            (np.where(log >= cut, np.exp(log - total), 0.0), posterior)
            for log, (_, posterior) in zip(logs, given, strict=True)
        ]

    def _usable(self) -> np.ndarray | None:
        """Scores with failures as the worst seen and outliers at the bottom cut; None when nothing was scored."""
        y = np.array(self._scores)
        known = np.isfinite(y)
        if not known.any():
            return None
        best, middle = y[known].max(), np.median(y[known])
        low = y[known].min()
        if known.sum() > 3 and best > middle:
            low = max(low, middle - FAR * (best - middle))
        return np.maximum(np.where(known, y, low), low)

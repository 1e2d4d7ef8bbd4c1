"""Asynchronous successive halving: which candidate deserves a longer training."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable


def rung_epochs(epochs: int, min_epochs: int, eta: int) -> tuple[int, ...]:
    """Epochs of each rung, rising by about ``eta`` to the full ``epochs``, none below ``min_epochs``."""
    if eta < 2 or min_epochs < 1:
        raise ValueError(f"successive halving needs eta >= 2 and min_epochs >= 1, got {eta} and {min_epochs}")
    found = [epochs]
    power = 1
    while epochs / eta**power >= min_epochs:
        length = max(round(epochs / eta**power), min_epochs)
        if length < found[-1]:
            found.append(length)
        power += 1
    return tuple(reversed(found))


def bracket_starts(rungs: int, eta: int) -> tuple[int, ...]:
    """One round of the lowest rungs of new candidates, in the proportions of Hyperband (Li et al. 2018, algorithm 1).

    Most start at the bottom; a few start higher, in case short trainings mislead.
    """
    counts = [math.ceil(rungs / (rungs - start) * eta ** (rungs - 1 - start)) for start in range(rungs)]
    total = sum(counts)
    # Spread evenly over the round: each bracket's k-th turn stands at (k + 1/2) / count of the way.
    turns = sorted(((k + 0.5) / count, start) for start, count in enumerate(counts) for k in range(count))
    assert len(turns) == total
    return tuple(start for _, start in turns)


class Rungs:
    """Results per rung, and the rule of promotion (ASHA, Li et al. 2020, algorithm 2).

    A candidate moves up when it is among the best ``1/eta`` of what its rung has seen; so a free worker always finds
    something to do and nobody waits for a rung to fill. Failures count as the worst.
    """

    def __init__(
        self,
        epochs: tuple[int, ...],
        eta: int,
        tie_break: Callable[[str], float] = lambda id: 0.0,
        kind: Callable[[str], str] = lambda id: "",
    ) -> None:
        self.epochs = epochs
        self.eta = eta
        self._tie_break, self._kind = tie_break, kind
        self._scores: list[dict[str, float]] = [{} for _ in epochs]
        self._above: list[set[str]] = [set() for _ in epochs]  # what was sent on from each rung

    def report(self, rung: int, id: str, score: float | None) -> None:
        """A training ended on this rung; None: it failed."""
        self._scores[rung][id] = -math.inf if score is None else score

    def promote(self) -> tuple[str, int] | None:
        """The next candidate to train on and the rung to train it for; the highest rung first."""
        for rung in reversed(range(len(self.epochs) - 1)):
            ranked = self.ranked(rung)
            for id in ranked[: len(ranked) // self.eta]:
                if self._may_rise(rung, id):
                    return self._send(rung, id)
        return None

    def promote_anyway(self) -> tuple[str, int] | None:
        """As ``promote`` but without the quota: the best of the highest rung that has anybody left in reach:
        who would be the best of all with ``most_gained``.
        """
        best = max(self._scores[-1].values(), default=-math.inf)
        for rung in reversed(range(len(self.epochs) - 1)):
            gains: dict[str, float] = {}  # kind -> what it may gain: looked up once, not for each candidate
            for id in self.ranked(rung):
                if not self._may_rise(rung, id):
                    continue
                if (kind := self._kind(id)) not in gains:
                    gains[kind] = self.most_gained(rung, kind)
                if self._scores[rung][id] + gains[kind] >= best:
                    return self._send(rung, id)
        return None

    def most_gained(self, rung: int, kind: str) -> float:
        """What a candidate would gain from here if on each rung to come it gained as much as any did.

        Compared are those of its ``kind``, for want of them all: families learn at different paces. While nothing was
        trained to full length, or nothing rose from a rung to come, everything may be gained.
        """
        total = 0.0
        for low, high in itertools.pairwise(self._scores[rung:]):
            gains = {
                other: s - low[other] for other, s in high.items() if other in low and math.isfinite(s - low[other])
            }
            like = [gain for other, gain in gains.items() if self._kind(other) == kind] or list(gains.values())
            total += max(like, default=math.inf)
        return total

    def ranked(self, rung: int) -> list[str]:
        """Candidates that ended on this rung, best first; equal scores by the tie-break, then by arrival."""
        scores = self._scores[rung]
        return sorted(scores, key=lambda id: (scores[id], self._tie_break(id)), reverse=True)

    def score(self, rung: int, id: str) -> float:
        return self._scores[rung][id]

    def _may_rise(self, rung: int, id: str) -> bool:
        return id not in self._above[rung] and self._scores[rung][id] > -math.inf

    def _send(self, rung: int, id: str) -> tuple[str, int]:
        self._above[rung].add(id)
        return id, rung + 1

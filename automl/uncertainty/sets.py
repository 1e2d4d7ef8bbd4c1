"""What a calibration says of predictions: sets of classes, intervals, how unusual a row is, and whom to ask.

Conformal prediction (Vovk et al. 2005, "Algorithmic Learning in a Random World"; Angelopoulos & Bates 2023, "Conformal
prediction: a gentle introduction"): rows that the model did not learn from are scored by how badly its answer fits
them, and an answer is in the set of a new row when it fits no worse than most of those. Numpy only: this is what
serves.

score of a class    1 - its probability (least ambiguous set-valued classifiers, Sadinle et al. 2019)
score of a value    |value - prediction| / (spread of the members + ``offset``), or without the divisor
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from automl.errors import UserError

LEVELS = (0.8, 0.9, 0.95)
"""At which cover is told, on the test rows and by the labels that a server gets, and which a server offers."""
CLASS_ROWS = 30
"""So many calibration rows of a class give it scores of its own (``sets(..., by_class=True)``). By judgement: 95 % can
be promised from 19 on, but with so few the cover varies much."""
CONFIDENCE = 0.95
"""How sure the bound on the error of what is answered is, see ``Calibration.threshold``: the usual one."""
ROUNDING = 1e-5
"""Share of themselves by which answers for one row differ: the graph's from the network's, and with the rows asked
along. Where many rows are alike many stand exactly at a limit, and without it they would be in or out by chance."""


@dataclass(frozen=True)
class Scores:
    """Scores of calibration rows, ascending. ``rows``: how many there were; ``values``: all, or evenly many of them."""

    rows: int
    values: np.ndarray

    def quantile(self, level: float) -> float:
        """What a share ``level`` of new rows score at most: the ceil((rows + 1) level)-th of the calibration rows.

        Infinite where there are too few rows to say.
        """
        rank = rank_of(level, self.rows)
        if rank > self.rows:
            return math.inf
        return float(self.values[math.ceil(rank * len(self.values) / self.rows) - 1])

    def p_values(self, scores: np.ndarray) -> np.ndarray:
        """Share of rows that fit no better, the new one counted among them: small is unusual. Same shape."""
        better = np.searchsorted(self.values, scores, side="left") / len(self.values) * self.rows
        return (self.rows - better + 1) / (self.rows + 1)


def rank_of(level: float, rows: int) -> int:
    """ceil((rows + 1) level), without the error of floats: .9 of 9 + 1 rows is the ninth."""
    return max(1, math.ceil(round((rows + 1) * level, 9)))


@dataclass(frozen=True)
class Calibration:
    """What calibration.json holds.

    ``kind``: of the task. ``rows``: to calibrate on, of copies their effective number; ``source``: which (holdout,
    folds or valid). ``guaranteed``: whether the cover of sets and intervals is, because nothing else saw these rows and
    they have no order in time. ``temperature``: in the graph already. ``decision``: weights of the classes, see
    ``automl.metrics.decision``.
    ``scores``, ``by_class``: see the module. ``offset``: added to the spread, None where widths are all equal.
    ``spreads``: of values, how much the members differed on the calibration rows. ``venn``: for two classes, float
    (places, 3): probability of class 1, ascending, and what isotonic regression makes of it were that row of class 0
    or of class 1 (Vovk & Petej 2014, "Venn-Abers predictors"). ``sure``: float (places, 3): largest probability,
    descending, how many rows had that or more, and for how many of those the answer was wrong.
    """

    kind: str
    rows: int
    source: str
    guaranteed: bool
    scores: Scores
    temperature: float = 1.0
    decision: tuple[float, ...] = ()
    by_class: Mapping[int, Scores] = field(default_factory=dict)
    offset: float | None = None
    spreads: Scores | None = None
    venn: np.ndarray | None = None
    sure: np.ndarray | None = None

    def sets(self, p: np.ndarray, level: float, *, by_class: bool = False) -> np.ndarray:
        """Which classes fit: bool (rows, classes). A share ``level`` of rows has the true class in its set.

        A set may hold several classes, or none: then none fits, at this level. ``by_class``: the share holds for the
        rows of each class, where it had ``CLASS_ROWS`` to calibrate on; where these are too few for the level, it is in
        every set. Raises UserError for a level out of reach.
        """
        self._check(level)
        limits = np.full(p.shape[1], self.scores.quantile(level))
        if by_class:
            limits[list(self.by_class)] = [own.quantile(level) for own in self.by_class.values()]
        return np.asarray(p, dtype=np.float64) >= (1 - limits) * (1 - ROUNDING)

    def intervals(self, values: np.ndarray, spread: np.ndarray | None, level: float) -> np.ndarray:
        """Ends (rows, 2) that hold the true value for a share ``level`` of rows; its unit is the target's.

        ``spread``: of the members, (rows,). Raises UserError for a level out of reach.
        """
        self._check(level)
        values = np.asarray(values, dtype=np.float64)
        half = self.scores.quantile(level) * widths(spread, self.offset, len(values))
        half = half * (1 + ROUNDING) + 4 * np.finfo(np.float32).eps * np.abs(values)
        return np.stack([values - half, values + half], axis=1)

    def credibility(self, p: np.ndarray, spread: np.ndarray | None = None) -> np.ndarray:
        """How usual rows are, 0 to 1: of the calibration rows, the share that fitted no better. Shape (rows,).

        Of classes: the p-value of the best-fitting class. Of values: by how much the members of the ensemble differ, 1
        for a single network.
        """
        if self.kind != "regression":
            return self.scores.p_values(1 - np.asarray(p, dtype=np.float64).max(axis=1) * (1 + ROUNDING))
        if self.spreads is None or spread is None:
            return np.ones(len(p))
        return self.spreads.p_values(np.asarray(spread, dtype=np.float64) * (1 - ROUNDING))

    def probability_interval(self, p: np.ndarray) -> np.ndarray:
        """Between what the probability of class 1 lies, for two classes: float (rows, 2). See ``venn``."""
        if self.venn is None:
            raise UserError("an interval of the probability is for two classes; use predict_set or predict_interval")
        at, low, high = self.venn.T
        p = np.asarray(p[:, 1], dtype=np.float64)
        for end in at[[0, -1]]:
            p = np.where(np.abs(p - end) <= ROUNDING * end, end, p)
        # Both rise with the probability: between two places lies the truth from the lower's low to the upper's high.
        # Before the first a row of class 0 would stand alone, and behind the last one of class 1.
        low, high = np.append(0.0, low), np.append(high, 1.0)
        return np.stack([low[np.searchsorted(at, p, "right")], high[np.searchsorted(at, p, "left")]], axis=1)

    def threshold(self, error: float) -> float:
        """Least probability of the likeliest class at which to answer, so that at most a share ``error`` is wrong.

        What is below goes to a person. Infinite where no row can be answered so surely. With ``CONFIDENCE`` over the
        choice of calibration rows: thresholds are tested from sure to unsure until one fails (fixed sequence testing,
        Angelopoulos et al. 2021, "Learn then test", section 4.2), by the exact binomial tail.
        """
        if not 0 < error < 1:
            raise UserError(f"error={error} must lie between 0 and 1, such as 0.05")
        if self.sure is None:
            raise UserError("to send rows to a person is for classes; use predict_interval")
        found = math.inf
        for least, accepted, wrong in self.sure:
            if (1 - error) ** (accepted / 2) > 1 - CONFIDENCE:  # too few: half of them could not show it, all right
                continue
            if binomial_tail(int(wrong), int(accepted), error) > 1 - CONFIDENCE:
                break
            found = float(least) * (1 - ROUNDING)
        return found

    def _check(self, level: float) -> None:
        if not 0 < level < 1:
            raise UserError(f"level={level} must lie between 0 and 1, such as 0.9")
        if rank_of(level, self.rows) > self.rows:
            most = math.floor(1000 * self.rows / (self.rows + 1)) / 1000
            raise UserError(f"level={level} needs more than {self.rows} calibration rows; ask for at most {most}")

    def to_json(self) -> str:
        """Exact, and the same text for the same calibration."""
        plain = dataclasses.asdict(self)
        plain["by_class"] = {str(c): s for c, s in plain["by_class"].items()}
        return json.dumps(plain, default=_plain) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Calibration:
        """What ``to_json`` gave. Raises ValueError, KeyError or TypeError for anything else."""
        try:
            plain = json.loads(text)
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error
        plain["rows"], plain["scores"] = _count(plain["rows"]), _scores(plain["scores"])
        plain["spreads"] = None if plain["spreads"] is None else _scores(plain["spreads"])
        for name in ("venn", "sure"):
            plain[name] = None if plain[name] is None else _finite(plain[name]).reshape(-1, 3)
        if not isinstance(plain["kind"], str) or not isinstance(plain["by_class"], dict):
            raise TypeError("kind must be a text, and by_class an object")
        plain["by_class"] = {int(c): _scores(s) for c, s in plain["by_class"].items()}
        plain["decision"] = tuple(_finite(plain["decision"]).tolist())
        plain["offset"] = None if plain["offset"] is None else _finite(plain["offset"]).item()
        return cls(**plain)


def decide(p: np.ndarray, weights: np.ndarray | Sequence[float] | None = None) -> np.ndarray:
    """Classes (rows,) that probabilities (rows, classes) decide for, by a decision's weights; None: all 1."""
    return (p if weights is None else p * np.asarray(weights)).argmax(1)


def widths(spread: np.ndarray | None, offset: float | None, rows: int) -> np.ndarray:
    """What a score of a value is multiplied by to be in the target's unit again: (rows,)."""
    if offset is None or spread is None:
        return np.ones(rows)
    return np.asarray(spread, dtype=np.float64) + offset


def binomial_tail(most: int, of: int, share: float) -> float:
    """Probability of at most ``most`` of ``of`` independent events that have probability ``share`` each."""
    if most >= of:
        return 1.0
    k = np.arange(1, most + 1)
    steps = np.log((of - k + 1) / k) + math.log(share) - math.log1p(-share)
    logs = of * math.log1p(-share) + np.concatenate([[0.0], np.cumsum(steps)])
    return float(min(np.exp(logs).sum(), 1.0))


def _scores(plain: Mapping[str, Any]) -> Scores:
    rows, values = _count(plain["rows"]), _finite(plain["values"]).reshape(-1)
    if not 0 < len(values) <= rows or (np.diff(values) < 0).any():
        raise ValueError(f"{len(values)} scores of {rows} rows are none, too many, or not ascending")
    return Scores(rows, values)


def _count(value: Any) -> int:
    if type(value) is not int or value < 1:
        raise ValueError(f"{value!r} is no number of rows")
    return value


def _finite(values: Any) -> np.ndarray:
    found = np.asarray(values, dtype=np.float64)
    if not np.isfinite(found).all():
        raise ValueError("it holds what is no finite number")
    return found


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else list(value)

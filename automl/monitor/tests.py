"""Have the rows changed? Counts of windows against those of the reference, so that few stable streams ever alarm.

watch = Watch.new(reference)
for counts in windows:                    # int64 (cells,), in the order of ``counts_of``
    for event in watch.step(counts): ...  # a measure has moved, or is as before again

What is tested are shares of rows: missing; below and above all that training saw; below some quantiles and between two
of them (numbers); each value and the unknown ones (categories); each class. One test serves all: Fisher's, of a share
in a window beside the share in the reference and the windows before. It counts these as the finite sample they are, and
it is exact where an edge is a value of the reference too: how many new values lie below the k-th of N others is
hypergeometric, whatever the distribution. The p-value is bounded from above by a closed form (``log_p``), which is near
it where it is small, so that no table, no simulation and no scipy is needed.

Outputs come first: half of what may be spent on false alarms is theirs, as tests of the outputs find most shifts that
matter (Rabanser et al. 2019, "Failing loudly"); the other half is shared by the fields (Bonferroni).

Windows are looked at alone, and in blocks of 2, 4, 8, ... that overlap by half, so that a small shift that lasts is
found too, within half as much again of the rows that it takes. What a stream had before the block stands beside it with
the reference, as both are alike until something moves: a reference of a hundred rows would else hide every small shift.
Blocks that begin with the stream have the reference alone, so that one which is off from its start is found. The j-th
look of a stream may err with ``ALPHA`` (f(j) - f(j + 1)) where f falls to 0, so that all looks together, for ever, err
with ``ALPHA``: the false alarms are of a stream, not of a window.

An alarm needs a shift that matters too (``LEAST``). It ends when three looks in a row, at blocks as large as the one
that found it, show nothing; then the measure begins anew, without what it has counted.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

# By judgement; others that were looked at hardly mattered (docs/benchmarks.md, ``+experiment=bench/drift``). A larger
# ALPHA alarms for nothing, a larger LEAST overlooks what is small, a longer GONE keeps an alarm that is over.
ALPHA = 0.04
"""Of a hundred stable streams so many alarm at most, however long they are. With ``live`` the whole is 5 %."""
EVEN = 100
"""The first looks, a stream's first 30 windows, share alike what may be spent; later ones get ever less."""
LEAST = 0.1
"""A shift that matters, by Cohen's h, 2 asin sqrt(p) - 2 asin sqrt(q): half of his "small". 50 % -> 55 %, 10 % -> 13 %,
1 % -> 2.2 %, 0 -> 0.25 %. Else many rows would make an alarm of every trifle."""
GONE, GONE_P = 3, 0.05
"""An alarm ends after so many looks in a row whose p-values are above this."""
CUTS = (1 / 32, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 7 / 8, 31 / 32)
"""Below which quantiles of a number the share of rows is tested."""


class Share(NamedTuple):
    """Rows whose cell lies in [a, b), among those in [low, high), of the cells as ``Shares.order`` has them."""

    measure: int
    kind: str
    a: int
    b: int
    low: int
    high: int


@dataclass(frozen=True)
class Shares:
    """All that is tested of a reference.

    ``order``: of the cells, so that what is tested is side by side. ``weights``: (shares,), of what may be spent on
    false alarms, sum 1. ``known``: hits and rows (2, shares) of the reference; below and above its own values it has
    none, and one is counted, as many as a row of N + 1 that are alike is expected to be.
    """

    all: tuple[Share, ...]
    order: np.ndarray
    weights: np.ndarray
    known: np.ndarray

    @classmethod
    def of(cls, reference: Mapping[str, Any]) -> Shares:
        shares: list[Share] = []
        order: list[int] = []
        measures = reference["measures"]
        for i, measure in enumerate(measures):
            found, cells = (_of_values if "values" in measure else _of_numbers)(measure, i, len(order))
            order += [len(order) + c for c in cells]
            shares += found
        parts = np.array([not m["field"] for m in measures])
        part = [0.5 / max(int((parts == p).sum()), 1) for p in parts]  # outputs have a half, fields the other
        if len(set(parts.tolist())) == 1:
            part = [2 * p for p in part]
        many = np.bincount([s.measure for s in shares], minlength=len(measures))
        weights = np.array([part[s.measure] / many[s.measure] for s in shares])
        counts = np.concatenate([np.zeros(0, np.int64), *(np.asarray(m["counts"], dtype=np.int64) for m in measures)])
        self = cls(tuple(shares), np.array(order, dtype=np.int64), weights, np.zeros((2, 0)))
        known = self.of_counts(counts)
        known[:, [s.kind in ("below", "above") for s in shares]] += 1
        return cls(self.all, self.order, self.weights, known)

    def of_counts(self, counts: np.ndarray) -> np.ndarray:
        """Hits and rows (2, shares) of a vector of counts."""
        sums = np.concatenate([[0], np.cumsum(counts[self.order])])
        _, _, a, b, low, high = self._columns
        return np.stack([sums[b] - sums[a], sums[high] - sums[low]])

    @property
    def measure(self) -> np.ndarray:
        """Whose each share is, (shares,)."""
        return self._columns[0]

    @functools.cached_property
    def _columns(self) -> tuple[np.ndarray, ...]:
        ends = np.array([(s.measure, 0, *s[2:]) for s in self.all], dtype=np.int64).reshape(-1, 6)
        return tuple(ends.T)


def _of_numbers(measure: Mapping[str, Any], i: int, at: int) -> tuple[list[Share], list[int]]:
    """Cells: missing, below, bins, above."""
    bins = len(measure["counts"]) - 3
    low, high = at + 1, at + bins + 3
    shares = [Share(i, "missing", at, at + 1, at, high), Share(i, "below", low, low + 1, low, high)]
    shares.append(Share(i, "above", high - 1, high, low, high))
    sums = np.cumsum(measure["counts"][:bins])
    places = np.unique(np.searchsorted(sums[:-1], np.array(CUTS) * sums[-1])) if bins > 1 else np.zeros(0, np.int64)
    cuts = [int(p) + 1 for p in places if p < bins - 1]  # bins below the cut
    shares += [Share(i, "cut", low, low + 1 + c, low, high) for c in cuts]
    if len(cuts) > 2:
        inner = [min(cuts, key=lambda c: abs(sums[c - 1] / sums[-1] - q)) for q in (0.25, 0.75)]
        shares.append(Share(i, "middle", low + 1 + inner[0], low + 1 + inner[1], low, high))
    return shares, [bins, bins + 1, *range(bins), bins + 2]


def _of_values(measure: Mapping[str, Any], i: int, at: int) -> tuple[list[Share], list[int]]:
    """Cells: missing, values, others, unknown."""
    values = len(measure["counts"]) - 3
    low, high, output = at + 1, at + values + 3, not measure["field"]
    skipped = 1 if values == 2 and output else 0  # of two classes the one says what the other does
    shares = [Share(i, "value", low + v, low + v + 1, low, high) for v in range(skipped, values)]
    if measure["counts"][-2]:
        shares.append(Share(i, "other", high - 2, high - 1, low, high))
    if not output:
        shares.append(Share(i, "unknown", high - 1, high, low, high))
        shares.append(Share(i, "missing", at, at + 1, at, high))
    return shares, [values, *range(values), values + 1, values + 2]


def log_p(hits: np.ndarray, rows: np.ndarray, known_hits: np.ndarray, known_rows: np.ndarray) -> np.ndarray:
    """Log of the two-sided p-value that two shares are one; 0 where there are no rows. All int (shares,).

    Fisher's test: of all rows together, the hits are spread over both sides by chance. Its tail is the first term and
    what follows it, each less than the one before by a factor that falls; so the first over one minus that factor
    is an upper bound: some percent above the tail where that is small.
    """
    hits, rows, known_hits, known_rows = (np.asarray(a, dtype=np.float64) for a in (hits, rows, known_hits, known_rows))
    marked, total = hits + known_hits, rows + known_rows
    first = (
        _log_choose(rows, hits) + _log_choose(known_rows, known_hits) - _log_choose(total, marked)
    )  # of the hypergeometric distribution
    misses, known_misses = rows - hits, known_rows - known_hits
    with np.errstate(divide="ignore", invalid="ignore"):
        up = misses * known_hits / ((hits + 1) * (known_misses + 1))  # next term over this one, with more hits
        down = hits * known_misses / ((misses + 1) * (known_hits + 1))
        factor = np.minimum(up, down)
        tail = np.where(factor < 1, first - np.log1p(-np.minimum(factor, 1 - 1e-12)), 0.0)
    return np.where((rows > 0) & (known_rows > 0), np.minimum(tail + math.log(2), 0.0), 0.0)


def _log_choose(n: np.ndarray, k: np.ndarray) -> np.ndarray:
    return _log_factorial(n) - _log_factorial(k) - _log_factorial(n - k)


_SMALL = np.array([math.lgamma(n + 1) for n in range(256)])


def _log_factorial(n: np.ndarray) -> np.ndarray:
    """Of whole numbers: a table, then Stirling's series, which is exact to rounding from there on."""
    x = np.maximum(n, 255) + 1
    series = (x - 0.5) * np.log(x) - x + 0.5 * math.log(2 * math.pi) + 1 / (12 * x) - 1 / (360 * x**3)
    return np.where(n < 256, _SMALL[np.minimum(n, 255).astype(np.int64)], series)


def effect(hits: np.ndarray, rows: np.ndarray, known_hits: np.ndarray, known_rows: np.ndarray) -> np.ndarray:
    """How far shares differ, as Cohen's h, at least 0."""
    a, b = hits / np.maximum(rows, 1), known_hits / np.maximum(known_rows, 1)
    return np.abs(2 * np.arcsin(np.sqrt(a)) - 2 * np.arcsin(np.sqrt(b)))


def spent(look: int) -> float:
    """Share of ``ALPHA`` that the look may spend, counted from 0; the sum over all is 1."""
    return 1 / (1 + math.log2(1 + look / EVEN)) - 1 / (1 + math.log2(1 + (look + 1) / EVEN))


@dataclass
class Alarm:
    """A measure that has moved. ``level``: found in a block of 2^level windows. ``gone``: looks in a row without it."""

    level: int
    share: int
    p: float
    gone: int = 0


class Event(NamedTuple):
    """``on``: the measure moved, else it is as before again. ``counts``: of the block that showed it."""

    measure: int
    on: bool
    alarm: Alarm
    counts: np.ndarray


@dataclass
class Level:
    """Blocks of 2^level windows: how many there were, and the last two."""

    blocks: int = 0
    before: np.ndarray | None = None
    last: np.ndarray | None = None


@dataclass
class Watch:
    """The test of one stream. Its memory grows with the logarithm of the windows.

    ``evidence``: of the last step, the log of the smallest p-value over that of the largest that is an alarm: 1 is one.
    ``total``: (cells,), all counts but those of measures while they are moved.
    """

    shares: Shares
    cells: Sequence[slice]
    total: np.ndarray
    looks: int = 0
    windows: int = 0
    levels: list[Level] = field(default_factory=list)
    alarms: dict[int, Alarm] = field(default_factory=dict)

    evidence: float = 0.0

    @classmethod
    def new(cls, reference: Mapping[str, Any]) -> Watch:
        cells = cls.cells_of(reference)
        return cls(Shares.of(reference), cells, np.zeros(cells[-1].stop if cells else 0, dtype=np.int64))

    @staticmethod
    def cells_of(reference: Mapping[str, Any]) -> list[slice]:
        """Where each measure's counts lie."""
        ends = np.cumsum([0, *(len(m["counts"]) for m in reference["measures"])]).tolist()
        return [slice(a, b) for a, b in itertools.pairwise(ends)]

    def step(self, counts: np.ndarray) -> list[Event]:
        """Take the next window's counts. What began or ended with it."""
        self.windows += 1
        self.evidence = 0.0
        self.total = self.total + self._but_moved(counts)
        events = self._look(counts, 0)
        block, level = counts, 0
        while True:
            if level == len(self.levels):
                self.levels.append(Level())
            at = self.levels[level]
            at.before, at.last, at.blocks = at.last, block, at.blocks + 1
            if at.before is None:
                break
            pair = at.before + at.last
            events += self._look(pair, level + 1)
            if at.blocks % 2:
                break
            block, level = pair, level + 1
        for event in events:
            if not event.on:  # not before the step ends, as its larger blocks hold what has moved
                del self.alarms[event.measure]
                self._forget(event.measure)
        return events

    def block(self, level: int) -> np.ndarray | None:
        """The last 2^level windows that were looked at together, or what there is of them; None before the first."""
        for size in range(min(level, len(self.levels)), 0, -1):
            of = self.levels[size - 1]
            if of.before is not None and of.last is not None:
                return of.before + of.last
        return self.levels[0].last if self.levels else None

    def tested(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log p-value and effect of each share (shares,) of the stream's last windows, beside all before them."""
        hits, rows = self.shares.of_counts(counts)
        known = self.shares.known + self.shares.of_counts(self.total - self._but_moved(counts))
        return log_p(hits, rows, *known), effect(hits, rows, *known)

    def _but_moved(self, counts: np.ndarray) -> np.ndarray:
        for measure in self.alarms:
            counts = self._without(counts, measure)
        return counts

    def _look(self, counts: np.ndarray, level: int) -> list[Event]:
        log, far = self.tested(counts)
        limit = math.log(ALPHA * spent(self.looks))
        self.looks += 1
        measure, events = self.shares.measure, []
        if not len(log):
            return []
        weighted = np.where(far >= LEAST, log - np.log(self.shares.weights), 0.0)
        self.evidence = max(self.evidence, float(weighted.min()) / limit)
        found = np.flatnonzero(weighted <= limit)
        for share in found[np.argsort(log[found], kind="stable")].tolist():
            of = int(measure[share])
            if of not in self.alarms:
                self.total[self.cells[of]] -= counts[self.cells[of]]
                self.alarms[of] = Alarm(level, share, math.exp(log[share]))
                events.append(Event(of, True, self.alarms[of], counts))
        for of, alarm in self.alarms.items():
            if alarm.level != level:
                continue
            mine = measure == of
            there = ((log[mine] <= math.log(GONE_P / mine.sum())) & (far[mine] >= LEAST / 2)).any()
            alarm.gone = 0 if there else alarm.gone + 1
            if alarm.gone == GONE:
                events.append(Event(of, False, alarm, counts))
        return events

    def _forget(self, measure: int) -> None:
        """The measure begins anew; blocks are shared with who was told of them, so they are not changed."""
        for level in self.levels:
            level.before, level.last = (
                None if block is None else self._without(block, measure) for block in (level.before, level.last)
            )

    def _without(self, block: np.ndarray, measure: int) -> np.ndarray:
        kept = block.copy()
        kept[self.cells[measure]] = 0
        return kept

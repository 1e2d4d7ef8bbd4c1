"""p-values are never too small; stable streams stay quiet, shifts are found, and alarms end without flapping."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom

from automl.deploy.reference import Measure, binned, counts_of
from automl.monitor.tests import ALPHA, GONE, LEAST, Shares, Watch, effect, log_p, spent

NAMES = ("Rome", "Oslo", "Lima")


def rows(n: int, rng: np.random.Generator, *, shift: float = 0.0, missing: float = 0.1) -> list[Measure]:
    """Two fields and two outputs."""
    gaps = np.where(rng.random(n) < missing, np.nan, rng.normal(shift, 1, n))
    place = rng.choice(3, n, p=[0.5, 0.3, 0.2]).astype(float)
    p = rng.beta(5, 2, n)
    return [
        Measure("size", "value", gaps),
        Measure("city", "value", place, NAMES),
        Measure("", "class", (p > 0.6).astype(float), ("a", "b")),
        Measure("", "probability of the class", np.maximum(p, 1 - p)),
    ]


def reference(n: int, rng: np.random.Generator) -> dict[str, Any]:
    return {"measures": [binned(m) for m in rows(n, rng)]}


def counted(of: dict[str, Any], measures: list[Measure]) -> np.ndarray:
    return counts_of(of, [m.values for m in measures])


COUNT = st.integers(0, 400)


@given(COUNT, COUNT, COUNT, COUNT)
@settings(max_examples=300, deadline=None)
def test_the_p_value_is_at_least_fishers_and_near_it(hits: int, misses: int, known: int, known_misses: int) -> None:
    n, of = hits + misses, known + known_misses
    mine = math.exp(log_p(*(np.array([v]) for v in (hits, n, known, of)))[0])
    if not n or not of:
        assert mine == 1
        return
    spread = hypergeom(n + of, hits + known, n)
    exact = min(2 * min(spread.sf(hits - 1), spread.cdf(hits)), 1.0)
    assert mine >= exact * (1 - 1e-6)
    if exact < 0.01:
        assert mine <= 1.2 * exact


def test_the_p_value_of_many_rows_does_not_lose_its_digits() -> None:
    mine = log_p(*(np.array([v]) for v in (51_000_000, 100_000_000, 4_700, 10_000)))[0]
    assert mine == pytest.approx(math.log(2 * hypergeom(100_010_000, 51_004_700, 10_000).cdf(4_700)), abs=0.05)


@pytest.mark.parametrize("known", [20, 100, 1000])
def test_a_small_reference_whose_edges_are_its_own_values_is_tested_exactly(known: int) -> None:
    rng, runs, level = np.random.default_rng(known), 1000, 0.02
    wrong = np.zeros(0)
    for _ in range(runs):
        of = {"measures": [binned(Measure("size", "value", rng.normal(size=known)))]}
        shares = Shares.of(of)
        hits, n = shares.of_counts(counts_of(of, [rng.normal(size=60)]))
        found = log_p(hits, n, *shares.known) <= math.log(level)
        wrong = found.astype(float) if not len(wrong) else wrong[: len(found)] + found[: len(wrong)]
    assert (wrong / runs).max() <= level + 3 * math.sqrt(level / runs)


def test_what_may_be_spent_is_spent_once() -> None:
    each = [spent(look) for look in range(100_000)]
    assert all(a > b > 0 for a, b in itertools.pairwise(each))
    assert 0.9 < sum(each) < 1 and sum(each[:300]) > 0.6, "a stream of 100 windows has most of it"


def test_outputs_have_half_of_what_may_be_spent() -> None:
    shares = Shares.of(reference(300, np.random.default_rng(0)))
    assert shares.weights.sum() == pytest.approx(1)
    assert shares.weights[shares.measure >= 2].sum() == pytest.approx(0.5)
    assert [s.kind for s in shares.all if s.measure == 2] == ["value"], "the other class says the same"
    assert {s.kind for s in shares.all if s.measure == 0} == {"missing", "below", "above", "cut", "middle"}


@pytest.mark.parametrize("size", [50, 1000])
def test_stable_streams_stay_quiet(size: int) -> None:
    loud = 0
    for seed in range(10):
        rng = np.random.default_rng([seed, size])
        of = reference((100, 1000)[seed % 2], rng)
        watch = Watch.new(of)
        loud += any(watch.step(counted(of, rows(size, rng))) for _ in range(100))
    assert loud <= 1, f"at most {ALPHA:.0%}"


def test_a_shift_is_found_named_and_ends_without_flapping() -> None:
    rng = np.random.default_rng(0)
    of = reference(1000, rng)
    watch = Watch.new(of)
    told = []
    for at in range(90):
        shift = 0.8 if 20 <= at < 50 else 0.0
        told += [(at, e.measure, e.on) for e in watch.step(counted(of, rows(200, rng, shift=shift)))]
    (began, measure, on), (ended, again, off) = told
    assert measure == again == 0 and on and not off
    assert 20 <= began <= 22 and 50 + GONE - 1 <= ended <= 60
    assert not watch.alarms


@pytest.mark.parametrize(
    ("more", "kind"),
    [({"shift": 3.0}, "cut"), ({"missing": 0.6}, "missing"), ({"shift": 30.0}, "above")],
)
def test_the_share_that_shows_it_is_told(more: dict[str, float], kind: str) -> None:
    rng = np.random.default_rng(1)
    of = reference(500, rng)
    watch = Watch.new(of)
    (event,) = watch.step(counted(of, rows(300, rng, **more)))
    assert event.on and event.measure == 0 and event.alarm.p < 1e-20
    assert watch.shares.all[event.alarm.share].kind in (kind, "cut") and watch.evidence > 1


def test_values_never_seen_are_found() -> None:
    rng = np.random.default_rng(2)
    of = reference(500, rng)
    watch = Watch.new(of)
    new = rows(200, rng)
    new[1].values[:20] = -1
    (event,) = watch.step(counted(of, new))
    assert event.measure == 1 and watch.shares.all[event.alarm.share].kind == "unknown"


def test_a_small_shift_that_lasts_is_found_in_blocks_of_windows() -> None:
    rng = np.random.default_rng(3)
    of = reference(5000, rng)
    watch, levels = Watch.new(of), []
    for _ in range(100):
        levels += [e.alarm.level for e in watch.step(counted(of, rows(50, rng, shift=0.3)))]
    assert len(levels) == 1 and levels[0] >= 2


def test_many_rows_do_not_make_a_trifle_an_alarm() -> None:
    rng = np.random.default_rng(4)
    of = reference(50_000, rng)
    watch = Watch.new(of)
    new = counted(of, rows(50_000, rng, shift=0.07))
    assert not watch.step(new)
    log, far = watch.tested(new)
    assert log.min() < -12 and far.max() < LEAST


def test_a_small_reference_is_helped_by_what_the_stream_had_before() -> None:
    rng = np.random.default_rng(7)
    of = reference(60, rng)
    for before, found in ((0, False), (30, True)):
        watch = Watch.new(of)
        stable = [watch.step(counted(of, rows(200, rng))) for _ in range(before)]
        moved = [watch.step(counted(of, rows(200, rng, shift=0.4))) for _ in range(20)]
        assert not any(stable) and any(moved) is found
    assert watch.total.min() >= 0


def test_what_has_moved_is_no_measure_for_later_rows() -> None:
    rng = np.random.default_rng(8)
    of = reference(300, rng)
    watch = Watch.new(of)
    for _ in range(10):
        watch.step(counted(of, rows(100, rng)))
    known = watch.total.copy()
    for _ in range(10):
        watch.step(counted(of, rows(100, rng, shift=2.0)))
    assert list(watch.alarms) == [0]
    np.testing.assert_array_equal(watch.total[watch.cells[0]], known[watch.cells[0]])
    assert watch.total[watch.cells[1]].sum() == 2000


def test_shifts_that_come_and_go_never_leave_fewer_rows_than_none() -> None:
    rng = np.random.default_rng(9)
    of = reference(200, rng)
    watch, told = Watch.new(of), []
    for at in range(400):
        shift = 1.0 if (at // 13) % 3 == 1 else 0.0
        told += [
            e.on for e in watch.step(counted(of, rows(60, rng, shift=shift, missing=0.3 if at % 50 > 40 else 0.1)))
        ]
        assert watch.total.min() >= 0
        for level in watch.levels:
            for block in (level.before, level.last):
                assert block is None or (watch._but_moved(block) <= watch.total).all()
    assert told.count(True) > 5


def test_memory_grows_with_the_logarithm_of_the_windows() -> None:
    of = reference(100, np.random.default_rng(5))
    watch = Watch.new(of)
    block = counted(of, rows(50, np.random.default_rng(6)))
    for _ in range(1000):
        watch.step(block)
    assert len(watch.levels) == 10 and watch.windows == 1000 and 2900 < watch.looks < 3000
    found = watch.block(3)
    assert found is not None and (found == 8 * block).all()


def test_a_bundle_without_a_reference_is_not_tested() -> None:
    watch = Watch.new({"measures": []})
    assert watch.step(np.zeros(0, np.int64)) == [] and watch.alarms == {}


def test_cohens_h() -> None:
    a = [np.array([v]) for v in (55, 100, 50, 100)]
    assert effect(*a)[0] == pytest.approx(0.1, abs=0.001)

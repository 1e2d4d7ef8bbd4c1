"""What was fitted once is not fitted again: only training differs between many candidates."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix, random_array

from automl.models.closed_form import fits, linear_head, sparse_head, trees
from automl.models.closed_form.fits import Fits

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)
WORDS: Any = csr_matrix(random_array((300, 30), density=0.3, rng=RNG), dtype=np.float32)

TREES: Any = {"rounds": 5, "leaves": 4, "threads": 1, "random_state": 0}

Made = Callable[[float], Any]
HEADS: dict[str, tuple[Any, str, Made]] = {  # and what each cannot do without
    "sparse": (sparse_head, "weights", lambda until: sparse_head.sparse_head(WORDS, Y, 2, until=until)),
    "dense": (linear_head, "logistic", lambda until: linear_head.linear_head(X, Y, 2, threads=1, until=until)),
    "values": (linear_head, "RidgeCV", lambda until: linear_head.linear_head(X, X[:, 1], 0, threads=1, until=until)),
    "trees": (
        trees,
        "grow",
        lambda until: trees.boosted(X, Y, 2, rounds=5, leaves=4, threads=1, until=until, random_state=0),
    ),
}


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    fits.forget()
    yield
    fits.forget()


def flat(made: Any) -> list[np.ndarray]:
    return [made] if isinstance(made, np.ndarray) else [array for part in made for array in flat(part)]


@pytest.mark.parametrize("name", HEADS)
def test_the_second_candidate_begins_with_what_the_first_was_fitted(name, monkeypatch):
    module, needed, made = HEADS[name]
    one = flat(made(math.inf))
    monkeypatch.setattr(module, needed, lambda *_: pytest.fail("fitted again"))
    for array in flat(made(time.monotonic() - 1)):  # and takes no time
        array[...] = np.zeros((), array.dtype)  # whoever is given it may change it
    for first, again in zip(one, flat(made(math.inf)), strict=True):
        assert first.tobytes() == again.tobytes()


@pytest.mark.parametrize(("name", "until"), [("sparse", 7.0), ("dense", 4.0), ("values", 2.5), ("trees", 2.0)])
def test_what_the_clock_cut_short_is_fitted_anew(name, until, monkeypatch):
    *_, made = HEADS[name]
    whole = flat(made(math.inf))
    fits.forget()
    with monkeypatch.context() as clock:
        looks = itertools.count()  # every look at it is a second later
        clock.setattr(time, "monotonic", lambda: float(next(looks)))
        short = flat(made(until))
    assert b"".join(a.tobytes() for a in short) != b"".join(a.tobytes() for a in whole)
    for first, again in zip(whole, flat(made(math.inf)), strict=True):
        assert first.tobytes() == again.tobytes()


def test_each_difference_is_another_fit():
    made: list[int] = []

    def fit() -> tuple[np.ndarray, bool]:
        made.append(1)
        return np.zeros(1), True

    known, x = Fits(), np.arange(6.0)
    sparse: Any = csr_matrix(np.eye(3))
    for of in (
        (x,),
        (x.reshape(2, 3),),
        (x.astype(np.float32),),
        (x, 0),
        (x, 0.0),
        (x[::2],),
        (sparse,),
        (2 * sparse,),
    ):
        known.once(of, fit)
    assert len(made) == 8
    known.once((np.arange(12.0)[:6], 0), fit)
    assert len(made) == 8, "what is in the arrays counts, not where they lie"


def test_those_that_nobody_asks_for_make_room():
    made: list[str] = []

    def asked(name: str, whole: bool = True) -> None:
        def fit() -> tuple[tuple[np.ndarray, list[np.ndarray]], bool]:
            made.append(name)
            return (np.zeros(3), [np.zeros(2)]), whole

        known.once((name,), fit)

    known = Fits(room=80)  # bytes: of two
    for name in "abaca":
        asked(name)
    assert made == ["a", "b", "c"], "b went, a was asked for last"
    asked("b")
    assert made == ["a", "b", "c", "b"]
    asked("d", whole=False)
    asked("d", whole=False)
    assert made[-2:] == ["d", "d"]
    tiny = Fits(room=10)
    assert [tiny.once(("a",), lambda: (np.zeros(9), True)).size for _ in range(2)] == [9, 9]

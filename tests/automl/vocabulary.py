"""Hypothesis strategies for the vocabulary."""

from __future__ import annotations

import math
from typing import get_args

from hypothesis import strategies as st

from automl.types import (
    Axis,
    Candidate,
    Input,
    Kind,
    Limits,
    Modality,
    Prior,
    Profile,
    Status,
    Task,
    Trial,
)
from tests.automl.examples import TASK

# Text that a database can hold as it is: no NUL, no half of a surrogate pair.
text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
long = st.integers(-(2**63), 2**63 - 1)
count = st.integers(0, 2**31 - 1)
finite = st.floats(allow_nan=False, allow_infinity=False)
option = st.one_of(text, long, finite, st.booleans())
candidate = st.builds(Candidate, family=text, choices=st.dictionaries(text, option, max_size=6))
inputs = st.builds(
    Input,
    name=text,
    modality=st.sampled_from(get_args(Modality)),
    shape=st.lists(count, max_size=4).map(tuple),
    cardinalities=st.lists(count, max_size=4).map(tuple),
    vocabulary=count,
    masked=st.booleans(),
    mean=st.lists(finite, max_size=3).map(tuple),
    std=st.lists(finite, max_size=3).map(tuple),
)
task = st.builds(
    Task,
    name=text,
    kind=st.sampled_from(get_args(Kind)),
    inputs=st.lists(inputs, min_size=1, max_size=3).map(tuple),
    num_outputs=count,
    metric=text,
    group=text,
    classes=st.lists(text, max_size=3).map(tuple),
    limits=st.builds(Limits, latency_ms=st.none() | finite, parameters=st.none() | long, megabytes=st.none() | finite),
    goal=text,
    why=st.lists(text, max_size=3).map(tuple),
)
profile = st.lists(st.tuples(text, st.floats()), max_size=5).flatmap(
    lambda pairs: st.builds(
        Profile,
        names=st.just(tuple(n for n, _ in pairs)),
        values=st.just(tuple(v for _, v in pairs)),
        reasons=st.dictionaries(text, text, max_size=2),
    )
)
axis = st.builds(
    Axis,
    name=text,
    options=st.lists(option, min_size=1, max_size=4, unique_by=repr).map(tuple),
    parent=text,
    when=st.lists(option, max_size=2).map(tuple),
)
prior = st.builds(
    Prior,
    families=st.dictionaries(text, finite, max_size=3),
    axes=st.dictionaries(text, st.lists(axis, max_size=3).map(tuple), max_size=3),
    weights=st.dictionaries(text, st.dictionaries(text, st.lists(finite).map(tuple), max_size=2), max_size=2),
    portfolio=st.lists(candidate, max_size=3).map(tuple),
    why=st.lists(text, max_size=2).map(tuple),
)


@st.composite
def any_trial(draw: st.DrawFn, task_name: str = TASK.name) -> Trial:
    """Any trial that the vocabulary allows: a finite score when ok, else none."""
    status = draw(st.sampled_from(get_args(Status)))
    return Trial(
        task=task_name,
        candidate=draw(candidate),
        fidelity=draw(count),
        seed=draw(long),
        status=status,
        score=draw(finite) if status == "ok" else None,
        curve=tuple(draw(st.lists(st.floats(), max_size=5))),
        seconds=draw(st.floats(0, allow_infinity=False)),
        parameters=draw(st.none() | st.integers(0, 2**63 - 1)),
        latency_ms=draw(st.none() | st.floats(0, allow_infinity=False)),
        error=draw(text),
        number=draw(count),
    )


def same(a: object, b: object) -> bool:
    """Equal in value and type, and NaN equal to NaN."""
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if hasattr(a, "__dataclass_fields__") and type(a) is type(b):
        return all(same(getattr(a, f), getattr(b, f)) for f in a.__dataclass_fields__)  # type: ignore[attr-defined]
    return type(a) is type(b) and a == b

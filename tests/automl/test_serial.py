"""JSON of the vocabulary: every value returns as it was, and nothing else is let in."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from automl.serial import dumps, from_json, from_plain, to_json, to_plain
from automl.types import Axis, Candidate, Prior, Profile, Task, Trial
from tests.automl import vocabulary as v
from tests.automl.examples import MLP, TASK, trial


@given(value=v.task | v.profile | v.candidate | v.prior | v.any_trial())
def test_every_value_returns_as_it_was(value):
    text = to_json(value)
    json.loads(text, parse_constant=pytest.fail)  # no NaN or Infinity, which are no JSON
    assert v.same(from_json(type(value), text), value)


def test_the_type_of_an_option_is_kept():
    before = Candidate("mlp", {"a": 1, "b": 1.0, "c": True, "d": "1"})
    after = from_json(Candidate, to_json(before))
    assert after.id == before.id
    assert [type(x) for x in after.choices.values()] == [int, float, bool, str]


def test_numpy_numbers_are_written_as_plain_ones():
    written = trial(score=np.float32(0.5), seed=np.int64(3), candidate=Candidate("mlp", {"width": np.float64(2.0)}))
    assert from_json(Trial, to_json(written)).seed == 3
    assert from_plain(Candidate, to_plain(written.candidate)).choices == {"width": 2.0}


@pytest.mark.parametrize(
    ("cls", "text", "place"),
    [
        (Candidate, "{", "Candidate: no JSON"),
        (Candidate, "[]", "Candidate: expected an object"),
        (Candidate, '{"family": "mlp"}', "'choices' is missing"),
        (Candidate, '{"family": "mlp", "choices": {}, "code": ""}', "unknown field 'code'"),
        (Candidate, '{"family": 1, "choices": {}}', "Candidate.family: expected text, got 1"),
        (Candidate, '{"family": "mlp", "choices": {"width": null}}', "Candidate.choices.width"),
        (Candidate, '{"family": "mlp", "choices": {"width": [1]}}', "Candidate.choices.width"),
        (Candidate, '{"family": "mlp", "choices": {"width": NaN}}', "finite"),
        (Profile, '{"names": ["a"], "values": [1e999]}', r"Profile.values\[0\]: expected a finite number"),
        (Profile, '{"names": ["a"], "values": ["x"]}', r"Profile.values\[0\]: expected a number"),
        (Profile, '{"names": ["a"], "values": []}', "one value per name"),
        (Profile, '{"names": "a", "values": [1]}', "Profile.names: expected a list"),
        (Axis, '{"name": "a", "options": []}', "distinct options"),
        (Task, to_json(TASK).replace("multiclass", "ranking"), "Task.kind: expected one of binary"),
        (Task, to_json(TASK).replace('"num_outputs":10', '"num_outputs":10.0'), "whole number"),
        (Task, to_json(TASK).replace('"num_outputs":10', '"num_outputs":true'), "whole number"),
        (Trial, to_json(trial()).replace('"score":0.5', '"score":"0.5"'), "Trial.score"),
        (Prior, "[" * 100_000, "no JSON"),
    ],
)
def test_what_is_not_of_the_type_is_refused_with_its_place(cls, text, place):
    with pytest.raises(ValueError, match=place) as caught:
        from_json(cls, text)
    assert "\n" not in str(caught.value)


def test_a_field_with_a_default_may_be_missing():
    plain = to_plain(TASK)
    del plain["why"], plain["limits"]
    assert from_plain(Task, plain) == TASK


@pytest.mark.parametrize("bad", [math.nan, math.inf, None, [1], b"x"])
def test_what_could_not_be_read_back_is_not_written(bad):
    with pytest.raises(ValueError, match=r"Candidate\.choices\.width"):
        to_json(Candidate("mlp", {"width": bad}))


def test_dumps_writes_any_result():
    result = {
        "score": math.nan,
        "n": np.int64(3),
        "a": np.array([1.0, np.inf]),
        "path": Path("a/b"),
        "candidate": MLP,
        "set": {1},
        2: (np.bool_(True), np.str_("x")),
    }
    assert json.loads(dumps(result)) == {
        "score": None,
        "n": 3,
        "a": [1.0, None],
        "path": "a/b",
        "candidate": {"family": "mlp", "choices": {"width": 64, "norm": True, "eps": 1e-5}},
        "set": [1],
        "2": [True, "x"],
    }

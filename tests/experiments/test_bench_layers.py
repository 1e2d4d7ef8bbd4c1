"""The benchmark of lists of layers, in small; the wrong lists in full."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.models.listed.allowed import ALLOWED, arguments_of
from experiments.bench import layers as bench
from experiments.bench._layer_samples import WRONG, Wrong, sample


def test_there_are_enough_wrong_lists_and_each_is_told_right():
    assert len(WRONG) >= 60
    misses = [(bench.shown(w.layers), miss) for w in WRONG if (miss := bench.missed(w, bench.refusal(w)))]
    assert not misses


def test_a_list_that_is_taken_is_a_miss():
    fine = Wrong(["Flatten", {"Linear": {"out_features": "auto"}}], "/layers/0", "anything")
    assert bench.missed(fine, bench.refusal(fine)) == "taken"


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_every_allowed_layer_has_a_sample_that_learns(name):
    of, layers = sample(name)
    predictor = bench.Predictor(bench.Network(layers, of), bench.Task(name, "multiclass", (of,), 3, "accuracy"))
    x = bench.encoded(of, 4)
    bench.one_step(predictor, x)
    bench.alone(predictor, x)


VALUES = (-9999, -1, 0, 1, 2, 5, 9999, -0.5, 1e-9, [[0, 0]], [[2, 3]], [[-1, 2]], True, False, None, "zeros", "sum")
ASKED = [(name, argument) for name in sorted(ALLOWED) for argument in arguments_of(name)]


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(ASKED), st.sampled_from(VALUES))
def test_what_an_argument_may_be_runs_and_the_rest_is_told_in_one_line(asked, value):
    """The meta device takes what a real one does not: padding below 0, a stride of 0."""
    name, argument = asked
    of, layers = sample(name, {argument: value})
    x = bench.encoded(of, 4)
    try:
        bench.planned(bench.read(layers).fixed({}), bench.Entry(of).shape, 3, of.vocabulary)
    except bench.LayerError as error:
        assert "\n" not in str(error) and len(str(error)) < 450 and error.fix
        return
    if value not in (9999, -9999):  # these are only wide
        predictor = bench.Predictor(bench.Network(layers, of), bench.Task(name, "multiclass", (of,), 3, "accuracy"))
        assert predictor(torch.from_numpy(x)).shape == (4, 3)
        bench.alone(predictor, x)


@pytest.mark.parametrize("name", ["LSTM", "TransformerEncoderLayer"])
def test_a_layer_is_exported_and_compared(name):
    found = bench.tried(name)
    assert not found.error and found.difference < 1e-4 and found.parameters > 0


def test_lenet_and_what_is_too_large():
    assert bench.lenet_agrees(seed=1)
    seconds, megabytes = bench.too_large()
    assert seconds < bench.MOST_SECONDS and megabytes < bench.MOST_MB

"""Lists of layers: what is built, what is inferred, what is told."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from automl.errors import UserError
from automl.models.listed.allowed import ALLOWED, BLOCKS, REFUSED, arguments_of
from automl.models.listed.build import Plan, made, planned
from automl.models.listed.errors import LayerError, ShapeError
from automl.models.listed.read import read

END = ["Flatten", {"Linear": {"out_features": "auto"}}]


def plan(layers, shape=(3, 12, 12), outputs=4, vocabulary=0, picked=None) -> Plan:
    return planned(read(layers).fixed(picked or {}), shape, outputs, vocabulary)


def agrees(of: Plan, shape, vocabulary=0) -> nn.Module:
    """Build for real, and compare the shape behind every layer with the one that was found on meta."""
    net = made(of.parts)
    x = torch.randint(vocabulary, (2, *shape)) if vocabulary else torch.randn(2, *shape)
    assert net(x).shape[1:] == of.steps[-1].shape
    assert sum(t.numel() for t in net.state_dict().values()) == of.parameters
    return net


def refused(layers, **more) -> LayerError:
    with pytest.raises(LayerError) as caught:
        plan(layers, **more)
    return caught.value


def test_every_class_of_torch_is_allowed_or_refused_with_a_reason():
    classes = {n for n, of in vars(nn).items() if isinstance(of, type) and issubclass(of, nn.Module)}
    assert classes - {"Sequential"} == (ALLOWED | set(REFUSED)) & classes
    assert set(ALLOWED) <= classes and not ALLOWED & set(REFUSED) and not set(BLOCKS) - {"Sequential"} & classes
    for name in sorted(set(REFUSED) & classes):
        assert refused([name]).fix


def test_the_example_of_the_page():
    layers = [
        {"Conv2d": {"out_channels": 32, "kernel_size": 3}},
        {"ReLU": {}},
        {"MaxPool2d": {"kernel_size": 2}},
        {"Flatten": None},
        {"Linear": {"out_features": "auto"}},
    ]
    of = plan(layers, (1, 28, 28), 10)
    assert [step.shape for step in of.steps] == [(32, 26, 26), (32, 26, 26), (32, 13, 13), (5408,), (10,)]
    assert of.parts[-1].arguments == {"in_features": 5408, "out_features": 10}
    assert of.parameters == 320 + 54090


def test_the_network_is_the_one_written_by_hand_to_the_bit():
    def by_hand():
        return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(800, 4))

    layers = [{"Conv2d": {"out_channels": 8, "kernel_size": 3}}, "BatchNorm2d", "ReLU", *END]
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    of = plan(layers)
    assert torch.equal(torch.random.get_rng_state(), state)
    mine = made(of.parts)
    torch.manual_seed(3)
    theirs = by_hand()
    x = torch.randn(5, 3, 12, 12)
    assert torch.equal(mine(x), theirs(x))
    assert all(torch.equal(a, b) for a, b in zip(mine.state_dict().values(), theirs.state_dict().values(), strict=True))


@pytest.mark.parametrize(
    ("layers", "shape", "behind"),
    [
        ([{"LSTM": {"hidden_size": 6, "bidirectional": True, "output": "last"}}], (7, 3), (12,)),
        ([{"LSTM": {"hidden_size": 6, "proj_size": 2, "num_layers": 2}}], (7, 3), (7, 2)),
        ([{"GRU": {"hidden_size": 6, "bidirectional": True}}], (7, 3), (7, 12)),
        ([{"RNN": {"hidden_size": 6, "nonlinearity": "relu", "output": "last"}}], (7, 3), (6,)),
        (["Positions", {"MultiheadAttention": {"num_heads": 2}}, "LayerNorm"], (7, 4), (7, 4)),
        ([{"TransformerEncoderLayer": {"nhead": 2, "dim_feedforward": 8}}], (7, 4), (7, 4)),
    ],
)
def test_layers_over_steps(layers, shape, behind):
    of = plan(["Transpose", *layers, *END], shape[::-1])
    assert of.steps[len(layers)].shape == behind
    agrees(of, shape[::-1])


def test_the_last_step_is_the_state_of_both_directions():
    torch.manual_seed(0)
    lstm = {"hidden_size": 6, "bidirectional": True, "num_layers": 2}
    net = agrees(plan(["Transpose", {"LSTM": {**lstm, "output": "last"}}, *END], (3, 7)), (3, 7))
    x = torch.randn(4, 3, 7)
    steps, _ = net[1].net(x.transpose(1, 2))
    torch.testing.assert_close(net[:2](x), torch.cat([steps[:, -1, :6], steps[:, 0, 6:]], 1))


def test_token_ids_become_vectors():
    of = plan([{"Embedding": {"embedding_dim": 5}}, "Transpose", {"AdaptiveMaxPool1d": {"output_size": 1}}, *END],
              (9,), vocabulary=30)  # fmt: skip
    assert of.parts[0].arguments == {"embedding_dim": 5, "num_embeddings": 30}
    agrees(of, (9,), 30)


def test_blocks_hold_blocks():
    conv = {"Conv2d": {"out_channels": 3, "kernel_size": 3, "padding": 1}}
    layers = [
        {"Repeat": {"times": 2, "layers": [{"Residual": [conv, "BatchNorm2d", "ReLU", conv]}, "ReLU"]}},
        {"Parallel": {"branches": [[conv], [], [{"Sequential": [conv, "ReLU"]}]], "join": "cat"}},
        {"Parallel": {"branches": [[{"Conv2d": {"out_channels": 9, "kernel_size": 1}}], []], "join": "add"}},
        *END,
    ]
    of = plan(layers)
    assert of.steps[-2].shape == (9 * 144,)
    agrees(of, (3, 12, 12))


def test_norms_take_the_features_of_steps_and_the_whole_of_maps():
    assert plan(["LayerNorm", *END]).parts[0].arguments == {"normalized_shape": (3, 12, 12)}
    assert plan(["Flatten", "LayerNorm", *END[1:]]).parts[1].arguments == {"normalized_shape": 432}
    assert plan(["Transpose", "RMSNorm", *END], (3, 7)).parts[1].arguments == {"normalized_shape": 3}


# --- choices


def test_a_list_is_a_choice_and_a_list_in_it_a_tuple():
    listing = read([
        {"Conv2d": {"out_channels": [32, 16], "kernel_size": [3, [3, 5]], "stride": [[1, 2]], "padding": ["same"]}},
        [{"ReLU": {}}, "GELU"],
    ])  # fmt: skip
    assert [(c.name, c.options) for c in listing.choices] == [
        ("0.Conv2d.out_channels", (16, 32)),
        ("0.Conv2d.kernel_size", ("3", "[3, 5]")),
        ("1", ("ReLU", "GELU")),
    ]
    conv, act = listing.fixed({"0.Conv2d.out_channels": 32, "0.Conv2d.kernel_size": "[3, 5]", "1": "GELU"})
    assert conv.arguments == {"out_channels": 32, "kernel_size": (3, 5), "stride": (1, 2), "padding": "same"}
    assert act.name == "GELU"


def test_what_a_chosen_layer_chooses_hangs_on_it():
    listing = read([["ReLU", {"ELU": {"alpha": [0.5, 1.0]}}], {"Repeat": {"times": [1, 2], "layers": ["ReLU"]}}])
    layer, alpha, times = listing.choices
    assert (alpha.parent, alpha.when) == (layer.name, ("ELU",))
    assert times.name == "1.Repeat.times" and not times.parent


def test_a_list_is_named_by_what_it_says_not_by_how():
    one = read([{"Linear": {"out_features": [16, 8], "bias": True}}, "ReLU"])
    same = read(({"Linear": {"bias": True, "out_features": (8, 16)}}, {"ReLU": None}))
    other = read([{"Linear": {"out_features": [16, 9], "bias": True}}, "ReLU"])
    assert one.digest == same.digest != other.digest


# --- what is told


def test_a_shape_error_says_where_what_and_how_to_mend_it():
    error = refused(["Flatten", {"Linear": {"in_features": 100, "out_features": "auto"}}])
    assert isinstance(error, ShapeError) and isinstance(error, UserError)
    assert error.path == "/layers/1/Linear/in_features" and error.shape == (432,)
    assert str(error) == "/layers/1/Linear/in_features: in_features=100, and 432 arrive; it got (432,). Leave it out"


def test_reading_looks_nothing_up():
    class Bomb(dict):
        def items(self):
            raise RuntimeError("ran")

    for odd in ("__import__('os').system('x')", "builtins.eval", "../../x", "nn.Linear", "Linear.__init__"):
        assert refused([odd]).path == "/layers/0"
        assert refused([{"Linear": {odd: 1}}]).path.startswith("/layers/0/Linear")
    assert refused([object()]).path == "/layers/0"
    assert refused([{"Linear": object()}]).path == "/layers/0/Linear"
    assert refused([{"Linear": {"out_features": object()}}]).path == "/layers/0/Linear/out_features"


def test_arguments_are_torch_s_own():
    assert list(arguments_of("Linear")) == ["in_features", "out_features", "bias"]
    assert "hidden_size" in arguments_of("LSTM") and "batch_first" not in arguments_of("LSTM")
    for name in ALLOWED:
        assert all(isinstance(key, str) for key in arguments_of(name))


WIDTH = st.integers(-1, 9) | st.just("auto") | st.lists(st.integers(1, 4), max_size=2)
SMALL = st.integers(-1, 4) | st.lists(st.lists(st.integers(1, 3), max_size=2), max_size=1)
ARGUMENTS = {
    "Linear": {"out_features": WIDTH},
    "Conv1d": {"out_channels": WIDTH, "kernel_size": SMALL, "padding": SMALL},
    "Conv2d": {"out_channels": WIDTH, "kernel_size": SMALL, "stride": SMALL, "padding": SMALL},
    "MaxPool2d": {"kernel_size": SMALL},
    "AdaptiveAvgPool2d": {"output_size": SMALL},
    "GRU": {"hidden_size": WIDTH, "output": st.sampled_from(["last", "all", "no"])},
    "Unflatten": {"dim": SMALL, "unflattened_size": SMALL},
    "Softmax": {"dim": st.integers(-3, 3)},
    "Flatten": {"start_dim": st.integers(-3, 3)},
}
SIMPLE = st.sampled_from(
    ["ReLU", "BatchNorm2d", "BatchNorm1d", "LayerNorm", "Transpose", "Positions", "Dropout", "Flatten", "GLU", "Cell"]
)
NAMED = st.sampled_from(sorted(ARGUMENTS)).flatmap(
    lambda n: st.fixed_dictionaries({n: st.fixed_dictionaries(ARGUMENTS[n])})
)
LAYER = st.recursive(
    SIMPLE | NAMED,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"Residual": st.lists(inner, max_size=2)}),
        st.fixed_dictionaries({"Repeat": st.fixed_dictionaries(
            {"times": st.integers(0, 3), "layers": st.lists(inner, max_size=2)})}),
        st.fixed_dictionaries({"Parallel": st.fixed_dictionaries(
            {"branches": st.lists(st.lists(inner, max_size=2), max_size=2), "join": st.sampled_from(["cat", "add"])})}),
    ),
    max_leaves=4,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(LAYER, max_size=5), st.sampled_from([(3, 6, 6), (2, 8), (5,)]), st.booleans())
def test_a_list_is_built_with_the_shapes_that_were_found_or_refused_in_one_line(layers, shape, ended):
    try:
        of = plan([*layers, *END] if ended else layers, shape)
    except LayerError as error:
        assert error.path.startswith("/layers") and "\n" not in str(error) and error.fix and len(str(error)) < 400
    else:
        agrees(of, shape)


ATOM = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(sorted(ARGUMENTS))
)
KEY = st.sampled_from(["Linear", "Repeat", "out_features"]) | st.text(max_size=3)
PLAIN = st.recursive(
    ATOM, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEY, inner, max_size=2), max_leaves=12
)


@settings(max_examples=200, deadline=None)
@given(PLAIN)
def test_whatever_is_given_is_read_or_refused(data):
    try:
        read(data)
    except LayerError as error:
        assert error.fix and len(str(error)) < 600

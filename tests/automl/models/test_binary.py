"""Networks of +1 and -1: bits, operator, training, graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from automl.deploy.onnx import write_onnx
from automl.models.binary import layers, operator
from automl.models.binary.layers import BinaryConv2d, BinaryLinear, sign
from automl.models.binary.operator import pack, plain, unpack


@pytest.fixture(scope="module")
def built():
    """The operator; the tests of this file build it once, and skip where there is no compiler."""
    library = operator.build()
    if library is None:
        pytest.skip("no compiler for the operator")
    return library


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 300), st.integers(0, 10_000))
def test_bits_multiply_as_signs_do(rows: int, outputs: int, size: int, seed: int):
    torch.manual_seed(seed)
    x, w = torch.randn(rows, size), torch.randn(outputs, size)
    x[0, 0] = 0.0  # counts as +1
    assert torch.equal(unpack(pack(x), size), sign(x))
    assert torch.equal(plain(pack(x), pack(w), size), sign(x) @ sign(w).T)
    assert pack(x).dtype == torch.uint8 and pack(x).shape == (rows, -(-size // 64) * 8)


@pytest.mark.whole
@settings(max_examples=60, deadline=None)
@given(n=st.integers(0, 20), m=st.integers(0, 20), size=st.integers(1, 700), seed=st.integers(0, 10_000))
def test_the_operator_is_plain_torch(built, n: int, m: int, size: int, seed: int):
    torch.manual_seed(seed)
    x, w = pack(torch.randn(n, size)), pack(torch.randn(m, size))
    assert torch.equal(torch.ops.level4_xnor.matmul(x, w, size), plain(x, w, size))
    if n > 1:  # not contiguous
        assert torch.equal(torch.ops.level4_xnor.matmul(x[::2], w, size), plain(x[::2], w, size))


@pytest.mark.parametrize(
    ("x", "w", "size"),
    [
        ((2, 8), (2, 16), 64),
        ((2, 7), (2, 7), 56),
        ((2, 8), (2, 8), 65),
        ((2, 8), (2, 8), -1),
        ((8,), (2, 8), 8),
    ],
)
@pytest.mark.whole
def test_the_operator_refuses_other_shapes(built, x, w, size):
    with pytest.raises(RuntimeError):
        torch.ops.level4_xnor.matmul(torch.zeros(x, dtype=torch.uint8), torch.zeros(w, dtype=torch.uint8), size)
    with pytest.raises(RuntimeError):
        torch.ops.level4_xnor.matmul(torch.zeros(2, 8), torch.zeros(2, 8), 64)


def test_without_a_compiler_plain_torch_answers(monkeypatch, tmp_path):
    from torch.utils import cpp_extension

    def fails(*_, **__):
        raise RuntimeError("Ninja is required\nand more")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(cpp_extension, "load", fails)
    with pytest.warns(UserWarning, match="Ninja is required"):
        assert operator.build() is None
    monkeypatch.setattr(operator, "_built", lambda: False)
    layer = BinaryLinear(70, 5).eval()
    x = torch.randn(3, 70)
    assert torch.equal(layer(x), layer.scale * (sign(x) @ sign(layer.weight).T))
    assert not list(tmp_path.rglob("*.so"))


@pytest.mark.parametrize(
    "layer", [BinaryLinear(70, 5), BinaryConv2d(3, 4), BinaryConv2d(2, 3, 1), BinaryConv2d(2, 3, 2)]
)
def test_training_and_bits_answer_the_same(layer: nn.Module):
    x = torch.randn(6, 70) if isinstance(layer, BinaryLinear) else torch.randn(6, layer.inputs, 5, 7)
    trained = layer.train()(x)
    with torch.inference_mode():
        assert torch.allclose(layer.eval()(x), trained, atol=1e-6)


def test_patches_of_many_rows_are_not_laid_out_at_once(monkeypatch):
    layer, x, laid = BinaryConv2d(3, 4).eval(), torch.randn(40, 3, 6, 6), []
    expected = layer(x)
    unfold = layers.F.unfold
    monkeypatch.setattr(layers, "NUMBERS", 5_000, raising=False)
    monkeypatch.setattr(layers.F, "unfold", lambda *of: (laid.append(unfold(*of)), laid[-1])[1])
    assert torch.equal(layer(x), expected) and max(one.numel() for one in laid) <= 5_000


def test_bits_follow_the_weights():
    layer = BinaryLinear(64, 2).eval()
    x = torch.ones(1, 64)
    with torch.no_grad():
        layer(x)
        layer.weight.fill_(1.0)  # as an optimizer or a moving average does
        assert torch.equal(layer(x), torch.full((1, 2), 8.0))
    layer.load_state_dict({"weight": -torch.ones(2, 64)})
    assert torch.equal(layer(x), torch.full((1, 2), -8.0))
    layer.train().weight.grad = -torch.ones(2, 64)
    torch.optim.SGD(layer.parameters(), lr=2.0, fused=True).step()
    assert torch.equal(layer.eval()(x), torch.full((1, 2), 8.0))


def test_gradients_go_straight_through_and_are_cut():
    layer = BinaryLinear(3, 1).train()
    x = torch.tensor([[0.5, -2.0, 0.0]], requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None and layer.weight.grad is not None
    assert x.grad[0, 1] == 0 and (x.grad[0, [0, 2]] != 0).all()
    assert (layer.weight.grad != 0).all()


def test_a_graph_holds_bits_and_answers_as_the_network(tmp_path: Path):
    torch.manual_seed(0)
    network = nn.Sequential(BinaryConv2d(32, 64), nn.BatchNorm2d(64), nn.Flatten(), BinaryLinear(64 * 16, 128))
    rows = np.random.default_rng(0).normal(size=(20, 32, 4, 4)).astype(np.float32)
    agreement = write_onnx(tmp_path / "m.onnx", network, ["x"], [rows])
    assert agreement.max_difference < 1e-5
    weights = 64 * 32 * 9 + 128 * 1024
    assert (tmp_path / "m.onnx").stat().st_size < weights / 8 * 1.3 + 6_000, "an eighth of a byte a weight"
    kept = {i.name: i.data_type for i in onnx.load(tmp_path / "m.onnx").graph.initializer if len(i.dims) == 2}
    assert onnx.TensorProto.UINT8 in kept.values()

"""What single blocks promise, against plain computations of the same thing."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from automl.models.closed_form.ridge import classes_head, ridge
from automl.models.layers.attention import Attention, TransformerBlock
from automl.models.layers.common import TokenPool, scales
from automl.models.layers.image import PatchTokens, patch_sides, stage_options, stem_strides
from automl.models.layers.recurrent import Recurrent
from automl.models.layers.series import SeriesInput, SeriesTokens, TimeConv, TimePool, step_sizes
from automl.models.layers.tabular import ColumnTokens, ColumnVector, NumericEmbedding
from automl.models.layers.text import Words, trim
from automl.models.remember import Remember
from automl.types import Input
from nas.families.bag_of_embeddings import Pairs
from nas.families.rocket import TAPS, Convolutions
from nas.families.tabm import MemberLinear

UNEQUAL = Input("s", "series", (3, 12), masked=True)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def unequal(lengths: list[int]) -> torch.Tensor:
    x = torch.randn(len(lengths), 3, 12)
    x[:, 2] = (torch.arange(12) < torch.tensor(lengths)[:, None]).float()
    return x


class TestPadding:
    """Nothing that stands where the mask is 0 may change what comes out."""

    @pytest.mark.parametrize("form", ["mean", "max", "attention", "last"])
    def test_token_pool(self, form):
        pool = TokenPool(form, 4)
        x = torch.randn(3, 6, 4)
        mask = torch.arange(6) < torch.tensor([[6], [2], [0]])
        out = pool(x, mask)
        torch.testing.assert_close(pool(torch.where(mask[..., None], x, 9.0 * torch.ones_like(x)), mask)[:2], out[:2])
        torch.testing.assert_close(pool(x[:1], None), out[:1])
        torch.testing.assert_close(pool(x[1:2, :2], None), out[1:2])
        assert out.isfinite().all()

    @pytest.mark.parametrize("form", ["mean", "max", "both"])
    def test_time_pool(self, form):
        x, mask = torch.randn(3, 5, 1, 8), (torch.arange(8) < torch.tensor([[8], [3], [0]])).float()[:, None]
        pool = TimePool(form)
        out = pool(x, mask)
        torch.testing.assert_close(pool(x[:1]), out[:1])
        torch.testing.assert_close(pool(x[1:2, ..., :3]), out[1:2])
        assert not out[2].any()

    @pytest.mark.parametrize("normalise", ["none", "row"])
    def test_series_input(self, normalise):
        layer = SeriesInput(UNEQUAL, normalise)
        x = unequal([12, 5, 0])
        y, mask = layer(x)
        other = torch.where(x[:, 2:] > 0, x, torch.full_like(x, 7.0))
        other[:, 2] = x[:, 2]
        torch.testing.assert_close(layer(other)[0], y)
        assert torch.equal(y[:, 2:], mask)
        if normalise == "row":
            seen = y[1, :2, :5]
            torch.testing.assert_close(seen.mean(1), torch.zeros(2), atol=1e-5, rtol=0)
            torch.testing.assert_close(seen.std(1, correction=0), torch.ones(2), atol=1e-3, rtol=0)

    def test_series_tokens_are_seen_when_any_step_is(self):
        tokens, mask = SeriesTokens(UNEQUAL, 4, 4, 6)(*SeriesInput(UNEQUAL)(unequal([12, 5, 0])))
        assert tokens.shape == (3, 3, 6)
        assert mask.tolist() == [[True] * 3, [True, True, False], [False] * 3]

    def test_attention(self):
        attention = Attention(8, 2)
        x, mask = torch.randn(2, 5, 8), torch.tensor([[True] * 3 + [False] * 2, [False] * 5])
        out = attention(x, mask)
        torch.testing.assert_close(out[0, :3], attention(x[:1, :3])[0])
        assert out.isfinite().all(), "a row without tokens is no NaN"

    @pytest.mark.parametrize("cell", ["gru", "lstm"])
    def test_both_directions_of_a_recurrent_net_are_torch_s(self, cell):
        net = Recurrent(cell, 3, 8, 2, both=True, pool="last").eval()
        torch_s = {"gru": nn.GRU, "lstm": nn.LSTM}[cell](3, 4, 2, batch_first=True, bidirectional=True)
        for i, (onward, back) in enumerate(zip(net.onward, net.back, strict=True)):
            for (name, one), other in zip(onward.named_parameters(), back.parameters(), strict=True):
                name = name.replace("_l0", f"_l{i}")
                getattr(torch_s, name).data, getattr(torch_s, f"{name}_reverse").data = one.data, other.data
        x = torch.randn(2, 6, 3)
        states = torch_s(x)[0]
        torch.testing.assert_close(net(x), torch.cat([states[:, -1, :4], states[:, 0, 4:]], dim=1))

    @pytest.mark.parametrize("pool", ["mean", "max", "attention", "last"])
    @pytest.mark.parametrize("layers", [1, 2])
    @pytest.mark.parametrize("both", [False, True])
    def test_what_is_padded_behind_a_row_changes_nothing(self, pool, layers, both):
        net = Recurrent("gru", 3, 8, layers, both=both, pool=pool).eval()
        x, lengths = torch.randn(4, 5, 3), torch.tensor([5, 3, 1, 0])
        mask = torch.arange(5) < lengths[:, None]
        x = x * mask[..., None]
        more = net(F.pad(x, (0, 0, 0, 40)), F.pad(mask, (0, 40)))
        torch.testing.assert_close(net(x, mask)[:3], more[:3])
        torch.testing.assert_close(net(x[:1], mask[:1]), net(x[:1]))

    def test_text(self):
        words = Words(Input("t", "text", (6,), vocabulary=9), 4)
        ids = torch.tensor([[3, 4, 0, 0, 0, 0], [5, 0, 0, 0, 0, 0]])
        vectors, mask = words.train()(ids)
        assert vectors.shape == (2, 2, 4) and mask.tolist() == [[True, True], [True, False]]
        assert words.eval()(ids)[0].shape == (2, 6, 4)
        few = Words(Input("t", "text", (6,), vocabulary=9, letters=5), 4)
        assert few.eval()(ids + torch.tensor([0, 99, 99, 99, 99, 99]))[0].shape == (2, 1, 4), "letters are no tokens"
        assert trim(torch.zeros(2, 6, dtype=torch.long)).shape == (2, 1)


class TestTimeConv:
    @pytest.mark.parametrize("kernel", [1, 2, 3, 8])
    @pytest.mark.parametrize("dilation", [1, 2, 3])
    def test_is_a_convolution_over_time_that_keeps_the_length(self, kernel, dilation):
        layer, x = TimeConv(2, 3, kernel, dilation=dilation, bias=True), torch.randn(2, 2, 1, 20)
        reach = (kernel - 1) * dilation
        padded = F.pad(x[:, :, 0], (reach // 2, reach - reach // 2))
        plain = F.conv1d(padded, layer.weight[:, :, 0], layer.bias, dilation=dilation)
        torch.testing.assert_close(layer(x)[:, :, 0], plain)

    def test_causal_sees_only_the_past(self):
        layer, x = TimeConv(1, 1, 4, dilation=2, causal=True), torch.randn(1, 1, 1, 20)
        later = x.clone()
        later[..., 10:] = 9
        torch.testing.assert_close(layer(later)[..., :10], layer(x)[..., :10])


class TestRocket:
    def test_features_are_those_of_plain_convolutions(self):
        """The share of steps above each threshold, with and without padding, one kernel at a time."""
        layer, x = Convolutions(2, 50, 400), torch.randn(90, 2, 50)
        layer.fit(x, None)
        features = layer(x, None)
        assert features.shape == (90, 400) and 0.2 < features.mean() < 0.8
        at = 0
        for dilation, padded, first, last in layer.rounds:
            reach = (TAPS - 1) // 2 * dilation
            for k, i in enumerate(range(first, last)):
                weight = layer.kernels[layer.dilations.index(dilation), k][None]
                plain = F.conv1d(x, weight, padding=reach if padded else 0, dilation=dilation)[:, 0]
                expected = (plain - layer.thresholds[i]).clamp(0, 1).mean(1)
                torch.testing.assert_close(features[:, i], expected, rtol=1e-4, atol=1e-4)
                at += 1
        assert at == 400

    def test_kernels_are_centred_and_spread_over_dilations(self):
        layer = Convolutions(1, 600, 2000)
        torch.testing.assert_close(layer.kernels.sum(3), torch.zeros(layer.kernels.shape[:3]))
        assert {d for d, *_ in layer.rounds} == {1, 2, 4, 8, 16, 32, 64}
        assert not list(layer.parameters()) and {"kernels", "thresholds"} <= set(layer.state_dict())

    @pytest.mark.parametrize("length", [1, 2, 9, 40, 100])
    @pytest.mark.parametrize("masked", [False, True])
    @pytest.mark.parametrize("count", [20, 500, 1200])
    def test_the_exported_form_says_the_same(self, length, masked, count):
        layer, x = Convolutions(3, length, count), torch.randn(20, 3, length)
        mask = (torch.arange(length) < torch.randint(0, length + 1, (20, 1))).float()[:, None] if masked else None
        x = x if mask is None else x * mask
        layer.fit(x, mask)
        features = layer(x, mask)
        assert features.isfinite().all() and features.min() >= 0 and features.max() <= 1 + 1e-5
        torch.testing.assert_close(layer.exported(x, mask), features, rtol=1e-4, atol=1e-4)

    def test_whole_numbers_and_flat_stretches_do_not_turn_on_a_last_digit(self):
        """Many steps stand exactly at a threshold there; a sum in another order must not move them across."""
        layer, x = Convolutions(1, 60, 1000), torch.randint(0, 3, (50, 1, 60)).float().cumsum(2)
        x[:, :, 20:40] = 7.0
        layer.fit(x, None)
        again = layer(x + 1e-6 * torch.randn_like(x), None)
        assert (again - layer(x, None)).abs().max() < 1e-3

    def test_it_is_fitted_again_as_if_for_the_first_time(self):
        layer, x = Convolutions(1, 60, 300), torch.randn(50, 1, 60)
        layer.fit(x, None)
        first = layer(x, None)
        layer.fit(3 * x, None)
        layer.fit(x, None)
        torch.testing.assert_close(layer(x, None), first)

    def test_rows_are_cut_without_a_trace(self, monkeypatch):
        layer = Convolutions(2, 12, 20)
        x, mask = SeriesInput(UNEQUAL)(unequal([12, 5, 0, 9, 12]))
        layer.fit(x[:, :-1], mask)
        whole = layer(x[:, :-1], mask)
        monkeypatch.setattr("nas.families.rocket.CACHED", 1)
        torch.testing.assert_close(layer(x[:, :-1], mask), whole)


class TestRidge:
    @pytest.mark.parametrize(("rows", "features"), [(20, 50), (50, 6), (3, 4)])
    def test_each_row_is_predicted_from_all_others(self, rows, features):
        """Against refitting without the row; the strength is the one that was chosen."""
        x = torch.randn(rows, features, dtype=torch.float64) + 3
        y = x[:, :2] + 0.5 * torch.randn(rows, 2, dtype=torch.float64)
        weight, bias, left_out = ridge(x, y)
        strength = solved_strength(x, y, weight)
        for i in range(rows):
            others = torch.arange(rows) != i
            w, b = plain_ridge(x[others], y[others], strength)
            torch.testing.assert_close(left_out[i], x[i] @ w + b, rtol=1e-5, atol=1e-5)
        w, b = plain_ridge(x, y, strength)
        torch.testing.assert_close((weight, bias), (w, b), rtol=1e-5, atol=1e-6)

    def test_a_row_that_stands_several_times_is_left_out_whole(self):
        x = torch.randn(15, 20, dtype=torch.float64) + 3
        y, times = torch.randn(15, 1, dtype=torch.float64), torch.randint(1, 5, (15,))
        weight, _, left_out = ridge(x, y, times)
        many, known = x.repeat_interleave(times, 0), y.repeat_interleave(times, 0)
        strength, row = solved_strength(many, known, weight), torch.arange(15).repeat_interleave(times)
        for i in range(15):
            w, b = plain_ridge(many[row != i], known[row != i], strength)
            torch.testing.assert_close(left_out[i], x[i] @ w + b, rtol=1e-5, atol=1e-5)

    def test_the_logits_are_neither_timid_nor_overconfident(self):
        """Noise gives even odds, classes that lie apart are told apart with confidence."""
        y = torch.arange(200) % 2
        noise, apart = torch.randn(200, 300), torch.randn(200, 300) + 2 * y[:, None]
        for x, low, high in ((noise, 0.5, 0.7), (apart, 0.99, 1.0)):
            weight, bias = classes_head(x[:100], y[:100], 2)
            p = (x[100:] @ weight + bias).softmax(1)
            assert low <= float(p.amax(1).mean()) <= high
        assert (p.argmax(1) == y[100:]).all()

    def test_constant_features_and_a_class_without_rows(self):
        weight, bias = classes_head(torch.zeros(4, 3), torch.tensor([0, 0, 2, 2]), 3)
        assert weight.isfinite().all() and bias.isfinite().all()


def plain_ridge(x, y, strength):
    xm, ym = x.mean(0), y.mean(0)
    w = torch.linalg.solve((x - xm).T @ (x - xm) + strength * torch.eye(x.shape[1]), (x - xm).T @ (y - ym))
    return w, ym - xm @ w


def solved_strength(x, y, weight):
    """From (X'X + s I) w = X'y."""
    x, y = x - x.mean(0), y - y.mean(0)
    return float(((x.T @ y - x.T @ x @ weight) * weight).sum() / (weight * weight).sum())


class TestRemember:
    def test_answers_are_those_of_the_body_and_it_is_asked_once(self):
        class Body(torch.nn.Module):
            asked = 0

            def forward(self, x):
                self.asked += len(x)
                return x.flatten(1).cumsum(1)

        body = Body()
        layer = Remember(body)
        x = torch.randn(6, 2, 3)
        for rows in ([0, 1, 2], [2, 1, 0, 3], [5, 5, 0], [4, 5, 3]):
            torch.testing.assert_close(layer(x[rows]), x[rows].flatten(1).cumsum(1))
        assert body.asked == 3 + 1 + 2 + 1, "within one batch a new row may be asked twice"
        assert len(layer.known) == 6
        assert not copy.deepcopy(layer).known and copy.deepcopy(layer).room == 256 * 2**20

    def test_loading_a_state_forgets(self):
        class Scaled(torch.nn.Module):
            def __init__(self, by):
                super().__init__()
                self.register_buffer("by", torch.tensor(by))

            def forward(self, x):
                return x * self.by

        net, x = torch.nn.Sequential(Remember(Scaled(2.0))), torch.ones(2, 3)  # equal rows: one memory
        assert net(x)[0, 0] == 2 and net(x)[0, 0] == 2
        net.load_state_dict(torch.nn.Sequential(Remember(Scaled(5.0))).state_dict())
        assert net(x)[0, 0] == 5 and net[0].room == 256 * 2**20 - 12
        net.load_state_dict(net.state_dict())
        assert len(net[0].known) == 1, "the same body has the same answers"

    def test_memory_is_limited(self):
        layer = Remember(torch.nn.Flatten(), megabytes=1)
        x = torch.randn(9, 2**15)  # an eighth of a MiB each
        torch.testing.assert_close(layer(x), x)
        assert len(layer.known) == 8 and layer.room == 0
        torch.testing.assert_close(layer(x.flip(0)), x.flip(0))

    def test_what_is_not_trained_is_not_rounded_in_mixed_precision(self):
        class Fixed(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.register_buffer("weight", torch.randn(3, 5))

            def forward(self, x):
                return x @ self.weight

        layer, x = Remember(Fixed()), torch.randn(4, 3)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = layer(x)
        torch.testing.assert_close(mixed, x @ layer.body.weight)

    def test_what_is_trained_is_not_remembered(self):
        with pytest.raises(ValueError, match="not trained"):
            Remember(torch.nn.Linear(2, 2))


class TestTabular:
    def test_piecewise_parts_follow_the_definition(self):
        layer = NumericEmbedding("piecewise", 1, 4, bins=8)
        x = np.array([-9.0, -1.0, 0.0, 0.3, 2.0, 9.0], dtype=np.float32)
        parts = ((torch.tensor(x)[:, None] - layer.low) / layer.step).clamp(layer.least, layer.most)
        edges = np.append(layer.low.numpy(), (layer.low + layer.step).numpy()[-1])
        for value, row in zip(x[1:-1], parts[1:-1].numpy(), strict=True):
            at = np.searchsorted(edges, value, side="right") - 1
            expected = [1.0] * at + [(value - edges[at]) / (edges[at + 1] - edges[at])] + [0.0] * (7 - at)
            np.testing.assert_allclose(row, expected, atol=1e-5)
        assert parts[0, 0] < 0 and parts[-1, -1] > 1, "outliers keep their order"
        line = torch.tensor(x)[:, None, None] * layer.weight + layer.bias
        torch.testing.assert_close(layer(torch.tensor(x)[:, None]), line + (parts @ layer.mix[0])[:, None])

    def test_columns_of_both_sorts_find_their_own_tables(self):
        of = Input("t", "tabular", (4,), cardinalities=(3, 0, 2, 0))
        x = torch.tensor([[2.0, 0.5, 1.0, -1.0], [0.0, 0.5, 1.0, -1.0]])
        tokens = ColumnTokens(of, 6)
        assert tokens(x).shape == (2, 4, 6) == (2, tokens.tokens, 6)
        changed = (tokens(x)[0] != tokens(x)[1]).any(dim=1)
        assert changed.tolist() == [False, False, True, False], "numbers first, then categories"
        assert tokens.category.table.num_embeddings == 5
        for numeric in ("none", "piecewise", "periodic"):
            vector = ColumnVector(of, numeric)
            assert vector(x).shape == (2, vector.size)

    def test_a_member_alone_gives_what_it_gives_among_all(self):
        layer = MemberLinear(4, 5, 3, first=True)
        x, member = torch.randn(6, 5), torch.tensor([0, 1, 2, 3, 0, 1])
        together = layer(x[:, None].expand(-1, 4, -1))
        torch.testing.assert_close(layer(x, member), together[torch.arange(6), member])
        assert not torch.equal(together[:, 0], together[:, 1])


class TestSizes:
    @pytest.mark.parametrize(
        ("side", "strides", "stages"),
        [
            (8, (1,), 3),
            (16, (2, 1), 4),
            (28, (4, 2, 1), 4),
            (32, (4, 2, 1), 4),
            (64, (4, 2, 1), 4),
            (224, (16, 8, 4), 4),
        ],
    )
    def test_stems_and_stages_follow_the_image(self, side, strides, stages):
        assert tuple(stem_strides(side, side).values()) == strides
        assert stage_options(side, side)[-1] == stages

    @pytest.mark.parametrize("shape", [(1, 1), (3, 3), (8, 8), (28, 28), (40, 64), (17, 500), (224, 224)])
    def test_patches_cover_any_image(self, shape):
        for patch in patch_sides(*shape).values():
            tokens = PatchTokens((2, *shape), patch, 8, "conv")
            assert tokens(torch.randn(2, 2, *shape)).shape == (2, tokens.tokens, 8)
            assert tokens.tokens == math.ceil(shape[0] / patch) * math.ceil(shape[1] / patch) <= 256

    def test_scales_name_the_same_thing_at_every_size(self):
        assert scales([9]) == {"fine": 9}
        assert scales([9, 8]) == {"medium": 9, "fine": 8}
        assert scales([9, 8, 7]) == {"coarse": 9, "medium": 8, "fine": 7}
        assert scales([9, 8, 7, 6]) == {"coarse": 9, "medium": 7, "fine": 6}

    @pytest.mark.parametrize("length", [1, 2, 7, 24, 150, 1460, 4096])
    def test_steps_cover_any_series(self, length):
        for step in step_sizes(length, 16, 256).values():
            of = Input("s", "series", (2, length))
            tokens = SeriesTokens(of, 2 * step, step, 4)
            assert tokens(torch.randn(1, 2, length), None)[0].shape == (1, tokens.tokens, 4)
            assert -(-length // step) <= 256


def test_pairs_know_the_order_and_skip_padding():
    pairs = Pairs(1024, 4)
    vectors, mask = pairs(torch.tensor([[5, 6, 0, 0], [6, 5, 7, 0]]))
    assert mask.tolist() == [[True, False, False], [True, True, False]]
    assert not torch.equal(vectors[0, 0], vectors[1, 0])


def test_a_gated_block_has_as_many_parameters_as_a_plain_one():
    plain, gated = (sum(p.numel() for p in TransformerBlock(64, 2, gated=g).parameters()) for g in (False, True))
    assert abs(plain - gated) / plain < 0.15

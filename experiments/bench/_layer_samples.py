"""A small list with each allowed layer in it, and lists that are wrong, each with what has to be said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from automl.models.listed.allowed import IDS, STEPS
from automl.types import Input

IMAGE = Input("image", "image", (3, 12, 12))
SERIES = Input("series", "series", (3, 16))
TABLE = Input("table", "tabular", (12,), cardinalities=(0,) * 12)
TEXT = Input("text", "text", (10,), vocabulary=30)
OUTPUTS = 3

END: list[Any] = ["Flatten", {"Linear": {"out_features": "auto"}}]
_DEPTH = {"Unflatten": {"dim": 1, "unflattened_size": [[1, 3]]}}
_ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "Conv": {"out_channels": 4, "kernel_size": 3},
    "ConvTranspose": {"out_channels": 4, "kernel_size": 3, "stride": 2},
    "AvgPool": {"kernel_size": 2},
    "MaxPool": {"kernel_size": 2},
    "LPPool": {"norm_type": 2, "kernel_size": 2},
    "AdaptiveAvgPool": {"output_size": 2},
    "AdaptiveMaxPool": {"output_size": 2},
    "AdaptiveAvgPool3d": {"output_size": 1},
    "AdaptiveMaxPool3d": {"output_size": 3},
    "ConstantPad": {"padding": 1, "value": 0.5},
    **{f"{name}Pad": {"padding": 1} for name in ("Zero", "Reflection", "Replication", "Circular")},
    "GroupNorm": {"num_groups": 3},
    "LocalResponseNorm": {"size": 2},
    "Linear": {"out_features": 8},
    "Threshold": {"threshold": 0.1, "value": 0.0},
    "Unflatten": {"dim": 1, "unflattened_size": [[3, 4]]},
    "Unfold": {"kernel_size": 3},
    "Fold": {"output_size": [[12, 12]], "kernel_size": 3},
    "PixelShuffle": {"upscale_factor": 2},
    "PixelUnshuffle": {"downscale_factor": 2},
    "ChannelShuffle": {"groups": 3},
    **{name: {"scale_factor": 2} for name in ("Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d")},
    **{name: {"dim": 1} for name in ("Softmax", "LogSoftmax", "Softmin")},
    "Softmax2d": {},
    **{name: {"embedding_dim": 8} for name in IDS},
    **{name: {"hidden_size": 8} for name in ("GRU", "LSTM", "RNN")},
    "MultiheadAttention": {"num_heads": 3},
    "TransformerEncoderLayer": {"nhead": 3, "dim_feedforward": 8},
}
VARIANTS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "Linear": [{"bias": False}],
    **{
        f"Conv{n}d": [
            {"stride": 2, "padding": 1, "bias": False},
            {"padding": "same", "dilation": 2},
            {"padding": 1, "padding_mode": "reflect"},
            {"padding": 1, "padding_mode": "replicate"},
            {"padding": 1, "padding_mode": "circular"},
        ]
        for n in "12"
    },
    "ConvTranspose2d": [{"padding": 1, "output_padding": 1}, {"bias": False, "dilation": 2}],
    "BatchNorm2d": [{"affine": False}, {"momentum": 0.3}],
    "InstanceNorm2d": [{"affine": True}],
    "LayerNorm": [{"elementwise_affine": False}, {"bias": False}, {"normalized_shape": 12}],
    "GroupNorm": [{"affine": False}],
    "RMSNorm": [{"elementwise_affine": False}, {"eps": 1e-5}],
    **{f"MaxPool{n}d": [{"stride": 1, "padding": 1}, {"ceil_mode": True, "stride": 3}, {"dilation": 2}] for n in "12"},
    **{f"AvgPool{n}d": [{"stride": 3, "padding": 1, "count_include_pad": False}, {"ceil_mode": True}] for n in "12"},
    "LPPool2d": [{"ceil_mode": True, "stride": 3}],
    **{f"Adaptive{way}d": [{"output_size": 1}] for way in ("AvgPool1", "MaxPool1", "MaxPool2", "MaxPool3")},
    "AdaptiveAvgPool2d": [{"output_size": 1}, {"output_size": 5}, {"output_size": [[3, 5]]}],
    "ZeroPad2d": [{"padding": [[1, 0, 2, 0]]}],
    "Dropout": [{"p": 0.0}],
    "GELU": [{"approximate": "tanh"}],
    "Softplus": [{"beta": 2.0}],
    "PReLU": [{"num_parameters": 12}],
    "GLU": [{"dim": 1}],
    "Flatten": [{"start_dim": 1, "end_dim": -1}],
    "Upsample": [
        {"mode": "bilinear"},
        {"mode": "bilinear", "align_corners": True},
        {"mode": "bicubic"},
        {"size": [[20, 9]], "scale_factor": None},
    ],
    "Unfold": [{"padding": 1, "stride": 2, "dilation": 2}],
    "Embedding": [{"padding_idx": 0}],
    "EmbeddingBag": [{"mode": "sum"}, {"mode": "max"}, {"padding_idx": 0}],
    **{
        name: [
            {"output": "last"},
            {"bidirectional": True, "output": "last"},
            {"bidirectional": True, "num_layers": 2, "dropout": 0.1},
            {"bias": False},
        ]
        for name in ("GRU", "LSTM", "RNN")
    },
    "MultiheadAttention": [{"dropout": 0.1}, {"bias": False}, {"add_bias_kv": True}, {"add_zero_attn": True}],
    "TransformerEncoderLayer": [{"norm_first": True}, {"activation": "gelu"}, {"bias": False}],
}
"""Further arguments that are tried, beside those of the sample."""

_BEFORE: Mapping[str, Sequence[Any]] = {
    "Fold": [{"Unfold": {"kernel_size": 3}}],
    "PixelShuffle": [{"Conv2d": {"out_channels": 4, "kernel_size": 1}}],
}
_MAPS = (
    "ChannelShuffle",
    "Unfold",
    "Fold",
    "PixelShuffle",
    "PixelUnshuffle",
    "Upsample",
    "GroupNorm",
    "LocalResponseNorm",
)


def sample(name: str, more: Mapping[str, Any] | None = None) -> tuple[Input, list[Any]]:
    """An input and a list that holds the layer, and weights before it where it has none of its own.

    ``more``: arguments beside those of the sample.
    """
    layer = {name: {**_ARGUMENTS.get(name, _ARGUMENTS.get(name[:-2], {})), **(more or {})}}
    before = list(_BEFORE.get(name, []))
    if name in IDS:
        return TEXT, [layer, *END]
    if name in STEPS:
        return SERIES, ["Transpose", layer, *END]
    if name.endswith("1d"):
        return SERIES, [{"Conv1d": {"out_channels": 3, "kernel_size": 1}}, layer, *END]
    if name.endswith(("2d", "3d")) or name in _MAPS:
        before = before or [{"Conv2d": {"out_channels": 3, "kernel_size": 1}}]
        return IMAGE, [*before, *([_DEPTH] if name.endswith("3d") else []), layer, *END]
    return TABLE, [{"Linear": {"out_features": 12}}, layer, *END]


@dataclass(frozen=True)
class Wrong:
    """``path``: what the error must name. ``says``: words of it. ``of``: the input."""

    layers: Any
    path: str
    says: str
    of: Input = IMAGE


def _conv(**more: Any) -> dict[str, Any]:
    return {"Conv2d": {"out_channels": 4, "kernel_size": 3, **more}}


_LINEAR = {"Linear": {"out_features": "auto"}}
_CYCLE: list[Any] = []
_CYCLE.append({"Sequential": _CYCLE})
_WIDE: list[Any] = ["ReLU"]
for _ in range(10):
    _WIDE = [{"Sequential": _WIDE}] * 10

WRONG: tuple[Wrong, ...] = (
    # what is no list
    Wrong([], "/layers", "empty"),
    Wrong("Linear", "/layers", "no list"),
    Wrong({"Linear": {}}, "/layers", "no list"),
    Wrong(None, "/layers", "no list"),
    Wrong([7], "/layers/0", "no layer"),
    Wrong([{}], "/layers/0", "no layer"),
    Wrong([{"Linear": {}, "ReLU": {}}], "/layers/0", "Indent"),
    Wrong([{3: {}}], "/layers/0", "no layer"),
    Wrong([{"Linear": 64}], "/layers/0/Linear", "out_features: 64"),
    Wrong([[]], "/layers/0", "choice of 0"),
    # names
    Wrong(["Liner"], "/layers/0", "Linear"),
    Wrong(["conv2d"], "/layers/0", "Conv2d"),
    Wrong(["__import__"], "/layers/0", "no layer"),
    Wrong(["os.system"], "/layers/0", "no layer"),
    Wrong(["torch.nn.Linear"], "/layers/0", "Linear"),
    Wrong(["/etc/passwd"], "/layers/0", "no layer"),
    Wrong([{"_target_": "os.system"}], "/layers/0", "no layer"),
    Wrong([{"LazyLinear": {"out_features": 3}}], "/layers/0", "Linear without Lazy"),
    Wrong(["ModuleList"], "/layers/0", "Sequential"),
    Wrong(["LSTMCell"], "/layers/0", "LSTM without Cell"),
    Wrong(["CrossEntropyLoss"], "/layers/0", "training.loss"),
    Wrong([{"Bilinear": {"out_features": 3}}], "/layers/0", "two inputs"),
    Wrong(["Transformer"], "/layers/0", "TransformerEncoderLayer"),
    # arguments
    Wrong([{"Linear": {"out": 3}}], "/layers/0/Linear/out", "out_features"),
    Wrong([{"Linear": {}}], "/layers/0/Linear/out_features", "auto"),
    Wrong([{"Conv2d": {"out_channels": 4}}], "/layers/0/Conv2d/kernel_size", "NUMBER"),
    Wrong([{"Linear": {"out_features": True}}], "/layers/0/Linear/out_features", "a whole number"),
    Wrong([{"Linear": {"out_features": "64"}}], "/layers/0/Linear/out_features", "a whole number"),
    Wrong([{"Linear": {"out_features": 2.5}}], "/layers/0/Linear/out_features", "a whole number"),
    Wrong([{"Linear": {"out_features": -1}}], "/layers/0/Linear/out_features", "from 1"),
    Wrong([{"Linear": {"out_features": 0}}], "/layers/0/Linear/out_features", "from 1"),
    Wrong([{"Linear": {"out_features": None}}], "/layers/0/Linear/out_features", "a whole number"),
    Wrong([{"Linear": {"out_features": 10**30}}], "/layers/0/Linear/out_features", "from 1"),
    Wrong([{"Linear": {"out_features": 10**5000}}], "/layers/0/Linear/out_features", "from 1"),
    Wrong([{"Dropout": {"p": float("nan")}}], "/layers/0/Dropout/p", "finite"),
    Wrong([{"Dropout": {"p": 2.0}}], "/layers/0/Dropout/p", "from 0 to 1"),
    Wrong([_conv(kernel_size="auto")], "/layers/0/Conv2d/kernel_size", "auto is for"),
    Wrong([_conv(padding_mode="os.system")], "/layers/0/Conv2d/padding_mode", "no word"),
    Wrong([_conv(device="cuda")], "/layers/0/Conv2d/device", "Leave it out"),
    Wrong([{"ReLU": {"inplace": True}}], "/layers/0/ReLU/inplace", "Leave it out"),
    Wrong([{"Linear": {"out_features": [[8, 9]]}}], "/layers/0/Linear/out_features", "one value"),
    Wrong([{"Linear": {"out_features": [8, 8]}}], "/layers/0/Linear/out_features", "twice"),
    Wrong([_conv(kernel_size=10**6)], "/layers/0/Conv2d/kernel_size", "1 to 1024"),
    # shapes
    Wrong([{"Linear": {"in_features": 100, "out_features": 8}}], "/layers/0/Linear/in_features", "12 arrive"),
    Wrong(["Flatten", _conv()], "/layers/1/Conv2d", "(channels, height, width)"),
    Wrong([{"Conv1d": {"out_channels": 4, "kernel_size": 3}}], "/layers/0/Conv1d", "Conv2d"),
    Wrong([_conv(kernel_size=30), *END], "/layers/0/Conv2d", "smaller kernel_size"),
    Wrong([{"MaxPool2d": {"kernel_size": 2}}] * 4, "/layers/3/MaxPool2d", "Leave out a pooling"),
    Wrong([{"AdaptiveMaxPool2d": {"output_size": 5}}], "/layers/0/AdaptiveMaxPool2d/output_size", "divisor of 12"),
    Wrong([{"BatchNorm2d": {"momentum": None}}], "/layers/0/BatchNorm2d", "momentum: 0.1"),
    Wrong([_conv(kernel_size=[[3, 3, 3]])], "/layers/0/Conv2d/kernel_size", "tuple of 2"),
    Wrong([_conv(stride=0)], "/layers/0/Conv2d/stride", "from 1"),
    Wrong([_conv(groups=5)], "/layers/0/Conv2d", "divi"),
    Wrong([_conv(), _LINEAR], "/layers/1/Linear", "Put Flatten before"),
    Wrong([_conv(), "Flatten"], "/layers/1/Flatten", "End with"),
    Wrong([*END[:1], {"Linear": {"out_features": 7}}], "/layers/1/Linear/out_features", "auto"),
    Wrong([*END, "Softmax"], "/layers/2/Softmax/dim", "dim"),
    Wrong(["Flatten", "BatchNorm2d"], "/layers/1/BatchNorm2d", "BatchNorm1d"),
    Wrong([*END, {"Softmax": {"dim": 1}}], "/layers/2/Softmax", "logits"),
    Wrong(["Flatten", {"Softmax": {"dim": 0}}, _LINEAR], "/layers/1/Softmax/dim", "rows"),
    Wrong([{"Flatten": {"start_dim": 0}}], "/layers/0/Flatten/start_dim", "rows"),
    Wrong([{"Embedding": {"embedding_dim": 8}}], "/layers/0/Embedding", "token ids"),
    Wrong([{"LSTM": {"hidden_size": 8}}], "/layers/0/LSTM", "Transpose", SERIES),
    Wrong([{"GRU": {"hidden_size": 8}}], "/layers/0/GRU", "Unflatten", TABLE),
    Wrong([{"Linear": {"out_features": 8}}], "/layers/0/Linear", "Embedding", TEXT),
    Wrong(
        [{"Embedding": {"embedding_dim": 8}}, {"Conv1d": {"out_channels": 4, "kernel_size": 3}}],
        "/layers/1/Conv1d",
        "Transpose",
        TEXT,
    ),
    Wrong(["Transpose", {"MultiheadAttention": {"num_heads": 2}}], "/layers/1/MultiheadAttention", "divi", SERIES),
    # blocks
    Wrong([{"Residual": [_conv()]}, *END], "/layers/0/Residual", "(4, 10, 10)"),
    Wrong([{"Residual": []}], "/layers/0/Residual", "Put a layer"),
    Wrong([{"Parallel": {"branches": [[_conv()], []]}}], "/layers/0/Parallel", "join"),
    Wrong([{"Parallel": {"branches": [[_conv()], []], "join": "cat"}}], "/layers/0/Parallel", "side by side"),
    Wrong([{"Parallel": {"branches": [[], []], "join": "mul"}}], "/layers/0/Parallel/join", "cat or add"),
    Wrong([{"Repeat": {"times": 10**9, "layers": ["ReLU"]}}], "/layers/0/Repeat/times", "from 1 to"),
    Wrong([{"Repeat": {"times": 3}}], "/layers/0/Repeat", "layers"),
    Wrong([{"Transpose": {"dim0": 1}}], "/layers/0/Transpose", "Transpose alone"),
    # too much
    Wrong([{"Linear": {"out_features": 10**12}}], "/layers/0/Linear/out_features", "parameters"),
    Wrong(["Flatten", {"Repeat": {"times": 40, "layers": [{"Linear": {"out_features": 8000}}]}}],
          "/layers/1/Repeat/layers/0/Linear/out_features", "parameters"),
    Wrong([{"Upsample": {"scale_factor": 1024}}], "/layers/0/Upsample", "numbers of one row"),
    Wrong([{"Repeat": {"times": 64, "layers": [{"Repeat": {"times": 64, "layers": ["ReLU"]}}]}}],
          "/layers/0/Repeat/layers/0/Repeat/layers/0/ReLU", "Repeat less"),
    Wrong(_CYCLE, "/layers" + "/0/Sequential" * 13, "deep"),
    Wrong(_WIDE, "", "more than 500 layers"),
)  # fmt: skip

"""Which layers of ``torch.nn`` a list may name, and why not the others.

``+experiment=bench/layers`` builds, trains, exports and compares each of ``ALLOWED``; a test asks for every class of
``torch.nn`` to stand in one of the two tables.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Mapping

from torch import nn

from automl.models.listed.errors import LayerError

RECURRENT = ("GRU", "LSTM", "RNN")
STEPS = (*RECURRENT, "MultiheadAttention", "TransformerEncoderLayer")
"""What reads (steps, features)."""
IDS = ("Embedding", "EmbeddingBag")
"""What reads token ids."""
BLOCKS = ("Parallel", "Positions", "Repeat", "Residual", "Sequential", "Transpose")
"""The program's own, see ``automl.models.listed.blocks``."""


def _each(*names: str, of: str = "123") -> tuple[str, ...]:
    return tuple(f"{name}{n}d" for name in names for n in of)


ALLOWED = frozenset(
    (
        *("Linear", "Identity", "Flatten", "Unflatten", *IDS, *STEPS),
        *_each("Conv", "ConvTranspose", "BatchNorm", "InstanceNorm"),
        *("GroupNorm", "LayerNorm", "RMSNorm", "LocalResponseNorm"),
        *_each("AvgPool", "MaxPool", "LPPool", "AdaptiveAvgPool", "AdaptiveMaxPool"),
        *_each("ConstantPad", "ZeroPad", "ReflectionPad", "ReplicationPad", "CircularPad"),
        *("Dropout", *_each("Dropout"), "AlphaDropout", "FeatureAlphaDropout"),
        *("CELU", "ELU", "GELU", "GLU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU"),
        *("LogSigmoid", "LogSoftmax", "Mish", "PReLU", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid"),
        *("Softmax", "Softmax2d", "Softmin", "Softplus", "Softshrink", "Softsign", "Tanh", "Tanhshrink", "Threshold"),
        *("ChannelShuffle", "PixelShuffle", "PixelUnshuffle", "Fold", "Unfold"),
        *("Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d"),
    )
)

_LOSS = "a loss is no layer. Set it as training.loss"
_LAZY = "it is not needed here: sizes are found by themselves. Write {name} without Lazy"
_TWO = "it reads two inputs, a layer of a list has one. Leave it out"
_CELL = "it is one step of a recurrent layer. Write {name} without Cell"
_HOLDER = "it holds modules, and a list is that already. Write its layers, or {{Sequential: [...]}}"
_BASE = "it is a base of other layers. Write one of these"
_RANDOM = "its regions are drawn anew for each answer. Write MaxPool"
_DECODER = "it reads a second input, the memory. Write {{TransformerEncoderLayer: {{nhead: 4}}}}"
_INDICES = "it needs the indices of a pooling. Write Upsample or ConvTranspose"

REFUSED: Mapping[str, str] = {
    **{name: _LOSS for name in dir(nn) if re.search(r"Loss(2d|Options)?$", name)},
    **dict.fromkeys(("AdaptiveLogSoftmaxWithLoss", "LinearCrossEntropyOptions"), _LOSS),
    **{name: _LAZY for name in dir(nn) if name.startswith("Lazy")},
    **dict.fromkeys(("Bilinear", "CosineSimilarity", "PairwiseDistance"), _TWO),
    **dict.fromkeys(("GRUCell", "LSTMCell", "RNNCell"), _CELL),
    **dict.fromkeys(("Container", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList"), _HOLDER),
    **dict.fromkeys(("Module", "RNNBase", "RNNCellBase"), _BASE),
    **dict.fromkeys(("FractionalMaxPool2d", "FractionalMaxPool3d"), _RANDOM),
    **dict.fromkeys(("Transformer", "TransformerDecoder", "TransformerDecoderLayer"), _DECODER),
    **dict.fromkeys(_each("MaxUnpool"), _INDICES),
    "TransformerEncoder": "it repeats a layer. Write {{Repeat: {{times: 2, layers: [TransformerEncoderLayer: ...]}}}}",
    "RReLU": "it cannot be exported to ONNX. Write LeakyReLU",
    "SyncBatchNorm": "it joins the rows of several processes. Write BatchNorm",
    "DataParallel": "a training is one process. Leave it out",
    "CrossMapLRN2d": "it is written in Python for old files. Write LocalResponseNorm",
}

NOT_YOURS: Mapping[str, str] = {
    "device": "the run says where it trains",
    "dtype": "the run says in which precision it trains",
    "batch_first": "rows always come first here",
    "inplace": "it would change what another branch reads",
    "return_indices": "a layer gives one tensor",
    "sparse": "the optimizers here take no sparse gradients",
    "max_norm": "it changes weights while it answers",
    "scale_grad_by_freq": "it cannot be exported with the rest",
    "track_running_stats": "a row's answer must not depend on those beside it",
    "kdim": "attention is of the sequence to itself",
    "vdim": "attention is of the sequence to itself",
    "divisor_override": "the exported graph would answer otherwise",
    "include_last_offset": "each row is one bag",
    "enable_nested_tensor": "rows have one length here",
    "process_group": "a training is one process",
    "min_value": "it is called min_val",
    "max_value": "it is called max_val",
}
"""Arguments that a list cannot set."""

_PLACES = 1024  # along an axis: by judgement, as further ones are a slip
BOUNDS: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(("kernel_size", "stride", "dilation", "groups", "num_groups", "num_parameters"), (1, _PLACES)),
    **dict.fromkeys(("num_heads", "nhead", "upscale_factor", "downscale_factor"), (1, _PLACES)),
    **dict.fromkeys(("output_size", "size"), (1, 10000)),
    **dict.fromkeys(("padding", "output_padding"), (0, _PLACES)),
    **dict.fromkeys(("p", "dropout", "momentum"), (0, 1)),
    **dict.fromkeys(("eps", "layer_norm_eps"), (1e-16, 1)),
    **dict.fromkeys(("alpha", "k"), (0, 10000)),
    **dict.fromkeys(("num_layers", "times"), (1, 64)),  # layers of their own
    "beta": (1e-3, 10_000),
    "scale_factor": (1e-3, _PLACES),
    "norm_type": (1, 2),  # others give no number for what is negative
    **dict.fromkeys(("num_ops", "mixture_width"), (1, 20)),  # of image operations
    "chain_depth": (-1, 20),
    "sigma": (0, 100),  # its kernel has the square of that many places
}
"""Smallest and largest value of arguments of which torch's ``meta`` device takes what a real one does not, or that cost
time; any other number may be from -10,000 to 10,000.
"""

WIDTHS = ("out_features", "out_channels", "hidden_size", "embedding_dim", "dim_feedforward", "num_embeddings")
"""Arguments that may be as large as one likes: the network's parameters are counted before it is made."""
OUTPUTS = ("out_features", "out_channels", "hidden_size")
"""Of these ``auto`` is the number of the task's outputs."""
FOUND = (
    *("in_features", "in_channels", "num_features", "num_channels", "normalized_shape", "input_size", "embed_dim"),
    *("d_model", "num_embeddings"),
)
"""Arguments that follow from what a layer gets."""


def layer_class(name: str) -> type[nn.Module]:
    """The class of an allowed layer of torch."""
    return getattr(nn, name)


def arguments_of(name: str) -> dict[str, inspect.Parameter]:
    """The arguments of an allowed layer of torch that a list may set, in torch's order."""
    of = nn.RNNBase if name in RECURRENT else layer_class(name)
    found = dict(inspect.signature(of.__init__).parameters)
    if name in RECURRENT:
        found.pop("mode")
        found["output"] = inspect.Parameter("output", inspect.Parameter.KEYWORD_ONLY, default="all", annotation=str)
        if name == "RNN":
            found["nonlinearity"] = inspect.Parameter(
                "nonlinearity", inspect.Parameter.KEYWORD_ONLY, default="tanh", annotation=str
            )
    taken = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)  # and passed over
    own = {k: p for k, p in found.items() if k != "self" and p.kind not in taken}
    return {k: p for k, p in own.items() if k not in NOT_YOURS and not k.startswith("_")}


def check_name(name: str, path: str) -> None:
    """Raises LayerError for what is neither a layer nor a block."""
    if name in ALLOWED or name in BLOCKS:
        return
    if name in REFUSED:
        why, _, fix = REFUSED[name].format(name=name.removeprefix("Lazy").replace("Cell", "")).partition(". ")
        raise LayerError(path, f"{name} cannot stand in a list: {why}", fix)
    near = difflib.get_close_matches(name.rpartition(".")[2][:60], (*sorted(ALLOWED), *BLOCKS), n=1)
    fix = f"Did you mean {near[0]}?" if near else f"Write a class of torch.nn, such as Linear, or {', '.join(BLOCKS)}"
    raise LayerError(path, f"there is no layer {name[:60]!r}", fix)

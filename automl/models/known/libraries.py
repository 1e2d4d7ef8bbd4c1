"""The networks of torchvision and timm without their heads, and their own weights, where they may be fetched.

The libraries are imported where they are used: timm alone costs a process three seconds.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from automl.errors import UserError
from automl.files import write_atomically
from automl.models.known.frozen import own_folder
from automl.models.known.origins import Origin

PROBES = 7, 11  # numbers of classes: what differs between two such networks is the head


class Trunk(nn.Module):
    """(rows, ...) -> (rows, ``size``): a network without its ``heads``, its last layers. ``example``: a row."""

    def __init__(self, net: nn.Module, heads: Iterable[str], example: Tensor) -> None:
        super().__init__()
        for name in heads:
            net.set_submodule(name, nn.Identity())
        self.net = net
        with torch.no_grad():
            self.size = int(self.eval()(example).shape[1])

    def forward(self, x: Tensor) -> Tensor:
        out = self.net(x)
        out = out[0] if isinstance(out, tuple) else out  # GoogLeNet and Inception add auxiliary outputs
        return out.flatten(1)


def made(source: str, model: str, side: int, state: Mapping[str, Tensor] | None, option: str) -> Trunk:
    """The network, with random weights or those of ``state``, whose head may be of any size. Raises UserError where
    these are another network's, or where it cannot be built for pictures of that side.
    """
    net = create(source, model, 1)
    heads = head_names(source, model)
    if state is not None:
        own = {k: v for k, v in net.state_dict().items() if k.rpartition(".")[0] not in heads}
        fitting = {k: state[k] for k, v in own.items() if k in state and state[k].shape == v.shape}
        counted = [k for k in own if not k.endswith("num_batches_tracked")]
        missing = [k for k in counted if k not in fitting]
        if missing:
            raise UserError(
                f"{option} fits {len(counted) - len(missing)} of {len(counted)} tensors of {model}. "
                "Set family.pretrained.model to the network it was saved from."
            )
        net.load_state_dict(fitting, strict=False)
    try:
        return Trunk(net, heads, torch.zeros(1, 3, side, side))
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"{model} takes no pictures of {side} x {side} ({' '.join(str(error).split())[:120]}). "
            "Set family.pretrained.sides to the side that it was made for, such as [224]."
        ) from error


def head_names(source: str, model: str) -> list[str]:
    """The modules that depend on the number of classes. Nothing is allocated for it."""
    with torch.device("meta"):
        return parted(*(create(source, model, outputs) for outputs in PROBES))


def parted(one: nn.Module, other: nn.Module) -> list[str]:
    """The modules whose weights have other shapes in the other of two networks."""
    mine, theirs = one.state_dict(), other.state_dict()
    return sorted({name.rpartition(".")[0] for name in mine if mine[name].shape != theirs[name].shape})


def names(source: str) -> list[str]:
    """The models of a library. Raises UserError for another."""
    if source == "torchvision":
        import torchvision

        return torchvision.models.list_models(module=torchvision.models)
    if source == "timm":
        import timm

        return timm.list_models()
    raise UserError(f"family.pretrained.source={source} is not known. Set it to torchvision or timm.")


def check_name(source: str, model: str) -> None:
    """Raises UserError for a model that is not there."""
    known = names(source)
    if model not in known:
        near = ", ".join(difflib.get_close_matches(model, known, n=3, cutoff=0.4)) or ", ".join(known[:3])
        raise UserError(
            f"family.pretrained.model={model} is not in {source}. Set it to one of its models, such as {near}."
        )


def create(source: str, model: str, outputs: int) -> nn.Module:
    """The network with random weights."""
    if source == "torchvision":
        import torchvision

        return torchvision.models.get_model(model, weights=None, num_classes=outputs)
    import timm

    return timm.create_model(model, pretrained=False, num_classes=outputs)


def downloaded(source: str, model: str) -> Path:
    """A file with the library's own weights, fetched once and kept. Raises UserError where that cannot be done."""
    check_name(source, model)
    path = own_folder().with_name("weights") / f"{source}-{model}.safetensors"
    if path.is_file():
        return path
    try:
        state, origin = fetched(source, model)
    except Exception as error:  # the network has as many errors as there are ways to have none
        raise UserError(
            f"family.pretrained.weights=download: {source} could not fetch {model} ({type(error).__name__}). Connect "
            "this machine, or set family.pretrained.weights to a file."
        ) from error
    told = {"source": origin.source, "licence": origin.licence, "trained_on": origin.trained_on}
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(path, safetensors.torch.save({k: v.contiguous() for k, v in state.items()}, told))
    return path


def fetched(source: str, model: str) -> tuple[dict[str, Tensor], Origin]:
    """The library's weights, and what it says of them."""
    if source == "torchvision":
        import torchvision

        of: Any = torchvision.models.get_model_weights(model)
        weights = of.DEFAULT
        net = torchvision.models.get_model(model, weights=weights)
        licence = "none of their own is stated by torchvision (its code: BSD-3-Clause)"
        return net.state_dict(), Origin(
            model, weights.url, licence, "ImageNet-1K, see the documentation of the weights"
        )
    import timm

    net: Any = timm.create_model(model, pretrained=True)
    told: dict[str, Any] = dict(net.pretrained_cfg)
    place = str(told.get("hf_hub_id") or told.get("url") or "timm")
    return net.state_dict(), Origin(model, place, str(told.get("license") or ""), str(told.get("tag") or ""))

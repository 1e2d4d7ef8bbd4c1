"""A known vision network of torchvision or timm by its name, as a family of one member (level 2).

Weights come from a file that the user has; nothing is downloaded.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from automl.errors import UserError
from automl.models.layers.image import is_image_task
from automl.types import Task
from nas.family import FamilySpace

LEAST_SIDE = 32  # most of these networks halve the map five times


@dataclass(frozen=True)
class Pretrained:
    """``source``: torchvision or timm. ``model``: its name there. ``weights``: .safetensors or .pth with its state.

    ``side``: images are brought to this height and width; None keeps them, but at least 32. Vision transformers need
    the side that they were made for.
    """

    model: str = "resnet18"
    source: str = "torchvision"
    weights: str | None = None
    side: int | None = None
    name: str = "pretrained"

    def supports(self, task: Task) -> bool:
        return is_image_task(task)

    def space(self, task: Task) -> nn.Module:
        """The network. Raises UserError for a name or a file that is not there or does not fit."""
        return PretrainedSpace(task, self)


class PretrainedSpace(FamilySpace):
    """With weights there is one axis, ``tune``: train only what the file did not hold (the head), or everything."""

    def __init__(self, task: Task, of: Pretrained) -> None:
        super().__init__()
        tune = self.choose("tune", ("head", "all")) if of.weights else "all"
        channels, height, width = task.inputs[0].shape
        self.side = of.side
        if of.side is None and min(height, width) < LEAST_SIDE:
            self.side = LEAST_SIDE
        # known networks see three channels: one is shown three times, other numbers are mixed by a learned 1x1
        self.colours = nn.Identity() if channels in (1, 3) else nn.Conv2d(channels, 3, 1)
        self.net = create(of.source, of.model, task.num_outputs)
        self.frozen = False
        if of.weights:
            loaded = load_weights(self.net, Path(of.weights))
            self.frozen = tune == "head"
            for name, parameter in self.net.named_parameters():
                parameter.requires_grad_(not (self.frozen and name in loaded))

    def train(self, mode: bool = True) -> PretrainedSpace:
        super().train(mode)
        if self.frozen:  # the statistics of frozen norms stay as they are too
            for module in self.net.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def forward(self, image: Tensor) -> Tensor:
        """(rows, channels, height, width) -> (rows, num_outputs)."""
        if self.side is not None:
            image = F.interpolate(image, (self.side, self.side), mode="bilinear", align_corners=False)
        image = self.colours(image)
        if image.shape[1] == 1:
            image = image.expand(-1, 3, -1, -1)
        out = self.net(image)
        return out[0] if isinstance(out, tuple) else out  # GoogLeNet and Inception add auxiliary outputs


def create(source: str, model: str, outputs: int) -> nn.Module:
    """The network with random weights. The libraries are imported here: timm alone costs a process three seconds."""
    if source == "torchvision":
        import torchvision

        names = torchvision.models.list_models(module=torchvision.models)
        if model in names:
            return torchvision.models.get_model(model, weights=None, num_classes=outputs)
    elif source == "timm":
        import timm

        names = timm.list_models()
        if model in names:
            return timm.create_model(model, pretrained=False, num_classes=outputs)
    else:
        raise UserError(f"family.pretrained.source={source} is not known. Set it to torchvision or timm.")
    near = ", ".join(difflib.get_close_matches(model, names, n=3, cutoff=0.4)) or ", ".join(names[:3])
    raise UserError(f"family.pretrained.model={model} is not in {source}. Set it to one of its models, such as {near}.")


def load_weights(net: nn.Module, path: Path) -> set[str]:
    """Copy from a file every tensor whose name and shape fit; the names that were found.

    Pickles are read with torch's restricted loader, which makes tensors and nothing else.
    """
    if not path.is_file():
        raise UserError(f"family.pretrained.weights={path} is no file. Set it to a .safetensors or .pth file.")
    try:
        state: Mapping[str, Tensor]
        if path.suffix == ".safetensors":
            state = safetensors.torch.load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (safetensors.SafetensorError, OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise UserError(f"family.pretrained.weights={path} cannot be read ({type(error).__name__}).") from error
    except Exception as error:  # torch's restricted unpickler has an error type of pickle's, and more
        raise UserError(
            f"family.pretrained.weights={path} holds more than weights; save them as safetensors."
        ) from error
    own = net.state_dict()
    fitting = {k: v for k, v in state.items() if k in own and isinstance(v, Tensor) and v.shape == own[k].shape}
    if len(fitting) < len(own) / 2:
        raise UserError(
            f"family.pretrained.weights={path} fits {len(fitting)} of {len(own)} tensors. "
            "Set family.pretrained.model to the network it was saved from."
        )
    net.load_state_dict(fitting, strict=False)
    return set(fitting)

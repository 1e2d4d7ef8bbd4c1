"""Image operations by their own names: what may be written, what comes of it, and that only training sees them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from automl.models.listed.errors import LayerError
from automl.training import transforms
from automl.training.predictor import Predictor, predict
from automl.training.refit import refit
from automl.training.train import Fit, train
from automl.types import Input

from .toys import DIGITS, digits, mlp

GREY = Input("grey", "image", (1, 8, 8))
COLOUR = Input("colour", "image", (3, 12, 9))
NUMBERS = Input("numbers", "tabular", (4,), cardinalities=(0,) * 4)
NEEDED: dict[str, dict[str, Any]] = {
    "CenterCrop": {"size": [[12, 9]]}, "GaussianBlur": {"kernel_size": 3}, "Pad": {"padding": 0},
    "RandomAdjustSharpness": {"sharpness_factor": 2}, "RandomAffine": {"degrees": 10, "translate": [[0.1, 0.1]]},
    "RandomCrop": {"size": [[12, 9]], "padding": 2}, "RandomPosterize": {"bits": 3}, "RandomRotation": {"degrees": 20},
    "RandomResizedCrop": {"size": [[12, 9]]}, "RandomSolarize": {"threshold": 100}, "Resize": {"size": [[12, 9]]},
    "ColorJitter": {"brightness": 0.3, "hue": [[-0.1, 0.1]]}, "ElasticTransform": {"sigma": 0.8},
}  # fmt: skip


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def read(data: Any, *inputs: Input) -> list[Any]:
    return [json.loads(option) for option in transforms.options(data, "/t", inputs or (GREY,))]


@pytest.mark.parametrize("name", transforms.NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_operation_gives_bytes_of_the_same_shape(name, channels):
    of = Input("i", "image", (channels, 12, 9))
    (option,) = transforms.options([{name: NEEDED.get(name, {})}], "/t", [of])
    x = torch.randint(0, 256, (64, *of.shape), dtype=torch.uint8, generator=generator())
    before = x.clone()
    (out,) = transforms.changed([x], [of], transforms.made(option), generator())
    assert out.shape == x.shape and out.dtype == torch.uint8 and torch.equal(x, before)
    (same,) = transforms.changed([x], [of], transforms.made(option), generator())
    assert torch.equal(out, same)


def test_it_is_torchvision_s_own():
    x = torch.randint(0, 256, (6, 3, 12, 9), dtype=torch.uint8, generator=generator())
    option = '[{"RandomHorizontalFlip": {"p": 1.0}}, {"Pad": {"padding": 2}}, {"CenterCrop": {"size": [12, 9]}}]'
    (out,) = transforms.changed([x], [COLOUR], transforms.made(option), generator())
    assert torch.equal(out, v2.RandomHorizontalFlip(p=1.0)(x))


def test_each_picture_has_a_draw_of_its_own():
    x = torch.arange(64, dtype=torch.uint8).reshape(1, 1, 8, 8).expand(200, -1, -1, -1)
    (out,) = transforms.changed([x], [GREY], transforms.made('[{"RandomHorizontalFlip": {}}]'), generator())
    mirrored = (out[:, 0, 0, 0] == 7).sum()
    assert 60 < mirrored < 140


def test_other_inputs_stay_and_so_does_torch_s_generator():
    x, numbers = torch.zeros(5, 1, 8, 8, dtype=torch.uint8), torch.randn(5, 4)
    before = torch.get_rng_state()
    steps = transforms.made('[{"RandomInvert": {"p": 1.0}}, {"GaussianNoise": {}}]')
    out = transforms.changed([x, numbers], [GREY, NUMBERS], steps, generator())
    assert torch.equal(out[1], numbers) and out[0].float().mean() > 200
    transforms.options(["RandomVerticalFlip", {"RandomCrop": {"size": 8, "padding": 3}}], "/t", [GREY])
    assert torch.equal(torch.get_rng_state(), before)


IN_ORDER = [[{"Pad": {"padding": 2}}, {"RandomInvert": {}}, {"RandomCrop": {"size": 8}}]]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (["RandomHorizontalFlip"], [[{"RandomHorizontalFlip": {}}]]),
        ("RandomHorizontalFlip", [[{"RandomHorizontalFlip": {}}]]),
        ({"RandomCrop": {"size": 8, "padding": 1}}, [[{"RandomCrop": {"padding": 1, "size": 8}}]]),
        ([{"Pad": {"padding": 2}}, "RandomInvert", {"RandomCrop": {"size": 8}}], IN_ORDER),
        ([{"Resize": {"size": [[8, 8]]}}], [[{"Resize": {"size": [8, 8]}}]]),
        (
            [{"RandomHorizontalFlip": {"p": [0.0, 0.5]}}, "RandomInvert"],
            [
                [{"RandomHorizontalFlip": {"p": 0.0}}, {"RandomInvert": {}}],
                [{"RandomHorizontalFlip": {"p": 0.5}}, {"RandomInvert": {}}],
            ],
        ),
        ([["RandomInvert", {"RandomEqualize": {"p": 1}}]], [[{"RandomInvert": {}}], [{"RandomEqualize": {"p": 1}}]]),
    ],
    ids=["a name", "alone", "one", "in order", "a tuple", "a choice of values", "a choice of operations"],
)
def test_what_may_be_written(data, said):
    assert read(data) == said


@pytest.mark.parametrize(
    ("data", "at", "said"),
    [
        ([{"Mirror": {}}], "/t/0", "is not known here"),
        (["RandomHorizontalFlip", {"os.system": {"command": "ls"}}], "/t/1", "is not known here"),
        ([{"Lambda": {"lambd": "x"}}], "/t/0", "is not known here"),
        ([{"RandomHorizontalFlip": {"chance": 0.5}}], "/t/0/RandomHorizontalFlip/chance", "Its arguments: p"),
        ([{"RandomHorizontalFlip": {"p": 1.5}}], "/t/0/RandomHorizontalFlip/p", "from 0 to 1"),
        ([{"RandomHorizontalFlip": {"p": "half"}}], "/t/0/RandomHorizontalFlip/p", "is not a number"),
        ([{"RandomRotation": {}}], "/t/0/RandomRotation/degrees", "Write degrees"),
        ([{"RandomRotation": {"degrees": 9, "expand": True}}], "/t/0/RandomRotation/expand", "no such argument"),
        ([{"RandomErasing": {"inplace": True}}], "/t/0/RandomErasing/inplace", "no such argument"),
        ([{"RandomCrop": {"size": 6}}], "/t/0/RandomCrop", "8 x 8 become 6 x 6. Put {Resize: {size: [[8, 8]]}} behind"),
        (["RandomInvert", {"Resize": {"size": 20}}], "/t/1/Resize", "8 x 8 become 20 x 20"),
        ([{"Pad": {"padding": 1}}, "RandomInvert"], "/t/0/Pad", "become 10 x 10"),
        ([{"RandomCrop": {"size": 16}}], "/t/0/RandomCrop", "larger than input image size"),
        ([{"Resize": {"size": 9000}}], "/t/0/Resize", "Write at most 32"),
        ([{"Pad": {"padding": 30}}], "/t/0/Pad", "grows from 8 x 8 to 68 x 68"),
        ([{"GaussianBlur": {"kernel_size": 4}}], "/t/0/GaussianBlur", "odd"),
        ([{"GaussianBlur": {"kernel_size": 99}}], "/t/0/GaussianBlur", "Mend its arguments"),
        ([{"RandomPosterize": {"bits": 2.5}}], "/t/0/RandomPosterize/bits", "whole number"),
        (["RandomInvert", "light"], "/t/1", "stands alone"),
        ([[]], "/t/0", "empty"),
        ([7], "/t/0", "is not known here"),
        (["RandomInvert"] * 21, "/t", "at most 20"),
        ([{"RandomInvert": {"p": [0.1, 0.2, 0.3]}}] * 4, "/t", "more than 50 choices"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(data, at, said):
    with pytest.raises(LayerError) as caught:
        read(data)
    assert caught.value.path == at and said in str(caught.value) and "\n" not in str(caught.value), str(caught.value)


def test_data_without_pictures_have_none():
    with pytest.raises(LayerError, match=r"these data hold none\. Write a strength"):
        read(["RandomInvert"], NUMBERS)


class Seen(nn.Module):
    """Remembers what it was shown, in training and outside of it."""

    def __init__(self) -> None:
        super().__init__()
        self.body = mlp()
        self.shown: dict[bool, list[Tensor]] = {True: [], False: []}

    def forward(self, x: Tensor) -> Tensor:
        self.shown[self.training].append(x.detach().clone())
        return self.body(x)


NEGATIVE = '[{"Pad": {"padding": 8}}, {"CenterCrop": {"size": 8}}, {"RandomSolarize": {"p": 1.0, "threshold": 0}}]'


def fitted(network: nn.Module, augment: str = NEGATIVE, seed: int = 0) -> Fit:
    choices = {"augment": augment, "batch_size": 64, "learning_rate": 0.003}
    return train(network, DIGITS, *digits(), choices, epochs=3, seed=seed, device="cpu")


def test_only_rows_of_training_are_changed():
    network = Seen()
    fit = fitted(network)
    assert fit.status == "ok", fit.error
    train_rows, valid_rows = (part.inputs[0] for part in digits())

    def rows(of: Tensor) -> set[bytes]:
        return {row.numpy().tobytes() for row in of}

    def prepared(of: np.ndarray) -> Tensor:
        return Predictor(network, DIGITS).prepare(torch.from_numpy(of))[0]

    shown = rows(torch.cat(network.shown[True]))
    assert shown <= rows(prepared(255 - train_rows)) and not shown & rows(prepared(train_rows))
    assert rows(torch.cat(network.shown[False])) == rows(prepared(valid_rows))
    np.testing.assert_allclose(predict(Predictor(network, DIGITS), (valid_rows,)), fit.predictions, atol=1e-6)


def test_a_last_training_changes_them_too():
    network = Seen()
    choices = {"augment": NEGATIVE, "batch_size": 64}
    assert refit(network, DIGITS, digits()[0], choices, epochs=4, seed=0, device="cpu").status == "ok"
    assert torch.cat(network.shown[True]).mean() > 1, "the negatives of dark pictures are bright"


def test_it_can_be_repeated_and_depends_on_the_seed():
    of = '[{"RandomCrop": {"padding": 1, "size": 8}}, {"RandomErasing": {}}]'
    first, again, other = fitted(mlp(), of), fitted(mlp(), of), fitted(mlp(), of, seed=1)
    assert first.status == "ok" and first.curve == again.curve
    np.testing.assert_array_equal(first.predictions, again.predictions)
    assert not np.array_equal(first.predictions, other.predictions)

"""Lists of layers and a user's own module as families."""

import json
import pickle
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from automl.errors import UserError
from automl.models.layers.image import is_image_task
from automl.models.listed.errors import LayerError
from automl.training import transforms
from automl.training.options import Options
from automl.types import Candidate
from nas.families.convnet import ConvNet
from nas.families.layers import Layers
from nas.families.module import Module
from nas.family import NAMED, build, search_axes, wordpieces
from nas.given import Trained
from nas.recipe import training_axes
from nas.testing.families import TASKS, FamilyContract, axes_of, candidate_at, rows

LINEAR = {"Linear": {"out_features": "auto"}}


@dataclass(frozen=True)
class OnMaps(Layers):
    def supports(self, task):
        return is_image_task(task)


@dataclass(frozen=True)
class Reads(Layers):
    def wordpieces(self):
        return ("un", "##seen")


@dataclass(frozen=True)
class OnTexts(Layers):
    def supports(self, task):
        return [i.modality for i in task.inputs] == ["text"]


@dataclass(frozen=True)
class OnNumbers(Layers):
    def supports(self, task):
        return len(task.inputs) == 1 and task.inputs[0].modality != "text"


class TestMaps(FamilyContract):
    @pytest.fixture
    def family(self):
        conv = {"Conv2d": {"out_channels": [4, 8], "kernel_size": [3, [3, 5]], "padding": "same"}}
        pool = [{"AdaptiveMaxPool2d": {"output_size": 1}}, {"AdaptiveAvgPool2d": {"output_size": [1, 2]}}]
        return OnMaps([conv, "ReLU", pool, "Flatten", LINEAR], training="search")


class TestTexts(FamilyContract):
    @pytest.fixture
    def family(self):
        gru = {"GRU": {"hidden_size": [4, 8], "output": "last"}}
        return OnTexts([{"Embedding": {"embedding_dim": 6}}, gru, LINEAR], training="search")


class TestNumbers(FamilyContract):
    @pytest.fixture
    def family(self):
        return OnNumbers(
            ["Flatten", {"Linear": {"out_features": [8, 16]}}, ["ReLU", "Tanh"], LINEAR], training="search"
        )


class Own(nn.Module):
    def __init__(self, in_shape, num_outputs, width=4):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.LazyLinear(width), nn.ReLU(), nn.Linear(width, num_outputs))
        self.net(torch.zeros(1, *in_shape))

    def forward(self, x):
        return self.net(x)


class Both(nn.Module):
    """Of a task with several inputs."""

    def __init__(self, task):
        super().__init__()
        self.net = nn.Linear(sum(i.shape[0] * i.shape[-1] for i in task.inputs[:1]), task.num_outputs)

    def forward(self, series, numbers):
        return self.net(series.flatten(1))


@dataclass(frozen=True)
class OwnOnNumbers(Module):
    def supports(self, task):
        return len(task.inputs) == 1 and task.inputs[0].modality != "text"


class TestModule(FamilyContract):
    @pytest.fixture
    def family(self):
        return OwnOnNumbers(f"{__name__}.Own", {"width": [4, 8]}, training="search")


# --- what a candidate is


def test_a_candidate_says_which_list_it_is_of_and_what_was_fixed():
    given = {"optimizer": {"SGD": {"lr": [0.1, 0.2]}}, "ema": True}
    family = Layers(["Flatten", LINEAR], training={**given, "batch_size": [32, 16]})
    of = TASKS["tiny"]
    axes = axes_of(family, of)
    assert {a.name: a.options for a in axes} == {
        NAMED: (family.listing.digest,),
        "optimizer": ('{"SGD": {"lr": 0.1}}', '{"SGD": {"lr": 0.2}}'),
        "ema": (True,),
        "batch_size": (16, 32),
    }
    other = Layers(["Flatten", "ReLU", LINEAR])
    assert axes_of(other, of) == axes_of(other, of) != axes
    assert len(axes_of(other, of)) == 1  # what is not said stands at its default
    assert Options.of(candidate_at(family, axes, -1).choices).batch_size == 32


def test_operations_on_pictures_are_options_of_the_axis_for_that():
    of, wanted = TASKS["tiny"], ["RandomInvert", {"RandomCrop": {"size": 8, "padding": [1, 2]}}]
    family = Layers(["Flatten", LINEAR], training={"augment": wanted})
    (axis,) = (a for a in axes_of(family, of) if a.name == "augment")
    assert [json.loads(o)[1]["RandomCrop"]["padding"] for o in axis.options] == [1, 2]
    plain, named = Layers(["Flatten", LINEAR]), Trained(ConvNet((16,)), {"augment": wanted})
    assert any(a == axis for a in axes_of(named, of)), "the same for any family"
    axes = [axes_of(f, of) for f in (plain, family)]
    transforms._try.cache_clear()
    pairs = zip((plain, family), axes, strict=True)
    built = [build(f, of, candidate_at(f, own, 0), own, seed=3) for f, own in pairs]
    for own, other in zip(*(net.parameters() for net in built), strict=True):
        assert torch.equal(own, other), "trying them draws no number of a network"


def test_search_adds_the_axes_of_every_family():
    of = TASKS["tiny"]
    searched = search_axes({"layers": Layers(["Flatten", LINEAR], training="search")}, of, training_axes(of))["layers"]
    assert {a.name for a in training_axes(of)} < {a.name for a in searched}


def test_the_weights_are_those_of_the_network_written_by_hand():
    family = Layers([{"Conv2d": {"out_channels": 4, "kernel_size": 3}}, "Flatten", LINEAR])
    of = TASKS["image"]
    net = build(family, of, candidate_at(family, axes_of(family, of), 0), axes_of(family, of), seed=5)
    torch.manual_seed(5)
    by_hand = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 26 * 26, 3))
    (x,) = rows(of, 3)
    assert torch.equal(net(x), by_hand(x))


def test_asking_for_the_axes_allocates_nothing_of_the_network():
    space = Layers(["Flatten", {"Linear": {"out_features": 10**6}}, LINEAR]).space(TASKS["image"])
    assert not list(space.parameters())


def test_several_inputs_are_refused_in_one_line():
    with pytest.raises(UserError, match=r"layers can learn from image \+ tabular \+ text"):
        axes_of(Layers(["Flatten", LINEAR]), TASKS["several"])


def test_a_wrong_list_is_told_before_anything_is_trained():
    with pytest.raises(LayerError, match="/layers/0/Conv2d"):
        axes_of(Layers([{"Conv2d": {"out_channels": 4, "kernel_size": 3}}, "Flatten", LINEAR]), TASKS["numbers"])


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ("all", "Write search"),
        ({"lr": 0.1}, "/training/lr: there is no such option"),
        ({"learning_rate": -1.0}, "out of bounds"),
        ({"learning_rate": "fast"}, "is not a number"),
        ({"batch_size": 2.5}, "whole number"),
        ({"ema": 1}, "true or false"),
        ({"optimizer": "adam"}, "AdamW"),
        ({"optimizer": {"LBFGS": {}}}, "is not known here"),
        ({"optimizer": {"os.system": {}}}, "is not known here"),
        ({"optimizer": {"SGD": {"foreach": True}}}, "no such argument"),
        ({"optimizer": {"SGD": {"lr": -1.0}}}, "/training/optimizer/SGD: Invalid learning rate"),
        ({"optimizer": {"AdamW": {"lr": 0.1}}, "weight_decay": 0.1}, "Write it there"),
        ({"loss": "mse"}, "cross_entropy"),
        ({"loss": {"MSELoss": {}}}, "CrossEntropyLoss"),
        ({"schedule": {"StepLR": {}}}, "StepLR needs step_size"),
        ({"schedule": {"StepLR": {"step_size": 0}}}, "/training/schedule/StepLR"),
        ({"augment": "most"}, "none, light"),
        ({"augment": ["light", "RandomInvert"]}, "/training/augment/0"),
        (
            {"augment": ["RandomInvert", {"RandomCrop": {"size": 6}}]},
            "/training/augment/1/RandomCrop: pictures of 8 x 8",
        ),
        ({"augment": []}, "empty"),
    ],
)
def test_a_wrong_option_of_the_training_is_one_line(training, said):
    with pytest.raises(UserError) as caught:
        axes_of(Layers(["Flatten", LINEAR], training=training), TASKS["tiny"])
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("training", "of", "said"),
    [
        ({"mixup": [0.0, 0.2]}, "names", "/training/mixup: texts cannot be blended. Leave it out"),
        ({"label_smoothing": 0.1}, "numbers", "/training/label_smoothing: values have no labels to smooth"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(training, of, said):
    with pytest.raises(LayerError, match=said):
        axes_of(Layers(["Flatten", LINEAR], training=training), TASKS[of])


def test_a_family_whose_training_is_said_still_tells_the_rest():
    family = Trained(Reads(["Flatten", LINEAR]), {})
    assert wordpieces({"reads": family}) == ("un", "##seen")
    assert pickle.loads(pickle.dumps(family)).name == "layers"
    with pytest.raises(AttributeError):
        _ = family.origin


# --- a module


def test_a_module_that_names_the_task_gets_every_input():
    family = Module(f"{__name__}.Both")
    of = TASKS["two"]
    net = build(family, of, Candidate("module", {}), axes_of(family, of), seed=0)
    assert net(*rows(of, 3)).shape == (3, 1)
    assert not Module(f"{__name__}.Own").supports(of)


@pytest.mark.parametrize(
    ("family", "said"),
    [
        (Module("nowhere.Net"), "nowhere.Net is not there"),
        (Module("Net"), "Net is not there"),
        (Module("torch.nn.Nothing"), "is not there"),
        (Module("torch.nn.Linear"), "missing 2 required"),
        (Module("torch.pi"), "is no class"),
        (Module("builtins.dict"), "makes no torch.nn.Module"),
        (Module("torch.nn.Identity"), r"gives \(2, 1, 8, 8\) for 2 rows. Let it give \(rows, 2\)"),
        (Module("torch.nn.Linear", {"in_features": 3, "out_features": 2}), "fails for"),
        (Module(f"{__name__}.Own", {"width": []}), "choice of 0"),
        (Module(f"{__name__}.Own", {"depth": 3}), "unexpected keyword"),
    ],
)
def test_a_module_that_does_not_fit_is_one_line(family, said):
    with pytest.raises(UserError, match=said) as caught:
        axes_of(family, TASKS["tiny"])
    assert "\n" not in str(caught.value)

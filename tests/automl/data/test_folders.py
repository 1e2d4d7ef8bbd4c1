"""Folders of strangers: each is read as its owner means it, or refused in one line that says what was seen."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from automl.data.read.files import short
from automl.data.sources.image_folder import ImageFolderSource
from automl.data.sources.text import TextSource
from automl.data.sources.walk import walk
from automl.errors import UserError

ENDINGS = (".png", ".jpg")


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def two(folder: Path, below: str = "", times: int = 2) -> None:
    touch(folder, *(f"{below}{c}/{i}.png" for c in ("cat", "dog") for i in range(times)))


def links(folder: Path) -> None:
    two(folder)
    (folder / "ring").symlink_to(folder, target_is_directory=True)
    (folder / "cat" / "ring").symlink_to(folder, target_is_directory=True)
    (folder / "cat" / "gone.png").symlink_to(folder / "nothing.png")


def of(*names: str) -> Callable[[Path], None]:
    return lambda folder: touch(folder, *names)


def beside(*names: str) -> Callable[[Path], None]:
    return lambda folder: (two(folder), touch(folder, *names))[0]


def split(*names: str) -> Callable[[Path], None]:
    """train/cat and train/dog of two files each, and these."""
    return lambda folder: (two(folder, "train/"), touch(folder, *names))[0]


CAFE = unicodedata.normalize("NFD", "café")
PLAIN = {"cat": 2, "dog": 2}
# name -> (make, files of each class, words of a note)
READ: dict[str, tuple[Callable[[Path], None], dict[str, int], str]] = {
    "plain": (two, PLAIN, "4 files in 2 class folders"),
    "litter": (beside(".DS_Store", "cat/.DS_Store", "cat/._0.png", "cat/Thumbs.db", "__MACOSX/cat/0.png"), PLAIN, ""),
    "hidden folders inside": (beside("cat/.ipynb_checkpoints/0.png", "dog/@eaDir/0.png", "dog/__x/0.png"), PLAIN, ""),
    "other files": (beside("cat/a.txt", "dog/b.TXT", "dog/README"), PLAIN, "2 files with .txt, 1 files with no ending"),
    "endings of any case": (beside("cat/9.PNG", "dog/9.Jpg"), {"cat": 3, "dog": 3}, ""),
    "folders in a class": (beside("cat/persian/1.png", "cat/siamese/a/1.png"), {"cat": 4, "dog": 2}, ""),
    "rings of links": (links, PLAIN, "nothing behind their link"),
    "an empty class": (beside("bird/note.txt"), PLAIN, "passed over: bird"),
    "a class of another ending": (beside("bird/1.heic"), PLAIN, "passed over: bird"),
    "loose files": (beside("9.png", "labels.csv"), PLAIN, "1 png files outside of the class folders"),
    "names of all signs": (of("a b (1)/1.png", "ünï [x]/1.png"), {"a b (1)": 1, "ünï [x]": 1}, ""),
    "a line end in a name": (of("a\nb/1.png", "c/1.png"), {"a b": 1, "c": 1}, ""),
    "blanks around a name": (of("a /1.png", "b/1.png"), {"a": 1, "b": 1}, ""),
    "accents of two signs": (of(f"{CAFE}/1.png", "tea/1.png"), {"café": 1, "tea": 1}, ""),
    "a class called train": (of("train/1.png", "bus/1.png"), {"train": 1, "bus": 1}, ""),
    "masks that are worn": (of("with_mask/1.png", "without_mask/1.png"), {"with_mask": 1, "without_mask": 1}, ""),
    "splits": (split("test/cat/1.png", "test/dog/1.png"), {"cat": 3, "dog": 3}, ""),
    "splits of another case": (split("TEST/CAT/1.png", "TEST/dog/1.png"), {"cat": 3, "dog": 3}, ""),
    "a test without classes": (split("test/1.png", "test/2.png"), PLAIN, "no test part with classes: one is drawn"),
    "a test of one unknown folder": (split("test/unknown/1.png"), PLAIN, "test part has no class of the training part"),
    "a class in the test alone": (split("test/cat/1.png", "test/fox/1.png"), {"cat": 3, "dog": 2, "fox": 1}, ""),
    "folders beside the splits": (split("test/cat/1.png", "extra/1.png"), {"cat": 3, "dog": 2}, "passed over: extra"),
    "rows without a class": (split("test/cat/1.png", "train/unsup/1.png"), {"cat": 3, "dog": 2}, "train/unsup"),
}


@pytest.mark.parametrize("name", READ)
def test_read(name: str, tmp_path: Path) -> None:
    make, classes, told = READ[name]
    make(tmp_path)
    found = walk(tmp_path, ENDINGS, "png")
    assert Counter(found.labels) == classes
    assert any(told in note for note in found.notes), found.notes
    assert all("\n" not in note for note in found.notes)
    assert found.split is None or len(found.split) == len(found.files) == len(set(found.files))


# name -> (make, words of the error)
REFUSED: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "pictures and masks": (of("images/1.png", "masks/1.png"), ("'images'", "'masks'", "segmentation", "CLASS/FILE")),
    "Oxford pets": (of("images/1.jpg", "annotations/trimaps/1.png"), ("'images'", "'annotations'", "detection")),
    "VOC": (of("JPEGImages/1.jpg", "Annotations/1.xml", "SegmentationClass/1.png"), ("'JPEGImages'", "detection")),
    "COCO": (of("train2017/1.jpg", "val2017/1.jpg", "annotations/a.json"), ("'train2017'", "'annotations'")),
    "COCO without its tables": (of("train2017/1.jpg", "val2017/1.jpg"), ("train2017, val2017", "no class folders")),
    "YOLO": (of("images/train/1.jpg", "labels/train/1.txt"), ("'images'", "'labels'")),
    "YOLO by split": (of("train/images/1.jpg", "train/labels/1.txt", "data.yaml"), ("train holds", "'labels'")),
    "Carvana": (of("train/1.jpg", "train_masks/1.png", "test/1.jpg"), ("'train_masks'", "segmentation")),
    "splits without classes": (of("train/1.png", "test/1.png"), ("test, train", "no class folders")),
    "splits and a csv": (of("train/1.png", "test/1.png", "labels.csv"), ("data.path to labels.csv",)),
    "one class": (of("cat/1.png"), ("1 class folders", "two classes")),
    "a folder too high": (lambda f: two(f, "set/"), ("1 class folders", "data.path=", "/set")),
    "nothing": (lambda f: None, ("0 class folders",)),
    "another kind of file": (of("cat/1.heic", "dog/1.heic"), ("0 class folders", "2 with .heic", ".png")),
    "loose files": (of("1.png", "2.png"), ("2 png files but no class folders",)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path) -> None:
    make, words = REFUSED[name]
    make(tmp_path)
    with pytest.raises(UserError) as caught:
        walk(tmp_path, ENDINGS, "png")
    assert [w for w in words if w not in str(caught.value)] == [], str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_that_no_text_can_hold(tmp_path: Path) -> None:
    for name in (b"caf\xe9", b"tea"):
        touch(tmp_path, f"{os.fsdecode(name)}/1.png")
    labels = walk(tmp_path, ENDINGS, "png").labels
    assert [name.encode() for name in labels] == ["caf\ufffd".encode(), b"tea"]


def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two(tmp_path)

    def denied(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(UserError, match="cannot be opened: Permission denied"):
        walk(tmp_path, ENDINGS, "png")


def test_an_unlabelled_test_part_leaves_the_split_to_us(tmp_path: Path) -> None:
    split("test/unknown/1.png")(tmp_path)
    assert walk(tmp_path, ENDINGS, "png").split is None


TEXT = "Grüße, the film was good"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_texts_of_any_encoding(encoding: str, tmp_path: Path) -> None:
    touch(tmp_path, "a/1.txt", "b/1.txt")
    (tmp_path / "a/1.txt").write_bytes(TEXT.encode(encoding))
    dataset = TextSource(str(tmp_path)).load()
    assert dataset.table["text"][0] == TEXT
    told = [note for note in dataset.notes if "read as" in note]
    assert len(told) == (not encoding.startswith("utf-8"))


def test_a_text_that_is_none(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.txt", "b/1.txt")
    (tmp_path / "a/1.txt").write_bytes(b"\x89PNG\0\0\0\1")
    with pytest.raises(UserError, match=r"a/1.txt is no readable text: it holds zero bytes"):
        TextSource(str(tmp_path)).load()


def test_a_long_text_is_cut_between_characters(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.txt", "b/1.txt")
    (tmp_path / "a/1.txt").write_text("x" + "ü" * (1 << 20))
    dataset = TextSource(str(tmp_path)).load()
    assert dataset.table["text"][0] == "x" + "ü" * ((1 << 19) - 1)
    assert any("1 files are cut at 1 MiB" in note for note in dataset.notes)


def test_pictures_of_nothing_are_one_line(tmp_path: Path) -> None:
    two(tmp_path)
    for broken in ("stop", "skip"):
        with pytest.raises(UserError) as caught:
            ImageFolderSource(str(tmp_path), broken=broken).load()
        assert short(str(caught.value), 1_000) == str(caught.value)

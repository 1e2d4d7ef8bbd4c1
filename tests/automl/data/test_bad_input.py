"""What users hand in by mistake: each is refused in one line that names the value, the place and the fix, or mended."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl.data.prepare import Prepared, prepare
from automl.data.sources.audio_folder import AudioFolderSource
from automl.data.sources.file import FileSource
from automl.data.sources.frame import FrameSource
from automl.data.sources.image_folder import ImageFolderSource
from automl.data.sources.image_search import ImageSearchSource
from automl.data.sources.series import SeriesSource
from automl.data.sources.sklearn import SklearnSource
from automl.data.sources.text import TextSource
from automl.data.sources.torchvision import TorchvisionSource
from automl.errors import UserError
from automl.types import Limits

from .files import picture, png_bomb, sound, table

pytestmark = pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
Make = Callable[[Path], Any]


def text(content: str | bytes, name: str = "t.csv", **options: Any) -> Make:
    """Prepare a file with this content."""

    def make(folder: Path) -> Any:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        asked = {k: options[k] for k in options if k in ("target", "group", "time", "delimiter")}
        rest = {k: v for k, v in options.items() if k not in asked}
        return prepare(FileSource(str(path), **asked).load(), check=False, **rest)

    return make


def npz(**arrays: Any) -> Make:
    def make(folder: Path) -> Any:
        np.savez(folder / "t.npz", allow_pickle=True, **arrays)
        return prepare(FileSource(str(folder / "t.npz")).load(), check=False)

    return make


def frame(data: Any, **options: Any) -> Make:
    return lambda _: prepare(FrameSource(data, **options).load(), check=False)


def written(name: str, content: str, load: Callable[[str], Any]) -> Make:
    """Prepare what a source makes of a file with this content."""

    def make(folder: Path) -> Any:
        (folder / name).write_text(content)
        return prepare(load(str(folder / name)).load())

    return make


def zipped(*names: str) -> Make:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, table())
    return text(buffer.getvalue(), "t.zip")


def pictures(change: Callable[[Path], Any], **options: Any) -> Make:
    """A folder of two classes of pictures, changed."""

    def make(folder: Path) -> Any:
        for name in ("cat", "dog"):
            for i in range(4):
                picture(folder / "set" / name / f"{i}.png", level=40 * i)
        change(folder / "set")
        return ImageFolderSource(str(folder / "set"), **options).load()

    return make


def paths(cell: str) -> Make:
    """A csv of picture paths whose last cell is this one."""

    def make(folder: Path) -> Any:
        picture(folder / "secret.png")
        inner = folder / "set"
        for i in range(5):
            picture(inner / f"{i}.png")
        (inner / "t.csv").write_text("photo,target\n" + "".join(f"{i}.png,{i % 2}\n" for i in range(5)) + f"{cell},1\n")
        return FileSource(str(inner / "t.csv")).load()

    return make


def sounds(change: Callable[[Path], Any]) -> Make:
    def make(folder: Path) -> Any:
        for name in ("low", "high"):
            sound(folder / "set" / name / "1.wav")
        change(folder / "set")
        return AudioFolderSource(str(folder / "set")).load()

    return make


def series(content: str, name: str = "t.ts", **options: Any) -> Make:
    def make(folder: Path) -> Any:
        (folder / name).write_text(content)
        return SeriesSource(str(folder / name), **options).load()

    return make


def patched(content: bytes, at: int, new: bytes) -> bytes:
    return content[:at] + new + content[at + len(new) :]


def rows(count: int, **columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"a": np.arange(count) % 5, **columns})


def link_out(folder: Path) -> Any:
    """A csv names a link in its own folder, which leads out of it."""
    (folder / "set").mkdir()
    (folder / "set" / "link.png").symlink_to(picture(folder / "secret.png"))
    (folder / "set" / "t.csv").write_text("photo,target\n" + "link.png,x\nlink.png,y\n" * 4)
    return FileSource(str(folder / "set" / "t.csv")).load()


LONG = np.arange(40)
RNG = np.random.default_rng(0)
HEAD = "@univariate true\n@classLabel true 0 1\n@data\n"
TS_TIMES = "@timestamps true\n@data\n(0,1),(1,2):0\n"

# name -> (make, words that the error must hold: the value or place, and the fix)
REFUSED: dict[str, tuple[Make, tuple[str, ...]]] = {
    "absent file": (lambda f: FileSource(str(f / "no.csv")).load(), ("no.csv", "does not exist", "data.path")),
    "no path": (lambda f: FileSource("").load(), ("data.path",)),
    "a folder": (lambda f: FileSource(str(f)).load(), ("is a folder", "data=image_folder")),
    "empty file": (text(""), ("t.csv", "empty", "header")),
    "blank file": (text(" \n\n \n"), ("t.csv", "empty")),
    "a mark and nothing else": (text(b"\xef\xbb\xbf"), ("t.csv", "empty")),
    "a wide mark and an empty line": (text("\n".encode("utf-16")), ("t.csv", "empty")),
    "header only": (text("a,b,target\n"), ("t.csv", "no rows")),
    "one row": (text("a,target\n1,x\n"), ("1 rows", "at least")),
    "one class": (text("a,target\n" + "1,x\n2,x\n" * 9), ("'x'", "target", "nothing to tell apart")),
    "target absent": (text(table(), target="price"), ("'price'", "a, b, city, target", "data.target")),
    "target in other case": (text(table(), target="Target"), ("'Target'", "columns are: target")),
    "target all missing": (text("a,target\n" + "1,\n2,NA\n" * 9), ("'target'", "no value", "data.target")),
    "group absent": (text(table(), group="who"), ("'who'", "data.group")),
    "time absent": (text(table(), time="when"), ("'when'", "data.time")),
    "target is the group": (text(table(), target="a", group="a"), ("different columns", "a")),
    "one column": (text("target\n" + "x\ny\n" * 9), ("no column beside", "delimiter")),
    "10,000 columns": (
        text(",".join(f"c{i}" for i in range(10_000)) + "\n" + ",".join(["1"] * 10_000) + "\n"),
        ("10,000 columns", "t.csv", "keep fewer"),
    ),
    "ragged, long row": (text(table() + "1,2,x,u,9\n"), ("ragged", "5 fields in line 26", "4", "quote")),
    "ragged, short row": (text(table() + "1,2\n"), ("ragged", "2 fields in line 26", "4")),
    "a title above the table": (
        text("Report of 2024\n\n" + table()),
        ("4 fields", "the header has 1", "drop what stands above the header"),
    ),
    "a remark below the table": (
        text(table() + "Source: my own\n"),
        ("1 fields in line 26", "drop lines that are no rows"),
    ),
    "wrong delimiter": (text(table(), delimiter=";"), ("no column beside", "data.delimiter")),
    "strange delimiter": (text(table().replace(",", "^")), ("no column beside", "data.delimiter")),
    "delimiter of two signs": (text(table(), delimiter="::"), ("'::'", "one character")),
    "open quote": (text(table() + '1,"2,x,u\n'), ("t.csv",)),
    "duplicate names": (text("a,a,target\n1,2,x\n3,4,y\n"), ("'a'", "twice", "rename")),
    "nameless column": (text("a,,target\n1,2,x\n3,4,y\n"), ("column 2", "no name")),
    "not text": (text(b"a,b\x00\x01\x02" * 50), ("t.csv", "not text", "csv")),
    "broken gzip": (text(gzip.compress(table(5000).encode())[:-30], "t.csv.gz"), ("t.csv.gz", "broken archive")),
    "zip of two tables": (zipped("a.csv", "b.csv"), ("t.zip", "2 files", "unpack")),
    "zip of unknown kind": (zipped("model.bin"), ("t.zip", "model.bin", "unpack")),
    "broken zip": (text(b"PK\x03\x04" + b"x" * 100, "t.zip"), ("t.zip", "broken zip")),
    "spreadsheet": (text(b"PK\x03\x04" + b"x" * 100, "t.xlsx"), ("t.xlsx", "export it as csv")),
    "pickle": (text(b"\x80\x04K\x01.", "t.pkl"), ("t.pkl", "pickle", "csv or npz")),
    "json": (text("[]", "t.json"), ("t.json", "csv, parquet")),
    "one picture": (text("", "t.png"), ("t.png", "data=image_folder")),
    "broken parquet": (text(b"PAR1 nonsense", "t.parquet"), ("t.parquet", "not a readable parquet")),
    "npz of objects": (
        npz(X=np.array([[1, "a"], [2, None]] * 9, dtype=object), y=LONG[:18] % 2),
        ("'X'", "t.npz", "pickle", "save numbers"),
    ),
    "npz of unequal rows": (
        npz(X=np.array([np.ones(2), np.ones(3)] * 9, dtype=object), y=LONG[:18] % 2),
        ("'X'", "pickle", "NaN"),
    ),
    "npz of object labels": (npz(X=np.ones((4, 3)), y=np.array([1, None, 2, 3], dtype=object)), ("'y'", "pickle")),
    "npz without target": (npz(X_train=np.ones((9, 3))), ("X_train", "y_train", "save")),
    "npz of other names": (npz(foo=np.ones((9, 3))), ("foo", "X_train")),
    "npz of other lengths": (npz(X=np.ones((9, 3)), y=np.ones(8)), ("(8,)", "9 rows", "one target value per row")),
    "npz of flat inputs": (npz(X=np.ones(9), y=np.ones(9)), ("X", "(9,)", "at least one more axis")),
    "npz of five axes": (npz(X=np.ones((9, 2, 2, 2, 2)), y=LONG[:9]), ("4 axes", "at most 3")),
    "npz of no channels": (npz(X=np.ones((9, 0, 5)), y=LONG[:9]), ("(9, 0, 5)", "length 0")),
    "npz of words": (npz(X=np.array([["a", "b"]] * 9), y=LONG[:9] % 2), ("<U1", "integers or floats")),
    "npz of complex labels": (npz(X=np.ones((9, 3)), y=LONG[:9] * 1j), ("y", "complex128", "one number or one word")),
    "npz of records": (npz(X=np.ones((9, 3)), y=np.zeros(9, [("a", int)])), ("y", "'a'", "one number or one word")),
    "npz of twins": (npz(X=np.ones((9, 3)), x=np.ones((9, 4)), y=LONG[:9] % 2), ("X, x, y", "only in case")),
    "npz of two shapes": (
        npz(X_train=np.ones((9, 3)), y_train=LONG[:9] % 2, X_test=np.ones((9, 4)), y_test=LONG[:9] % 2),
        ("differ in shape", "(3,)", "(4,)"),
    ),
    "cut npz": (text(b"PK\x03\x04 cut", "t.npz"), ("t.npz", "not a readable npz", "numpy.savez")),
    "npy alone": (text(b"", "t.npy"), ("t.npy", "no target beside it", "data.target")),
    "unknown split": (
        text("a,target,split\n" + "1,x,train\n2,y,test\n" * 9 + "3,x,later\n"),
        ("'split'", "'later'", "row 19", "train, valid or test"),
    ),
    "no training rows": (text("a,target,split\n" + "1,x,test\n2,y,test\n" * 9), ("'split'", "no row as train")),
    "infinite target": (text("a,target\n" + "1,1.5\n2,2.5\n" * 9 + "3,inf\n"), ("target", "infinity")),
    "target with a stray word": (
        text("a,target\n" + "".join(f"1,{i}.5\n" for i in range(30)) + "2,much\n"),
        ("'target'", "'much'", "mend"),
    ),
    "all labels differ": (
        text("a,target\n" + "".join(f"1,id{i}\n" for i in range(30))),
        ("30 different", "data.target"),
    ),
    "target of dates": (frame(rows(30), y=pd.date_range("2020", periods=30)), ("dates", "data.target")),
    "numbers wanted, words given": (text(table(), kind="regression"), ("'u'", "no number", "task.kind")),
    "two classes wanted, three given": (text(table(classes=3), kind="binary"), ("3 distinct", "multiclass")),
    "too many classes": (
        text("a,target\n" + "".join(f"1,{i}\n" for i in range(1500)), kind="multiclass"),
        ("1,500", "regression"),
    ),
    "unknown kind": (text(table(), kind="ranking"), ("'ranking'", "binary, multiclass, regression")),
    "metric of another kind": (text(table(), metric="rmse"), ("'rmse'", "binary", "accuracy")),
    "nonsense goal": (text(table(), goal="as good as possible"), ("as good as possible", "accuracy >= 0.95")),
    "goal with code": (text(table(), goal="__import__('os').system('x') >= 1"), ("not understood",)),
    "goal of another kind": (text(table(), goal="r2 > 0.5"), ("r2 > 0.5", "accuracy")),
    "negative limit": (text(table(), limits=Limits(latency_ms=-1)), ("latency_ms=-1", "positive")),
    "share above one": (text(table(), test_share=25), ("test_share=25", "between 0 and 1")),
    "share of nothing": (text(table(), valid_share=0.0), ("valid_share=0.0", "between 0 and 1")),
    "one group": (text(table().replace(",x,", ",z,").replace(",y,", ",z,"), group="city"), ("'z'", "at least 3")),
    "time of words": (text(table(), time="city"), ("'city'", "'x'", "row 1", "date or a number")),
    "nothing varies": (text("a,b,target\n" + "1,x,u\n1,x,v\n" * 9), ("no usable feature", "constant")),
    "all features empty": (text("a,b,target\n" + ",,u\n,,v\n" * 9), ("no usable feature", "empty")),
    "frame from the command line": (frame(None), ("data=file",)),
    "frame without rows": (frame(rows(0), y=[]), ("no rows",)),
    "frame with too short y": (frame(rows(9), y=[1, 2]), ("2 values", "9 rows")),
    "frame with twin columns": (frame(pd.DataFrame(np.ones((9, 3)), columns=["a", "a", "y"])), ("'a'", "twice")),
    "frame with names that become twins": (
        frame(pd.DataFrame(np.ones((9, 3)), columns=pd.Index([1, "1", "y"], dtype=object))),
        ("'1'", "twice"),
    ),
    "frame of lists": (frame(rows(9, b=[[1, 2]] * 9), y=LONG[:9] % 2), ("'b'", "list in row 1", "one number")),
    "frame of complex numbers": (frame(rows(9, b=LONG[:9] * 1j), y=LONG[:9] % 2), ("'b'", "complex", "two columns")),
    "target of giants": (frame(rows(30), y=[10**30 + i for i in range(30)]), ("target", "too large", "scale")),
    "kind of array for a table": (
        frame(rows(9), y=LONG[:9] % 2, modality="series"),
        ("data.modality='series'", "is for arrays", "{COLUMN: series}"),
    ),
    "kinds of columns for an array": (
        frame(np.ones((9, 3, 3)), y=LONG[:9] % 2, modality={"a": "text"}),
        ("is for columns", "give a word"),
    ),
    "kind of the target": (
        frame(rows(9, y=["u", "v", "w"] * 3), target="y", modality={"y": "text"}),
        ("'y'", "no input"),
    ),
    "array without y": (frame(np.ones((9, 3, 3))), ("needs y",)),
    "unknown bundled set": (lambda _: SklearnSource("boston").load(), ("'boston'", "digits")),
    "unknown torchvision class": (lambda _: TorchvisionSource("Nothing").load(), ("'Nothing'", "MNIST")),
    "torchvision without files": (lambda f: TorchvisionSource("MNIST", str(f)).load(), ("MNIST", "data.root")),
    "pictures without classes": (
        lambda f: (picture(f / "1.png"), ImageFolderSource(str(f)).load()),
        ("1 picture files but no class folders", "CLASS/FILE"),
    ),
    "truncated png": (
        pictures(lambda f: (f / "cat/0.png").write_bytes((f / "cat/0.png").read_bytes()[:60])),
        ("cat/0.png", "no readable picture", "data.broken=skip"),
    ),
    "png bomb": (
        pictures(lambda f: (f / "cat/0.png").write_bytes(png_bomb(60_000))),
        ("cat/0.png", "3600000000 pixels", "data.broken=skip"),
    ),
    "png bomb past PIL's own limit": (
        pictures(lambda f: (f / "cat/0.png").write_bytes(png_bomb(12_000))),
        ("cat/0.png", "12,000 x 12,000"),
    ),
    "text named png": (pictures(lambda f: (f / "cat/0.png").write_text("hello")), ("cat/0.png", "no readable picture")),
    "empty png": (pictures(lambda f: (f / "cat/0.png").write_bytes(b"")), ("cat/0.png", "no readable picture")),
    "picture size of nothing": (pictures(lambda f: None, size=0), ("data.size=0", "between")),
    "unknown word for broken": (pictures(lambda f: None, broken="ignore"), ("'ignore'", "stop or skip")),
    "path out of the folder": (paths("../secret.png"), ("'photo'", "row 6", "'../secret.png'", "outside")),
    "absolute path": (paths("/etc/passwd.png"), ("row 6", "'/etc/passwd.png'", "outside")),
    "path of no file": (paths("7.png"), ("row 6", "'7.png'", "is not in")),
    "text named wav": (sounds(lambda f: (f / "low/1.wav").write_text("hello")), ("low/1.wav", "no readable wav")),
    "cut wav": (
        sounds(lambda f: (f / "low/1.wav").write_bytes((f / "low/1.wav").read_bytes()[:20])),
        ("low/1.wav", "no readable wav"),
    ),
    "silent wav": (sounds(lambda f: sound(f / "low/1.wav", seconds=0)), ("low/1.wav", "no sound")),
    "ts without data": (series("1,2,3:0\n"), ("line 1", "@data")),
    "ts without series": (series(HEAD), ("no series", "@data")),
    "ts with a word": (series(HEAD + "1,2,3:0\n1,x,3:1\n"), ("line 5", "'x'")),
    "ts without label": (series(HEAD + "1,2,3\n"), ("line 4", "target")),
    "ts with other channels": (series(HEAD + "1,2:3,4:0\n1,2:1\n"), ("series 2", "1 channels", "2")),
    "ts with time stamps": (series(TS_TIMES), ("time stamps", "plain values")),
    "series csv with words": (series(table(), "t.csv"), ("'city'", "no numbers", "data=file")),
    "series csv of odd channels": (
        series("s1,s2,s3,target\n" + "1,2,3,x\n3,2,1,y\n" * 4, "t.csv", channels=2),
        ("data.channels=2", "3 columns"),
    ),
    "text column absent": (
        lambda f: ((f / "t.csv").write_text(table()), TextSource(str(f / "t.csv"), text="body").load()),
        ("'body'", "data.text"),
    ),
    "search without key": (
        lambda f: ImageSearchSource(["cat", "dog"], str(f / "s"), key_variable="NO_SUCH_VARIABLE").load(),
        ("NO_SUCH_VARIABLE", "not set"),
    ),
    "search of one class": (lambda f: ImageSearchSource(["cat"], str(f / "s")).load(), ("['cat']", "two classes")),
    "name too long": (lambda _: FileSource("x" * 5000).load(), ("cannot be opened", "too long", "data.path")),
    "folder named csv": (
        lambda f: ((f / "t.csv").mkdir(), FileSource(str(f / "t.csv")).load()),
        ("t.csv is a folder", "data=image_folder"),
    ),
    "a device without end": (lambda _: FileSource("/dev/zero").load(), ("/dev/zero", "not text")),
    "text named gz": (text(b"not packed at all", "t.csv.gz"), ("t.csv.gz", "header but no rows", "one row per class")),
    "one class in training": (
        text("a,target,split\n" + "1,x,train\n2,x,train\n" * 9 + "1,y,test\n2,x,test\n"),
        ("'x'", "18 training rows", "mark rows"),
    ),
    "target beyond float32": (
        text("a,target\n" + "".join(f"{i},{i}.5e300\n" for i in range(30))),
        ("'target'", "too large", "scale it down"),
    ),
    "target below float32": (
        text("a,target\n" + "".join(f"{i},{i}.5e-200\n" for i in range(30))),
        ("'target'", "too small", "scale it up"),
    ),
    "y of two columns": (frame(rows(9), y=np.ones((9, 2))), ("(9, 2)", "one value per row")),
    "rows of unequal length": (frame([[1, 2], [3]]), ("differ in length", "equal rows")),
    "npz without rows": (npz(X=np.zeros((0, 3)), y=np.zeros(0)), ("X", "(0, 3)", "at least one row")),
    "series of gaps alone": (
        npz(X=np.full((40, 3, 50), np.nan), y=LONG % 2),
        ("t.npz", "no usable feature", "add inputs"),
    ),
    "pictures all black": (npz(X=np.zeros((40, 8, 8), np.uint8), y=LONG % 2), ("t.npz", "constant", "add inputs")),
    "labels without series": (series("1\n2\n", "N_TRAIN.tsv"), ("'1'", "line 1", "then the values")),
    "empty texts": (
        written("t.csv", "body,target\n" + '"",x\n"",y\n' * 20, lambda p: TextSource(p, text="body")),
        ("t.csv", "no usable feature", "empty"),
    ),
    "limit of NaN": (text(table(), limits=Limits(latency_ms=float("nan"))), ("latency_ms=nan", "positive")),
    "repair switched to a word": (
        lambda _: prepare(FrameSource(rows(40), y=LONG % 2).load(), repairs={"outliers": "perhaps"}),
        ("outliers", "'perhaps'", "true or false"),
    ),
    "link out of the folder": (link_out, ("'photo'", "row 1", "'link.png'", "outside")),
    "mp3 named wav": (
        sounds(lambda f: (f / "low/1.wav").write_bytes(b"ID3\x03" + b"\xff\xfb\x90\0" * 200)),
        ("low/1.wav", "no readable wav", "PCM"),
    ),
    "wav of 0 samples a second": (
        sounds(lambda f: (f / "low/1.wav").write_bytes(patched((f / "low/1.wav").read_bytes(), 24, bytes(4)))),
        ("low/1.wav", "no readable wav"),
    ),
    "wide parquet of lists": (
        lambda f: (
            pd.DataFrame({"a": [[1, 2], [3]], "y": [0, 1]}).to_parquet(f / "t.parquet"),
            FileSource(str(f / "t.parquet")).load(),
        ),
        ("'a'", "lists", "npz"),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line(name: str, tmp_path: Path) -> None:
    make, words = REFUSED[name]
    with pytest.raises(UserError) as caught:
        make(tmp_path)
    said = str(caught.value)
    assert "\n" not in said and len(said) < 500
    assert [w for w in words if w not in said] == [], said


def test_there_are_at_least_forty() -> None:
    assert len(REFUSED) >= 40


def latin(folder: Path) -> Prepared:
    (folder / "t.csv").write_bytes(
        "naïve,target\nÉcole,ä\nb,ö\n".encode("latin-1") * 1 + "b,ä\nÉcole,ö\n".encode("latin-1") * 20
    )
    return prepare(FileSource(str(folder / "t.csv")).load(), check=False)


def late_latin(folder: Path) -> Prepared:
    """The first non-utf-8 byte stands far behind the part that is looked at."""
    body = "".join(f"{i},{'xy'[i % 2]},u{i % 3}\n" for i in range(40_000)).encode()
    (folder / "t.csv").write_bytes(b"a,target,city\n" + body + "1,x,K\xf6ln\n".encode("latin-1"))
    return prepare(FileSource(str(folder / "t.csv"), target="target").load(), check=False)


def zones(_: Path) -> Prepared:
    stamps = [f"2021-0{i % 9 + 1}-01T00:00:00{z}" for i in range(40) for z in ("+02:00", "Z", "-05:00")]
    return prepare(FrameSource(pd.DataFrame({"t": stamps}), y=np.arange(120) % 2).load(), check=False)


MENDED: dict[str, tuple[Make, Callable[[Prepared], bool]]] = {
    "npz of the other byte order": (
        npz(X=RNG.normal(size=(40, 3, 30)).astype(">f4"), y=(LONG % 2).astype(">i4")),
        lambda p: p.task.kind == "binary" and p.parts.train.inputs[0].shape[1:] == (3, 30),
    ),
    "byte order mark": (text("\ufeff" + table()), lambda p: "a" in p.dataset.table.columns),
    "latin-1": (latin, lambda p: "naïve" in p.dataset.table.columns and p.task.classes == ("ä", "ö")),
    "latin-1 far behind": (late_latin, lambda p: "Köln" in set(p.dataset.table["city"])),
    "utf-16": (text(table().encode("utf-16")), lambda p: p.task.kind == "binary"),
    "semicolons and decimal commas": (
        text(table().replace(".", ",").replace(",", ";").replace(";5;", ",5;")),
        lambda p: p.dataset.table["b"].dtype == np.float64,
    ),
    "index column of pandas": (
        text(",a,target\n" + "".join(f"{i},{i % 4},{'xy'[i % 2]}\n" for i in range(20))),
        lambda p: list(p.dataset.table.columns) == ["a"],
    ),
    "no header": (
        text("".join(f"{i / 7},{i % 4},{'xy'[i % 2]}\n" for i in range(20))),
        lambda p: len(p.dataset) == 20 and p.dataset.target.name == "column_2",
    ),
    "rows without a target": (text(table() + "1,2,x,\n"), lambda p: len(p.dataset) == 24),
    "all-NaN column": (text("a,b,target\n" + "1,,x\n2,,y\n" * 9), lambda p: p.task.inputs[0].shape == (1,)),
    "inf in a feature": (
        text("a,target\n" + "1,x\n2,y\n3,x\n" * 9 + "inf,x\n-inf,y\n"),
        lambda p: all(np.isfinite(part.inputs[0]).all() for part in (p.parts.train, p.parts.valid, p.parts.test)),
    ),
    "int64 overflow": (
        text("a,target\n" + "1,x\n2,y\n3,x\n" * 9 + "99999999999999999999999999,x\n"),
        lambda p: bool(np.isfinite(p.encoding.transform(p.dataset)[0]).all()),
    ),
    "column names that are numbers": (
        frame(pd.DataFrame(np.arange(60).reshape(20, 3)), y=np.arange(20) % 2),
        lambda p: list(p.dataset.table.columns) == ["0", "1", "2"],
    ),
    "mixed time zones": (zones, lambda p: bool(np.isfinite(p.parts.train.inputs[0]).all())),
    "label in test only": (
        text("a,target,split\n" + "1,x,train\n2,y,train\n" * 9 + "1,x,test\n2,z,test\n"),
        lambda p: p.task.classes == ("x", "y", "z"),
    ),
    "label in train only": (
        text("a,target,split\n" + "1,x,train\n2,y,train\n3,z,train\n" * 9 + "1,x,test\n2,y,test\n"),
        lambda p: p.task.num_outputs == 3,
    ),
    "None as a category": (
        text("a,target\n" + "None,x\nBrick,y\n" * 9),
        lambda p: bool(p.dataset.table["a"].notna().all()),
    ),
    "target of prices": (
        text("a,target\n" + "".join(f'{i},"$1,{i:03d}.50"\n' for i in range(40))),
        lambda p: p.task.kind == "regression" and float(p.parts.train.y.min()) >= 1000,
    ),
    "durations and periods": (
        frame(rows(40, d=pd.to_timedelta(LONG, unit="h"), p=pd.period_range("2020-01", periods=40)), y=LONG % 2),
        lambda p: (
            {f["name"]: f["kind"] for f in p.encoding.fields} == {"a": "numeric", "d": "numeric", "p": "datetime"}
        ),
    ),
    "quoted newlines": (text(table() + '1,2,"x\ny",u\n'), lambda p: len(p.dataset) == 25),
    "one file in a zip": (zipped("t.csv"), lambda p: len(p.dataset) == 24),
    "split column of other words": (
        text("split,target\n" + "banana,x\npeach,y\n" * 9),
        lambda p: list(p.dataset.table.columns) == ["split"],
    ),
    "line end in the header": (
        text('"a\nb",target\n' + "1,x\n2,y\n" * 9),
        lambda p: len(p.dataset) == 18 and p.task.kind == "binary",
    ),
    "empty lines before the header": (
        text("\n\n" + table()),
        lambda p: len(p.dataset) == 24 and "a" in p.dataset.table.columns,
    ),
    "the year 9999": (
        text("a,seen,target\n" + "1,2020-01-01,x\n2,9999-12-31,y\n3,0001-01-01,x\n" * 9, target="target"),
        lambda p: p.encoding.fields[1]["kind"] == "datetime" and bool(np.isfinite(p.parts.train.inputs[0]).all()),
    ),
    "time in the year 9999": (
        text(
            "a,seen,target\n" + "".join(f"1,{2000 + i}-01-01,x\n2,{9980 + i}-12-31,y\n" for i in range(20)),
            time="seen",
            target="target",
        ),
        lambda p: bool((p.dataset.target.iloc[p.parts.test.rows] == "y").all()),
    ),
    "numbers at the end of float64": (
        written("t.csv", "a,target\n" + "1e308,x\n-1e308,y\n5,x\n" * 9, FileSource),
        lambda p: bool(np.isfinite(p.parts.train.inputs[0]).all()),
    ),
    "texts of one word": (
        written("t.csv", "body,target\n" + "hi,x\nyo,y\n" * 20, lambda p: TextSource(p, text="body")),
        lambda p: len(p.dataset) == 40,
    ),
    "labels as a column": (frame(rows(40), y=(LONG % 2)[:, None]), lambda p: p.task.kind == "binary"),
    "windows line ends": (text(table().replace("\n", "\r\n")), lambda p: p.task.classes == ("u", "v")),
}


@pytest.mark.parametrize("name", MENDED)
def test_mended(name: str, tmp_path: Path) -> None:
    make, holds = MENDED[name]
    assert holds(make(tmp_path))


def test_broken_picture_can_be_skipped(tmp_path: Path) -> None:
    make = pictures(lambda f: (f / "cat/0.png").write_bytes(b"no"), broken="skip")
    dataset = make(tmp_path)
    assert len(dataset) == 7 and len(dataset.arrays["image"]) == 7
    assert any("cat/0.png" in note for note in dataset.notes)

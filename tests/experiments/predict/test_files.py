"""Folders of pictures, sounds and texts, tables that name them, arrays and series."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io.wavfile
from PIL import Image

from automl.data.sources.audio_folder import AudioFolderSource
from automl.data.sources.file import FileSource
from automl.data.sources.image_folder import ImageFolderSource
from automl.data.sources.series import SeriesSource
from automl.data.sources.text import TextSource
from automl.deploy.bundle import Bundle
from automl.errors import UserError
from experiments.predict.inputs import opened
from experiments.predict.predict import predict
from experiments.predict.run import Options
from tests.experiments.predict.bundles import bundle_of, people

RNG = np.random.default_rng(0)


def png(path: Path, side: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 255, (side, side, 3), dtype=np.uint8)).save(path)


def wav(path: Path, rate: int = 16_000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = np.sin(np.arange(4_000) * RNG.uniform(0.1, 1)) * 20_000
    scipy.io.wavfile.write(path, rate, sound.astype(np.int16))


def asked(bundle: Path, path: Path, **more: Any) -> Options:
    return Options(bundle, path, bundle.parent / "out.parquet", overwrite=True, progress=False, **more)


def answered(bundle: Path, path: Path, **more: Any) -> pd.DataFrame:
    return pd.read_parquet(predict(asked(bundle, path, **more)).out)


def shares(found: pd.DataFrame) -> np.ndarray:
    return found.filter(like="p_").to_numpy(np.float32)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(20):
        png(folder / "train" / "ab"[i % 2] / f"{i}.png")
    return bundle_of(folder / "bundle", ImageFolderSource(str(folder / "train")).load(), "binary")


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    for i in range(8):
        wav(folder / "train" / "ab"[i % 2] / f"{i}.wav")
    return bundle_of(folder / "bundle", AudioFolderSource(str(folder / "train")).load(), "binary")


@pytest.mark.parametrize("kind", ["png", "wav"])
def test_a_folder_of_files(pictures, sounds, tmp_path, kind):
    bundle = pictures if kind == "png" else sounds
    for i in (3, 1, 2):
        (png if kind == "png" else wav)(tmp_path / f"{i}.{kind}")
    if kind == "png":
        png(tmp_path / "deep" / "er" / "large.PNG", side=30)
    else:
        wav(tmp_path / "deep" / "er" / "large.PNG".replace("PNG", "WAV"), rate=8_000)
    (tmp_path / f"broken.{kind}").write_bytes(b"no file of this kind")
    (tmp_path / "note.doc").write_text("passed over")
    done = predict(asked(bundle, tmp_path, chunk=2))
    found = pd.read_parquet(done.out)
    names = [f"1.{kind}", f"2.{kind}", f"3.{kind}", f"broken.{kind}", f"deep/er/large.{kind.upper()}"]
    assert found["file"].tolist() == names and list(found) == ["row", "file", "prediction", "p_a", "p_b"]
    assert found["prediction"].notna().tolist() == [True, True, True, False, True]
    ((row, why),) = done.first
    assert row == 3 and "is no readable" in why and "row" not in why
    good = found.drop(index=3)
    field = Bundle.load(bundle).encoding.fields[0]["name"]
    rows = [{field: (tmp_path / name).read_bytes()} for name in good["file"]]
    np.testing.assert_allclose(shares(good), Bundle.load(bundle).predict_proba(rows), rtol=1e-5)
    one = answered(bundle, tmp_path / names[2])
    assert one["file"].tolist() == [names[2]]
    np.testing.assert_allclose(shares(one), shares(found[2:3]), rtol=1e-5)


def test_a_folder_that_changed_is_another_input(pictures, tmp_path):
    png(tmp_path / "a.png")
    encoding = Bundle.load(pictures).encoding
    before = opened(tmp_path, encoding).identity
    assert opened(tmp_path, encoding).identity == before
    png(tmp_path / "b.png")
    assert opened(tmp_path, encoding).identity != before


def test_a_table_that_names_pictures(tmp_path):
    for i in range(20):
        png(tmp_path / "pictures" / f"{i}.png")
    frame = pd.DataFrame({"picture": [f"pictures/{i}.png" for i in range(20)], "size": RNG.normal(size=20)})
    frame.assign(kind=["a", "b"] * 10).to_csv(tmp_path / "train.csv", index=False)
    bundle = bundle_of(tmp_path / "bundle", FileSource(str(tmp_path / "train.csv"), "kind").load(), "binary")
    frame.loc[[4, 6, 7], "picture"] = ["pictures/none.png", None, "../../outside.png"]
    frame.to_csv(tmp_path / "new.csv", index=False)
    done = predict(asked(bundle, tmp_path / "new.csv", chunk=8))
    found = pd.read_parquet(done.out)
    assert [row for row, _ in done.first] == [4, 7] and "outside of" in done.first[1][1]
    good = [i for i in range(20) if i not in (4, 7)]
    contents = [None if i == 6 else (tmp_path / f"pictures/{i}.png").read_bytes() for i in good]
    expected = Bundle.load(bundle).predict_proba({"picture": contents, "size": frame["size"][good].tolist()})
    np.testing.assert_allclose(shares(found.iloc[good]), expected, rtol=1e-5)
    # and a parquet file that holds the pictures themselves
    table = {"picture": pa.array(contents, pa.binary()), "size": pa.array(frame["size"][good])}
    pq.write_table(pa.table(table), tmp_path / "new.parquet")
    np.testing.assert_allclose(shares(answered(bundle, tmp_path / "new.parquet", chunk=5)), expected, rtol=1e-5)


def test_a_folder_of_texts(tmp_path):
    words = ["red", "green", "blue", "large", "small", "round"]
    for i in range(40):
        file = tmp_path / "train" / "ab"[i % 2] / f"{i}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(" ".join(RNG.choice(words, 9)))
    bundle = bundle_of(tmp_path / "bundle", TextSource(str(tmp_path / "train")).load(), "binary")
    found = answered(bundle, tmp_path / "train" / "a", chunk=6)
    texts = [(tmp_path / "train" / "a" / name).read_text() for name in found["file"]]
    np.testing.assert_allclose(shares(found), Bundle.load(bundle).predict_proba({"text": texts}), rtol=1e-5)


def test_series_in_every_form(tmp_path):
    x = RNG.normal(size=(40, 2, 30)).astype(np.float32)
    names = [f"t{i}" for i in range(60)]
    frame = pd.DataFrame(x.reshape(40, -1), columns=names)
    frame.assign(target=["a", "b"] * 20).to_csv(tmp_path / "train.csv", index=False)
    bundle = bundle_of(tmp_path / "bundle", SeriesSource(str(tmp_path / "train.csv"), channels=2).load(), "binary")
    expected = Bundle.load(bundle).predict_proba(x)
    frame.to_csv(tmp_path / "new.csv", index=False)
    frame.to_parquet(tmp_path / "new.parquet")
    np.save(tmp_path / "new.npy", x)
    np.savez(tmp_path / "new.npz", X=x)
    np.savez(tmp_path / "train.npz", X_train=x[:30], y_train=np.arange(30), X_test=x[30:], y_test=np.arange(10))
    for name in ("train.csv", "new.csv", "new.parquet", "new.npy", "new.npz", "train.npz"):
        np.testing.assert_allclose(shares(answered(bundle, tmp_path / name, chunk=9)), expected, rtol=1e-4)
    frame.iloc[:, 1:].to_csv(tmp_path / "short.csv", index=False)
    with pytest.raises(UserError, match="has 59 columns beside the target; the model needs the 60 steps"):
        predict(asked(bundle, tmp_path / "short.csv"))
    np.save(tmp_path / "wrong.npy", x[:, :1])
    with pytest.raises(UserError, match=r"none of the 40 rows of .* can be read; row 0: "):
        predict(asked(bundle, tmp_path / "wrong.npy"))


def test_what_is_no_input_of_the_model(pictures, tmp_path):
    people(50).to_csv(tmp_path / "train.csv", index=False)
    table = bundle_of(tmp_path / "bundle", FileSource(str(tmp_path / "train.csv"), "size").load(), "multiclass")
    png(tmp_path / "a.png")
    np.save(tmp_path / "flat.npy", np.arange(3.0))
    (tmp_path / "objects.npy").write_bytes(b"\x80no array")
    (tmp_path / "empty").mkdir()
    wrong = [
        (table, ".", "is a folder, and the model needs height, children, city, joined; set data.path=FILE"),
        (table, "a.png", "is one example"),
        (table, "flat.npy", "shape (3,); it needs rows and at least one more axis"),
        (table, "objects.npy", "is not a readable npy"),
        (pictures, "empty", "holds no file that ends in .png, .jpg"),
        (pictures, "train.csv", "column 'image' is not in"),
    ]
    for bundle, name, says in wrong:
        with pytest.raises(UserError) as caught:
            predict(asked(bundle, tmp_path / name))
        assert says in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(UserError, match="are for csv files"):
        predict(asked(pictures, tmp_path, delimiter=";"))

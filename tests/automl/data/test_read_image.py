"""Pictures of every mode and format are what one sees; everything else is one line."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import EpsImagePlugin, Image

from automl.data.read.image import decode_image
from automl.data.read.media import read_images
from automl.errors import UserError

pytestmark = pytest.mark.filterwarnings(r"ignore::UserWarning:PIL\.")
LEVEL = 200
GREY = Image.fromarray(np.full((6, 8), LEVEL, np.uint8))
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def of(array: np.ndarray, kind: str) -> bytes:
    return encoded(Image.fromarray(array), kind)


SAME = {
    **{f"grey {kind}": encoded(GREY, kind) for kind in FORMATS},
    **{f"colour {kind}": encoded(GREY.convert("RGB"), kind) for kind in FORMATS},
    "jpeg of inks": encoded(GREY.convert("CMYK"), "JPEG"),
    "tiff of inks": encoded(GREY.convert("CMYK"), "TIFF"),
    "png with alpha": encoded(GREY.convert("LA"), "PNG"),
    "png of 16 bits": of(np.full((6, 8), LEVEL * 257, np.uint16), "PNG"),
    "tiff of 16 bits": of(np.full((6, 8), LEVEL * 257, np.uint16), "TIFF"),
    "ppm of 16 bits": of(np.full((6, 8), LEVEL * 257, np.uint16), "PPM"),
    "tiff of 32 bits": of(np.full((6, 8), LEVEL, np.int32), "TIFF"),
    "tiff of shares": of(np.full((6, 8), LEVEL / 255, np.float32), "TIFF"),
    "tiff of floats": of(np.full((6, 8), LEVEL, np.float32), "TIFF"),
    "two frames": encoded(GREY, "GIF", save_all=True, append_images=[Image.new("L", (8, 6), 0)]),
}


@pytest.mark.parametrize("name", SAME)
def test_one_grey_in_every_mode(name: str) -> None:
    for mode, shape in (("RGB", (6, 8, 3)), ("L", (6, 8))):
        pixels = decode_image(SAME[name], place="p", mode=mode)
        assert pixels.dtype == np.uint8 and pixels.shape == shape
        assert np.abs(pixels.astype(int) - LEVEL).max() <= 3  # jpeg


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP"])
def test_a_drawing_on_nothing_stays_a_drawing(kind: str) -> None:
    """Its hidden colours are black, as the drawing is: without its alpha the picture is all black."""
    drawn = Image.new("RGBA", (8, 6), (0, 0, 0, 0))
    drawn.paste((0, 0, 0, 255), (0, 0, 4, 6))
    pixels = decode_image(encoded(drawn, kind, **({"lossless": True} if kind == "WEBP" else {})), place="p", mode="L")
    assert pixels[0].tolist() == [0] * 4 + [255] * 4


@pytest.mark.parametrize("values", [np.full((6, 8), 70_000, np.int32), np.full((6, 8), np.nan, np.float32)])
def test_numbers_without_a_known_range(values: np.ndarray) -> None:
    with pytest.raises(UserError, match="8 or 16 bits"):
        decode_image(of(values, "TIFF"), place="p")


def test_other_formats_run_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """PIL hands PostScript to Ghostscript, whatever the file is called."""
    asked = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *a, **k: asked.append(a) or GREY)
    eps = encoded(GREY.convert("RGB"), "EPS")
    with pytest.raises(UserError, match="no readable picture"):
        decode_image(eps, place="a.png")
    assert asked == []


@pytest.mark.parametrize("kind", FORMATS)
def test_cut_files(kind: str) -> None:
    rng = np.random.default_rng(0)
    content = of(rng.integers(0, 255, (16, 16, 3)).astype(np.uint8), kind)
    for end in range(0, len(content) - 1, max(1, len(content) // 40)):
        try:
            assert decode_image(content[:end], place="p").shape == (16, 16, 3)  # some end in filling
        except UserError as error:
            assert str(error).startswith("p ") and "\n" not in str(error)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(FORMATS), st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6))
def test_changed_bytes(kind: str, changes: list[tuple[int, int]]) -> None:
    content = bytearray(encoded(GREY.convert("RGB"), kind))
    for at, byte in changes:
        content[at % len(content)] = byte
    try:
        assert decode_image(bytes(content), place="p").ndim == 3
    except UserError as error:
        assert "\n" not in str(error)


def test_turned_pictures_are_measured_as_they_are_seen(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = np.zeros((10, 20, 3), np.uint8)
    lying[:, :10] = 255  # the left half, which is the upper one when turned
    for i in range(2):
        Image.fromarray(lying).save(tmp_path / f"{i}.jpg", exif=exif, quality=95)
    loaded = read_images([tmp_path / "0.jpg", tmp_path / "1.jpg"])
    assert loaded.array.shape == (2, 20, 10, 3) and loaded.array[0, 2, 5, 0] > 200 > 50 > loaded.array[0, 17, 5, 0]

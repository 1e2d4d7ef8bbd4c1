"""Pictures from files and bytes, and the layouts of image arrays."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from automl.data.read.files import short
from automl.errors import UserError

ENDINGS = (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
# PIL's others run programs (EPS) or are rarely used and tested; the ending of a stranger's file says nothing.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
# A 100-megapixel picture is 300 MB in memory; a small file that claims more is a bomb.
MAX_PIXELS = 100_000_000
# PIL warns of large pictures, here refused in words, and of odd tags. Set once, as filters are not safe in threads.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
_ORIENTATION, _LYING = 0x0112, (5, 6, 7, 8)  # the EXIF tag and its values that swap height and width
# What is white in pictures of more than 8 bits: cameras, scanners and microscopes fill 10 to 16 bits of their 16.
WHITES = tuple(2.0**bits - 1 for bits in (8, 10, 12, 14, 16))


def open_picture(content: bytes | Path) -> Image.Image:
    """A picture whose header alone was read, of one of ``FORMATS``. Raises whatever PIL raises."""
    return Image.open(io.BytesIO(content) if isinstance(content, bytes) else content, formats=FORMATS)


def decode_image(content: bytes | Path, *, place: str, mode: str = "RGB", white: float | None = None) -> np.ndarray:
    """uint8 (height, width, 3), or (height, width) when ``mode`` is "L". ``place`` names it in errors.

    ``white``: what is white in whole numbers of more than 8 bits, one of ``WHITES``; None: the end of their range.

    The first frame, turned as its EXIF says; what shows through is white, unless ``mode`` is "RGBA".
    Raises UserError for what is no picture, is cut off, or claims more than 100 megapixels.
    """
    try:
        with open_picture(content) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UserError(
                    f"{place} claims {image.width:,} x {image.height:,} pixels, more than {MAX_PIXELS:,}; "
                    "shrink it or remove it"
                )
            image.draft("RGB", (2048, 2048))  # a large jpeg is read at a half or a quarter: much faster
            turned = _bytes(ImageOps.exif_transpose(image), image.format == "PPM", place, white)
            return np.asarray((turned if mode == "RGBA" else _on_white(turned)).convert(mode))
    except UserError:
        raise
    except Exception as error:  # a decoder raises whatever it stumbles over
        unknown = isinstance(error, UnidentifiedImageError)  # its text shows an object of Python
        reason = f"it is none of {', '.join(FORMATS)}" if unknown else short(str(error) or type(error).__name__)
        raise UserError(f"{place} is no readable picture: {reason}; mend it or remove it") from error


def measure(path: Path) -> tuple[int, int, str] | None:
    """(height, width, PIL's mode) of a picture as it will be decoded, from its header; None when it has none."""
    try:
        with open_picture(path) as opened:
            # Of these PIL knows the tag before it decodes; a png would be decoded for it.
            turned = opened.format in ("JPEG", "MPO", "WEBP") and opened.getexif().get(_ORIENTATION) in _LYING
            height, width = (opened.width, opened.height) if turned else (opened.height, opened.width)
            return height, width, opened.mode
    except Exception:  # told when it is decoded
        return None


def brightest(path: Path) -> float | None:
    """The largest of the whole numbers of more than 8 bits that a picture holds; None where it holds none."""
    try:
        with open_picture(path) as image:
            told = _is_deep(image) and image.mode != "F" and image.width * image.height <= MAX_PIXELS
            return float(np.asarray(image).max()) if told else None
    except Exception:  # told when it is decoded
        return None


def _is_deep(image: Image.Image) -> bool:
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _bytes(image: Image.Image, is_ppm: bool, place: str, white: float | None) -> Image.Image:
    """Of 8 bits per colour, where PIL would cut high bits off instead of scaling them.

    Whole numbers are scaled by ``white``. Where that is not known, those of 16 bits are by their range. Of 32 bits,
    0..255 are bytes and floats in 0..1 shares of white; raises UserError for others, as one picture does not tell the
    range of all.
    """
    if not _is_deep(image):
        return image
    values = np.asarray(image)
    if white is not None and image.mode != "F" and values.min() >= 0:
        return Image.fromarray((values.astype(np.float64) * 255 / white).clip(0, 255).astype(np.uint8))
    if image.mode not in ("I", "F") or (is_ppm and image.mode == "I"):  # PIL's mode for a ppm of 16 bits
        return Image.fromarray((values / 257).astype(np.uint8))
    low, top = float(values.min()), float(values.max())
    if image.mode == "F" and low >= 0 and top <= 1:
        values, top = values * 255, top * 255
    if not (low >= 0 and top <= 255):
        raise UserError(f"{place} holds numbers from {low:g} to {top:g}; save it with 8 or 16 bits per colour")
    return Image.fromarray(np.rint(values).astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    """Laid on white where it is transparent: the colours below are often all black, and then nothing else is left."""
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    if np.asarray(image.getchannel("A")).min() == 255:
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def channels_first(array: np.ndarray, want: int | None = None) -> np.ndarray:
    """(rows, h, w), (rows, h, w, colours) or (rows, colours, h, w) to (rows, colours, h, w), without a copy.

    ``want``: the number of colours to give: grey is repeated, colours are averaged to grey, a fourth (alpha) is cut.
    """
    if array.ndim == 3:
        array = array[:, None]
    elif array.shape[1] not in (1, 3) and array.shape[-1] in (1, 3, 4):
        array = np.moveaxis(array, -1, 1)
    if want is None or array.shape[1] == want:
        return array
    if want == 1:
        grey = array[:, :3].mean(axis=1, keepdims=True)
        return (grey if array.dtype.kind == "f" else np.rint(grey)).astype(array.dtype)
    if array.shape[1] == 1:
        return np.repeat(array, want, axis=1)
    if array.shape[1] > want:
        return array[:, :want]
    raise UserError(f"images have {array.shape[1]} colours where the model takes {want}; convert them")


def resize(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """uint8 (rows, colours, h, w) to another height and width, with area averaging when shrinking."""
    out = np.empty((*images.shape[:2], height, width), dtype=np.uint8)
    for i, image in enumerate(images):
        for c, plane in enumerate(image):
            out[i, c] = resize_one(np.ascontiguousarray(plane), height, width)
    return out


def resize_one(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """uint8 (h, w[, 3]) to another height and width."""
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))

"""Pictures from files and bytes, and the layouts of image arrays."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from automl.data.read.files import short
from automl.errors import UserError

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
# A 100-megapixel picture is 300 MB in memory; a small file that claims more is a bomb.
MAX_PIXELS = 100_000_000
# PIL warns of large pictures; here they are refused in words. Set once, as filters cannot change safely in threads.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def decode_image(content: bytes | Path, *, place: str, mode: str = "RGB") -> np.ndarray:
    """uint8 (height, width, 3), or (height, width) when ``mode`` is "L". ``place`` names it in errors.

    Turned as its EXIF says. Raises UserError for what is no picture, is cut off, or claims more than 100 megapixels.
    """
    try:
        with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UserError(
                    f"{place} claims {image.width:,} x {image.height:,} pixels, more than {MAX_PIXELS:,}; "
                    "shrink it or remove it"
                )
            image.draft("RGB", (2048, 2048))  # a large jpeg is read at a half or a quarter: much faster
            turned = ImageOps.exif_transpose(image)
            if turned.mode.startswith("I;16"):  # PIL would cut 16 bits off instead of scaling them
                turned = Image.fromarray((np.asarray(turned) / 257).astype(np.uint8))
            return np.asarray(turned.convert(mode))
    except UserError:
        raise
    except (Image.DecompressionBombError, OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        raise UserError(f"{place} is no readable picture: {short(str(error))}; mend it or remove it") from error


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
        return np.rint(array[:, :3].mean(axis=1, keepdims=True)).astype(array.dtype)
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

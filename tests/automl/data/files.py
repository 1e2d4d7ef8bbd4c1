"""Small files for the tests: pictures, sounds, tables."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import scipy.io.wavfile
from PIL import Image


def table(rows: int = 24, classes: int = 2) -> str:
    """A csv with two numeric columns, a category and a target."""
    lines = ["a,b,city,target"]
    lines += [f"{i},{(i * 7) % 5 + 0.5},{'xyz'[i % 3]},{'uvw'[i % classes]}" for i in range(rows)]
    return "\n".join(lines) + "\n"


def picture(path: Path, size: tuple[int, int] = (12, 10), level: int = 100, colour: bool = True) -> Path:
    """A picture of a level with a bright corner; ``size`` is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0], 3) if colour else (size[1], size[0])
    pixels = np.full(shape, level, dtype=np.uint8)
    pixels[:3, :3] = 255
    Image.fromarray(pixels).save(path)
    return path


def sound(path: Path, hertz: float = 440.0, seconds: float = 0.3, rate: int = 8_000) -> Path:
    """A tone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)
    scipy.io.wavfile.write(path, rate, (wave * 20_000).astype(np.int16))
    return path


def png_bomb(side: int) -> bytes:
    """A png of a few hundred bytes that claims side x side pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )

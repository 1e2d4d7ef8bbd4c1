"""Bytes of a text file to text: one rule for csv, texts and series."""

from __future__ import annotations

import codecs

# utf-32 first: its mark begins with that of utf-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LOOK = 1 << 16  # bytes that tell whether every other one is zero


def decode(content: bytes, *, whole: bool = True) -> tuple[str, str, str]:
    """(text, encoding, note): by its mark, else utf-8, utf-16 whose every other byte is zero, or Windows-1252.

    The text holds no mark. ``encoding``: as Python names it, to read the rest of the file by. ``note``: for people,
    empty for utf-8. ``whole``: False for the beginning of a file, whose last character may be cut: it is left out.
    Raises ValueError with a reason for what is no text: zero bytes, or bytes that its own mark does not allow.
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _text(content, encoding, whole), encoding, "" if encoding == "utf-8-sig" else f"read as {encoding}"
    if b"\x00" in content:
        wide = _wide(content)
        if wide is None:
            raise ValueError("it holds zero bytes")
        return _text(content, wide, whole), wide, f"read as {wide}, which its zero bytes tell"
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(content, final=whole), "utf-8", ""
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace"), "cp1252", "not utf-8: read as latin-1 (Windows-1252)"


def _text(content: bytes, encoding: str, whole: bool) -> str:
    try:
        return codecs.getincrementaldecoder(encoding)().decode(content, final=whole)
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1:,} is not {encoding}") from error


def _wide(content: bytes) -> str | None:
    """Which utf-16 without a mark it is: texts of European languages have a zero in nearly every character."""
    some = content[: min(len(content), _LOOK) // 2 * 2]
    first, second = some[::2], some[1::2]
    for encoding, zeros, others in (("utf-16-le", second, first), ("utf-16-be", first, second)):
        if zeros.count(0) > 0.7 * len(zeros) and others.count(0) == 0:
            return encoding
    return None

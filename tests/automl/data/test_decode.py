"""Text of every common encoding is read as it was written; what is no text is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.data.read.decode import decode

TEXT = "Grüße, 12 €\n" * 20


@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("utf-32", "utf-32"),
        ("cp1252", "cp1252"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
    ],
)
@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_encodings(encoding: str, told: str, cut: int) -> None:
    """A text cut in the middle of a character loses that character and no more."""
    text = TEXT.replace("€", "E") if encoding in ("utf-16-le", "utf-16-be") else TEXT
    content = text.encode(encoding)
    got, name, note = decode(content[: len(content) - cut], whole=cut == 0)
    assert name == told and got and text.startswith(got) and len(text) - len(got) <= cut
    assert bool(note) == (told not in ("utf-8", "utf-8-sig"))
    assert got == text or cut


@pytest.mark.parametrize("mark", ["big", "little"])
def test_marks_of_both_orders(mark: str) -> None:
    for bits in (16, 32):
        content = f"\ufeff{TEXT}".encode(f"utf-{bits}-{mark[0]}e")
        assert decode(content)[:2] == (TEXT, f"utf-{bits}")


@pytest.mark.parametrize("content", [b"a,b\0\1\2" * 50, b"\0" * 100, b"\xff\xfea", b"\xff\xfe\x00\xd8", b"\x89PNG\0\0"])
def test_no_text(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"zero bytes|is not utf-16"):
        decode(content)


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff"), max_size=50))
def test_what_utf_8_can_hold_comes_back(text: str) -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
        assert decode(text.encode(encoding))[0] == text

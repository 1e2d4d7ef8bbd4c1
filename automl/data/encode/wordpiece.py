"""Texts as the pieces of words that a known network of texts was trained on (Wu et al. 2016, arXiv:1609.08144).

The rules are those of BERT's uncased models (Devlin et al. 2019, arXiv:1810.04805, appendix A.2): lower case, no
accents, marks and Chinese characters stand alone, then of each word the longest piece first.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterator, Sequence

PAD, UNKNOWN, FIRST, LAST = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
LONGEST = 100  # letters of a word: one of more is unknown
CHARACTERS = 4_000  # of a text that are read at either end: more pieces than any network of texts takes
MEMO = 20_000  # words
_CHINESE = (
    *((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F)),
    *((0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)),
)


class WordPieces:
    """``vocabulary``: the pieces, each at its id; those that go on a word begin with ##. Raises ValueError where the
    marks of padding (id 0), unknown words, beginning and end are not among them.
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.ids = {piece: i for i, piece in enumerate(vocabulary)}
        missing = [mark for mark in (PAD, UNKNOWN, FIRST, LAST) if mark not in self.ids]
        if missing or self.ids[PAD]:
            raise ValueError(f"a vocabulary of pieces needs {PAD} at 0 and {', '.join((UNKNOWN, FIRST, LAST))}")
        self.unknown = self.ids[UNKNOWN]
        self.of_word = functools.lru_cache(MEMO)(self._of_word)

    def __call__(self, text: str, most: int) -> list[int]:
        """At most ``most`` ids, the marks of beginning and end among them. A longer text keeps its first three quarters
        and its last quarter (Sun et al. 2019, arXiv:1905.05583, section 5.3.1).
        """
        if len(text) > 2 * CHARACTERS:
            text = f"{text[:CHARACTERS]} {text[-CHARACTERS:]}"
        found = [piece for word in words(text) for piece in self.of_word(word)]
        room = most - 2
        if len(found) > room:
            found = found[: room - room // 4] + found[len(found) - room // 4 :]
        return [self.ids[FIRST], *found, self.ids[LAST]]

    def _of_word(self, word: str) -> tuple[int, ...]:
        if len(word) > LONGEST:
            return (self.unknown,)
        found, start = [], 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = self.ids.get(word[start:end] if start == 0 else f"##{word[start:end]}")
                if piece is not None:
                    break
            else:
                return (self.unknown,)
            found.append(piece)
            start = end
        return tuple(found)


def words(text: str) -> Iterator[str]:
    """The words and marks of a text, in lower case, without accents."""
    spaced = "".join(_spaced(c) for c in text)
    apart = unicodedata.normalize("NFD", spaced)
    # Letter by letter: a sigma at the end of a word has a form of its own in Python, and had none in training.
    for word in "".join(c.lower() for c in apart if unicodedata.category(c) != "Mn").split():
        start = 0
        for i, c in enumerate(word):
            if _is_mark(c):
                if start < i:
                    yield word[start:i]
                yield c
                start = i + 1
        if start < len(word):
            yield word[start:]


@functools.lru_cache(MEMO)
def _spaced(c: str) -> str:
    """A character as it is read: nothing for what cannot be seen, a blank for any blank, Chinese between blanks."""
    if c in "\t\n\r" or unicodedata.category(c) == "Zs":
        return " "
    code = ord(c)
    if code in (0, 0xFFFD) or unicodedata.category(c) in ("Cc", "Cf", "Co", "Cs"):
        return ""
    return f" {c} " if any(low <= code <= high for low, high in _CHINESE) else c


@functools.lru_cache(MEMO)
def _is_mark(c: str) -> bool:
    """Of ASCII all that is neither letter nor digit, of the rest what Unicode calls punctuation."""
    return (33 <= ord(c) <= 126 and not c.isalnum()) or unicodedata.category(c).startswith("P")

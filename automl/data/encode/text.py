"""Text as token ids."""

from __future__ import annotations

import dataclasses
import functools
import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from automl.data.dataset import Dataset
from automl.data.encode.wordpiece import WordPieces
from automl.types import Input

PAD, UNKNOWN, FIRST = 0, 1, 2
# By judgement, but for GROUPS and MAX_PIECES: of a longer or rarer text less is lost with more, and each word costs
# weights, each place memory and time.
MAX_VOCABULARY = 20_000  # words with an id of their own; the others share some by their hash
MAX_LENGTH = 512  # words of a row
MAX_LETTERS = 1024  # places of a row; texts of more words than fill them say enough by their words
MAX_PIECES = 128  # of a row: what known networks of texts were trained with
LETTERS_ROWS = 50_000  # with more rows most words are known, and the places cost memory
GROUPS = (3, 4, 5)  # letters of a group: 3 to 6 in fastText (Bojanowski et al. 2017, section 3.2), and fewer places
TOP = 1 << 31  # of int32: half the memory of int64
_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
_MAX_CHARACTERS = 20_000  # per text: more says nothing more, and one row must not take the memory


@dataclass(frozen=True)
class TextEncoder:
    """Lower-case words and marks; tokens seen twice have their own id, the others share ``buckets`` by a stable hash.

    Very short texts (names, codes) are read as characters, pairs and triples of characters instead (``characters``).
    Behind the tokens of all other texts stand their words' groups of three to five letters, each once, as hashes
    (Bojanowski et al. 2017, arXiv:1607.04606, section 3.2): ``letters`` places, none where words or rows are many. They
    are what a rare word has in common with others. Behind them, where ``wordpieces`` holds the vocabulary of a known
    network of texts, stands the same text as that network reads it, in ``pieces`` places.

    A text longer than ``length`` keeps its first three quarters and its last quarter, where the gist stands (Sun et al.
    2019, arXiv:1905.05583, section 5.3.1). An empty text is one unknown token.
    """

    name: str
    characters: bool
    length: int
    buckets: int
    vocabulary: list[str]
    letters: int = 0
    pieces: int = 0
    wordpieces: list[str] = dataclasses.field(default_factory=list)

    @classmethod
    def fit(cls, name: str, column: pd.Series, wordpieces: Sequence[str] = ()) -> TextEncoder:
        texts = _texts(column)
        words = [len(t.split()) for t in texts[:5_000] if t]
        size = float(np.mean(words)) if words else 0.0
        letters = float(np.mean([len(t) for t in texts[:5_000] if t] or [0]))
        # Hardly more than one word each, or words that no blank divides (Chinese): letters say more than words.
        characters = size < 2.0 or letters / max(size, 1) > 20
        counts: Counter[str] = Counter()
        lengths = np.empty(len(texts), dtype=np.int64)
        for i, text in enumerate(texts):
            tokens = tokenise(text, characters)
            counts.update(tokens)
            lengths[i] = len(tokens)
        kept = sorted((t for t, n in counts.items() if n > 1), key=lambda t: (-counts[t], t))[:MAX_VOCABULARY]
        overflow = len(counts) - len(kept)
        buckets = int(2 ** np.clip(np.ceil(np.log2(max(overflow, 1) / 2 + 1)), 4, 13))
        length = int(np.clip(np.quantile(lengths, 0.99) if len(lengths) else 1, 4, MAX_LENGTH))
        letters = 0 if characters or len(texts) > LETTERS_ROWS else _places(texts[:: len(texts) // 500 or 1])
        pieces = _pieces(texts[:: len(texts) // 500 or 1], WordPieces(wordpieces)) if wordpieces else 0
        return cls(name, characters, length, buckets, kept, letters, pieces, list(wordpieces))

    @functools.cached_property
    def _index(self) -> dict[str, int]:
        return {t: FIRST + i for i, t in enumerate(self.vocabulary)}

    @functools.cached_property
    def _wordpieces(self) -> WordPieces:
        return WordPieces(self.wordpieces)

    @property
    def why(self) -> str:
        unit = "characters and their pairs and triples" if self.characters else "words"
        return (
            f"{self.name}: text as {unit}, {len(self.vocabulary):,} in the vocabulary, the rest hashed to "
            f"{self.buckets:,}, {self.length} tokens per row"
            + (f"; {self.letters:,} groups of letters" if self.letters else "")
            + (f"; {self.pieces:,} pieces of words for a known network" if self.pieces else "")
        )

    @property
    def input(self) -> Input:
        vocabulary = FIRST + len(self.vocabulary) + self.buckets
        shape = (self.length + self.letters + self.pieces,)
        return Input(self.name, "text", shape, vocabulary=vocabulary, letters=self.letters, pieces=self.pieces)

    @property
    def fields(self) -> tuple[dict[str, Any], ...]:
        return ({"name": self.name, "kind": "text", "missing": True},)

    def transform(self, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
        """int32 (rows, length + letters + pieces)."""
        return self.encode(_texts(dataset.table[self.name].iloc[rows]))

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """int32 (texts, length + letters + pieces)."""
        index = self._index
        groups = functools.cache(letter_groups)  # of a word; most words come again
        start = FIRST + len(self.vocabulary)
        behind = self.length + self.letters
        out = np.zeros((len(texts), behind + self.pieces), dtype=np.int32)
        head = self.length - self.length // 4
        for i, text in enumerate(texts):
            tokens = tokenise(text[:_MAX_CHARACTERS], self.characters)
            if self.pieces:
                pieces = self._wordpieces(text, self.pieces)
                out[i, behind : behind + len(pieces)] = pieces
            if self.letters:
                found = sorted({g for t in tokens for g in groups(t)})[: self.letters]
                out[i, self.length : self.length + len(found)] = [as_int32(g) for g in found]
            if len(tokens) > self.length:
                tokens = tokens[:head] + tokens[len(tokens) - (self.length - head) :]
            ids = [
                index.get(t) or start + zlib.crc32(t.encode("utf-8", "surrogatepass")) % self.buckets for t in tokens
            ]
            out[i, : len(ids)] = ids
            if not ids:
                out[i, 0] = UNKNOWN
        return out

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> TextEncoder:
        return cls(**state)


def tokenise(text: str, characters: bool) -> list[str]:
    """Words and marks, or characters followed by their pairs and triples, with ^ and $ at the ends."""
    text = text.lower()
    if not characters:
        return _WORD.findall(text)
    text = f"^{' '.join(text.split())}$" if text.strip() else ""
    return [*text, *(text[i : i + 2] for i in range(len(text) - 1)), *(text[i : i + 3] for i in range(len(text) - 2))]


def letter_groups(word: str) -> tuple[int, ...]:
    """Hashes in 1..2^32 of the groups of letters of one word with ^ and $ at its ends; none of a mark."""
    if not (word[0].isalnum() or word[0] == "_"):
        return ()
    word = f"^{word}$"
    parts = (word[i : i + n] for n in GROUPS for i in range(len(word) - n + 1))
    return tuple(1 + zlib.crc32(part.encode("utf-8", "surrogatepass")) for part in parts)


def as_int32(hashed: int) -> int:
    """A hash in 1..2^31 - 1 with the same lower bits, by which networks find its place."""
    return hashed % TOP or TOP // 2


def _places(texts: list[str]) -> int:
    """How many distinct groups of letters nearly every text has at most; 0 where that is more than MAX_LETTERS."""
    groups = functools.cache(letter_groups)
    counts = [len({g for t in tokenise(text, False) for g in groups(t)}) for text in texts]
    most = int(np.quantile(counts, 0.99)) if counts else 0
    return most if most <= MAX_LETTERS else 0


def _pieces(texts: list[str], read: WordPieces) -> int:
    """How many pieces nearly every text has at most, the marks of its ends among them."""
    counts = [len(read(text, MAX_PIECES)) for text in texts]
    return max(int(np.quantile(counts, 0.99)) if counts else 0, 4)


def _texts(column: pd.Series) -> list[str]:
    return [str(t)[:_MAX_CHARACTERS] for t in column.astype("string").fillna("")]

"""Texts as token ids and groups of letters."""

from __future__ import annotations

import numpy as np

from automl.data.encode import Encoding
from automl.data.encode import text as text_module
from automl.data.encode.text import as_int32, letter_groups, tokenise

from .frames import fit_table


class TestText:
    def test_words(self) -> None:
        assert tokenise("Don't STOP, 3 times!", characters=False) == ["don't", "stop", ",", "3", "times", "!"]
        assert tokenise("Ab", characters=True) == ["^", "a", "b", "$", "^a", "ab", "b$", "^ab", "ab$"]
        assert tokenise("  ", characters=True) == []

    def test_short_names_are_read_by_letters(self) -> None:
        encoding, dataset = fit_table(name=[f"{a}{b}" for a in "abcdefgh" for b in ("lo", "ri", "mu", "ten", "sa")])
        assert encoding.encoders[0].to_json()["characters"] is True
        assert encoding.inputs[0].modality == "text" and encoding.transform(dataset)[0].min() >= 0

    def test_unseen_words_share_buckets(self) -> None:
        encoding, _ = fit_table(t=[f"the same words again and again {i}" for i in range(60)])
        (text,) = encoding.inputs
        ids = encoding.transform(encoding.dataset({"t": ["the wholly unseen", ""]}))[0]
        known = len(encoding.encoders[0].to_json()["vocabulary"]) + 2
        assert ids[0, 0] < known <= ids[0, 1] < text.vocabulary
        assert ids[1].tolist() == [1] + [0] * (text.shape[0] - 1)

    def test_long_texts_keep_head_and_tail(self) -> None:
        texts = ["start " + "middle " * (2000 + i) + "end" for i in range(30)]
        encoding, dataset = fit_table(t=texts)
        vocabulary = ["", "", *encoding.encoders[0].to_json()["vocabulary"]]
        ids = encoding.transform(dataset)[0]
        assert encoding.inputs[0].tokens == 512
        assert vocabulary[ids[0, 0]] == "start" and vocabulary[ids[0, 511]] == "end"

    def test_groups_of_letters(self) -> None:
        assert len(letter_groups("cats")) == len(set(letter_groups("cats"))) == 4 + 3 + 2  # of ^cats$
        assert len(set(letter_groups("cats")) & set(letter_groups("cat"))) == 2 + 1  # ^ca, cat and ^cat
        assert letter_groups("!") == () and len(letter_groups("é")) == 1
        words = [
            "some",
            "words",
            "of",
            "this",
            "and",
            "that",
            "kind",
            "stand",
            "here",
            "in",
            "each",
            "of",
            "our",
            "texts",
        ]
        encoding, _ = fit_table(t=[" ".join(np.roll(words, i)[: 5 + i % 4]) + f" {i}" for i in range(40)])
        (of,) = encoding.inputs
        assert of.shape == (of.tokens + of.letters,) and of.letters > 20
        rows = [{"t": "here texts!"}, {"t": "here HERE text"}, {"t": "?!"}, {"t": " ".join(c * 9 for c in "bcdfghjkl")}]
        here, again, none, many = (
            set(row) - {0} for row in encoding.transform(encoding.dataset(rows))[0][:, of.tokens :]
        )
        assert here == {as_int32(g) for g in (*letter_groups("here"), *letter_groups("texts"))}
        assert again == {as_int32(g) for g in (*letter_groups("here"), *letter_groups("text"))}
        assert none == set() and len(many) == of.letters, "more than there is room for are cut"

    def test_hashes_are_int32_and_keep_their_places(self) -> None:
        for hashed in (1, 2**31 - 1, 2**31, 2**31 + 1, 2**32 - 1, 2**32):
            assert 0 < as_int32(hashed) < 2**31 and as_int32(hashed) % 131_072 == hashed % 131_072

    def test_where_there_are_no_groups_of_letters(self, monkeypatch) -> None:
        def letters(texts: list[str]) -> int:
            return fit_table(t=texts)[0].inputs[0].letters

        some = [f"a few words and number {i}" for i in range(30)]
        assert letters(some) > 0
        assert letters([f"{t} " + " ".join(f"{i * k:x}abc" for k in range(900)) for i, t in enumerate(some)]) == 0
        monkeypatch.setattr(text_module, "LETTERS_ROWS", 20)
        assert letters(some) == 0

    def test_an_encoding_from_before_the_groups_of_letters_is_read(self) -> None:
        encoding, dataset = fit_table(t=[f"a few words and number {i}" for i in range(30)])
        state = encoding.to_json()
        del state["inputs"][0]["letters"]
        old = Encoding.from_json(state)
        tokens = old.inputs[0].tokens
        assert old.inputs[0].shape == (tokens,)
        np.testing.assert_array_equal(old.transform(dataset)[0], encoding.transform(dataset)[0][:, :tokens])

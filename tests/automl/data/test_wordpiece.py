"""Texts as the pieces of words of a known network."""

import json

import numpy as np
import pandas as pd
import pytest

from automl.data.dataset import Dataset
from automl.data.encode import Encoding
from automl.data.encode.text import MAX_PIECES
from automl.data.encode.wordpiece import LONGEST, WordPieces, words
from automl.deploy.rows import FastRows

VOCABULARY = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "un",
    "##aff",
    "##able",
    "run",
    "##ning",
    "!",
    "cafe",
    "文",
    "[",
    "]",
    "σ",
]
READ = WordPieces(VOCABULARY)


def pieces(text: str, most: int = 99) -> list[str]:
    return [VOCABULARY[i] for i in READ(text, most)][1:-1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unaffable running", ["un", "##aff", "##able", "run", "##ning"]),
        ("Running!", ["run", "##ning", "!"]),
        ("unhappy", ["[UNK]"]),
        ("CAFÉ cafe\u0301", ["cafe", "cafe"]),
        ("x文文", ["[UNK]", "文", "文"]),
        ("run\u200bning\x00\ufffd\u2028run", ["run", "##ning", "run"]),
        ("Σ", ["σ"]),
        ("run" * LONGEST, ["[UNK]"]),
        ("", []),
        (" \t\n ", []),
    ],
)
def test_a_text_in_pieces(text, expected):
    assert pieces(text) == expected


def test_the_marks_of_a_network_cannot_be_written_into_a_text():
    assert pieces("[SEP]") == ["[", "[UNK]", "]"]


def test_a_long_text_keeps_its_beginning_and_its_end():
    text = "un " * 30 + "run " * 10
    found = READ(text, 12)
    assert len(found) == 12 and [VOCABULARY[i] for i in found] == ["[CLS]", *["un"] * 8, *["run"] * 2, "[SEP]"]
    assert len(READ("un " * 10**6, 12)) == 12


def test_half_of_a_pair_of_surrogates_is_no_fault():
    assert pieces("run \ud800 run") == ["run", "run"]


def test_words_and_marks():
    assert list(words("Don't—stop, e.g. $5")) == ["don", "'", "t", "—", "stop", ",", "e", ".", "g", ".", "$", "5"]


@pytest.mark.parametrize("vocabulary", [["[UNK]", "[PAD]", "[CLS]", "[SEP]"], ["[PAD]", "run"], []])
def test_a_vocabulary_without_the_marks_is_refused(vocabulary):
    with pytest.raises(ValueError, match="needs"):
        WordPieces(vocabulary)


@pytest.fixture(scope="module")
def encoded():
    texts = [
        "running is running and nothing else !",
        "an unaffable one ran",
        "some third text of words",
        "un run " * 90,
    ]
    table = pd.DataFrame({"text": [f"{t} {i % 7}" for i, t in enumerate(texts * 8)]})
    dataset = Dataset("texts", table, pd.Series(["a", "b"] * 16))
    return dataset, Encoding.fit(dataset, np.arange(32), kind="binary", wordpieces=VOCABULARY)


def test_the_encoding_holds_them_behind_words_and_letters(encoded):
    dataset, encoding = encoded
    (of,) = encoding.inputs
    assert 0 < of.pieces <= MAX_PIECES and of.shape == (of.tokens + of.letters + of.pieces,)
    (array,) = encoding.transform(dataset)
    behind = array[:, of.tokens + of.letters :]
    assert behind[0, :4].tolist() == READ("running is", 9)[:4] and behind.max() < len(VOCABULARY)
    plain = Encoding.fit(dataset, np.arange(32), kind="binary")
    assert plain.inputs[0].pieces == 0, "nothing changes without them"
    np.testing.assert_array_equal(plain.transform(dataset)[0], array[:, : -of.pieces])


def test_a_bundle_reads_texts_as_training_did(encoded, tmp_path):
    encoding = encoded[1]
    encoding.save(tmp_path)
    again = Encoding.load(tmp_path)
    rows = [{"text": t} for t in ["Running, running!", "", "x" * 300]]
    expected = encoding.transform(encoding.dataset(rows))[0]
    np.testing.assert_array_equal(again.transform(again.dataset(rows))[0], expected)
    fast = FastRows(again).encode(rows)
    assert fast is not None
    np.testing.assert_array_equal(fast[0], expected)
    old = json.loads(json.dumps(encoding.to_json()))
    del old["inputs"][0]["pieces"], old["inputs"][0]["wordpieces"]
    assert Encoding.from_json(old).inputs[0].pieces == 0, "one from before them is read"


def test_texts_beside_other_columns_have_none(encoded):
    dataset, _ = encoded
    table = dataset.table.assign(number=np.arange(32.0))
    more = Encoding.fit(Dataset("more", table, dataset.target), np.arange(32), kind="binary", wordpieces=VOCABULARY)
    assert [i.pieces for i in more.inputs] == [0, 0]

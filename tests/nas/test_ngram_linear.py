"""The linear model of n-grams: its features, its closed form, and what it knows before its first step."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfTransformer

from automl.models.closed_form.sparse_head import BIAS, log_count_ratio, sparse_head, weights, with_constant
from automl.types import Candidate, Input, Task
from nas.families.ngram_linear import NgramLinear, Ngrams
from nas.family import build, search_axes
from nas.testing.families import options_of

TASK = Task("texts", "multiclass", (Input("text", "text", (12,), vocabulary=40),), 3, "accuracy")
FAMILY = NgramLinear((64, 4096))


def network(task: Task = TASK, **choices) -> Any:
    axes = search_axes({FAMILY.name: FAMILY}, task, ())[FAMILY.name]
    return build(FAMILY, task, Candidate(FAMILY.name, {"grams": 1, "weighting": "tfidf"} | choices), axes, seed=0)


def texts(rows: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Classes 0 and 1 have words of their own, class 2 has the same words as class 1 in another order."""
    rng = np.random.default_rng(seed)
    ids, y = rng.integers(20, 40, (rows, 12)), rng.integers(0, 3, rows)
    ids[y == 0, 3] = 2
    ids[y == 1, 3:5] = 3, 4
    ids[y == 2, 3:5] = 4, 3
    for row, length in zip(ids, rng.integers(5, 13, rows), strict=True):
        row[length:] = 0
    return torch.from_numpy(ids), torch.from_numpy(y)


class TestNgrams:
    @settings(max_examples=50)
    @given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.integers(1, 3), st.integers(0, 3))
    def test_every_ngram_is_found_once_and_padding_never(self, words, longest, padding):
        ids = torch.tensor([words + [0] * padding])
        places, new = Ngrams(10, longest, 100_003)(ids)
        grams = {tuple(words[i : i + n]) for n in range(1, longest + 1) for i in range(len(words) - n + 1)}
        found = places[new].tolist()
        assert len(found) == len(set(found)) == len(grams) and 0 not in found
        assert {p for p in found if p < 10} == set(words)

    def test_the_order_of_words_matters(self):
        one, other = (set(Ngrams(10, 2, 100_003)(torch.tensor([ids]))[0][0].tolist()) for ids in ([1, 2], [2, 1]))
        assert one != other


class TestSparseHead:
    def test_weights_of_scaled_features_are_those_of_the_features_times_the_scale(self):
        rng = np.random.default_rng(0)
        x = csr_matrix(rng.normal(size=(60, 20)) * (rng.random((60, 20)) < 0.3), dtype=np.float32)
        aim, scale = rng.random((60, 3)) < 0.5, rng.uniform(0.5, 2, (20, 3)).astype(np.float32)
        found = weights(x, aim, scale, 0.7)
        for k in range(3):
            alone = weights(csr_matrix(x.multiply(scale[:, k])), aim[:, k : k + 1], None, 0.7)[:, 0]
            np.testing.assert_allclose(found[:, k], scale[:, k] * alone, rtol=1e-5)
        assert np.abs(weights(x, aim, None, 30.0)).sum() < np.abs(weights(x, aim, None, 0.3)).sum()

    def test_logits_are_as_sure_as_they_may_be(self):
        rng = np.random.default_rng(0)
        y = rng.integers(0, 2, 3000)
        told = np.where(rng.random(3000) < 0.8, y, 1 - y)  # right four times of five
        weight, bias = sparse_head(csr_matrix(np.eye(2, dtype=np.float32)[told]), y, 2)
        apart = (weight + bias) @ [-1, 1]
        assert 1 / (1 + np.exp(-np.abs(apart))) == pytest.approx([0.8, 0.8], abs=0.05)

    def test_values_have_a_constant(self):
        x = csr_matrix((50, 4), dtype=np.float32)
        weight, bias = sparse_head(x, np.full(50, 3.0, np.float32), 0)
        assert not weight.any() and bias == pytest.approx([3.0], rel=1e-2)
        assert with_constant(x).toarray()[:, -1].tolist() == [BIAS] * 50

    def test_the_ratio_is_that_of_the_counts(self):
        x = csr_matrix([[1, 0], [1, 0], [0, 2], [1, 5]])
        of = np.array([[True, False], [True, False], [False, True], [False, True]])
        # counts from 1: (3, 1) of 4 in the first class, (2, 3) of 5 in the second
        expected = np.log([3 / 4 / (2 / 5), 1 / 4 / (3 / 5)])
        np.testing.assert_allclose(log_count_ratio(x, of), np.stack([expected, -expected], axis=1), rtol=1e-6)

    @pytest.mark.parametrize("weighting", ["tfidf", "evidence"])
    def test_few_rows_one_class_and_no_words(self, weighting):
        for rows in (1, 3, 6):
            x = csr_matrix(np.eye(rows, 4, dtype=np.float32))
            weight, bias = sparse_head(x, np.zeros(rows, np.int64), 3, weighting=weighting)
            assert np.isfinite(weight).all() and np.isfinite(bias).all()
            assert ((x @ weight + bias).argmax(axis=1) == 0).all()


def test_many_classes_leave_out_tables_that_are_too_large():
    kept = [options_of(NgramLinear(), dataclasses.replace(TASK, num_outputs=n), "buckets") for n in (3, 77, 5000)]
    assert kept == [(4096, 32768, 131072), (4096, 32768), (4096,)]


class TestBegin:
    @pytest.mark.parametrize("weighting", ["tfidf", "evidence"])
    def test_it_knows_the_classes_before_its_first_step(self, weighting):
        ids, y = texts(600)
        plain, pairs = network(weighting=weighting), network(weighting=weighting, grams=2, buckets=4096)
        for net, least, most in ((plain, 0.6, 0.8), (pairs, 0.95, 1.0)):
            with torch.no_grad():
                net.begin(zip(ids[:400].split(150)), y[:400])
                right = (net.eval()(ids[400:]).argmax(1) == y[400:]).double().mean()
            assert least <= right <= most, "words alone cannot tell the order"

    def test_words_never_seen_are_told_by_their_letters(self):
        """Every row has words of its own; a group of letters at one of the last places tells its class."""
        rng = np.random.default_rng(0)
        task = dataclasses.replace(TASK, inputs=(Input("text", "text", (12,), vocabulary=4000, letters=8),))
        y = torch.from_numpy(rng.integers(0, 3, 500))
        ids = torch.from_numpy(rng.integers(2, 4000, (500, 12)))
        ids[:, 4:] = torch.from_numpy(rng.integers(1, 2**32, (500, 8)))
        ids[:, 11] = 2**31 + 7 * y
        right = {}
        for letters in (False, True):
            net = network(task, letters=letters)
            with torch.no_grad():
                net.begin(zip(ids[:400].split(150)), y[:400])
                right[letters] = (net.eval()(ids[400:]).argmax(1) == y[400:]).double().mean()
        assert right[True] > 0.95 and right[False] < 0.5

    def test_words_and_letters_are_tf_idf_rows_of_the_same_length(self):
        task = dataclasses.replace(TASK, inputs=(Input("text", "text", (12,), vocabulary=40, letters=8),))
        net = network(task, letters=True)
        ids, y = texts(200)
        with torch.no_grad():
            net.begin(zip(ids.split(64)), y)
        expected = net.bias.detach().numpy()
        for part, start in ((ids[:, :4], 0), (ids[:, 4:], 40)):  # no place is for n-grams, so letters begin at 40
            there = np.array([[int(w in row) for w in range(1, 40)] for row in part.tolist()])
            table = net.table.weight.detach().numpy()[start + 1 : start + 40]
            expected = expected + TfidfTransformer().fit_transform(there) @ table / np.sqrt(2)
        np.testing.assert_allclose(net.eval()(ids).detach().numpy(), expected, rtol=1e-4, atol=1e-4)

    def test_features_are_tf_idf_rows_of_length_one(self):
        ids, y = texts(200)
        net = network()
        with torch.no_grad():
            net.begin(zip(ids.split(64)), y)
        there = np.array([[int(w in row) for w in range(1, 40)] for row in ids.tolist()])
        known = TfidfTransformer().fit_transform(there)
        table = net.table.weight.detach().numpy()[1:]
        expected = known @ table + net.bias.detach().numpy()
        np.testing.assert_allclose(net.eval()(ids).detach().numpy(), expected, rtol=1e-4, atol=1e-4)

    def test_values(self):
        ids, _ = texts(500)
        y = (ids == 25).any(1).float() - (ids == 30).any(1).float()
        task = dataclasses.replace(TASK, kind="regression", num_outputs=1, metric="r2")
        net = network(task, weighting="evidence")
        with torch.no_grad():
            net.begin(zip(ids[:400].split(150)), y[:400])
            error = (net.eval()(ids[400:])[:, 0] - y[400:]).square().mean()
        assert error < 0.3 * y.var()

    def test_padding_changes_nothing(self):
        ids, y = texts(100)
        net = network(grams=3, buckets=64)
        with torch.no_grad():
            net.begin(zip(ids.split(50)), y)
            wider = torch.cat([ids, torch.zeros(100, 5, dtype=ids.dtype)], dim=1)
            torch.testing.assert_close(net.eval()(ids), net(wider))
            torch.testing.assert_close(net.eval()(ids), net.train()(wider))
            assert net(torch.zeros(2, 12, dtype=ids.dtype)).isfinite().all()

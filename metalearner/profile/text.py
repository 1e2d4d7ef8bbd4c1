"""Text: length, riches of words, repetition."""

from __future__ import annotations

import math

import numpy as np

from metalearner.profile.sample import Group, Measured, Sample

FEATURES = {
    "text_log10_mean_tokens": "tokens of a text, mean, log10",
    "text_length_variation": "standard deviation of the tokens over their mean",
    "text_full_share": "share of the texts that fill the whole length, so that some are cut",
    "text_log10_vocabulary": "size of the vocabulary, log10",
    "text_seen_vocabulary_share": "share of the vocabulary that stands in the sample",
    "text_type_token_ratio": "distinct tokens over tokens",
    "text_once_share": "share of the distinct tokens that stand once only",
    "text_unknown_share": "share of the tokens that the vocabulary lacks",
    "text_top10_share": "share of the tokens that are one of the ten most frequent",
    "text_token_entropy_nats": "entropy of the tokens, nats",
    "text_repeat_share": "share of a text's tokens that stood in it before, mean",
}


def measure(sample: Sample) -> Measured:
    """On the longest text input."""
    spec, tokens = sample.one("text")
    real = tokens > 0
    lengths = real.sum(axis=1)
    out: dict[str, float | str] = {
        "text_log10_mean_tokens": math.log10(max(float(lengths.mean()), 1e-3)),
        "text_length_variation": float(lengths.std() / max(lengths.mean(), 1e-12)),
        "text_full_share": float((lengths == tokens.shape[1]).mean()),
        "text_log10_vocabulary": math.log10(max(spec.vocabulary, 1)),
    }
    words, counts = np.unique(tokens[real], return_counts=True)
    if not len(words):
        return out | {k: "every text is empty" for k in FEATURES if k not in out}
    known = counts[words > 1]
    shares = counts / counts.sum()
    distinct = np.array([len(np.unique(row[row > 0])) for row in tokens])
    return out | {
        "text_seen_vocabulary_share": len(words) / max(spec.vocabulary, 1),
        "text_type_token_ratio": len(words) / int(counts.sum()),
        "text_once_share": float((known == 1).mean()) if len(known) else 0.0,
        "text_unknown_share": float(counts[words == 1].sum() / counts.sum()),
        "text_top10_share": float(np.sort(shares)[-10:].sum()),
        "text_token_entropy_nats": float(-(shares * np.log(shares)).sum()),
        "text_repeat_share": float((1 - distinct / np.maximum(lengths, 1))[lengths > 0].mean()),
    }


GROUP = Group(FEATURES, measure)

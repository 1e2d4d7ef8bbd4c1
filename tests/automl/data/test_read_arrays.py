"""What an array without names is taken for: pictures in every layout and range, series with steps in either place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.data.encode.encoding import Encoding
from automl.data.read.arrays import as_modality, steps_last
from automl.data.read.image import channels_first
from automl.data.sources.frame import FrameSource
from automl.data.sources.series import SeriesSource
from automl.errors import UserError

RNG = np.random.default_rng(0)
GREY = np.linspace(0, 255, 9 * 12 * 10).reshape(9, 12, 10).astype(np.uint8)
COLOUR = RNG.integers(0, 256, (9, 12, 10, 3)).astype(np.uint8)
BYTES = {
    "bytes": GREY,
    "whole numbers": GREY.astype(np.int64),
    "whole floats": GREY.astype(np.float64),
    "divided by 255": GREY / 255,
    "divided in float32": GREY.astype(np.float32) / np.float32(255),
    "from -1 to 1": GREY.astype(np.float32) / np.float32(127.5) - 1,
    "16 bits": GREY.astype(np.uint16) * 257,
    "grey in a last axis": GREY[..., None] / 255,
    "grey in a first axis": GREY[:, None] / 255,
    "colours last": COLOUR,
    "colours first": np.moveaxis(COLOUR, -1, 1),
    "shares of colours": COLOUR / 255,
    "standardised colours": (COLOUR - COLOUR.mean()) / COLOUR.std(),
}


@pytest.mark.parametrize("name", BYTES)
def test_pictures_are_the_same_bytes_in_every_form(name: str) -> None:
    array = BYTES[name]
    dataset = FrameSource(array, y=np.arange(9) % 2).load()
    assert dataset.modalities == {"image": "image"}, dataset.notes
    got = Encoding.fit(dataset, np.arange(9), kind="binary").transform(dataset)[0]
    want = np.moveaxis(COLOUR, -1, 1) if array.ndim == 4 and 3 in array.shape else GREY[:, None]
    assert got.shape == want.shape and np.abs(got.astype(int) - want).max() <= 2


def test_digits_divided_by_their_sixteen_levels_are_pictures() -> None:
    array = RNG.integers(0, 17, (20, 8, 8)) / 16
    assert as_modality(array, None)[1] == "image"
    assert as_modality(array * np.pi, None)[1] == "series"


def test_shares_of_colours_keep_their_grey() -> None:
    """A mean of floats in [0, 1] is no whole number: rounded, it was black or white."""
    grey = channels_first(np.full((1, 2, 2, 3), 0.4, dtype=np.float32), want=1)
    np.testing.assert_allclose(grey, 0.4, rtol=1e-6)


def waves(channels: int, steps: int, unit: float = 1.0, seed: int = 0) -> np.ndarray:
    """float64 (30, channels, steps): curves of some noise, whose channels have other levels and units."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 6, (30, channels, 1))
    curve = np.sin(np.arange(steps) * 0.5 + phase) + rng.normal(0, 0.3, (30, channels, steps))
    return curve * unit ** np.arange(channels)[:, None] + 10 * np.arange(channels)[:, None]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 12),
    st.integers(12, 60),
    st.sampled_from([1.0, 100.0, 0.01]),
    st.integers(0, 99),
    st.booleans(),
)
def test_steps_in_either_axis(channels: int, steps: int, unit: float, seed: int, gaps: bool) -> None:
    right = waves(channels, steps, unit, seed)
    if gaps:
        right[:10, :, steps // 2 :] = np.nan
    for x in (right, np.swapaxes(right, 1, 2)):
        got, modality, why = as_modality(x, None)
        assert modality == "series" and (f"{channels} channel" in why or channels == steps)
        if channels != steps:
            np.testing.assert_array_equal(got, right)


@pytest.mark.parametrize(("shape", "channels"), [((5, 90), 5), ((90, 5), 5), ((40, 50), 40), ((60, 50), 60)])
def test_noise_goes_by_length(shape: tuple[int, int], channels: int) -> None:
    x, _ = steps_last(RNG.normal(size=(50, *shape)))
    assert x.shape[1] == channels


def test_empty_and_constant_series_have_a_layout_too() -> None:
    for value in (np.nan, 0.0, np.inf):
        assert steps_last(np.full((4, 3, 50), value))[0].shape == (4, 3, 50)


def test_a_square_stays_as_it_is_and_is_told() -> None:
    """A model cannot tell which way round a square row is that it is sent."""
    x = np.swapaxes(waves(30, 30), 1, 2)
    got, why = steps_last(x)
    np.testing.assert_array_equal(got, x)
    assert "swap the axes" in why


def test_what_is_asked_for_is_not_turned() -> None:
    x = np.swapaxes(waves(3, 40), 1, 2)
    assert as_modality(x, "series")[0].shape == (30, 40, 3)


def test_channels_of_an_npz(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    np.savez(path, X=RNG.normal(size=(20, 6, 5)), y=np.arange(20) % 2)
    assert SeriesSource(str(path), channels=5).load().arrays["series"].shape == (20, 5, 6)
    assert SeriesSource(str(path), channels=6).load().arrays["series"].shape == (20, 6, 5)
    with pytest.raises(UserError, match=r"data\.channels=4 is neither axis"):
        SeriesSource(str(path), channels=4).load()
    np.savez(path, X=RNG.normal(size=(20, 6, 5, 2)), y=np.arange(20) % 2)
    with pytest.raises(UserError, match="rows, channels, steps"):
        SeriesSource(str(path)).load()


def test_a_model_takes_the_layout_it_learned_from() -> None:
    x = np.swapaxes(waves(3, 40), 1, 2)
    dataset = FrameSource(x, y=np.arange(30) % 2).load()
    encoding = Encoding.fit(dataset, np.arange(30), kind="binary")
    want = encoding.transform(dataset)[0]
    assert want.shape[1] >= 3 and want.shape[2] == 40
    for rows in ({"series": x}, [{"series": row.tolist()} for row in x], {"series": np.swapaxes(x, 1, 2)}):
        np.testing.assert_allclose(encoding.transform(encoding.dataset(rows))[0], want, rtol=1e-6)

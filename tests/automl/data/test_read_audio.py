"""Sounds: a header is checked before anything is sized by it; a model that learned from files takes files."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.io.wavfile
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.data.encode.encoding import Encoding
from automl.data.read import audio
from automl.data.read.audio import FLOOR, decode_wav, log_mel
from automl.data.sources.audio_folder import AudioFolderSource
from automl.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore::scipy.io.wavfile.WavFileWarning")
TONE = (np.sin(np.arange(8_000) * 0.3) * 20_000).astype(np.int16)


def wav(samples: np.ndarray, rate: int = 8_000) -> bytes:
    buffer = io.BytesIO()
    scipy.io.wavfile.write(buffer, rate, samples)
    return buffer.getvalue()


def of_rate(rate: int) -> bytes:
    """48 bytes of one channel of 8 bits, whose header agrees with itself."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate, 1, 8)
    return b"RIFF" + struct.pack("<I", 40) + b"WAVE" + form + b"data" + struct.pack("<I", 4) + b"\x10\xf0\x10\xf0"


@pytest.mark.parametrize("rate", [0, 1, 999, 768_001, 1_000_003, 4_294_967_291])
def test_rates_that_no_recorder_has(rate: int) -> None:
    with pytest.raises(UserError, match=f"claims {rate:,} samples"):
        decode_wav(of_rate(rate), place="p")


@pytest.mark.parametrize("rate", [1_000, 8_000, 11_025, 11_127, 22_050, 44_100, 48_000, 192_000, 767_999, 768_000])
def test_a_second_is_a_second(rate: int) -> None:
    """Also at rates that share no factor with ours, whose filter would have millions of taps."""
    tone = np.sin(2 * np.pi * 200 * np.arange(rate) / rate).astype(np.float32)
    sound = decode_wav(wav(tone, rate), place="p")
    assert len(sound) == pytest.approx(audio.RATE, rel=0.002)
    assert np.abs(np.fft.rfft(sound)).argmax() == pytest.approx(200, abs=1)


def test_the_filter_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    import scipy.signal

    asked: list[int] = []
    monkeypatch.setattr(scipy.signal, "resample_poly", lambda x, up, down: asked.extend((up, down)) or x)
    for rate in (1_001, 12_347, 767_999):
        decode_wav(of_rate(rate), place="p")
    assert max(asked) <= 50_000


@pytest.mark.parametrize(
    "samples",
    [
        TONE.astype(np.float32) / 32_768,
        TONE.astype(np.float64),
        TONE.astype(np.float32) * 1e30,
        TONE.astype(np.int32) * 65_536,
        np.stack([TONE, TONE], axis=1),
    ],
    ids=["shares", "counts", "huge", "32 bits", "two channels"],
)
def test_one_tone_in_every_unit(samples: np.ndarray) -> None:
    want = log_mel(decode_wav(wav(TONE), place="p"))
    np.testing.assert_allclose(log_mel(decode_wav(wav(samples), place="p")), want, atol=0.5)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_silence_is_quiet(value: float) -> None:
    assert (log_mel(decode_wav(wav(np.full(8_000, value, np.float32)), place="p")) == FLOOR).all()


@pytest.mark.parametrize("size", [b"\xff\xff\xff\xff", b"\0\0\0\0", struct.pack("<I", 0x7FFF_F000)])
@pytest.mark.parametrize("of", ["bytes", "a file"])
def test_a_streamed_header_names_no_length(size: bytes, of: str, tmp_path: Path) -> None:
    whole = wav(TONE)
    streamed = whole[:4] + size + whole[8:40] + size + whole[44:]
    (tmp_path / "s.wav").write_bytes(streamed)
    given = streamed if of == "bytes" else tmp_path / "s.wav"
    np.testing.assert_array_equal(decode_wav(given, place="p"), decode_wav(whole, place="p"))


def riff(*chunks: tuple[bytes, bytes], form: bytes = b"RIFF") -> bytes:
    """A wav of these chunks, those of odd length filled up as the standard asks."""
    number = "<I" if form == b"RIFF" else ">I"
    body = b"".join(name + struct.pack(number, len(of)) + of + b"\0" * (len(of) % 2) for name, of in chunks)
    return form + struct.pack(number, 4 + len(body)) + b"WAVE" + body


def three_bytes(samples: np.ndarray) -> bytes:
    return b"".join((int(v) * 256).to_bytes(3, "little", signed=True) for v in samples)


PCM = struct.pack("<HHIIHH", 1, 1, 8_000, 16_000, 2, 16)
PCM_24 = struct.pack("<HHIIHH", 1, 1, 8_000, 24_000, 3, 24)
GUID = b"\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"
EXTENSIBLE = struct.pack("<HHIIHHHHI", 0xFFFE, 1, 8_000, 24_000, 3, 24, 22, 24, 4) + b"\x01\x00" + GUID
FLOATS = struct.pack("<HHIIHHH", 3, 1, 8_000, 32_000, 4, 32, 0)
ODD = {
    "24 bits": riff((b"fmt ", PCM_24), (b"data", three_bytes(TONE))),
    "24 bits, extensible": riff((b"fmt ", EXTENSIBLE), (b"data", three_bytes(TONE))),
    "24 bits, cut": riff((b"fmt ", PCM_24), (b"data", three_bytes(TONE)))[:-2],
    "24 bits, streamed": riff((b"fmt ", PCM_24), (b"data", three_bytes(TONE) + b"\0\0"))[:40]
    + b"\xff\xff\xff\xff"
    + three_bytes(TONE)
    + b"\0\0",
    "floats": riff((b"fmt ", FLOATS), (b"data", (TONE / 32_768).astype("<f4").tobytes())),
    "an odd chunk before": riff((b"LIST", b"INFOx"), (b"fmt ", PCM), (b"data", TONE.tobytes())),
    "room for more": riff((b"JUNK", bytes(28)), (b"fmt ", PCM), (b"data", TONE.tobytes()), (b"id3 ", b"abc")),
    "no length of the file": riff((b"fmt ", PCM), (b"data", TONE.tobytes()))[:4]
    + bytes(4)
    + riff((b"fmt ", PCM), (b"data", TONE.tobytes()))[8:],
    "big end first": riff(
        (b"fmt ", struct.pack(">HHIIHH", 1, 1, 8_000, 16_000, 2, 16)),
        (b"data", TONE.astype(">i2").tobytes()),
        form=b"RIFX",
    ),
}


@pytest.mark.parametrize(("law", "known"), [(6, {0xD5: 8, 0x55: -8, 0xAA: 32256, 0x2A: -32256}),
                                            (7, {0xFF: 0, 0x7F: 0, 0x80: 32124, 0x00: -32124})])  # fmt: skip
@pytest.mark.parametrize("of", ["whole", "streamed", "a fact before", "a file"])
def test_sounds_of_telephones(law: int, known: dict[int, int], of: str, tmp_path: Path) -> None:
    table = audio.expanded(law)
    assert {byte: int(table[byte]) for byte in known} == known and len(set(table.tolist())) >= 255
    near = np.abs(TONE[:, None].astype(int) - table[None]).argmin(axis=1).astype(np.uint8).tobytes()
    form = struct.pack("<HHIIHHH", law, 1, 8_000, 8_000, 1, 8, 0)
    fact = [(b"fact", struct.pack("<I", len(TONE)))] if of == "a fact before" else []
    file = riff((b"fmt ", form), *fact, (b"data", near))
    if of == "streamed":
        file = file[:4] + b"\xff\xff\xff\xff" + file[8:42] + b"\xff\xff\xff\xff" + file[46:]
    (tmp_path / "s.wav").write_bytes(file)
    sound = decode_wav(tmp_path / "s.wav" if of == "a file" else file, place="p")
    np.testing.assert_allclose(sound, decode_wav(wav(TONE), place="p"), atol=0.03)


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("of", ["bytes", "a file"])
def test_one_tone_however_it_is_written(name: str, of: str, tmp_path: Path) -> None:
    (tmp_path / "s.wav").write_bytes(ODD[name])
    sound = decode_wav(ODD[name] if of == "bytes" else tmp_path / "s.wav", place="p")
    want = decode_wav(wav(TONE), place="p")
    assert abs(len(sound) - len(want)) <= 2
    np.testing.assert_allclose(sound[:-60], want[: len(sound) - 60], atol=2e-3)


def test_nothing_is_nothing_though_other_chunks_follow() -> None:
    with pytest.raises(UserError, match="no sound"):
        decode_wav(riff((b"fmt ", PCM), (b"data", b""), (b"LIST", b"INFOxx")), place="p")


@pytest.mark.parametrize("limit", ["MAX_BYTES", "MAX_VALUES"])
def test_too_much(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, limit, 1_000)
    with pytest.raises(UserError, match="more than 1,000"):
        decode_wav(wav(TONE), place="p")


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 43), st.integers(0, 255)), max_size=6), st.integers(0, 200))
def test_changed_headers(changes: list[tuple[int, int]], end: int) -> None:
    content = bytearray(wav(TONE[:60]))
    for at, byte in changes:
        content[at] = byte
    try:
        sound = decode_wav(bytes(content[:end]), place="p")
    except UserError as error:
        assert str(error).startswith("p ") and "\n" not in str(error)
    else:
        assert sound.dtype == np.float32 and np.isfinite(sound).all() and np.isfinite(log_mel(sound)).all()


def test_a_model_of_clips_takes_clips(tmp_path: Path) -> None:
    """Their loudest points lie behind what is kept, so that the values alone do not tell where they are from."""
    rng = np.random.default_rng(0)
    for name, hertz in (("low", 0.05), ("high", 0.5)):
        (tmp_path / name).mkdir()
        for i in range(3):
            beat = np.sin(np.arange(16_000) * hertz) * np.linspace(0, 20_000, 16_000) + rng.normal(size=16_000)
            scipy.io.wavfile.write(tmp_path / name / f"{i}.wav", 16_000, beat.astype(np.int16))
    dataset = AudioFolderSource(str(tmp_path), seconds=0.3).load()
    encoding = Encoding.fit(dataset, np.arange(6), kind="binary")
    content = (tmp_path / "low" / "0.wav").read_bytes()
    served = encoding.transform(encoding.dataset([{"audio": content}]))[0]
    at = list(dataset.target).index("low")
    np.testing.assert_array_equal(served[0], encoding.transform(dataset, [at])[0][0])

"""Sound of a part of a clip, once or over and over: the same samples at the same times as the pictures."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media_clips import make_clip, moving_frames, sound_of

from diffusers_hunyuan_portrait import media
from diffusers_hunyuan_portrait.media import Sound

RATE = 48000
SECONDS = 2
PACKET = 1024 / RATE  # of AAC


def noise(seconds: float = SECONDS) -> np.ndarray:
    """(1, samples) of noise that sounds the same nowhere else, without what AAC leaves out."""
    rough = np.random.default_rng(5).normal(0, 0.2, round(seconds * RATE))
    return np.convolve(rough, np.hanning(12) / 6, mode="same").astype(np.float32)[None]


@pytest.fixture
def clip(tmp_path) -> Path:
    """Two seconds of pictures, with noise."""
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("libx264", rate=25)
        pictures.height, pictures.width, pictures.pix_fmt = 64, 64, "yuv420p"
        sound = container.add_stream("flac", rate=RATE)
        sound.codec_context.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.rint(noise() * 32767).astype(np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
        for index, picture in enumerate(moving_frames(25 * SECONDS, 64, 64)):
            shown = av.VideoFrame.from_ndarray(picture, format="rgb24")
            shown.pts = index
            container.mux(pictures.encode(shown))
        container.mux(pictures.encode(None))
    return path


def write(output: Path, sound: Sound, frames: int, rate: float = 25) -> Path:
    with media.VideoWriter(output, frame_rate=rate, sound_from=sound) as video:
        for frame in moving_frames(frames, 64, 64):
            video.write(frame)
    return output


def heard(path: Path) -> np.ndarray:
    """(samples,) from the first picture's time on, as a player gives them: what an edit list hides is left out."""
    with av.open(str(path)) as container:
        pieces = list(container.decode(audio=0))
    samples = np.concatenate([piece.to_ndarray()[0] for piece in pieces])
    start = round(float(pieces[0].pts * pieces[0].time_base) * RATE)
    return samples[-start:] if start < 0 else np.concatenate([np.zeros(start, np.float32), samples])


def lag(found: np.ndarray, expected: np.ndarray) -> int:
    """By how many samples `found` comes after `expected`, up to 4,000."""
    length = min(len(found), len(expected)) - 8000
    middle = expected[4000 : 4000 + length]
    size = 1 << (len(found) + length).bit_length()
    products = np.fft.irfft(np.fft.rfft(found, size) * np.fft.rfft(middle, size).conj(), size)
    scores = products[:8001]  # for the middle to begin at each of these samples
    assert scores.max() > 0.8 * np.dot(middle, middle)
    return int(scores.argmax()) - 4000


@pytest.mark.parametrize("start", [0.0, 0.4, 0.7133])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_stretch_is_cut_to_the_sample(tmp_path, clip, start, suffix):
    output = write(tmp_path / f"out{suffix}", Sound(clip, (start, start + 1)), 25)
    found, expected = heard(output), noise()[0, round(start * RATE) : round((start + 1) * RATE)]
    # Where the container notes whole milliseconds, times can be half of one off.
    assert abs(lag(found, expected)) <= (1 if suffix == ".mp4" else RATE // 2000 + 1)
    assert len(found) / RATE == pytest.approx(1, abs=PACKET)


def test_a_stretch_that_is_repeated_stays_in_step(tmp_path, clip):
    """Of a length that is no whole number of samples."""
    span = (0.3, 0.3 + 1 / 3)
    found = heard(write(tmp_path / "out.mp4", Sound(clip, span, times=6), 50))
    stretch = noise()[0, round(span[0] * RATE) : round(span[1] * RATE)]
    for repetition in range(6):
        begin = round(repetition * RATE / 3)
        assert abs(lag(found[begin : begin + RATE // 3], stretch)) <= 1
    assert len(found) / RATE == pytest.approx(2, abs=PACKET)


def test_where_the_clip_has_no_sound_there_is_silence(tmp_path):
    path = make_clip(tmp_path / "late.mkv", sound=["flac"], sound_start=0.5, frames=25)
    found = heard(write(tmp_path / "out.mp4", Sound(path, (0.2, 1.5)), 33))
    assert np.abs(found[: round(0.28 * RATE)]).max() < 1e-3  # but for what AAC lets sound before
    assert np.abs(found[round(0.32 * RATE) : round(0.78 * RATE)]).max() > 0.2
    # Sound of the clip ends with its pictures, at 1 s or half a second later.
    assert len(found) / RATE == pytest.approx(1.3, abs=2 * PACKET)


def test_the_whole_is_copied(tmp_path):
    path = make_clip(tmp_path / "clip.mp4", sound=["aac"])
    write(tmp_path / "out.mp4", Sound(path), 50)
    assert sound_of(tmp_path / "out.mp4").packets == sound_of(path).packets


def test_a_clip_without_sound_gives_none(tmp_path):
    path = make_clip(tmp_path / "silent.mp4")
    assert sound_of(write(tmp_path / "out.mp4", Sound(path, (0.2, 1), times=3), 60)) is None

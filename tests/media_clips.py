"""Small real video and sound files, made with PyAV's own encoders for tests of reading and writing."""

import struct
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np


class Corners(NamedTuple):
    """Mean colours of the four corners of a picture."""

    top_left: np.ndarray
    top_right: np.ndarray
    bottom_left: np.ndarray
    bottom_right: np.ndarray


RED, GREEN, BLUE, WHITE = (220, 30, 30), (30, 200, 30), (30, 30, 220), (240, 240, 240)


def corner_picture(height: int, width: int) -> np.ndarray:
    """Four flat quarters: red, green / blue, white, (H, W, 3) uint8."""
    picture = np.empty((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2], picture[: height // 2, width // 2 :] = RED, GREEN
    picture[height // 2 :, : width // 2], picture[height // 2 :, width // 2 :] = BLUE, WHITE
    return picture


def corners(picture: np.ndarray) -> Corners:
    """What stands in the corners, 8 pixels square each."""
    parts = picture[:8, :8], picture[:8, -8:], picture[-8:, :8], picture[-8:, -8:]
    return Corners(*(part.reshape(-1, 3).mean(axis=0) for part in parts))


def moving_frames(count: int, height: int = 96, width: int = 128) -> Iterator[np.ndarray]:
    """A smooth coloured pattern that drifts; each frame is told from the others by its brightness."""
    y, x = np.mgrid[:height, :width]
    for index in range(count):
        levels = [np.sin((x * a + y * b) / 30 + index / 8) for a, b in ((1, 0.3), (0.2, 1), (0.7, 0.7))]
        yield np.uint8(128 + 60 * np.stack(levels, axis=-1) + 40 * np.sin(index / 5))


def sine(count: int, rate: int, start: int = 0, channels: int = 2) -> np.ndarray:
    """(channels, samples) float32 of a 440 Hz tone."""
    tone = 0.3 * np.sin(2 * np.pi * 440 * (np.arange(count) + start) / rate)
    return np.repeat(tone[None].astype(np.float32), channels, axis=0)


def make_clip(
    path: Path,
    *,
    video: str | None = "libx264",
    sound: Sequence[str] = (),
    frames: int = 50,
    size: tuple[int, int] = (96, 128),
    pix_fmt: str = "yuv420p",
    rate: Fraction | int = 25,
    times: Sequence[float] | None = None,
    picture_start: float = 0.0,
    sound_start: float = 0.0,
    sound_rate: int = 48000,
    layout: str = "stereo",
    options: dict[str, str] | None = None,
    picture: np.ndarray | None = None,
) -> Path:
    """Encode a clip: frames at a constant rate or at `times`, and one sound stream for each codec in `sound`."""
    duration = float(frames / Fraction(rate)) if times is None else times[-1] + 0.1
    with av.open(str(path), "w", options=options or {}) as container:
        streams = []
        if video:
            pictures = container.add_stream(video, rate=rate)
            pictures.height, pictures.width = size
            pictures.pix_fmt = pix_fmt
            base = Fraction(1, 1000) if times is not None or picture_start else 1 / Fraction(rate)
            pictures.codec_context.time_base = base
            if video in {"mpeg4", "mpeg2video", "mjpeg"}:
                pictures.codec_context.bit_rate = 4_000_000  # their default is too poor to tell frames apart
            if video == "libx265":
                pictures.options = {"x265-params": "log-level=none"}
        for name in sound:
            stream = container.add_stream(name, rate=sound_rate)
            stream.codec_context.layout = layout
            streams.append(stream)

        for block in range(int(duration * 50) if streams else 0):
            # Sound in pieces of 20 ms, all streams alike; the muxer puts them between the pictures.
            count = sound_rate // 50
            for stream in streams:
                samples = sine(count, sound_rate, block * count, 1 if layout == "mono" else 2)
                piece = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
                piece.sample_rate, piece.time_base = sound_rate, Fraction(1, sound_rate)
                piece.pts = block * count + round(sound_start * sound_rate)
                encoder = stream.codec_context
                for converted in av.AudioResampler(encoder.format, encoder.layout, sound_rate).resample(piece):
                    container.mux(stream.encode(converted))
        for stream in streams:
            container.mux(stream.encode(None))

        if video:
            for index, array in enumerate(moving_frames(frames, *size)):
                frame = av.VideoFrame.from_ndarray(array if picture is None else picture, format="rgb24")
                frame.time_base = base
                seconds = picture_start + (index / Fraction(rate) if times is None else times[index])
                frame.pts = round(seconds / base)
                container.mux(pictures.encode(frame))
            container.mux(pictures.encode(None))
    return path


def turn_mp4(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Write (a, b, c, d) of a display matrix into the first track of an MP4 file, as telephones do."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


class Sound(NamedTuple):
    """A file's sound packets: codec, bytes, and times in seconds."""

    codec: str
    packets: list[bytes]
    times: list[float]


def sound_of(path: Path) -> Sound | None:
    """The packets of the file's best sound stream as stored."""
    with av.open(str(path)) as container:
        stream = container.streams.best("audio")
        if stream is None:
            return None
        packets = [packet for packet in container.demux(stream) if packet.size]
        times = [float(packet.pts * packet.time_base) for packet in packets]
        return Sound(stream.codec_context.codec.canonical_name, [bytes(packet) for packet in packets], times)


def loudness(path: Path) -> float:
    """Root mean square of the decoded sound."""
    with av.open(str(path)) as container:
        to_float = av.AudioResampler("fltp", "mono", 48000)
        pieces = [piece for frame in container.decode(audio=0) for piece in to_float.resample(frame)]
        return float(np.sqrt(np.mean(np.square(np.concatenate([piece.to_ndarray()[0] for piece in pieces])))))

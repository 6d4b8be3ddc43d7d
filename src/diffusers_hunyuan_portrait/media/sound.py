"""The driving clip's sound as a stream of packets that keep step with the pictures being written."""

import io
import itertools
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import av
import numpy as np
import numpy.typing as npt

from .video_reader import open_container, picture_stream

logger = logging.getLogger(__name__)

_ENCODERS = {"webm": "libopus"}  # of sound that is encoded anew; elsewhere AAC
_RATES = {
    "aac": {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000},
    "libopus": {8000, 12000, 16000, 24000, 48000},
}
_BITS_A_SECOND = 192_000
# FFmpeg would also put PCM or Vorbis into an MP4 file, which next to no player then plays.
_PLAYED_IN_MP4 = {"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"}
Samples: TypeAlias = npt.NDArray[np.float32]  # (channels, samples)
_ROUNDING = Fraction(1, 50)  # seconds; files that note whole milliseconds let pieces of sound seem to lie apart
_SILENCE = 4096  # samples of it at a time


@dataclass(frozen=True)
class Sound:
    """The sound of a clip, or of a stretch of it, once or several times over.

    Args:
        path: the clip.
        span: seconds from the clip's first picture, from and to; the whole by default.
        times: how often the stretch is heard; more than once only where it has a `span`.
    """

    path: Path
    span: tuple[float, float] | None = None
    times: int = 1


class SoundTrack:
    """The best sound of a clip, to be laid under new pictures packet by packet.

    Of several sound streams FFmpeg's choice is taken: the one marked as default, then the one with more
    channels and data. Of a whole clip its packets are copied unchanged where `container_format` can hold their
    codec. Where it cannot, they are encoded anew as AAC, or Opus in WebM (mono or stereo), and so is a stretch of
    a clip, cut to the sample. Times are counted from the clip's first picture, so that sound that starts earlier
    or later does so in the copy too; a stretch is filled up with silence.

    Args:
        sound: the clip, opened until `close`, and what is heard of it.
        container_format: FFmpeg's name of the format that the sound goes into, such as "mp4".

    Raises:
        UnreadableMediaError: the file is not one of sound or video.
    """

    def __init__(self, sound: Sound, container_format: str) -> None:
        self._sound = sound
        self._clip = open_container(sound.path, "sound")
        self._source: Any = self._clip.streams.best("audio")
        self._stream: Any = None
        self._packets: Iterator[Any] | None = None
        self._waiting: Any = None
        is_whole = sound.span is None
        self.is_copied = self._source is not None and is_whole and _takes(container_format, self._source)
        if self._source is not None and not self.is_copied and self._source.codec_context is None:
            logger.warning("The sound of %s has a codec that is not known here; it is left out.", sound.path)
            self._source = None
        picture = picture_stream(self._clip)
        self._first_picture = Fraction(0)
        if picture is not None and picture.start_time is not None:
            self._first_picture = picture.start_time * picture.time_base

    def add_to(self, output: Any) -> None:
        """Give `output` a stream for this sound, if the clip has any; before the first packet is written."""
        if self._source is None:
            return
        if self.is_copied:
            self._stream = output.add_stream_from_template(self._source)
            self._packets = self._copied()
            return
        rate = self._source.codec_context.sample_rate
        encoder = _ENCODERS.get(output.format.name, "aac")
        self._stream = output.add_stream(encoder, rate=rate if rate in _RATES[encoder] else 48000)
        self._stream.codec_context.layout = "mono" if self._source.codec_context.channels == 1 else "stereo"
        self._stream.codec_context.bit_rate = _BITS_A_SECOND
        self._packets = self._encoded() if self._sound.span is None else self._encoded_stretch(self._sound.span)

    def packets_until(self, seconds: Fraction) -> Iterator[Any]:
        """The packets that begin before `seconds` and have not been given yet, in order."""
        while self._packets is not None:
            if self._waiting is None:
                self._waiting = next(self._packets, None)
            if self._waiting is None:
                self._packets = None
            elif self._waiting.pts * self._waiting.time_base < seconds:
                packet, self._waiting = self._waiting, None
                yield packet
            else:
                return

    def close(self) -> None:
        """Let go of the clip."""
        self._packets = None
        self._clip.close()

    def _copied(self) -> Iterator[Any]:
        last = None
        for packet in self._clip.demux(self._source):
            if packet.size == 0:
                continue
            if packet.pts is None and packet.dts is None:
                if last is None:
                    continue
                packet.pts = last + 1
            packet.pts = packet.dts = packet.dts if packet.pts is None else packet.pts
            self._shift(packet)
            # Files hold times once; a repeated one is a fault of the clip that no container accepts.
            if last is not None and packet.pts <= last:
                continue
            last = packet.pts
            packet.stream = self._stream
            yield packet

    def _encoded(self) -> Iterator[Any]:
        encoder = self._stream.codec_context
        resampler = av.AudioResampler(format=encoder.format, layout=encoder.layout, rate=encoder.sample_rate)
        for frame in self._decoded():
            for resampled in resampler.resample(frame):
                yield from self._encode(resampled)
        for resampled in resampler.resample(None):
            yield from self._encode(resampled)
        yield from self._encode(None)

    def _encode(self, frame: Any) -> Iterator[Any]:
        for packet in self._stream.encode(frame):
            self._shift(packet)
            yield packet

    def _encoded_stretch(self, span: tuple[float, float]) -> Iterator[Any]:
        encoder = self._stream.codec_context
        rate, length, position = encoder.sample_rate, span[1] - span[0], 0
        for repetition in range(self._sound.times):
            if repetition:  # from the beginning, whatever the container allows
                self._clip.close()
                self._clip = open_container(self._sound.path, "sound")
                self._source = self._clip.streams.best("audio")
            # The ends are parts of the whole's, so that no rounding adds up.
            count = round((repetition + 1) * length * rate) - round(repetition * length * rate)
            for samples in self._stretch(Fraction(span[0]), count):
                frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=encoder.layout.name)
                frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), position
                position += samples.shape[1]
                yield from self._stream.encode(frame)
        yield from self._stream.encode(None)

    def _stretch(self, start: Fraction, count: int) -> Iterator[Samples]:
        """`count` samples from `start` seconds on, some at a time, with silence where the clip has none."""
        encoder = self._stream.codec_context
        given = 0
        for place, samples in self._samples(start):
            if given and abs(place - given) < _ROUNDING * encoder.sample_rate:
                place = given
            samples = samples[:, max(given - place, 0) :][:, : max(count - max(place, given), 0)]
            if samples.shape[1]:
                yield from _silence(encoder.layout.nb_channels, max(place, given) - given)
                given = max(place, given) + samples.shape[1]
                yield samples
            if place >= count:
                break
        yield from _silence(encoder.layout.nb_channels, count - given)

    def _samples(self, start: Fraction) -> Iterator[tuple[int, Samples]]:
        """The clip's sound as the encoder takes it, in pieces, each with its place in samples from `start` on."""
        encoder = self._stream.codec_context
        resampler = av.AudioResampler(format="fltp", layout=encoder.layout, rate=encoder.sample_rate)
        expected = 0
        for frame in itertools.chain(self._decoded(), [None]):
            for piece in resampler.resample(frame):
                samples, place = piece.to_ndarray().astype(np.float32, copy=False), expected
                if piece.pts is not None and piece.time_base is not None:
                    seconds = piece.pts * piece.time_base - self._first_picture - start
                    place = round(seconds * encoder.sample_rate)
                expected = place + samples.shape[1]
                yield place, samples

    def _decoded(self) -> Iterator[Any]:
        for packet in self._clip.demux(self._source):
            try:
                yield from packet.decode()
            except av.error.InvalidDataError as error:
                # One bad packet is a click in the sound, no reason to lose a finished animation.
                logger.warning("A piece of the driving clip's sound cannot be decoded: %s.", error)

    def _shift(self, packet: Any) -> None:
        offset = round(self._first_picture / packet.time_base)
        packet.pts -= offset
        if packet.dts is not None:
            packet.dts -= offset


def has_sound(path: str | os.PathLike[str]) -> bool:
    """Whether the file has any; see `SoundTrack` for what is raised."""
    with open_container(Path(path), "sound") as clip:
        return clip.streams.best("audio") is not None


def _silence(channels: int, count: int) -> Iterator[Samples]:
    """`count` samples of it, some at a time."""
    for begin in range(0, count, _SILENCE):
        yield np.zeros((channels, min(_SILENCE, count - begin)), np.float32)


def _takes(container_format: str, source: Any) -> bool:
    """Whether the format takes packets of this codec as they are, found out by writing a header to memory."""
    if source.codec_context is None:
        return False
    if container_format == "mp4" and source.codec_context.codec.canonical_name not in _PLAYED_IN_MP4:
        return False
    try:
        with av.open(io.BytesIO(), "w", format=container_format) as trial:
            trial.add_stream_from_template(source)
            trial.start_encoding()
    except (av.error.FFmpegError, ValueError):
        return False
    return True

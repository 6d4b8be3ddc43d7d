"""The driving clip's sound as a stream of packets that keep step with the pictures being written."""

import io
import logging
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from .video_reader import open_container, picture_stream

logger = logging.getLogger(__name__)

_AAC_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000}
_AAC_BITS_A_SECOND = 192_000
# FFmpeg would also put PCM or Vorbis into an MP4 file, which next to no player then plays.
_PLAYED_IN_MP4 = {"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"}


class SoundTrack:
    """The best sound of a clip, to be laid under new pictures packet by packet.

    Of several sound streams FFmpeg's choice is taken: the one marked as default, then the one with more
    channels and data. Its packets are copied unchanged where `container_format` can hold their codec, and
    encoded anew as AAC (mono or stereo) where it cannot. Times are counted from the clip's first picture, so
    that sound that starts earlier or later does so in the copy too.

    Args:
        path: the clip; opened until `close`.
        container_format: FFmpeg's name of the format that the sound goes into, such as "mp4".

    Raises:
        UnreadableMediaError: the file is not one of sound or video.
    """

    def __init__(self, path: str | os.PathLike[str], container_format: str) -> None:
        self._clip = open_container(Path(path), "sound")
        self._source: Any = self._clip.streams.best("audio")
        self._stream: Any = None
        self._packets: Iterator[Any] | None = None
        self._waiting: Any = None
        self.is_copied = self._source is not None and _takes(container_format, self._source)
        if self._source is not None and not self.is_copied and self._source.codec_context is None:
            logger.warning("The sound of %s has a codec that is not known here; it is left out.", path)
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
        self._stream = output.add_stream("aac", rate=rate if rate in _AAC_RATES else 48000)
        self._stream.codec_context.layout = "mono" if self._source.codec_context.channels == 1 else "stereo"
        self._stream.codec_context.bit_rate = _AAC_BITS_A_SECOND
        self._packets = self._encoded()

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
